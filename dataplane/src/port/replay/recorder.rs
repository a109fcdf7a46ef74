//! The writing half: packets go into buffers on the worker, and from there to the file on a thread of their own.
//!
//! ```text
//!   worker:  frame -> buffer --(full)--> thread: write
//!                       ^                    |
//!                       +------(empty)-------+
//! ```
//!
//! There is a fixed number of buffers and none is ever made anew, so a worker neither waits for a disk nor allocates. While
//! all are with a slow disk the recorder takes nothing: packets stay in the port's queue, and what overflows there is dropped
//! by name like before any slow port. So the recorder itself loses nothing, and a loss is counted where all losses are.

use std::{
    fs::File,
    io,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::port::replay::capture::{write_header, write_record};

/// Buffers of one recorder: with their size 4 MiB, a tenth of a second of 300 Mbit/s.
const BUFFERS: usize = 16;
/// Bytes of a buffer: enough that a hand-over, which may wake a thread, happens once in a hundred packets or more.
const BUFFER: usize = 256 << 10;

/// A file being written.
pub(super) struct Recorder {
    path: PathBuf,
    buffer: Vec<u8>,
    /// Toward the thread; `None` once it is to end.
    full: Option<Sender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    failed: Arc<OnceLock<io::Error>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Makes the file, or empties the one that is there.
    pub(super) fn create(path: &Path, name: &str) -> io::Result<Self> {
        let file = File::create(path)?;
        let (full, to_write) = bounded(BUFFERS);
        let (written, empty) = bounded(BUFFERS);
        for _ in 1..BUFFERS {
            // The channel has a place for each of them, and its other end is in this function.
            let _ = written.send(Vec::with_capacity(BUFFER));
        }
        let mut buffer = Vec::with_capacity(BUFFER);
        write_header(&mut buffer);
        let failed = Arc::new(OnceLock::new());
        let failure = Arc::clone(&failed);
        let thread = std::thread::Builder::new().name(format!("pcap-{name}")).spawn(move || {
            if let Err(error) = write(file, &to_write, &written) {
                let _ = failure.set(error);
            }
        })?;
        Ok(Self { path: path.to_owned(), buffer, full: Some(full), empty, failed, thread: Some(thread) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a packet of `length` bytes can be taken now.
    pub(super) fn has_room(&mut self, length: usize) -> bool {
        // A packet longer than a whole buffer makes that buffer longer.
        self.buffer.is_empty() || self.buffer.len() + 16 + length <= BUFFER || self.hand_over()
    }

    /// Takes a packet; ask for room first.
    pub(super) fn record<'a>(&mut self, time: Duration, length: usize, segments: impl Iterator<Item = &'a [u8]>) {
        write_record(&mut self.buffer, time, length, segments);
    }

    /// Gives the thread what there is. Returns whether the buffer is empty now.
    pub(super) fn hand_over(&mut self) -> bool {
        if self.buffer.is_empty() {
            return true;
        }
        let Ok(spare) = self.empty.try_recv() else { return false };
        let buffer = core::mem::replace(&mut self.buffer, spare);
        if let Some(full) = &self.full {
            // The channel holds all buffers there are. If the thread has ended, `failure` tells why.
            let _ = full.try_send(buffer);
        }
        true
    }

    /// Why writing ended, if it did.
    pub(super) fn failure(&self) -> Option<io::Error> {
        let error = self.failed.get()?;
        Some(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error))
    }
}

impl Drop for Recorder {
    /// Waits until all is written.
    fn drop(&mut self) {
        if let Some(full) = self.full.take() {
            let _ = full.send(core::mem::take(&mut self.buffer));
        }
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics.
            let _ = thread.join();
        }
    }
}

fn write(mut file: File, full: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>) -> io::Result<()> {
    for mut buffer in full {
        file.write_all(&buffer)?;
        buffer.clear();
        // The recorder is on its way out when nobody takes it.
        let _ = empty.try_send(buffer);
    }
    Ok(())
}

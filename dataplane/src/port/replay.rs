//! A port of files: packets come from a pcap file, and packets that leave go into one.
//!
//! It stands for a device in tests of a whole switch, and shows what a switch did to a capture. The input is read and checked
//! whole when the port is opened, so a broken file is an error of the configuration and not of a running worker; the
//! output is written by a thread of its own (see `recorder.rs`).

mod capture;
mod recorder;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use podlane_rings::FramePool;

use crate::{
    burst::{Burst, OutQueue},
    port::{Port, PortError, PortFacts, PortStatistics},
};
use capture::BadCapture;
pub use capture::Capture;
use recorder::Recorder;

/// Which files, and how to play the input.
#[derive(Clone, Debug, Default)]
pub struct ReplayConfig {
    /// The port's name, for its thread.
    pub name: String,
    /// What comes in; without it nothing does. Classic pcap of Ethernet, in either byte order, up to 1 GiB.
    pub input: Option<PathBuf>,
    /// Where what leaves is written; without it, that goes nowhere. An existing file is overwritten.
    pub output: Option<PathBuf>,
    /// How many times the input is played; 0 plays it for ever.
    pub repeat: u32,
    /// When its packets come.
    pub pace: Pace,
}

/// When packets come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pace {
    /// As fast as the worker takes them.
    #[default]
    AsFast,
    /// At the distances in time they were captured at, counted from the first look. A repetition begins when the last packet
    /// of the former one has come.
    Recorded,
}

/// One file in, one file out. Either may be absent.
pub struct ReplayPort {
    player: Option<Player>,
    recorder: Option<Recorder>,
    /// Packets for which there were too few frames.
    unframed: u64,
}

impl ReplayPort {
    /// Reads the input and makes the output.
    ///
    /// # Errors
    /// [`PortError::Capture`], naming the file: it cannot be read or written, or is not what this port plays.
    pub fn open(config: &ReplayConfig) -> Result<Self, PortError> {
        let player = match &config.input {
            Some(path) => Some(Player {
                capture: Capture::read(path).map_err(|source| capture_error(path, source))?,
                pace: config.pace,
                plays_left: if config.repeat == 0 { None } else { Some(config.repeat) },
                next: 0,
                earlier: Duration::ZERO,
                began: None,
            }),
            None => None,
        };
        let recorder = match &config.output {
            Some(path) => {
                if config.input.as_deref().is_some_and(|input| same_file(input, path)) {
                    return Err(capture_error(path, BadCapture::Same.into()));
                }
                Some(Recorder::create(path, &config.name).map_err(|source| capture_error(path, source))?)
            }
            None => None,
        };
        Ok(Self { player, recorder, unframed: 0 })
    }

    fn check_output(&self) -> Result<(), PortError> {
        let failed = self.recorder.as_ref().and_then(|recorder| Some((recorder.path(), recorder.failure()?)));
        failed.map_or(Ok(()), |(path, source)| Err(capture_error(path, source)))
    }
}

fn capture_error(path: &Path, source: io::Error) -> PortError {
    PortError::Capture { path: path.display().to_string(), source }
}

/// An output that does not exist yet is no input.
fn same_file(input: &Path, output: &Path) -> bool {
    match (input.canonicalize(), output.canonicalize()) {
        (Ok(input), Ok(output)) => input == output,
        _ => false,
    }
}

impl Port for ReplayPort {
    /// A packet for whose first frame there is none waits; a longer one that finds too few frames is lost and counted,
    /// because it might wait for ever.
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        let Some(player) = &mut self.player else { return };
        let elapsed = player.elapsed();
        while burst.room() > 0
            && let Some(packet) = player.due(elapsed)
        {
            match pool.write_packet(packet) {
                Some(frame) => burst.push(frame),
                None if pool.free() == 0 => break,
                None => self.unframed += 1,
            }
            player.advance();
        }
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        if queue.is_empty() {
            return;
        }
        // A clock before 1970 writes zeros.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        while let Some(frame) = queue.frames().front_mut() {
            if let Some(recorder) = &mut self.recorder {
                let umem = pool.umem();
                umem.finish_checksum(frame);
                let length = umem.packet_len(frame);
                if !recorder.has_room(length) {
                    return;
                }
                recorder.record(now, length, umem.segments(frame));
            }
            if let Some(frame) = queue.frames().pop_front() {
                pool.give(frame);
            }
        }
    }

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        self.check_output()
    }

    /// Also hands over what is recorded, so that a file is never behind by more than a look.
    fn health(&mut self) -> Result<(), PortError> {
        if let Some(recorder) = &mut self.recorder {
            recorder.hand_over();
        }
        self.check_output()
    }

    fn facts(&self) -> PortFacts {
        PortFacts { queues: 1, ..PortFacts::default() }
    }

    fn statistics(&self) -> PortStatistics {
        PortStatistics { fill_ring_empty: self.unframed, ..PortStatistics::default() }
    }

    /// Waits until the output is written.
    fn close(self: Box<Self>, _pool: &mut FramePool) {}
}

/// A capture and where in it we are.
struct Player {
    capture: Capture,
    pace: Pace,
    /// Counts the one that is being played; `None` is for ever.
    plays_left: Option<u32>,
    next: usize,
    /// What the plays before this one took.
    earlier: Duration,
    began: Option<Instant>,
}

impl Player {
    /// How long it has been playing; reads the clock only where that matters.
    fn elapsed(&mut self) -> Duration {
        match self.pace {
            Pace::Recorded if self.plays_left != Some(0) => self.began.get_or_insert_with(Instant::now).elapsed(),
            Pace::Recorded | Pace::AsFast => Duration::ZERO,
        }
    }

    /// The next packet, if it is time for it.
    fn due(&self, elapsed: Duration) -> Option<&[u8]> {
        let early = self.pace == Pace::Recorded && self.earlier + self.capture.after(self.next) > elapsed;
        if self.plays_left == Some(0) || early { None } else { self.capture.packet(self.next) }
    }

    fn advance(&mut self) {
        self.next += 1;
        if self.next == self.capture.len() {
            self.next = 0;
            self.earlier = self.earlier.saturating_add(self.capture.duration());
            self.plays_left = self.plays_left.map(|plays| plays - 1);
        }
    }
}

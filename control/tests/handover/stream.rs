//! A TCP stream that is looked at byte by byte, and at how long it stands still.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use podlane_host::Netns;

use crate::support::{SOON, within};

/// Bytes of one write.
const CHUNK: usize = 16 * 1024;

/// How long it may stand still: a daemon that was stopped for seconds is met by a sender that asks ever more seldom.
const LONGEST: Duration = Duration::from_secs(60);

/// The byte at a place of the stream.
fn at(place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

/// One pod sending to another without a pause, until it is ended.
pub(crate) struct Live {
    stop: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
    /// Microseconds of the longest silence since it was last asked.
    silence: Arc<AtomicU64>,
    sending: JoinHandle<u64>,
    hearing: JoinHandle<u64>,
}

impl Live {
    pub(crate) fn start(from: &Netns, to: &Netns, address: [u8; 4]) -> Self {
        let address = Ipv4Addr::from(address);
        let server = to.run(|| TcpListener::bind((address, 0))).unwrap().unwrap();
        let target = server.local_addr().unwrap();
        let mut client = from.run(|| TcpStream::connect_timeout(&target, SOON)).unwrap().unwrap();
        let (mut stream, _) = server.accept().unwrap();
        client.set_write_timeout(Some(LONGEST)).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        let (stop, heard, silence) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let stopped = Arc::clone(&stop);
        let sending = std::thread::spawn(move || {
            let (mut place, mut chunk) = (0u64, vec![0; CHUNK]);
            while !stopped.load(Ordering::Relaxed) {
                for byte in &mut chunk {
                    *byte = at(place);
                    place += 1;
                }
                client.write_all(&chunk).unwrap();
            }
            place
        });
        let (counts, silent): (Arc<AtomicU64>, Arc<AtomicU64>) = (Arc::clone(&heard), Arc::clone(&silence));
        let hearing = std::thread::spawn(move || {
            let (mut place, mut buffer) = (0u64, vec![0; 4 * CHUNK]);
            loop {
                let began = Instant::now();
                let length = stream.read(&mut buffer).unwrap();
                silent.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                if length == 0 {
                    return place;
                }
                for byte in &buffer[..length] {
                    assert_eq!(*byte, at(place), "byte {place}");
                    place += 1;
                }
                counts.store(place, Ordering::Relaxed);
            }
        });
        Self { stop, heard, silence, sending, hearing }
    }

    /// Waits until more arrives.
    pub(crate) fn flows(&self) {
        let before = self.heard.load(Ordering::Relaxed);
        within(LONGEST, "the stream goes on", || self.heard.load(Ordering::Relaxed) > before + CHUNK as u64);
    }

    /// Waits until what was on its way when the switch halted has been read: a busy receiver has megabytes of it.
    pub(crate) fn settles(&self) {
        let mut before = self.heard.load(Ordering::Relaxed);
        within(LONGEST, "the stream stands still", || {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.heard.load(Ordering::Relaxed);
            std::mem::replace(&mut before, now) == now
        });
    }

    /// The longest silence since this was asked before.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_micros(self.silence.swap(0, Ordering::Relaxed))
    }

    /// Ends it: what was sent has arrived, every byte of it, over the one connection.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sending.join().unwrap();
        assert_eq!(self.hearing.join().unwrap(), sent);
    }
}

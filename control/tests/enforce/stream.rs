//! A TCP connection that says something all the time, until it is dropped.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use podlane_host::Netns;

use crate::attempt::bound;
use crate::support::{SOON, eventually};

/// How long a read or a write waits, before it looks whether it is to end.
const ONCE: Duration = Duration::from_millis(50);

/// A connection, established, over which data flows one way.
pub(crate) struct TcpFlow {
    stop: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl TcpFlow {
    /// Data flows from the one who opens.
    pub(crate) fn start(from: &Netns, to: &Netns, at: (IpAddr, u16)) -> Self {
        let (client, server) = connected(from, to, at);
        Self::between(client, server)
    }

    /// Data flows to the one who opens.
    pub(crate) fn back(from: &Netns, to: &Netns, at: (IpAddr, u16)) -> Self {
        let (client, server) = connected(from, to, at);
        Self::between(server, client)
    }

    fn between(mut speaks: TcpStream, mut hears: TcpStream) -> Self {
        speaks.set_write_timeout(Some(ONCE)).unwrap();
        hears.set_read_timeout(Some(ONCE)).unwrap();
        let [stop, ended] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let heard = Arc::new(AtomicU64::new(0));
        let stopped = || {
            let stop = Arc::clone(&stop);
            move || stop.load(Ordering::Relaxed)
        };
        let (sending, hearing) = (stopped(), stopped());
        let (counts, ends_here) = (Arc::clone(&heard), Arc::clone(&ended));
        let sender = std::thread::spawn(move || {
            while !sending() && goes_on(speaks.write(&[7; 512])).is_some() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let hearer = std::thread::spawn(move || {
            while !hearing() {
                let Some(bytes) = goes_on(hears.read(&mut [0; 4096])) else {
                    ends_here.store(true, Ordering::Relaxed);
                    return;
                };
                counts.fetch_add(bytes as u64, Ordering::Relaxed);
            }
        });
        Self { stop, heard, ended, threads: vec![sender, hearer] }
    }

    /// Bytes that have arrived so far.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Waits until more arrive.
    pub(crate) fn flows(&self) {
        let before = self.heard();
        eventually("data flows", || self.heard() > before);
    }

    /// Whether the one who hears has seen its end.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// The ends of a connection: of who opened, and of who was opened to.
fn connected(from: &Netns, to: &Netns, (address, port): (IpAddr, u16)) -> (TcpStream, TcpStream) {
    let server = bound(to, || TcpListener::bind((address, port)));
    let client = from.run(|| TcpStream::connect_timeout(&(address, port).into(), SOON)).unwrap().unwrap();
    let (other, _) = server.accept().unwrap();
    (client, other)
}

/// How many bytes went; none when no more will.
fn goes_on(went: std::io::Result<usize>) -> Option<usize> {
    match went {
        Ok(0) => None,
        Ok(bytes) => Some(bytes),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Some(0),
        Err(_) => None,
    }
}

impl Drop for TcpFlow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

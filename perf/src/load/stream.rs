//! TCP streams from one pod to another, through the kernels of both, as an application would have them.

use std::{
    fs, io,
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use podlane_host::Netns;

use crate::{
    cores,
    load::{LOOK_EVERY, LoadError, pause, traffic::address},
};

/// The receiver.
const TO: SocketAddr = SocketAddr::new(IpAddr::V4(address(0, 2)), 5001);

/// Bytes of one write and of one read.
const CHUNK: usize = 128 << 10;

/// How long one try to connect may take.
const TRY: Duration = Duration::from_secs(3);

/// How long the streams may grow before they are measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// What to stream.
#[derive(Clone, Copy)]
pub struct Streams<'a> {
    /// The sender.
    pub from: &'a Netns,
    /// The receiver.
    pub to: &'a Netns,
    /// How many streams at once.
    pub count: u16,
    /// The core of both ends, if they are to keep to one.
    pub core: Option<usize>,
    /// For how long it is measured.
    pub length: Duration,
    /// How long it may take to connect.
    pub patience: Duration,
    /// Ends it early.
    pub stop: &'a AtomicBool,
}

/// What one window saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Streamed {
    /// Bits that the receiver read, a second, of all streams.
    pub rate: f64,
    /// Segments that the sender sent again, a second.
    pub retransmits: f64,
}

impl Streams<'_> {
    /// Streams from one pod to the other.
    ///
    /// # Errors
    /// [`LoadError::Stream`] when they cannot connect, [`LoadError::Stalled`], [`LoadError::Interrupted`].
    pub fn run(&self) -> Result<Streamed, LoadError> {
        let listener = self.to.run(|| TcpListener::bind(TO))?.map_err(LoadError::Stream)?;
        let mut pairs = Vec::new();
        for _ in 0..self.count {
            let sender = self.from.run(|| self.connect())??;
            let (receiver, _) = listener.accept().map_err(LoadError::Stream)?;
            pairs.push((sender, receiver));
        }
        let read = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for (sender, receiver) in &pairs {
                scope.spawn(|| self.drain(receiver, &read));
                scope.spawn(|| self.fill(sender));
            }
            let streamed = self.sample(&read);
            for (sender, receiver) in &pairs {
                // Both threads end with their socket; one that broke has ended already.
                let _ = sender.shutdown(Shutdown::Both);
                let _ = receiver.shutdown(Shutdown::Both);
            }
            streamed
        })
    }

    /// A switch that does not know its next hop yet says unreachable at once, and means this moment.
    fn connect(&self) -> Result<TcpStream, LoadError> {
        let deadline = Instant::now() + self.patience;
        loop {
            match TcpStream::connect_timeout(&TO, TRY) {
                Err(_) if Instant::now() < deadline => pause(LOOK_EVERY, self.stop)?,
                connected => return connected.map_err(LoadError::Stream),
            }
        }
    }

    fn sample(&self, read: &AtomicU64) -> Result<Streamed, LoadError> {
        pause(WARM_UP, self.stop)?;
        let (before, again, begun) = (read.load(Ordering::Relaxed), retransmits(self.from)?, Instant::now());
        pause(self.length, self.stop)?;
        let (after, window) = (read.load(Ordering::Relaxed), begun.elapsed().as_secs_f64());
        if after == before {
            return Err(LoadError::Stalled);
        }
        let again = retransmits(self.from)?.saturating_sub(again);
        Ok(Streamed { rate: (after - before) as f64 * 8.0 / window, retransmits: again as f64 / window })
    }

    fn drain(&self, mut socket: &TcpStream, read: &AtomicU64) {
        self.core.into_iter().for_each(cores::pin);
        let mut chunk = vec![0; CHUNK];
        while let Ok(length @ 1..) = socket.read(&mut chunk) {
            read.fetch_add(length as u64, Ordering::Relaxed);
        }
    }

    fn fill(&self, mut socket: &TcpStream) {
        self.core.into_iter().for_each(cores::pin);
        let chunk = vec![0; CHUNK];
        while socket.write_all(&chunk).is_ok() {}
    }
}

/// Segments sent again by any TCP of a namespace so far.
fn retransmits(netns: &Netns) -> Result<u64, LoadError> {
    let text = netns.run(|| fs::read_to_string("/proc/thread-self/net/snmp"))?.map_err(LoadError::Stream)?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: ")).map(|line| line.split(' '));
    let (names, values) = (lines.next().into_iter().flatten(), lines.next().into_iter().flatten());
    let found = names.zip(values).find(|(name, _)| *name == "RetransSegs");
    let unknown = || LoadError::Stream(io::ErrorKind::InvalidData.into());
    found.and_then(|(_, value)| value.parse().ok()).ok_or_else(unknown)
}

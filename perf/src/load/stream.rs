//! A TCP stream from one pod to another, through the kernels of both, as an application would have it.

use std::{
    fs, io,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use podlane_host::Netns;

use crate::load::{LoadError, traffic::address};

/// The receiver.
const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(address(0, 2)), 5001);

/// Bytes of one write and of one read.
const CHUNK: usize = 128 << 10;

/// How long it may take to connect.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the stream may grow before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// Between two looks at whether Ctrl-C was pressed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What one window saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Streamed {
    /// Bits that the receiver read, a second.
    pub rate: f64,
    /// Segments that the sender sent again, a second.
    pub retransmits: f64,
}

/// Streams from one pod to the other for so long.
///
/// # Errors
/// [`LoadError::Stream`] when they cannot connect, [`LoadError::Interrupted`].
pub fn stream(from: &Netns, to: &Netns, length: Duration, stop: &AtomicBool) -> Result<Streamed, LoadError> {
    let listener = to.run(|| TcpListener::bind(TO))?.map_err(LoadError::Stream)?;
    let sender = from.run(|| connect(stop))??;
    let (receiver, _) = listener.accept().map_err(LoadError::Stream)?;
    let read = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| drain(&receiver, &read));
        scope.spawn(|| fill(&sender));
        let streamed = sample(from, &read, (length, stop));
        // Both threads end with their socket; one that broke has ended already.
        let _ = sender.shutdown(Shutdown::Both);
        let _ = receiver.shutdown(Shutdown::Both);
        streamed
    })
}

/// A switch that does not know its next hop yet says unreachable at once, and means this moment.
fn connect(stop: &AtomicBool) -> Result<TcpStream, LoadError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(&TO, PATIENCE) {
            Err(_) if Instant::now() < deadline => pause(LOOK_EVERY, stop)?,
            connected => return connected.map_err(LoadError::Stream),
        }
    }
}

fn sample(from: &Netns, read: &AtomicU64, (length, stop): (Duration, &AtomicBool)) -> Result<Streamed, LoadError> {
    pause(WARM_UP, stop)?;
    let (before, again, begun) = (read.load(Ordering::Relaxed), retransmits(from)?, Instant::now());
    pause(length, stop)?;
    let (after, window) = (read.load(Ordering::Relaxed), begun.elapsed().as_secs_f64());
    let again = retransmits(from)?.saturating_sub(again);
    Ok(Streamed { rate: (after - before) as f64 * 8.0 / window, retransmits: again as f64 / window })
}

fn drain(mut socket: &TcpStream, read: &AtomicU64) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = socket.read(&mut chunk) {
        read.fetch_add(length as u64, Ordering::Relaxed);
    }
}

fn fill(mut socket: &TcpStream) {
    let chunk = vec![0; CHUNK];
    while socket.write_all(&chunk).is_ok() {}
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

fn pause(length: Duration, stop: &AtomicBool) -> Result<(), LoadError> {
    let until = Instant::now() + length;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(LoadError::Interrupted);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

//! TCP: whole streams through the pods' kernels, every byte checked.
//!
//! Each stream is one connection that sends the [`Pattern`] until the time is over, then closes its
//! sending side; the receiver reads to the end and compares both the bytes and their number. The rate is
//! what the receiver got, up to the last byte. Bytes that are damaged on the way and repaired by a
//! retransmission are TCP's business; bytes that reach the application wrong are a failure.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::pattern::Pattern;
use super::{Bounds, GLANCE, MeterError, PATIENCE, Pair, Running, finish, is_pause};

/// How long what is in flight may take to arrive after the last byte was handed to the kernel.
const DRAIN: Duration = Duration::from_secs(3);
/// What one read takes at most, in bytes; enough that the comparison and not the call is the cost.
const READ: usize = 256 * 1024;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    /// Connections at once.
    pub(crate) streams: usize,
    /// Whether each connection carries as much as it can in the other direction too.
    pub(crate) both: bool,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TcpMeasured {
    /// Bytes that arrived at the target, all streams together.
    pub(crate) bytes: u64,
    /// Bits per second towards the target.
    pub(crate) bits_per_second: f64,
    /// Bits per second in the other direction, when it was asked for.
    pub(crate) bits_per_second_back: Option<f64>,
}

/// One direction of one connection, as its receiver saw it.
pub(super) struct Received {
    bytes: u64,
    last: Instant,
}

impl Tcp {
    /// Runs the streams and measures them.
    pub(crate) fn measure(self, pair: &Pair, bounds: Bounds<'_>) -> Result<TcpMeasured, MeterError> {
        let to = pair.target;
        let connections = connect(pair, self.streams)?;
        let patterns = [Pattern::new(0x70d), Pattern::new(0x1a9e)];
        let directions = if self.both { 2 } else { 1 };
        let start = Instant::now();
        let flows: Vec<_> = thread::scope(|scope| {
            let mut running = Vec::new();
            for (client, server) in &connections {
                for (direction, pattern) in patterns.iter().enumerate().take(directions) {
                    let ((place, socket), (far_place, far_socket)) = match direction {
                        0 => ((&pair.from, client), (&pair.to, server)),
                        _ => ((&pair.to, server), (&pair.from, client)),
                    };
                    let receiver = far_place.start(scope, move || receive(far_socket, pattern, to, bounds));
                    let sender = place.start(scope, move || send(socket, pattern, to, bounds));
                    running.push((direction, sender, receiver));
                }
            }
            // every thread is waited for, whatever became of the first
            running
                .into_iter()
                .map(|(direction, sender, receiver)| Ok((direction, settle(sender, receiver, to)?)))
                .collect()
        });
        let flows = flows.into_iter().collect::<Result<Vec<(usize, Received)>, MeterError>>()?;
        let of = |direction| flows.iter().filter(move |(its, _)| *its == direction).map(|(_, received)| received);
        if flows.iter().all(|(_, received)| received.bytes == 0) {
            return Err(MeterError::Interrupted);
        }
        Ok(TcpMeasured {
            bytes: of(0).map(|received| received.bytes).sum(),
            bits_per_second: rate(start, of(0)),
            bits_per_second_back: self.both.then(|| rate(start, of(1))),
        })
    }
}

fn rate<'a>(start: Instant, flows: impl Iterator<Item = &'a Received>) -> f64 {
    let (bytes, last) = flows.fold((0, start), |(bytes, last), flow| (bytes + flow.bytes, last.max(flow.last)));
    let seconds = last.duration_since(start).as_secs_f64();
    if seconds > 0.0 { bytes as f64 * 8.0 / seconds } else { 0.0 }
}

/// Both ends of each connection, made inside the pods: the caller's side first.
fn connect(pair: &Pair, streams: usize) -> Result<Vec<(TcpStream, TcpStream)>, MeterError> {
    let to = pair.target;
    let listener = thread::scope(|scope| {
        let listening = pair.to.start(scope, || {
            let listener = TcpListener::bind((to, 0)).map_err(MeterError::socket("listen for TCP", to))?;
            // bounds accept(2)
            SockRef::from(&listener)
                .set_read_timeout(Some(PATIENCE))
                .map_err(MeterError::socket("bound a listener", to))?;
            Ok(listener)
        });
        finish(listening, "listener")
    })?;
    let address = listener.local_addr().map_err(MeterError::socket("name a listener", to))?;
    (0..streams).map(|_| connect_one(pair, &listener, address)).collect()
}

fn connect_one(pair: &Pair, listener: &TcpListener, address: SocketAddr) -> Result<(TcpStream, TcpStream), MeterError> {
    let to = pair.target;
    let unconnected = |source| MeterError::Unconnected { to, source };
    let client = thread::scope(|scope| {
        let connecting = pair.from.start(scope, || TcpStream::connect_timeout(&address, PATIENCE).map_err(unconnected));
        finish(connecting, "connecting thread")
    })?;
    let (server, _) = listener.accept().map_err(unconnected)?;
    for stream in [&client, &server] {
        stream
            .set_read_timeout(Some(GLANCE))
            .and_then(|()| stream.set_write_timeout(Some(GLANCE)))
            .map_err(MeterError::socket("bound a stream", to))?;
    }
    Ok((client, server))
}

/// Sends until the time is over; returns how many bytes the kernel took.
fn send(mut stream: &TcpStream, pattern: &Pattern, to: IpAddr, bounds: Bounds<'_>) -> Result<u64, MeterError> {
    let start = Instant::now();
    let mut sent = 0;
    while !bounds.over(start) {
        match stream.write(pattern.from(sent)) {
            Ok(taken) => sent += taken as u64,
            Err(error) if is_pause(&error) => {}
            Err(source) => {
                return Err(MeterError::Broken { to, moved: sent, source });
            }
        }
    }
    stream.shutdown(Shutdown::Write).map_err(|source| MeterError::Broken { to, moved: sent, source })?;
    Ok(sent)
}

/// Receives and compares until the stream ends.
pub(super) fn receive(
    mut stream: &TcpStream,
    pattern: &Pattern,
    to: IpAddr,
    bounds: Bounds<'_>,
) -> Result<Received, MeterError> {
    let start = Instant::now();
    let mut buffer = vec![0; READ];
    let mut received = Received { bytes: 0, last: start };
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(received),
            Ok(length) => {
                if let Some(offset) = pattern.first_difference(received.bytes, &buffer[..length]) {
                    return Err(MeterError::Corrupt { to, offset });
                }
                received.bytes += length as u64;
                received.last = Instant::now();
                bounds.add(length as u64);
            }
            Err(error) if is_pause(&error) => {}
            Err(source) => {
                return Err(MeterError::Broken { to, moved: received.bytes, source });
            }
        }
        let quiet = received.last.elapsed();
        if bounds.over(start) && (quiet > DRAIN || (bounds.stopped() && quiet > GLANCE)) {
            return Err(MeterError::Stalled { to, received: received.bytes });
        }
    }
}

/// Both ends of one direction: a corrupt stream is told as that, not as the sender's broken connection.
fn settle(sender: Running<'_, u64>, receiver: Running<'_, Received>, to: IpAddr) -> Result<Received, MeterError> {
    let sent = finish(sender, "TCP sender");
    let received = finish(receiver, "TCP receiver")?;
    let sent = sent?;
    if received.bytes == sent { Ok(received) } else { Err(MeterError::Short { to, sent, received: received.bytes }) }
}

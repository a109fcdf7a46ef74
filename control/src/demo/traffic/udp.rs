//! UDP: datagrams at full speed, each numbered and each checked.
//!
//! The sender hands the kernel whole bursts with one call (`sendmmsg`); the receiver takes bursts
//! (`recvmmsg`) and marks every number it sees, so that loss, repetition and reordering are told apart.
//! Loss is reported and is no failure: a sender that never waits overruns whatever is slowest. Damage and
//! repetition are failures, and so is silence.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt, sockopt};

use super::{Bounds, GLANCE, MeterError, Pair, finish};

/// Datagrams a call.
const BURST: usize = 64;
/// Receive buffer asked for, in bytes: some 10,000 small datagrams in the kernel's accounting, so that the
/// receiver losing the core for a few milliseconds does not count as the switch's loss.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// How long after the last datagram the receiver goes on listening.
const LINGER: Duration = Duration::from_millis(200);
/// In front of each datagram: a mark of ours, then its number, both big-endian.
const MARK: [u8; 4] = *b"PODL";
const HEADER: usize = MARK.len() + 8;
/// Numbers beyond this are damage: no run of this meter comes near, and the map of what was seen stays small.
const NUMBERS: u64 = 1 << 28;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Udp {
    /// Bytes of payload in each datagram, no fewer than the header of 12.
    pub(crate) payload: usize,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct UdpMeasured {
    /// Datagrams the sender's kernel took.
    pub(crate) sent: u64,
    /// Datagrams that arrived, each counted once.
    pub(crate) received: u64,
    /// Datagrams that arrived after one with a higher number.
    pub(crate) reordered: u64,
    /// Datagrams per second at the receiver.
    pub(crate) packets_per_second: f64,
}

impl UdpMeasured {
    /// Datagrams that did not arrive.
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

impl Udp {
    /// Sends, receives and compares.
    pub(crate) fn measure(self, pair: &Pair, bounds: Bounds<'_>) -> Result<UdpMeasured, MeterError> {
        let to = pair.target;
        let size = self.payload.max(HEADER);
        let (receiver, sender) = sockets(pair)?;
        let start = Instant::now();
        let (sent, tally) = thread::scope(|scope| {
            let receiving = pair.to.start(scope, || receive(&receiver, size, to, bounds));
            let sending = pair.from.start(scope, || send(&sender, size, to, bounds));
            (finish(sending, "UDP sender"), finish(receiving, "UDP receiver"))
        });
        let (sent, tally) = (sent?, tally?);
        match tally.verdict(start, sent, to) {
            Err(MeterError::Silent { .. }) if bounds.stopped() => Err(MeterError::Interrupted),
            verdict => verdict,
        }
    }
}

/// The receiver's socket and the sender's, connected to it, each made inside its pod.
fn sockets(pair: &Pair) -> Result<(UdpSocket, UdpSocket), MeterError> {
    let to = pair.target;
    thread::scope(|scope| {
        let making = pair.to.start(scope, || {
            let socket = UdpSocket::bind((to, 0)).map_err(MeterError::socket("receive UDP", to))?;
            // root may exceed net.core.rmem_max; a smaller buffer only loses more
            let _enlarged = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
            socket.set_read_timeout(Some(GLANCE)).map_err(MeterError::socket("bound a UDP receiver", to))?;
            Ok(socket)
        });
        let receiver = finish(making, "UDP receiver")?;
        let address = receiver.local_addr().map_err(MeterError::socket("name a UDP receiver", to))?;
        let making = pair.from.start(scope, move || {
            let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind(SocketAddr::new(any, 0))
                .and_then(|socket| socket.connect(address).map(|()| socket))
                .and_then(|socket| socket.set_write_timeout(Some(GLANCE)).map(|()| socket))
                .map_err(MeterError::socket("send UDP to the pod", to))?;
            Ok(socket)
        });
        Ok((receiver, finish(making, "UDP sender")?))
    })
}

/// What fills a datagram behind its header.
fn filling(size: usize) -> Vec<u8> {
    (HEADER..size).map(|at| (at * 31 % 251).to_le_bytes()[0]).collect()
}

/// Sends bursts until the time is over; returns how many datagrams the kernel took.
fn send(socket: &UdpSocket, size: usize, to: IpAddr, bounds: Bounds<'_>) -> Result<u64, MeterError> {
    let mut datagrams = vec![vec![0; size]; BURST];
    for datagram in &mut datagrams {
        datagram[..MARK.len()].copy_from_slice(&MARK);
        datagram[HEADER..].copy_from_slice(&filling(size));
    }
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BURST, None);
    let nowhere = [None; BURST];
    let start = Instant::now();
    let mut next: u64 = 0;
    while !bounds.over(start) && next + (BURST as u64) < NUMBERS {
        for (number, datagram) in (next..).zip(&mut datagrams) {
            datagram[MARK.len()..HEADER].copy_from_slice(&number.to_be_bytes());
        }
        let slices: Vec<_> = datagrams.iter().map(|datagram| [IoSlice::new(datagram)]).collect();
        match sendmmsg(socket.as_raw_fd(), &mut headers, &slices, nowhere, [], MsgFlags::empty()) {
            Ok(taken) => next += taken.count() as u64,
            // a full queue; and an ICMP error on an earlier datagram, which the count will tell
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS | Errno::ECONNREFUSED) => {
                thread::yield_now();
            }
            Err(error) => return Err(MeterError::socket("send UDP to the pod", to)(error.into())),
        }
    }
    Ok(next)
}

/// Receives until nothing has come for a while after the time is over.
fn receive(socket: &UdpSocket, size: usize, to: IpAddr, bounds: Bounds<'_>) -> Result<Tally, MeterError> {
    let filling = filling(size);
    // one byte more than is sent, so that a datagram that grew is seen to have grown
    let mut buffers = vec![vec![0; size + 1]; BURST];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BURST, None);
    let start = Instant::now();
    let mut tally = Tally::new(start);
    let mut lengths = [0; BURST];
    while !bounds.over(start) || tally.last.elapsed() <= LINGER {
        let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let got = match recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_WAITFORONE, None) {
            Ok(messages) => {
                let mut got = 0;
                for (length, message) in lengths.iter_mut().zip(messages) {
                    *length = message.bytes;
                    got += 1;
                }
                got
            }
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => continue,
            Err(error) => return Err(MeterError::socket("receive UDP", to)(error.into())),
        };
        for (buffer, length) in buffers.iter().zip(&lengths[..got]) {
            tally.take(&buffer[..*length], &filling);
        }
        tally.last = Instant::now();
        bounds.add(got as u64);
    }
    Ok(tally)
}

/// What the receiver has seen: one bit for each number.
struct Tally {
    seen: Vec<u64>,
    received: u64,
    highest: Option<u64>,
    reordered: u64,
    repeated: u64,
    damaged: u64,
    last: Instant,
}

impl Tally {
    fn new(start: Instant) -> Self {
        Self { seen: Vec::new(), received: 0, highest: None, reordered: 0, repeated: 0, damaged: 0, last: start }
    }

    /// Judges one datagram.
    fn take(&mut self, datagram: &[u8], filling: &[u8]) {
        let number = datagram
            .strip_prefix(&MARK)
            .and_then(|rest| rest.split_first_chunk())
            .filter(|(_, rest)| *rest == filling)
            .map(|(number, _)| u64::from_be_bytes(*number))
            .filter(|number| *number < NUMBERS);
        let Some(number) = number else {
            self.damaged += 1;
            return;
        };
        // below NUMBERS, hence within any usize of a machine that AF_XDP runs on
        let (word, bit) = (usize::try_from(number / 64).unwrap_or(0), 1 << (number % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.repeated += 1;
            return;
        }
        self.seen[word] |= bit;
        self.received += 1;
        if self.highest.is_some_and(|highest| number < highest) {
            self.reordered += 1;
        } else {
            self.highest = Some(number);
        }
    }

    /// What it comes to, when `sent` datagrams were sent from `start` on.
    fn verdict(&self, start: Instant, sent: u64, to: IpAddr) -> Result<UdpMeasured, MeterError> {
        if self.damaged > 0 {
            let received = self.received + self.repeated + self.damaged;
            return Err(MeterError::Damaged { to, received, damaged: self.damaged });
        }
        if self.repeated > 0 {
            return Err(MeterError::Repeated { to, repeated: self.repeated });
        }
        if self.received == 0 {
            return Err(MeterError::Silent { to, sent });
        }
        // not zero: a first arrival comes after the start
        let seconds = self.last.duration_since(start).as_secs_f64().max(1e-9);
        Ok(UdpMeasured {
            sent,
            received: self.received,
            reordered: self.reordered,
            packets_per_second: self.received as f64 / seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(number: u64, size: usize) -> Vec<u8> {
        [&MARK[..], &number.to_be_bytes(), &filling(size)].concat()
    }

    fn tally(numbers: &[u64]) -> Tally {
        let mut tally = Tally::new(Instant::now());
        for number in numbers {
            tally.take(&datagram(*number, 18), &filling(18));
        }
        tally
    }

    #[test]
    fn loss_reordering_and_repetition_are_told_apart() {
        let tally = tally(&[0, 1, 4, 3, 3, 70]);
        assert_eq!((tally.received, tally.reordered, tally.repeated, tally.damaged), (5, 1, 1, 0));
        let verdict = tally.verdict(Instant::now(), 71, IpAddr::from([10, 77, 0, 12]));
        assert!(matches!(verdict, Err(MeterError::Repeated { repeated: 1, .. })));
    }

    #[test]
    fn a_datagram_that_shrank_grew_or_changed_is_damaged() {
        let mut tally = tally(&[]);
        let whole = datagram(5, 18);
        let mut grown = whole.clone();
        grown.push(0);
        let mut changed = whole.clone();
        changed[15] ^= 1;
        for damaged in [&whole[..17], &whole[..3], &[], &grown, &changed, &datagram(NUMBERS, 18)] {
            tally.take(damaged, &filling(18));
        }
        assert_eq!((tally.received, tally.damaged), (0, 6));
    }

    #[test]
    fn a_number_far_away_costs_no_more_than_its_bit() {
        assert_eq!(tally(&[NUMBERS - 1]).seen.len() as u64, NUMBERS / 64);
    }
}

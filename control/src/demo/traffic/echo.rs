//! Echo: ICMP and ICMPv6 through raw sockets, one outstanding, every round trip recorded.
//!
//! The far end is a pod's kernel or the switch itself. The first answer may take long (a neighbour has to
//! be found, a flow resolved) and is waited for with patience but not recorded. After that nothing is
//! crowded, since there is never more than one packet on its way: a lost echo is a failure.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Bounds, GLANCE, MeterError, PATIENCE, Pair, finish, is_pause};

/// After this a single echo is lost.
const LOST: Duration = Duration::from_secs(1);
/// How often the first echo is asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// Bytes of an ICMP header with identifier and sequence number.
const HEADER: usize = 8;
/// What `ping` sends by default: 56 bytes behind the header.
const MESSAGE: usize = HEADER + 56;
/// The longest answer: an IPv4 header with all its options, and the message.
const ANSWER: usize = 60 + MESSAGE;
/// The range and precision of what is recorded: a nanosecond to ten seconds, three digits.
const LONGEST: u64 = 10_000_000_000;
const DIGITS: u8 = 3;

/// What to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo {
    /// How long to wait between an answer and the next request.
    pub(crate) pause: Duration,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EchoMeasured {
    /// Round trips in nanoseconds.
    pub(crate) round_trips: Histogram<u64>,
}

impl EchoMeasured {
    /// An empty histogram fit for round trips.
    pub(crate) fn histogram() -> Histogram<u64> {
        Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("a histogram takes these constants")
    }
}

impl Echo {
    /// Asks until the time is over and records each round trip.
    pub(crate) fn measure(self, pair: &Pair, bounds: Bounds<'_>) -> Result<EchoMeasured, MeterError> {
        thread::scope(|scope| {
            let asking = pair.from.start(scope, || Asker::new(pair.target)?.run(self.pause, bounds));
            finish(asking, "echo meter")
        })
    }
}

/// A raw socket that speaks to one address, and the number of the last request.
struct Asker {
    socket: Socket,
    to: IpAddr,
    identifier: u16,
    sequence: u16,
    asked: u64,
}

impl Asker {
    fn new(to: IpAddr) -> Result<Self, MeterError> {
        let (domain, protocol) = match to {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))
            .and_then(|socket| socket.connect(&SocketAddr::new(to, 0).into()).map(|()| socket))
            .and_then(|socket| socket.set_read_timeout(Some(GLANCE)).map(|()| socket))
            .map_err(MeterError::socket("ask for ICMP echoes", to))?;
        // Only this meter's requests are answered to this namespace; the process id serves people who
        // look with tcpdump.
        let identifier = std::process::id().to_be_bytes();
        Ok(Self { socket, to, identifier: u16::from_be_bytes([identifier[2], identifier[3]]), sequence: 0, asked: 0 })
    }

    fn run(mut self, pause: Duration, bounds: Bounds<'_>) -> Result<EchoMeasured, MeterError> {
        self.first(bounds)?;
        let mut round_trips = EchoMeasured::histogram();
        let start = Instant::now();
        let mut lost = 0;
        while !bounds.over(start) {
            match self.ask(LOST, bounds)? {
                Some(taken) => {
                    round_trips.saturating_record(u64::try_from(taken.as_nanos()).unwrap_or(LONGEST));
                    bounds.add(1);
                }
                None if bounds.stopped() => break,
                None => lost += 1,
            }
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
        match lost {
            0 if round_trips.is_empty() => Err(MeterError::Interrupted),
            0 => Ok(EchoMeasured { round_trips }),
            lost => Err(MeterError::Lost { to: self.to, asked: self.asked, lost }),
        }
    }

    /// Waits for the very first answer, and asks again in between.
    fn first(&mut self, bounds: Bounds<'_>) -> Result<(), MeterError> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if bounds.stopped() {
                return Err(MeterError::Interrupted);
            }
            if self.ask(AGAIN, bounds)?.is_some() {
                self.asked = 0;
                return Ok(());
            }
        }
        Err(MeterError::Unanswered { to: self.to, asked: self.asked })
    }

    /// One request and its answer; nothing if none came within `limit`, or the demo is to stop.
    fn ask(&mut self, limit: Duration, bounds: Bounds<'_>) -> Result<Option<Duration>, MeterError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.asked += 1;
        let request = message(self.to.is_ipv4(), self.identifier, self.sequence);
        let mut answer = [0; ANSWER];
        let start = Instant::now();
        match self.socket.send(&request) {
            Ok(_) => {}
            // the kernel found no neighbour for an earlier request: that one is lost, this one may not be
            Err(error) if is_no_neighbour(&error) => return Ok(None),
            Err(source) => return Err(MeterError::socket("ask for ICMP echoes", self.to)(source)),
        }
        while start.elapsed() < limit && !bounds.stopped() {
            match (&self.socket).read(&mut answer) {
                Ok(length) if self.answers(&request, &answer[..length]) => {
                    return Ok(Some(start.elapsed()));
                }
                // another message of ICMP, or the late answer to a request given up
                Ok(_) => {}
                Err(error) if is_pause(&error) => {}
                Err(error) if is_no_neighbour(&error) => return Ok(None),
                Err(source) => return Err(MeterError::socket("hear ICMP echoes", self.to)(source)),
            }
        }
        Ok(None)
    }

    /// Whether what arrived is the answer to this very request, byte for byte.
    fn answers(&self, request: &[u8], arrived: &[u8]) -> bool {
        // a raw socket of IPv4 hands over the IP header, one of IPv6 does not
        let (message, reply) = match (self.to, arrived.first()) {
            (IpAddr::V4(_), Some(first)) => (arrived.get(usize::from(first & 0xf) * 4..), ECHO_REPLY_V4),
            (IpAddr::V6(_), _) => (Some(arrived), ECHO_REPLY_V6),
            (IpAddr::V4(_), None) => return false,
        };
        // type and code, then a checksum that the kernel has judged, then what must come back unchanged
        message.is_some_and(|message| message.starts_with(&[reply, 0]) && message.get(4..) == request.get(4..))
    }
}

const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

fn is_no_neighbour(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), HostUnreachable | NetworkUnreachable)
}

/// An echo request.
fn message(v4: bool, identifier: u16, sequence: u16) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    echo_request(&mut message, v4, identifier, sequence);
    message
}

/// Makes an echo request of `message`, which has room for its header and an even length. The kernel fills in the checksum of
/// ICMPv6, and leaves that of ICMP to us.
pub(super) fn echo_request(message: &mut [u8], v4: bool, identifier: u16, sequence: u16) {
    message[..HEADER].fill(0);
    message[0] = if v4 { ECHO_REQUEST_V4 } else { ECHO_REQUEST_V6 };
    message[4..6].copy_from_slice(&identifier.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    for (filling, byte) in message[HEADER..].iter_mut().zip((0x10..=0xff).cycle()) {
        *filling = byte;
    }
    if v4 {
        let checksum = internet_checksum(message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// RFC 1071 over an even number of bytes, fewer than 64 KiB.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    // 32,768 words of 16 bits carry at most 15 bits over, so folding twice folds all
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_over_a_request_with_its_checksum_is_zero() {
        assert_eq!(internet_checksum(&message(true, 0xbeef, 77)), 0);
    }

    #[test]
    fn a_request_of_icmpv6_leaves_its_checksum_to_the_kernel() {
        let message = message(false, 1, 2);
        assert_eq!(message[..HEADER], [ECHO_REQUEST_V6, 0, 0, 0, 0, 1, 0, 2]);
    }
}

//! Whether one kernel reaches a service of another: tried until it is through, or until the switch says that policy denied it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use podlane_host::Netns;
use socket2::{Domain, Socket, Type};

use crate::support::{SOON, ping};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    Tcp(u16),
    Udp(u16),
    /// By datagrams that fit no link whole.
    LongUdp(u16),
    Ping,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// What was said arrived, and so did the answer.
    Through,
    /// The switch counted a packet of it as denied, and nothing of it arrived.
    Denied,
}

pub(crate) use Outcome::{Denied, Through};
pub(crate) use Service::{LongUdp, Ping, Tcp, Udp};

/// Between two looks.
const A_WHILE: Duration = Duration::from_millis(10);

/// Questions so far, in all tests.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// An attempt to use a service.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) from: &'a Netns,
    /// The address that is used, where it is not for the kernel to choose.
    pub(crate) source: Option<IpAddr>,
    pub(crate) to: &'a Netns,
    pub(crate) address: IpAddr,
    pub(crate) service: Service,
}

impl Attempt<'_> {
    /// What comes of it, where `denied` counts the packets of the one who attempts that policy denied so far.
    pub(crate) fn outcome(&self, denied: &dyn Fn() -> u64) -> Outcome {
        let before = denied();
        let lost = || denied() - before;
        match self.service {
            Tcp(port) => self.tcp(port, &lost),
            Udp(port) => self.udp(port, 8, &lost),
            LongUdp(port) => self.udp(port, 8_000, &lost),
            Ping => self.ping(&lost),
        }
    }

    fn any(&self) -> IpAddr {
        if self.address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    }

    fn source(&self) -> SocketAddr {
        SocketAddr::new(self.source.unwrap_or_else(|| self.any()), 0)
    }

    fn tcp(&self, port: u16, lost: &dyn Fn() -> u64) -> Outcome {
        let server = bound(self.to, || TcpListener::bind((self.any(), port)));
        server.set_nonblocking(true).unwrap();
        let target = SocketAddr::new(self.address, port);
        let client = self.from.run(|| Socket::new(Domain::for_address(target), Type::STREAM, None)).unwrap().unwrap();
        client.bind(&self.source().into()).unwrap();
        client.set_nonblocking(true).unwrap();
        // It is under way.
        let _ = client.connect(&target.into());
        let began = Instant::now();
        while client.peer_addr().is_err() {
            if let Some(error) = client.take_error().unwrap() {
                panic!("{target}: {error}");
            }
            if lost() > 0 {
                assert!(server.accept().is_err() && client.peer_addr().is_err(), "{target}: denied, and there");
                return Denied;
            }
            assert!(began.elapsed() < SOON, "{target}: neither through nor denied");
            std::thread::sleep(A_WHILE);
        }
        converse(client.into(), &server);
        Through
    }

    fn udp(&self, port: u16, bytes: usize, lost: &dyn Fn() -> u64) -> Outcome {
        let server = bound(self.to, || UdpSocket::bind((self.any(), port)));
        let client = self.from.run(|| UdpSocket::bind(self.source())).unwrap().unwrap();
        server.set_nonblocking(true).unwrap();
        client.set_read_timeout(Some(A_WHILE)).unwrap();
        client.connect((self.address, port)).unwrap();
        // Late copies of another attempt's question are none of this one's.
        let number = ASKED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [question, answer] = [7, 8].map(|byte| [&number[..], &vec![byte; bytes]].concat());
        let (began, mut heard) = (Instant::now(), vec![0; question.len() + 1]);
        let mut sent = 0;
        loop {
            sent += u64::from(client.send(&question).is_ok());
            let answered = client.recv(&mut heard);
            if let Ok(length) = answered {
                assert!(heard[..length] == answer, "{}: another answer", self.address);
                return Through;
            }
            let mut is_heard = false;
            let is_lost = lost() > 0;
            while let Ok((length, sender)) = server.recv_from(&mut heard) {
                if heard[..length] == question {
                    is_heard = true;
                    server.send_to(&answer, sender).unwrap();
                }
            }
            if is_lost {
                assert!(!is_heard, "{} udp/{port}: denied, and there", self.address);
                // The next attempt is not to be judged by what is under way of this one; what never left its kernel is not waited for.
                let until = Instant::now() + 10 * A_WHILE;
                while lost() < sent && Instant::now() < until {
                    std::thread::sleep(A_WHILE);
                }
                return Denied;
            }
            assert!(began.elapsed() < SOON, "{} udp/{port}: neither through nor denied", self.address);
        }
    }

    fn ping(&self, lost: &dyn Fn() -> u64) -> Outcome {
        assert!(self.source.is_none());
        let began = Instant::now();
        loop {
            if ping(self.from, self.address, Duration::from_millis(100)) {
                return Through;
            }
            if lost() > 0 {
                return Denied;
            }
            assert!(began.elapsed() < SOON, "{}: neither answers nor denied", self.address);
        }
    }
}

/// Binds in a pod. The port may be taken for a moment by a process that another test is starting, which has the descriptors of this one
/// until it is another program.
pub(crate) fn bound<T: Send>(pod: &Netns, bind: impl Fn() -> std::io::Result<T> + Sync) -> T {
    let began = Instant::now();
    loop {
        match pod.run(&bind).unwrap() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && began.elapsed() < SOON => std::thread::sleep(A_WHILE),
            bound => return bound.unwrap(),
        }
    }
}

/// A word each way.
fn converse(mut client: TcpStream, server: &TcpListener) {
    server.set_nonblocking(false).unwrap();
    let (mut other, _) = server.accept().unwrap();
    client.set_nonblocking(false).unwrap();
    for end in [&client, &other] {
        end.set_read_timeout(Some(SOON)).unwrap();
    }
    let mut heard = [0; 4];
    client.write_all(b"ping").unwrap();
    other.read_exact(&mut heard).unwrap();
    other.write_all(b"pong").unwrap();
    client.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"pong");
}

//! Whether one kernel reaches a service of another: tried until it is through, or until the switch says that policy denied it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
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
        let is_denied = || denied() > before;
        match self.service {
            Tcp(port) => self.tcp(port, &is_denied),
            Udp(port) => self.udp(port, 8, &is_denied),
            LongUdp(port) => self.udp(port, 8_000, &is_denied),
            Ping => self.ping(&is_denied),
        }
    }

    fn any(&self) -> IpAddr {
        if self.address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    }

    fn source(&self) -> SocketAddr {
        SocketAddr::new(self.source.unwrap_or_else(|| self.any()), 0)
    }

    fn tcp(&self, port: u16, is_denied: &dyn Fn() -> bool) -> Outcome {
        let server = self.to.run(|| TcpListener::bind((self.any(), port))).unwrap().unwrap();
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
            if is_denied() {
                assert!(server.accept().is_err() && client.peer_addr().is_err(), "{target}: denied, and there");
                return Denied;
            }
            assert!(began.elapsed() < SOON, "{target}: neither through nor denied");
            std::thread::sleep(A_WHILE);
        }
        converse(client.into(), &server);
        Through
    }

    fn udp(&self, port: u16, bytes: usize, is_denied: &dyn Fn() -> bool) -> Outcome {
        let server = self.to.run(|| UdpSocket::bind((self.any(), port))).unwrap().unwrap();
        let client = self.from.run(|| UdpSocket::bind(self.source())).unwrap().unwrap();
        server.set_nonblocking(true).unwrap();
        client.set_read_timeout(Some(A_WHILE)).unwrap();
        client.connect((self.address, port)).unwrap();
        let [question, answer] = [7u8, 8].map(|byte| vec![byte; bytes]);
        let (began, mut heard) = (Instant::now(), vec![0; bytes + 1]);
        loop {
            let _ = client.send(&question);
            let answered = client.recv(&mut heard);
            if let Ok(length) = answered {
                assert!(heard[..length] == answer, "{}: another answer", self.address);
                return Through;
            }
            while let Ok((length, sender)) = server.recv_from(&mut heard) {
                assert!(heard[..length] == question, "{}: another question", self.address);
                server.send_to(&answer, sender).unwrap();
            }
            if is_denied() {
                let nothing = server.recv_from(&mut heard).unwrap_err();
                assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "{} udp/{port}: denied, and there", self.address);
                return Denied;
            }
            assert!(began.elapsed() < SOON, "{} udp/{port}: neither through nor denied", self.address);
        }
    }

    fn ping(&self, is_denied: &dyn Fn() -> bool) -> Outcome {
        assert!(self.source.is_none());
        let began = Instant::now();
        loop {
            if ping(self.from, self.address, Duration::from_millis(100)) {
                return Through;
            }
            if is_denied() {
                return Denied;
            }
            assert!(began.elapsed() < SOON, "{}: neither answers nor denied", self.address);
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

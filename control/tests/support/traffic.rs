//! What pods say to each other: real sockets of real kernels.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use podlane_host::Netns;
use socket2::{Domain, Protocol, Socket, Type};

use super::SOON;

/// How long one answer is waited for, before it is asked again.
const ONCE: Duration = Duration::from_millis(100);

fn any(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Whether an address answers an echo of this many bytes within the bound; asked again ten times a second.
pub(crate) fn ping_sized(from: &Netns, to: IpAddr, bytes: usize, bound: Duration) -> bool {
    let (domain, protocol, request, answer) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8u8, 0u8),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let mut socket = from.run(|| Socket::new(domain, Type::RAW, Some(protocol))).unwrap().unwrap();
    socket.set_read_timeout(Some(ONCE)).unwrap();
    let (began, mut number) = (Instant::now(), 0u8);
    while began.elapsed() < bound {
        number = number.wrapping_add(1);
        let mut message = vec![0; bytes.max(8)];
        message[..8].copy_from_slice(&[request, 0, 0, 0, 0x70, 0x6c, 0, number]);
        if to.is_ipv4() {
            // Of the bytes that are not zero.
            let sum = u32::from(request) * 256 + 0x706c + u32::from(number);
            message[2..4].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
        }
        // Nobody may be reachable yet.
        let asked = socket.connect(&SocketAddr::new(to, 0).into()).and_then(|()| socket.write_all(&message));
        let until = Instant::now() + ONCE;
        if asked.is_err() {
            std::thread::sleep(ONCE);
        }
        let mut buffer = vec![0; bytes + 128];
        while Instant::now() < until {
            let Ok(length) = socket.read(&mut buffer) else { break };
            // A raw IPv4 socket shows the header as well.
            let said = &buffer[if to.is_ipv4() { 20 } else { 0 }..length];
            if said[0] == answer && said[4..] == message[4..] {
                return true;
            }
        }
    }
    false
}

/// Whether an address answers a small echo within the bound.
pub(crate) fn ping(from: &Netns, to: impl Into<IpAddr>, bound: Duration) -> bool {
    ping_sized(from, to.into(), 56, bound)
}

/// Asserts that a datagram of so many bytes and its answer arrive, both as they were sent.
pub(crate) fn udp(from: &Netns, to: &Netns, address: impl Into<IpAddr>, bytes: usize) {
    let address = address.into();
    let server = to.run(|| UdpSocket::bind((address, 0))).unwrap().unwrap();
    let client = from.run(|| UdpSocket::bind((any(address), 0))).unwrap().unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    server.set_read_timeout(Some(ONCE)).unwrap();
    client.set_read_timeout(Some(ONCE)).unwrap();
    let said: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < SOON, "no datagram of {bytes} bytes to {address} and back");
        let mut buffer = vec![0; bytes + 1];
        let _ = client.send(&said);
        let Ok((length, sender)) = server.recv_from(&mut buffer) else { continue };
        assert_eq!(buffer[..length], said);
        let _ = server.send_to(&buffer[..length], sender);
        if let Ok(length) = client.recv(&mut buffer) {
            assert_eq!(buffer[..length], said);
            return;
        }
    }
}

/// Asserts that so many bytes arrive over TCP, as they were sent.
pub(crate) fn tcp(from: &Netns, to: &Netns, address: impl Into<IpAddr>, bytes: usize) {
    let address = address.into();
    let server = to.run(|| TcpListener::bind((address, 0))).unwrap().unwrap();
    let target = server.local_addr().unwrap();
    let said: Vec<u8> = (0..bytes).map(|at| ((at * 31) >> 4) as u8).collect();
    let mut client = from.run(|| TcpStream::connect_timeout(&target, SOON)).unwrap().unwrap();
    std::thread::scope(|scope| {
        let heard = scope.spawn(|| {
            let (mut stream, _) = server.accept().unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            heard
        });
        client.set_write_timeout(Some(SOON)).unwrap();
        client.write_all(&said).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(heard.join().unwrap() == said, "what arrived is not what was sent");
    });
}

/// Datagrams from one pod to another, some thousand a second, until it is dropped.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Stream {
    pub(crate) fn start(from: &Netns, to: &Netns, address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        let server = to.run(|| UdpSocket::bind((address, 0))).unwrap().unwrap();
        let client = from.run(|| UdpSocket::bind((any(address), 0))).unwrap().unwrap();
        let target = server.local_addr().unwrap();
        server.set_read_timeout(Some(ONCE)).unwrap();
        let (stop, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts) = ([Arc::clone(&stop), Arc::clone(&stop)], Arc::clone(&heard));
        let [stop_sending, stop_hearing] = ends;
        let sending = std::thread::spawn(move || {
            while !stop_sending.load(Ordering::Relaxed) {
                for _ in 0..8 {
                    // While the switch is away, the kernel may find the way closed.
                    let _ = client.send_to(&[7; 64], target);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let hearing = std::thread::spawn(move || {
            while !stop_hearing.load(Ordering::Relaxed) {
                if server.recv(&mut [0; 128]).is_ok() {
                    counts.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, heard, threads: vec![sending, hearing] }
    }

    /// Datagrams that have arrived so far.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Waits until more arrive; returns how long that took.
    pub(crate) fn flows(&self) -> Duration {
        let before = self.heard();
        super::eventually("datagrams arrive", || self.heard() > before)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

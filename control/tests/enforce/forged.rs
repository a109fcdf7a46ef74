//! TCP segments that no kernel would send: written here, given to the wire by a raw socket of the pod's.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use podlane_host::Netns;
use podlane_wire::checksum::{pseudo_v4, sum};
use podlane_wire::{IpProtocol, Tcp, TcpFlags, TcpHeader};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::SOON;

/// Who says that a segment is theirs, and for whom it is. The kernel adds the IP header.
pub(crate) struct Forger {
    socket: Socket,
    from: Ipv4Addr,
    to: Ipv4Addr,
}

impl Forger {
    pub(crate) fn new(pod: &Netns, from: IpAddr, to: IpAddr) -> Self {
        let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else { unreachable!("segments are forged over IPv4") };
        Self { socket: raw(pod), from, to }
    }

    /// Sends a segment without data.
    pub(crate) fn send(&self, (source_port, destination_port): (u16, u16), sequence: u32, flags: TcpFlags) {
        let header =
            TcpHeader { source_port, destination_port, sequence, flags, window: 64_000, ..TcpHeader::default() };
        let mut segment = [0; Tcp::LEN];
        header.emit(&mut segment).unwrap();
        let pseudo = pseudo_v4(self.from, self.to, IpProtocol::TCP, Tcp::LEN as u16);
        let checksum = pseudo.plus(sum(&segment)).finish();
        segment[TcpHeader::CHECKSUM_AT..][..2].copy_from_slice(&checksum.to_be_bytes());
        self.socket.send_to(&segment, &SocketAddr::new(self.to.into(), 0).into()).unwrap();
    }
}

/// Sees all segments that come into a pod.
pub(crate) struct Sight(Socket);

impl Sight {
    pub(crate) fn new(pod: &Netns) -> Self {
        let socket = raw(pod);
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket)
    }

    /// Waits for a segment of a port with so many bytes of data; returns the number of the byte behind them.
    pub(crate) fn next_after(&mut self, source_port: u16, bytes: usize) -> u32 {
        let mut packet = [0; 2048];
        loop {
            let length = self.0.read(&mut packet).unwrap();
            // The IP header is in front, without options.
            let (tcp, data) = Tcp::parse(&packet[20..length]).unwrap();
            if tcp.source_port() == source_port && data.len() == bytes {
                return tcp.sequence().wrapping_add(bytes as u32);
            }
        }
    }
}

fn raw(pod: &Netns) -> Socket {
    pod.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))).unwrap().unwrap()
}

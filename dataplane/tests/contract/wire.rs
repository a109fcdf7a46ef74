//! The far end of a port on a netdev: a pod, and a socket there that sends and sees whole frames.

use std::{
    any::Any,
    net::UdpSocket,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
        sockopt::RcvBufForce,
    },
};
use podlane_dataplane::port::af_xdp::DeviceConfig;
use podlane_host::lab::{Lab, Pod, PodSpec};
use podlane_rings::AskMode;

use crate::suite::{FAR, FarEnd, RING};

/// After so long without a packet nothing more is on its way.
const SILENCE: Duration = Duration::from_millis(30);

/// A pod on a veth. Its kernel hears, and says nothing of its own.
pub(crate) struct PodEnd {
    lab: Lab,
    pod: Option<Pod>,
    mtu: u32,
    ifindex: u32,
    mac: [u8; 6],
    socket: OwnedFd,
    datagrams: UdpSocket,
    /// The control side's half of the device under test, alive as long as this.
    device: Option<Box<dyn Any>>,
}

impl PodEnd {
    /// Jumbo packets cross it.
    pub(crate) fn new() -> Self {
        Self::with_mtu(9000)
    }

    pub(crate) fn with_mtu(mtu: u32) -> Self {
        let mut lab = Lab::new().unwrap();
        let pod = lab.pod(&PodSpec { mtu, ipv4: Some((*FAR.ip(), 24)), ..PodSpec::named("pod") }).unwrap();
        let (socket, datagrams) = pod.run(|| (frame_socket(), UdpSocket::bind(FAR).unwrap())).unwrap();
        datagrams.set_read_timeout(Some(SILENCE)).unwrap();
        Self { lab, mtu, ifindex: pod.host_ifindex, mac: pod.mac, pod: Some(pod), socket, datagrams, device: None }
    }

    /// How the switch's end is to be opened.
    pub(crate) fn config(&self) -> DeviceConfig {
        DeviceConfig {
            name: "pod".to_owned(),
            ifindex: self.ifindex,
            program: podlane_bpf::Program::Pod,
            pin: None,
            attach: podlane_bpf::AskMode::Native,
            mode: AskMode::Auto,
            ring: RING,
            fill: RING,
            queues: 1,
            multi_buffer: self.mtu > 1500,
            checksum_offload: true,
        }
    }

    /// Runs `open` where the switch's end is, and keeps the device it returns.
    pub(crate) fn attach<D: Send + 'static, P: Send>(&mut self, open: impl FnOnce() -> (D, P) + Send) -> P {
        let (device, port) = self.lab.switch().run(open).unwrap();
        self.device = Some(Box::new(device));
        port
    }

    pub(crate) fn send(&self, packets: &[Vec<u8>]) {
        for packet in packets {
            assert_eq!(send(self.socket.as_raw_fd(), packet, MsgFlags::empty()), Ok(packet.len()));
        }
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 16_384];
        match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => {
                bytes.truncate(length);
                Some(bytes)
            }
            // None yet, or the device is gone and none will be.
            Err(Errno::EAGAIN | Errno::ENETDOWN) => None,
            Err(error) => panic!("the pod's socket says {error}"),
        }
    }
}

/// Sends and sees whole frames on the calling thread's `eth0`.
fn frame_socket() -> OwnedFd {
    let device = getifaddrs().unwrap().find(|at| {
        let is_link = at.address.is_some_and(|address| address.as_link_addr().is_some());
        at.interface_name == "eth0" && is_link
    });
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
    setsockopt(&socket, RcvBufForce, &(16 << 20)).unwrap();
    let address = device.unwrap().address.unwrap();
    bind(socket.as_raw_fd(), address.as_link_addr().unwrap()).unwrap();
    socket
}

impl FarEnd for PodEnd {
    fn received(&mut self, closed: bool) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut last = Instant::now();
        loop {
            match self.next() {
                Some(packet) => {
                    packets.push(packet);
                    last = Instant::now();
                }
                None if !closed || last.elapsed() > SILENCE => return packets,
                None => std::thread::yield_now(),
            }
        }
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn hears(&mut self) -> Option<usize> {
        self.datagrams.recv(&mut [0; 100]).ok()
    }

    fn vanish(&mut self) -> bool {
        self.pod.take().unwrap().remove().unwrap();
        true
    }
}

//! Pods on veths, their switch ends on AF_XDP sockets: what every test with a real kernel starts from.
//!
//! Nothing here is named in the file system; what a test leaves behind goes with its last descriptor.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "without its bed a test has failed")]

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use podlane_bpf::{AskMode, Attachment, Program, Request};
use podlane_host::lab::{Lab, Pod, PodSpec};
use podlane_rings::{Frame, FramePool, FrameSize, HugePages, Socket, SocketConfig, Umem, UmemConfig};

pub(crate) use podlane_host::lab::skip;

/// Long enough for a loaded machine, short enough to notice.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The UDP port of every test.
pub(crate) const PORT: u16 = 7000;

pub(crate) fn memory(frames: u32, frame_size: FrameSize) -> (Umem, FramePool) {
    Umem::create(&UmemConfig { frames, frame_size, huge_pages: HugePages::Prefer }).unwrap()
}

/// Rings small enough for many in one test.
pub(crate) fn small(ifindex: u32, queue: u32) -> SocketConfig {
    SocketConfig { rx: 256, tx: 256, fill: 256, completion: 256, ..SocketConfig::new(ifindex, queue) }
}

/// A pod at 10.7.0.`host`.
pub(crate) fn pod(lab: &mut Lab, name: &str, host: u8, change: impl FnOnce(&mut PodSpec)) -> Pod {
    let mut spec = PodSpec { ipv4: Some((address(host), 24)), ..PodSpec::named(name) };
    change(&mut spec);
    lab.pod(&spec).unwrap()
}

pub(crate) fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 7, 0, host)
}

/// A pod's switch end: one socket for each queue, and the program that feeds them.
pub(crate) struct Port {
    pub(crate) sockets: Vec<Socket>,
    pub(crate) queues: Vec<VecDeque<Frame>>,
    pub(crate) received: Vec<usize>,
    _attachment: Attachment,
}

impl Port {
    pub(crate) fn open(lab: &Lab, pool: &mut FramePool, pod: &Pod, change: impl Fn(&mut SocketConfig) + Sync) -> Self {
        let queues = pod.spec.queues;
        let (attachment, sockets) = lab
            .switch()
            .run(|| {
                let mut attachment = Attachment::attach(&Request {
                    ifindex: pod.host_ifindex,
                    name: &pod.host_ifname,
                    program: Program::Pod,
                    queues,
                    pin: None,
                    mode: AskMode::Native,
                })
                .unwrap();
                let sockets: Vec<Socket> = (0..queues)
                    .map(|queue| {
                        let mut config = small(pod.host_ifindex, queue);
                        change(&mut config);
                        let socket = Socket::open(pool, &config).unwrap();
                        attachment.register(queue, std::os::fd::AsFd::as_fd(&socket)).unwrap();
                        socket
                    })
                    .collect();
                (attachment, sockets)
            })
            .unwrap();
        let queues = sockets.iter().map(|_| VecDeque::new()).collect();
        let received = vec![0; sockets.len()];
        Self { sockets, queues, received, _attachment: attachment }
    }

    /// Sends everything this port received to `other`'s queue of the same number.
    pub(crate) fn forward(&mut self, other: &mut Self, pool: &mut FramePool, mut edit: impl FnMut(&mut Frame)) {
        for (queue, socket) in self.sockets.iter_mut().enumerate() {
            let out = queue % other.queues.len();
            self.received[queue] += socket.receive(pool, 64, |mut frame| {
                edit(&mut frame);
                other.queues[out].push_back(frame);
            });
        }
    }

    pub(crate) fn settle(&mut self, pool: &mut FramePool) {
        for (socket, queue) in self.sockets.iter_mut().zip(&mut self.queues) {
            socket.transmit(pool, queue);
            socket.settle(pool).unwrap();
        }
    }

    pub(crate) fn close(self, pool: &mut FramePool) {
        for frame in self.queues.into_iter().flatten() {
            pool.give(frame);
        }
        for socket in self.sockets {
            socket.close(pool);
        }
    }

    /// What the kernel or we refused; zero in an honest world.
    pub(crate) fn faults(&self) -> [u64; 4] {
        let mut faults = [0; 4];
        for socket in &self.sockets {
            let statistics = socket.statistics().unwrap();
            faults[0] += statistics.refused;
            faults[1] += statistics.tx_invalid;
            faults[2] += statistics.rx_invalid;
            faults[3] += statistics.unsendable;
        }
        faults
    }

    /// Where its packets are, for a test that waits for one in vain.
    fn account(&self) -> String {
        let flights: Vec<_> = self.sockets.iter().map(|socket| (socket.in_flight(), socket.statistics())).collect();
        format!(
            "received {:?}, queued {}, {flights:?}",
            self.received,
            self.queues.iter().map(VecDeque::len).sum::<usize>()
        )
    }

    pub(crate) fn in_flight(&self) -> usize {
        let slots = self.sockets.iter().map(|socket| {
            let flight = socket.in_flight();
            flight.fill + flight.tx + flight.rx
        });
        slots.sum()
    }
}

/// Joins two ports until `done`, with every frame passed through `edit` first.
pub(crate) fn cross(
    (left, right): (&mut Port, &mut Port),
    pool: &mut FramePool,
    mut edit: impl FnMut(&mut Frame),
    mut done: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(
            Instant::now() < deadline,
            "the test's traffic did not finish: {} and {}",
            left.account(),
            right.account()
        );
        left.forward(right, pool, &mut edit);
        right.forward(left, pool, &mut edit);
        left.settle(pool);
        right.settle(pool);
    }
}

/// Asks for what a pod's kernel leaves open in UDP over IPv4: the checksum behind a 20-byte header.
pub(crate) fn finish_udp(frame: &mut Frame) {
    let bytes = frame.bytes();
    if bytes.len() >= 42 && bytes[12..14] == [8, 0] && bytes[14] == 0x45 && bytes[23] == 17 {
        frame.request_checksum(34, 6).unwrap();
    }
}

/// A UDP socket inside a pod; it never blocks.
pub(crate) fn udp(pod: &Pod, port: u16) -> UdpSocket {
    let (own, _) = pod.spec.ipv4.unwrap();
    let socket = pod.run(move || UdpSocket::bind(SocketAddrV4::new(own, port)).unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

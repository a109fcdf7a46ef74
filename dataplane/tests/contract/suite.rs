//! The facts every port is held to, over a factory that gives a port and what stands at its far end.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use podlane_dataplane::{
    burst::{BURST, Burst, OutQueue},
    port::{Port, PortError, PortFacts, PortStatistics},
};
use podlane_rings::{FramePool, FrameSize, HugePages, Umem, UmemConfig};
use podlane_wire::{IpProtocol, checksum};

/// Long enough for a loaded machine, short enough to notice.
const PATIENCE: Duration = Duration::from_secs(5);
/// Slots of each ring of a port that has rings.
pub(crate) const RING: u32 = 128;
/// Packets of one test: more than a burst, fewer than a ring.
const MANY: usize = 100;
/// Bytes of a jumbo's packet.
const JUMBO: usize = 8500;
/// Where packets are for, and from.
pub(crate) const TO: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const FROM: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// What a datagram says.
const TEXT: &[u8] = b"finish my checksum";
/// Where the far side's kernel, if there is one, hears datagrams.
pub(crate) const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 8081);

/// A kind of port.
pub(crate) trait Subject {
    /// Whether it cannot be had here; says why.
    fn skip(&self, _test: &str) -> bool {
        false
    }

    /// What its facts must say; of checksums, what they may say.
    fn facts(&self) -> PortFacts;

    /// The most packets it takes while nothing is settled and the far side does not look; `None` for any number.
    fn room(&self) -> Option<usize>;

    /// A fresh port toward which these packets are on their way.
    fn open(&self, incoming: &[Vec<u8>]) -> Specimen;
}

/// A port under test.
pub(crate) struct Specimen {
    pub(crate) pool: FramePool,
    pub(crate) port: Box<dyn Port>,
    pub(crate) far: Box<dyn FarEnd>,
}

/// The other side of a port.
pub(crate) trait FarEnd {
    /// Lets the port send at most so many packets for now, where that can be arranged.
    fn stall(&mut self, _packets: usize) {}

    /// Takes an end to [`Self::stall`].
    fn resume(&mut self) {}

    /// What has come since the last look. `closed`: the port is, so nothing more will.
    fn received(&mut self, closed: bool) -> Vec<Vec<u8>>;

    /// The address of the kernel there.
    fn mac(&self) -> [u8; 6] {
        unreachable!("no kernel is there, and so none to finish a checksum")
    }

    /// The bytes of the next datagram that the kernel there delivers, if one comes soon.
    fn hears(&mut self) -> Option<usize> {
        None
    }

    /// Makes the device vanish. Returns whether there is one.
    fn vanish(&mut self) -> bool {
        false
    }
}

/// Memory for one test: every ring full twice, and frames to write packets into.
pub(crate) fn memory() -> FramePool {
    let config = UmemConfig { frames: 2048, frame_size: FrameSize::Bytes4096, huge_pages: HugePages::Never };
    Umem::create(&config).unwrap().1
}

/// Runs one fact.
pub(crate) fn check(name: &str, subject: &dyn Subject, fact: fn(&dyn Subject)) {
    if !subject.skip(name) {
        fact(subject);
    }
}

pub(crate) fn what_arrives_comes_in_order_and_nothing_else(subject: &dyn Subject) {
    let packets = numbered(MANY);
    let mut specimen = subject.open(&packets);
    assert_eq!(specimen.receive_packets(packets.len()), packets);
    assert_eq!(specimen.close(), Vec::<Vec<u8>>::new());
}

pub(crate) fn what_is_queued_leaves_in_order_and_nothing_else(subject: &dyn Subject) {
    let packets = numbered(MANY);
    let mut specimen = subject.open(&[]);
    let mut queue = specimen.queue(&packets);
    specimen.send_all(&mut queue);
    assert_eq!(specimen.receive_packets(0), Vec::<Vec<u8>>::new());
    assert_eq!(specimen.close(), packets);
}

pub(crate) fn a_burst_is_never_overfilled(subject: &dyn Subject) {
    let packets = numbered(MANY);
    let mut specimen = subject.open(&packets);
    let mut burst = Burst::new();
    for _ in 3..BURST {
        burst.push(specimen.pool.take().unwrap());
    }
    specimen.until(|specimen| {
        specimen.port.receive(&mut specimen.pool, &mut burst);
        burst.room() == 0
    });
    // A full burst takes nothing, and loses nothing.
    specimen.port.receive(&mut specimen.pool, &mut burst);
    assert_eq!(burst.frames().len(), BURST);
    let mut received = Vec::new();
    for (at, frame) in burst.drain().enumerate() {
        if at >= BURST - 3 {
            received.push(specimen.pool.umem().segments(&frame).flatten().copied().collect());
        }
        specimen.pool.give(frame);
    }
    received.extend(specimen.receive_packets(packets.len() - 3));
    assert_eq!(received, packets);
    specimen.close();
}

pub(crate) fn a_full_ring_leaves_the_rest_queued(subject: &dyn Subject) {
    let packets = numbered(3 * RING as usize);
    let mut specimen = subject.open(&[]);
    let mut queue = specimen.queue(&packets);
    specimen.far.stall(RING as usize);
    specimen.port.transmit(&mut specimen.pool, &mut queue);
    match subject.room() {
        Some(room) => {
            assert_eq!(queue.len(), packets.len() - room);
            specimen.port.transmit(&mut specimen.pool, &mut queue);
            assert_eq!(queue.len(), packets.len() - room, "a ring that is full took more");
            let bytes: usize = packets[room..].iter().map(Vec::len).sum();
            queue.recount(specimen.pool.umem());
            assert_eq!(queue.waiting().bytes, bytes as u64);
        }
        None => assert!(queue.is_empty()),
    }
    specimen.far.resume();
    let mut came = Vec::new();
    specimen.until(|specimen| {
        specimen.port.transmit(&mut specimen.pool, &mut queue);
        specimen.port.settle(&mut specimen.pool).unwrap();
        came.extend(specimen.far.received(false));
        queue.is_empty() && !specimen.port.outstanding()
    });
    came.extend(specimen.close());
    assert_eq!(came, packets);
}

pub(crate) fn a_jumbo_crosses_both_ways(subject: &dyn Subject) {
    let packets = vec![packet(1, JUMBO), packet(2, 60), packet(3, JUMBO)];
    let mut specimen = subject.open(&packets);
    assert_eq!(specimen.receive_packets(packets.len()), packets);
    let mut queue = specimen.queue(&packets);
    specimen.send_all(&mut queue);
    assert_eq!(specimen.close(), packets);
}

pub(crate) fn frames_still_out_are_outstanding_until_settled(subject: &dyn Subject) {
    let mut specimen = subject.open(&[]);
    specimen.port.settle(&mut specimen.pool).unwrap();
    assert!(!specimen.port.outstanding(), "nothing was sent yet");
    let rest = specimen.pool.free();
    let mut queue = specimen.queue(&numbered(MANY));
    specimen.port.transmit(&mut specimen.pool, &mut queue);
    assert!(queue.is_empty());
    assert!(specimen.pool.free() == rest || specimen.port.outstanding(), "frames are out and nobody asks for them");
    specimen.until(|specimen| {
        specimen.port.settle(&mut specimen.pool).unwrap();
        !specimen.port.outstanding()
    });
    assert_eq!(specimen.pool.free(), rest);
    specimen.close();
}

pub(crate) fn every_frame_is_home_after_a_close_in_the_middle(subject: &dyn Subject) {
    let packets = numbered(MANY);
    let mut specimen = subject.open(&packets);
    let received = specimen.receive_some();
    assert!(received <= BURST);
    let mut queue = specimen.queue(&packets);
    specimen.port.transmit(&mut specimen.pool, &mut queue);
    for frame in queue.frames().drain(..) {
        specimen.pool.give(frame);
    }
    // Nothing is settled: frames are in every ring there is. Closing looks at them.
    specimen.close();
}

pub(crate) fn its_facts_are_honest(subject: &dyn Subject) {
    let mut specimen = subject.open(&[]);
    let facts = specimen.port.facts();
    // Where a kernel cannot finish checksums, the port must say so; it may never claim more than its kind can.
    assert!(facts.finishes_checksums <= subject.facts().finishes_checksums);
    assert_eq!(
        PortFacts { finishes_checksums: false, ..facts },
        PortFacts { finishes_checksums: false, ..subject.facts() }
    );
    assert_eq!(specimen.port.statistics(), PortStatistics::default());
    if !facts.finishes_checksums {
        specimen.close();
        return;
    }
    // A kernel takes a datagram only with a right checksum, or from somebody who saw to it.
    for (asks, heard) in [(false, None), (true, Some(TEXT.len()))] {
        let bytes = datagram(specimen.far.mac());
        let mut frame = specimen.pool.write_packet(&bytes).unwrap();
        if asks {
            frame.request_checksum(34, 6).unwrap();
        }
        let mut queue = OutQueue::new(1);
        let length = frame.len();
        queue.push(frame, length).unwrap();
        specimen.send_all(&mut queue);
        assert_eq!(specimen.far.hears(), heard, "a checksum was asked for: {asks}");
    }
    specimen.close();
}

pub(crate) fn a_device_that_vanishes_is_gone(subject: &dyn Subject) {
    let mut specimen = subject.open(&[]);
    specimen.port.health().unwrap();
    if !specimen.far.vanish() {
        specimen.port.health().unwrap();
        specimen.close();
        return;
    }
    specimen.until(|specimen| match specimen.port.health() {
        Ok(()) => false,
        Err(PortError::Gone { device }) => device == "pod",
        Err(other) => panic!("the device is gone, and the port says: {other}"),
    });
    assert!(matches!(specimen.port.health(), Err(PortError::Gone { .. })), "it stays gone");
    specimen.close();
}

impl Specimen {
    /// Receives until so many packets have come, and a little longer.
    fn receive_packets(&mut self, number: usize) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        self.until(|specimen| {
            specimen.receive_into(&mut packets);
            packets.len() >= number
        });
        for _ in 0..100 {
            self.receive_into(&mut packets);
        }
        packets
    }

    fn receive_into(&mut self, packets: &mut Vec<Vec<u8>>) -> usize {
        let mut burst = Burst::new();
        self.port.receive(&mut self.pool, &mut burst);
        self.port.settle(&mut self.pool).unwrap();
        let received = burst.frames().len();
        for frame in burst.drain() {
            packets.push(self.pool.umem().segments(&frame).flatten().copied().collect());
            self.pool.give(frame);
        }
        received
    }

    /// Receives one burst, which is not empty.
    fn receive_some(&mut self) -> usize {
        let mut received = 0;
        self.until(|specimen| {
            received = specimen.receive_into(&mut Vec::new());
            received > 0
        });
        received
    }

    fn queue(&mut self, packets: &[Vec<u8>]) -> OutQueue {
        let mut queue = OutQueue::new(packets.len());
        for packet in packets {
            let frame = self.pool.write_packet(packet).unwrap();
            let length = frame.len();
            queue.push(frame, length).unwrap();
        }
        queue
    }

    fn send_all(&mut self, queue: &mut OutQueue) {
        self.until(|specimen| {
            specimen.port.transmit(&mut specimen.pool, queue);
            specimen.port.settle(&mut specimen.pool).unwrap();
            queue.is_empty() && !specimen.port.outstanding()
        });
    }

    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(began.elapsed() < PATIENCE, "it did not come about");
        }
    }

    /// Closes the port and sees that every frame came home. Returns what the far side got and was not looked at.
    fn close(self) -> Vec<Vec<u8>> {
        let Self { mut pool, port, mut far } = self;
        assert_eq!(port.statistics().faults, 0);
        port.close(&mut pool);
        assert_eq!(pool.free(), pool.total(), "frames are missing");
        far.received(true)
    }
}

/// Packets that can be told apart, of different lengths.
pub(crate) fn numbered(packets: usize) -> Vec<Vec<u8>> {
    (0..packets).map(|number| packet(number, 60 + number % 1400)).collect()
}

/// A frame of a protocol nobody speaks, so that no kernel answers it.
fn packet(number: usize, length: usize) -> Vec<u8> {
    let mut bytes = [&TO[..], &FROM, &[0x88, 0xb5]].concat();
    bytes.extend(number.to_be_bytes());
    bytes.extend((bytes.len()..length).map(|at| at as u8));
    bytes
}

/// UDP over IPv4 as a pod's kernel leaves it, with only the pseudo-header's sum for a checksum.
fn datagram(to: [u8; 6]) -> Vec<u8> {
    let (source, length) = (Ipv4Addr::new(10, 0, 0, 1), 8 + TEXT.len() as u8);
    let mut bytes = to.to_vec();
    bytes.extend([2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 20 + length, 0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend(source.octets().into_iter().chain(FAR.ip().octets()));
    let header = checksum::sum(&bytes[14..34]).finish();
    bytes[24..26].copy_from_slice(&header.to_be_bytes());
    let pseudo = checksum::pseudo_v4(source, *FAR.ip(), IpProtocol(17), length.into()).fold();
    bytes.extend([8080, FAR.port(), length.into(), pseudo].map(u16::to_be_bytes).concat());
    bytes.extend(TEXT);
    bytes
}

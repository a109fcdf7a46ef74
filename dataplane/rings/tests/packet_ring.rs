//! What a netdev hears that is for everyone, heard beside the kernel's own stack.
#![allow(clippy::unwrap_used, reason = "what only tests call fails the test")]

mod bed;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::time::Instant;

use bed::{PATIENCE, PORT, address, memory, pod, skip, udp};
use podlane_host::lab::Lab;
use podlane_rings::{Frame, FramePool, FrameSize, Hears, PacketRing};

const EVERYONE: Ipv4Addr = Ipv4Addr::BROADCAST;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

/// A pod's uplink and what is heard on it.
struct Heard {
    ring: PacketRing,
    pool: FramePool,
}

impl Heard {
    fn open(lab: &Lab, ifindex: u32, frames: u32) -> Self {
        let ring = lab.switch().run(|| PacketRing::open(ifindex, 1500, Hears::Groups)).unwrap().unwrap();
        Self { ring, pool: memory(frames, FrameSize::Bytes2048).1 }
    }

    /// The payloads of our UDP that arrived, in order.
    fn payloads(&mut self) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        self.ring.receive(&mut self.pool, 64, |frame| frames.push(frame));
        for frame in frames {
            let bytes = frame.bytes();
            assert!(bytes[0] & 1 != 0, "only what is for everyone comes here: {bytes:?}");
            let is_ours = bytes.len() > 42 && bytes[12..14] == [8, 0] && bytes[23] == 17;
            if is_ours && bytes[36..38] == PORT.to_be_bytes() {
                let length = usize::from(u16::from_be_bytes([bytes[38], bytes[39]])) - 8;
                heard.push(bytes[42..42 + length].to_vec());
            }
            self.pool.give(frame);
        }
        heard
    }

    fn until(&mut self, count: usize) -> Vec<Vec<u8>> {
        let (mut heard, until) = (Vec::new(), Instant::now() + PATIENCE);
        while heard.len() < count && Instant::now() < until {
            heard.extend(self.payloads());
        }
        heard
    }
}

/// A pod whose switch end has an address, as an uplink that the host has too.
fn uplink(lab: &mut Lab) -> (podlane_host::lab::Pod, UdpSocket, UdpSocket) {
    let pod = pod(lab, "lan", 2, |_| {});
    let (end, host) = (pod.host_ifindex, address(1));
    lab.links().add_address(end, host.into(), 24).unwrap();
    let host =
        lab.switch().run(move || UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)).unwrap()).unwrap();
    host.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = udp(&pod, 0);
    sender.set_broadcast(true).unwrap();
    (pod, sender, host)
}

#[test]
fn what_is_for_everyone_is_heard_here_and_by_the_host_and_what_is_for_the_host_only_there() {
    if skip("what_is_for_everyone_is_heard_here_and_by_the_host_and_what_is_for_the_host_only_there") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let (pod, sender, host) = uplink(&mut lab);
    let mut heard = Heard::open(&lab, pod.host_ifindex, 64);
    assert!(heard.payloads().is_empty(), "an empty ring");
    for (text, to) in [("all", EVERYONE), ("host", address(1)), ("group", GROUP), ("again", EVERYONE)] {
        sender.send_to(text.as_bytes(), SocketAddrV4::new(to, PORT)).unwrap();
    }
    assert_eq!(heard.until(3), [&b"all"[..], b"group", b"again"]);
    let mut said = [0; 16];
    for text in ["all", "host", "again"] {
        let (length, _) = host.recv_from(&mut said).unwrap();
        assert_eq!(&said[..length], text.as_bytes(), "the host hears what it always heard");
    }
    assert_eq!(heard.ring.lost(), 0);
}

#[test]
fn what_the_host_says_to_everyone_is_not_heard_on_its_own_uplink() {
    if skip("what_the_host_says_to_everyone_is_not_heard_on_its_own_uplink") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let (pod, sender, host) = uplink(&mut lab);
    let mut heard = Heard::open(&lab, pod.host_ifindex, 64);
    host.set_broadcast(true).unwrap();
    host.send_to(b"mine", SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 255), PORT)).unwrap();
    sender.send_to(b"theirs", SocketAddrV4::new(EVERYONE, PORT)).unwrap();
    assert_eq!(heard.until(1), [b"theirs"]);
}

#[test]
fn a_ring_goes_round_wakes_who_waits_for_it_and_counts_what_finds_no_room() {
    if skip("a_ring_goes_round_wakes_who_waits_for_it_and_counts_what_finds_no_room") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let (pod, sender, _host) = uplink(&mut lab);
    let mut heard = Heard::open(&lab, pod.host_ifindex, 64);
    let send = |number: u16| sender.send_to(&number.to_be_bytes(), SocketAddrV4::new(EVERYONE, PORT)).unwrap();
    // Twice round a ring of 512 slots.
    for number in 0..1100 {
        send(number);
        assert_eq!(heard.until(1), [number.to_be_bytes()]);
    }
    assert_eq!(heard.ring.lost(), 0);
    // No frame to copy into: lost, and the ring goes on.
    let mut held = Vec::new();
    held.extend(std::iter::from_fn(|| heard.pool.take()));
    send(1);
    let mut wait = [nix::poll::PollFd::new(heard.ring.as_fd(), nix::poll::PollFlags::POLLIN)];
    assert_eq!(nix::poll::poll(&mut wait, nix::poll::PollTimeout::from(5000_u16)), Ok(1), "there is something to hear");
    heard.payloads();
    assert!(heard.ring.lost() >= 1);
    held.into_iter().for_each(|frame| heard.pool.give(frame));
    let before = heard.ring.lost();
    // More than the ring holds while nobody looks.
    (0..600).for_each(|number| assert_eq!(send(number), 2));
    let until = Instant::now() + PATIENCE;
    while heard.ring.lost() < before + 80 && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(heard.ring.lost() >= before + 80, "512 slots for 600 frames");
    // The pod's kernel has things to say to everyone as well.
    assert!((48..=64).contains(&heard.payloads().len()), "one look takes what there is room for");
}

#[test]
fn a_netdev_that_is_none_is_refused_by_its_number() {
    if skip("a_netdev_that_is_none_is_refused_by_its_number") {
        return;
    }
    let error = PacketRing::open(0x7fff_fff0, 1500, Hears::All).unwrap_err().to_string();
    assert!(error.starts_with("interface 2147483632: its broadcast and multicast cannot be heard"), "{error}");
}

//! The uplink program, run by the kernel on frames made up here (`BPF_PROG_TEST_RUN`).
//!
//! The oracle does not parse: a frame is built from a few choices, and the choices say whether it
//! is ours.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use aya::maps::XskMap;
use aya::programs::{TestRun, TestRunOptions};
use proptest::prelude::*;

use super::*;
use crate::Program;
use crate::object::SOCKETS;

mod speech;
mod stations;

const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;
const VXLAN: u16 = 4789;
const GENEVE: u16 = 6081;
const VTEP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const VTEP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

fn own(address: impl Into<IpAddr>) -> Vtep {
    Vtep { address: address.into(), own: true }
}

fn shared(address: impl Into<IpAddr>) -> Vtep {
    Vtep { address: address.into(), own: false }
}

fn vxlan_to(vteps: &[Vtep]) -> Claim<'_> {
    Claim { vteps, tunnel_ports: &[VXLAN], ..Claim::default() }
}

/// The program in the kernel, with a socket on queue 0, attached to nothing.
struct Loaded {
    object: Object,
    maps: UplinkMaps,
    sockets: XskMap<MapData>,
    socket: Option<socket2::Socket>,
}

impl Loaded {
    fn or_skip(test: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            writeln!(std::io::stderr(), "skipped: {test}: loading a program needs root").unwrap();
            return None;
        }
        let mut object = Object::load(Program::Uplink, "test", None).unwrap();
        let maps = UplinkMaps::take(&mut object).unwrap();
        let mut sockets = XskMap::try_from(object.map(SOCKETS).unwrap()).unwrap();
        let domain = socket2::Domain::from(libc::AF_XDP);
        let socket = socket2::Socket::new(domain, socket2::Type::RAW, None).unwrap();
        sockets.set(0, socket.as_fd(), 0).unwrap();
        Some(Self { object, maps, sockets, socket: Some(socket) })
    }

    /// Loaded, and claiming VXLAN and Geneve to an address shared with the host and to an own one.
    fn claiming(test: &str) -> Option<Self> {
        let mut loaded = Self::or_skip(test)?;
        let vteps = [shared(VTEP4), own(VTEP6)];
        let claim = Claim { vteps: &vteps, tunnel_ports: &[VXLAN, GENEVE], ..Claim::default() };
        loaded.maps.set(&claim).unwrap();
        Some(loaded)
    }

    fn claims(&mut self, frame: &[u8]) -> bool {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        match self.object.xdp().unwrap().test_run(options).unwrap().return_value {
            XDP_REDIRECT => true,
            XDP_PASS => false,
            other => panic!("verdict {other}"),
        }
    }
}

/// What a frame is made of; [`Default`] is VXLAN to our IPv4 address.
#[derive(Clone, Debug)]
struct Frame {
    tags: Vec<u16>,
    to: IpAddr,
    /// IPv4 header length in words, options included.
    words: u8,
    /// The IPv4 flags and fragment offset.
    fragment: u16,
    /// UDP, unless another protocol or an IPv6 extension header is wanted.
    protocol: u8,
    port: u16,
    /// Bytes missing at the end of the UDP header.
    cut: usize,
}

impl Default for Frame {
    fn default() -> Self {
        let tags = Vec::new();
        Self { tags, to: VTEP4.into(), words: 5, fragment: 0, protocol: 17, port: VXLAN, cut: 0 }
    }
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![2; 12];
        for tag in &self.tags {
            bytes.extend(tag.to_be_bytes());
            bytes.extend([0, 100]);
        }
        match self.to {
            IpAddr::V4(to) => {
                bytes.extend([8, 0, 0x40 | self.words, 0, 0, 0, 0, 0]);
                bytes.extend(self.fragment.to_be_bytes());
                bytes.extend([64, self.protocol, 0, 0, 198, 51, 100, 1]);
                bytes.extend(to.octets());
                bytes.extend(vec![1; usize::from(self.words.saturating_sub(5)) * 4]);
            }
            IpAddr::V6(to) => {
                bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, self.protocol, 64]);
                bytes.extend([0x20; 16]);
                bytes.extend(to.octets());
            }
        }
        bytes.extend([0x30, 0x39]);
        bytes.extend(self.port.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.truncate(bytes.len() - self.cut);
        bytes
    }

    fn is_ours(&self) -> bool {
        let v4 = self.to.is_ipv4();
        let whole_packet = !v4 || (self.words >= 5 && self.fragment & 0x3fff == 0);
        let tunnelled = self.protocol == 17 && (self.port == VXLAN || self.port == GENEVE);
        let told_to_us = self.to == VTEP6 && self.protocol == 58;
        (self.to == VTEP4 || self.to == VTEP6)
            && self.tags.len() <= 2
            && whole_packet
            && (tunnelled || told_to_us)
            && self.cut == 0
    }

    /// Of IPv4: an IPv6 fragment has one header more than is made here.
    fn is_our_fragment(&self) -> bool {
        let rest = 8 + usize::from(self.words.saturating_sub(5)) * 4;
        self.to == VTEP4
            && self.tags.len() <= 2
            && self.words >= 5
            && self.fragment & 0x3fff != 0
            && self.protocol == 17
            && self.cut <= rest
    }
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let near_vtep4 = IpAddr::from(Ipv4Addr::new(192, 0, 2, 8));
    let mapped = IpAddr::from(VTEP4.to_ipv6_mapped());
    let prefixed = IpAddr::from(Ipv6Addr::new(0xc000, 0x207, 0, 0, 0, 0, 0, 0));
    (
        prop::collection::vec(prop::sample::select(vec![0x8100, 0x88a8]), 0..4),
        prop::sample::select(vec![VTEP4.into(), VTEP6.into(), near_vtep4, mapped, prefixed]),
        prop_oneof![4 => 5_u8..16, 1 => 0_u8..5],
        prop::sample::select(vec![0, 0, 0x4000, 0x8000, 0x2000, 1, 0x1fff]),
        prop::sample::select(vec![17, 17, 17, 6, 1, 58, 0, 43, 44, 60]),
        prop::sample::select(vec![VXLAN, VXLAN, GENEVE, 4790, 8472, 0, VXLAN.swap_bytes()]),
        prop_oneof![4 => Just(0), 1 => 1_usize..24],
    )
        .prop_map(|(tags, to, words, fragment, protocol, port, cut)| Frame {
            tags,
            to,
            words,
            fragment,
            protocol,
            port,
            cut,
        })
}

#[test]
fn tunnel_packets_to_our_addresses_are_claimed_and_nothing_else() {
    let test = "tunnel_packets_to_our_addresses_are_claimed_and_nothing_else";
    let Some(mut loaded) = Loaded::claiming(test) else {
        return;
    };
    let ours = [
        Frame::default(),
        Frame { to: VTEP6.into(), ..Frame::default() },
        Frame { tags: vec![0x8100], ..Frame::default() },
        Frame { tags: vec![0x88a8, 0x8100], to: VTEP6.into(), ..Frame::default() },
        Frame { port: GENEVE, ..Frame::default() },
        Frame { port: GENEVE, to: VTEP6.into(), ..Frame::default() },
        Frame { words: 15, ..Frame::default() },
        Frame { fragment: 0x4000, ..Frame::default() }, // don't fragment
    ];
    let not_ours = [
        Frame { tags: vec![0x8100; 3], ..Frame::default() },
        Frame { to: Ipv4Addr::new(192, 0, 2, 8).into(), ..Frame::default() },
        Frame { to: VTEP4.to_ipv6_mapped().into(), ..Frame::default() },
        Frame { words: 4, ..Frame::default() },
        Frame { fragment: 0x2000, ..Frame::default() }, // the first fragment
        Frame { fragment: 185, ..Frame::default() },    // the last one
        Frame { protocol: 6, ..Frame::default() },
        Frame { protocol: 44, to: VTEP6.into(), ..Frame::default() },
        Frame { port: 8472, ..Frame::default() },
        Frame { port: 0, ..Frame::default() }, // an unused slot of the ports is no port
        Frame { cut: 1, ..Frame::default() },
    ];
    for frame in &ours {
        assert!(loaded.claims(&frame.bytes()), "{frame:?}");
    }
    for frame in &not_ours {
        assert!(!loaded.claims(&frame.bytes()), "{frame:?}");
    }
    let (claimed, passed) = (ours.len() as u64, not_ours.len() as u64);
    assert_eq!(loaded.maps.counters().unwrap(), UplinkCounters { claimed, passed, fragments: 2 });
}

#[test]
fn a_frame_is_claimed_exactly_when_what_it_was_made_of_is_ours() {
    let test = "a_frame_is_claimed_exactly_when_what_it_was_made_of_is_ours";
    let Some(loaded) = Loaded::claiming(test) else {
        return;
    };
    let loaded = std::cell::RefCell::new(loaded);
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() };
    proptest!(config, |(frame in any_frame())| {
        let mut loaded = loaded.borrow_mut();
        let before = loaded.maps.counters().unwrap().fragments;
        let claimed = loaded.claims(&frame.bytes());
        prop_assert_eq!(claimed, frame.is_ours(), "{:?}", frame);
        let fragments = loaded.maps.counters().unwrap().fragments - before;
        prop_assert_eq!(fragments, u64::from(frame.is_our_fragment()), "{:?}", frame);
    });
}

#[test]
fn a_program_claims_nothing_until_it_is_told() {
    let test = "a_program_claims_nothing_until_it_is_told";
    let Some(mut loaded) = Loaded::or_skip(test) else {
        return;
    };
    let to_port_zero = Frame { port: 0, ..Frame::default() };
    assert!(!loaded.claims(&Frame::default().bytes()));
    // Port 0 is no claim, even where the address is ours.
    loaded.maps.set(&Claim { vteps: &[own(VTEP4)], tunnel_ports: &[0], ..Claim::default() }).unwrap();
    assert!(!loaded.claims(&to_port_zero.bytes()));
}

#[test]
fn a_whole_uplink_claims_every_frame_and_gives_them_back() {
    let test = "a_whole_uplink_claims_every_frame_and_gives_them_back";
    let Some(mut loaded) = Loaded::or_skip(test) else {
        return;
    };
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 28]].concat();
    let runt = [0; 14];
    loaded.maps.set(&Claim { whole: true, ..Claim::default() }).unwrap();
    assert!(loaded.claims(&arp) && loaded.claims(&runt));
    loaded.maps.set(&Claim::default()).unwrap();
    assert!(!loaded.claims(&arp) && !loaded.claims(&runt));
    assert_eq!(loaded.maps.counters().unwrap(), UplinkCounters { claimed: 2, passed: 2, fragments: 0 });
}

#[test]
fn what_is_ours_is_passed_and_counted_so_while_no_socket_is_there() {
    let test = "what_is_ours_is_passed_and_counted_so_while_no_socket_is_there";
    let Some(mut loaded) = Loaded::claiming(test) else {
        return;
    };
    assert!(loaded.claims(&Frame::default().bytes()));
    loaded.socket = None;
    assert!(!loaded.claims(&Frame::default().bytes()));
    assert_eq!(loaded.maps.counters().unwrap(), UplinkCounters { claimed: 1, passed: 1, fragments: 0 });
    assert_eq!(loaded.sockets.len(), crate::MAX_QUEUES);
}

#[test]
fn a_claim_changes_while_the_program_runs_and_the_map_may_be_full_twice() {
    let test = "a_claim_changes_while_the_program_runs_and_the_map_may_be_full_twice";
    let Some(mut loaded) = Loaded::or_skip(test) else {
        return;
    };
    let to = |third: u8, last: u8| Ipv4Addr::new(192, 0, third, last);
    for third in [2, 3] {
        let vteps: Vec<Vtep> = (0..=255).map(|last| shared(to(third, last))).collect();
        assert_eq!(vteps.len(), MAX_VTEPS);
        loaded.maps.set(&vxlan_to(&vteps)).unwrap();
        for (other, claimed) in [(third, true), (5 - third, false)] {
            let frame = Frame { to: to(other, 7).into(), ..Frame::default() };
            assert_eq!(loaded.claims(&frame.bytes()), claimed, "{frame:?}");
        }
    }
    loaded.maps.set(&Claim { tunnel_ports: &[8472], ..vxlan_to(&[own(VTEP6)]) }).unwrap();
    let moved = Frame { to: VTEP6.into(), port: 8472, ..Frame::default() };
    assert!(loaded.claims(&moved.bytes()));
    assert!(!loaded.claims(&Frame { to: to(3, 7).into(), port: 8472, ..Frame::default() }.bytes()));
}

#[test]
fn as_many_next_hops_as_fit_are_all_believed() {
    let Some(mut loaded) = Loaded::or_skip("as_many_next_hops_as_fit_are_all_believed") else {
        return;
    };
    let next_hops: Vec<IpAddr> = (0..MAX_NEXT_HOPS as u32).map(|n| Ipv4Addr::from(0x0a00_0000 + n).into()).collect();
    let vteps = [shared(VTEP4)];
    let claim = Claim { next_hops: &next_hops, ..vxlan_to(&vteps) };
    for _ in 0..2 {
        loaded.maps.set(&claim).unwrap();
        assert_eq!(loaded.maps.hops.map.keys().count(), MAX_NEXT_HOPS);
    }
    loaded.maps.set(&Claim { next_hops: &next_hops[..1], ..claim }).unwrap();
    assert_eq!(loaded.maps.hops.map.keys().count(), 1);
}

#[test]
fn more_than_the_maps_hold_is_refused_by_name() {
    let vteps = vec![own(VTEP4); MAX_VTEPS + 1];
    let error = Claim { vteps: &vteps, ..Claim::default() }.check("eth7").unwrap_err();
    assert!(matches!(error, AttachError::TooManyVteps { count: 257, .. }), "{error}");
    let error = Claim { tunnel_ports: &[1, 2, 3, 4, 5], ..Claim::default() }.check("eth7").unwrap_err();
    assert!(matches!(error, AttachError::TooManyTunnelPorts { count: 5, .. }), "{error}");
    let mut hops = vec![IpAddr::from(VTEP4); MAX_NEXT_HOPS];
    hops.push(VTEP6.into());
    Claim { next_hops: &hops, ..Claim::default() }.check("eth7").unwrap();
    hops.push(VTEP4.into());
    let error = Claim { next_hops: &hops, ..Claim::default() }.check("eth7").unwrap_err();
    assert!(matches!(error, AttachError::TooManyNextHops { count: 8_193, .. }), "{error}");
    assert!(error.to_string().starts_with("eth7 was given 8193 IPv4 next hops"), "{error}");
}

#[test]
fn a_tunnel_port_that_stays_keeps_its_place_and_all_that_are_named_have_one() {
    let after = |ports: &[u16], present| Claim { tunnel_ports: ports, ..Claim::default() }.entry(&present);
    let first = after(&[VXLAN, GENEVE], [0; 6]);
    assert_eq!(first, [VXLAN, GENEVE, 0, 0, 0, 0]);
    assert_eq!(after(&[GENEVE], first), [0, GENEVE, 0, 0, 0, 0]);
    assert_eq!(after(&[GENEVE, 8472, VXLAN, 1], first), [VXLAN, GENEVE, 8472, 1, 0, 0]);
    assert_eq!(after(&[1, 2, 3, 4], first), [1, 2, 3, 4, 0, 0]);
    assert_eq!(after(&[0, 7, 7], first), [7, 0, 0, 0, 0, 0], "none, and one that is named twice");
}

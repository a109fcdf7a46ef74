//! The MSS clamp of a tunnel (RFC 6691): what TCP is told fits, both ways, and every checksum is right afterwards.

use podlane_dataplane::{
    tables::PortTable,
    testbed::{Plan, TestBed},
};
use podlane_wire::{IpProtocol, Packet, Transport};

use crate::{
    packets::{Field, Host, RED, checksums_are_right, host, transport},
    tunnel::{Join, Node, UPLINK, VXLAN},
};

const A: Host = host(0, 1);
const B: Host = host(0, 2);
const CLAMPED: Join = Join { clamp_mss: true, mtu: 1500, ..VXLAN };

/// A SYN that says 1,460, as a pod's kernel leaves it or as a wire carries it.
fn syn(ends: (Host, Host), v6: bool, field: Field) -> Vec<u8> {
    const OPTION: [u8; 4] = [2, 4, 0x05, 0xb4];
    let mut packet = transport(IpProtocol::TCP, ends, v6, &OPTION, field);
    let tcp = if v6 { 54 } else { 34 };
    let (offset, flags) = ((packet[tcp + 12], packet[tcp + 13]), (0x60, 0x02));
    let words = |pair: (u8, u8)| u16::from_be_bytes([pair.0, pair.1]);
    (packet[tcp + 12], packet[tcp + 13]) = flags;
    if field == Field::Finished {
        let sum = u16::from_be_bytes([packet[tcp + 16], packet[tcp + 17]]);
        let sum = podlane_wire::checksum::update16(sum, words(offset), words(flags));
        packet[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// A node with a pod behind RED, whose senders leave checksums to be finished or not, and the other pod on the other node.
fn node((here, pod): (Node, Host), (there, other): (Node, Host), unfinished_checksums: bool) -> TestBed {
    let pod = PortTable { unfinished_checksums, ..pod.stated() };
    let plan = CLAMPED.on(Plan::new(1).port(RED, 0, pod), here, there);
    let bed = TestBed::new(plan.remote(0, 0, other.mac, &[other.v4.into(), other.v6.into()]));
    bed.shared.learn_hop(UPLINK, there.v4(), there.mac(), 1);
    bed
}

/// The only frame that left, and the largest segment its SYN allows.
fn left_by(bed: &TestBed, port: podlane_dataplane::PortId, before: usize) -> (Vec<u8>, u16) {
    let frame = bed.sent_by(port).pop().expect("the packet has left");
    let inner = &frame[before..];
    assert!(checksums_are_right(inner));
    let Transport::Tcp(_) = Packet::parse(inner).expect("a whole packet").transport else { panic!("no TCP") };
    let size = u16::from_be_bytes([inner[inner.len() - 2], inner[inner.len() - 1]]);
    (frame, size)
}

#[test]
fn a_syn_says_what_fits_on_its_way_into_a_tunnel() {
    // 1,500 bytes, less 50 of outer headers and the inner Ethernet header, less 40 or 60.
    for (v6, size) in [(false, 1410), (true, 1390)] {
        for (field, unfinished) in [(Field::Finished, false), (Field::Finished, true), (Field::Unfinished, true)] {
            let mut bed = node((Node(1), A), (Node(2), B), unfinished);
            // A miss, and a hit.
            for _ in 0..2 {
                bed.receive(RED, syn((A, B), v6, field));
                bed.turn();
                assert_eq!(left_by(&bed, UPLINK, 50).1, size, "{v6} {field:?} {unfinished}");
            }
        }
    }
}

#[test]
fn a_syn_says_what_fits_on_its_way_out_of_a_tunnel_as_far_as_is_known() {
    for (v6, size) in [(false, 1410_u16), (true, 1390)] {
        // The sender's node does not clamp: its uplink takes more.
        let wide = Join { mtu: 1600, ..VXLAN };
        let plan = wide.on(Plan::new(1).port(RED, 0, A.stated()), Node(1), Node(2));
        let mut near = TestBed::new(plan.remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]));
        near.shared.learn_hop(UPLINK, Node(2).v4(), Node(2).mac(), 1);
        near.receive(RED, syn((A, B), v6, Field::Finished));
        near.turn();
        let (outer, unclamped) = left_by(&near, UPLINK, 50);
        assert_eq!(unclamped, 1460);
        let mut far = node((Node(2), B), (Node(1), A), false);
        far.receive(UPLINK, outer.clone());
        far.turn();
        assert_eq!(left_by(&far, RED, 0).1, size);
        // What the way back is heard to carry counts too.
        far.shared.lower_path_mtu(Node(1).v4(), 1400, 1);
        far.receive(UPLINK, outer);
        far.turn();
        assert_eq!(left_by(&far, RED, 0).1, size - 100);
    }
}

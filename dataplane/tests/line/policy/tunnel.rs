//! One end on another node: each node holds its own end to policy, and what its pod opened comes back out of the tunnel.

use podlane_dataplane::{
    DropReason, PortId,
    policy::Opening,
    testbed::{Plan, TestBed, dropped, received, sent},
};
use podlane_wire::{Icmpv4Type, MacAddr};

use crate::{
    packets::{Host, RED, echo4, udp4, udp6},
    policy::{
        bed::{A, ACK, Asked, B, SYN, SYN_ACK, Talk, policed},
        opening::reply,
    },
    tunnel::{Node, UPLINK, VXLAN},
};

/// The node `here` with `pod` behind RED under this policy, and `other` stated to be on the node `there`.
fn node(
    (pod, other): (Host, Host),
    (here, there): (Node, Node),
    policy: impl Fn(&Opening) -> bool + Send + Sync + 'static,
) -> TestBed {
    let plan = VXLAN.on(Plan::new(1).port(RED, 0, policed(pod)), here, there);
    let mut bed = TestBed::new(plan.remote(0, 0, other.mac, &[other.v4.into(), other.v6.into()]));
    bed.shared.learn_hop(UPLINK, there.v4(), there.mac(), 1);
    bed.enforce(2, Asked(policy));
    bed
}

/// Whether the opening is by the pod of the node, towards a path.
fn outward(opening: &Opening) -> bool {
    opening.from.port == RED && opening.to.port.path().is_some()
}

/// Sends a frame in at one node's pod, and what comes out of its uplink into the other node.
fn carry(from: &mut TestBed, to: &mut TestBed, frame: &[u8]) -> u64 {
    from.receive(RED, frame);
    from.turn();
    let mut carried = 0;
    for outer in from.sent_by(UPLINK) {
        to.receive(UPLINK, outer);
        carried += 1;
    }
    to.turn();
    carried
}

#[test]
fn each_node_asks_for_its_own_end_and_lets_answers_through() {
    let (one, two) = (Node(1), Node(2));
    for v6 in [false, true] {
        let mut near = node((A, B), (one, two), outward);
        let mut far = node((B, A), (two, one), |opening| opening.to.port == RED && opening.from.port.path().is_some());
        let question = if v6 { udp6(A, B) } else { udp4(A, B) };
        for _ in 0..3 {
            assert_eq!(carry(&mut near, &mut far, &question), 1);
            assert_eq!(far.sent_by(RED), std::slice::from_ref(&question));
            assert_eq!(carry(&mut far, &mut near, &reply(B, A, v6)), 1);
            assert_eq!(near.sent_by(RED), [reply(B, A, v6)]);
        }
        // B may open nothing, by far's policy; nor could it by near's.
        let other = if v6 { udp6(B, A) } else { udp4(B, A) };
        assert_eq!(carry(&mut far, &mut near, &other), 0);
        for (bed, packets) in [(&mut near, 3), (&mut far, 4)] {
            let mut moved = bed.moved();
            moved.retain(|line| !matches!(line, podlane_dataplane::testbed::Moved::Dropped(..)));
            assert_eq!(moved, [received(RED, packets), received(UPLINK, 3), sent(RED, 3), sent(UPLINK, 3)]);
            assert_eq!(bed.counters().opened, 1);
        }
        assert_eq!(far.denials().len(), 1);
    }
}

#[test]
fn tcp_is_followed_through_a_tunnel() {
    let (one, two) = (Node(1), Node(2));
    let mut near = node((A, B), (one, two), outward);
    let mut far = node((B, A), (two, one), |opening| opening.to.port == RED);
    let mut talk = Talk::new();
    carry(&mut near, &mut far, &talk.asks(SYN, 0));
    talk.client.sequence += 1;
    carry(&mut far, &mut near, &talk.answers(SYN_ACK, 0));
    talk.server.sequence += 1;
    for ahead in 0..5 {
        carry(&mut near, &mut far, &talk.asks(ACK, ahead));
        carry(&mut far, &mut near, &talk.answers(ACK, ahead));
    }
    for bed in [&near, &far] {
        let counters = bed.counters();
        assert_eq!((counters.lost(), counters.opened, bed.shared.flows.used()), (0, 1, 2));
    }
    // No longer allowed at one end: there it stops, in both directions.
    far.enforce(3, Asked(|_: &Opening| false));
    far.moved();
    carry(&mut near, &mut far, &talk.asks(ACK, 5));
    carry(&mut far, &mut near, &talk.answers(ACK, 5));
    assert_eq!(far.moved(), [received(RED, 1), received(UPLINK, 1), dropped(DropReason::PolicyDenied, 2)]);
}

#[test]
fn what_comes_out_of_a_tunnel_is_held_to_the_pods_policy() {
    let (one, two) = (Node(1), Node(2));
    let mut near = node((A, B), (one, two), |_| true);
    let mut far = node((B, A), (two, one), |_| false);
    carry(&mut near, &mut far, &udp4(A, B));
    carry(&mut near, &mut far, &echo4(A, B, Icmpv4Type::ECHO_REQUEST));
    assert_eq!(far.moved(), [received(UPLINK, 2), dropped(DropReason::PolicyDenied, 2)]);
    assert!(far.denials().iter().all(|denial| denial.opening.from.port.path().is_some()));
}

#[test]
fn what_is_routed_into_a_tunnel_is_judged_as_what_it_is() {
    let (gate, inner) = (MacAddr([2, 0, 0, 0, 0, 0xfe]), VXLAN);
    let pod = Host { mac: MacAddr([2, 1, 0, 0, 0, 1]), ..crate::packets::host(1, 1) };
    let port = PortId(4);
    let plan = inner
        .on(
            Plan::new(2)
                .network(1, |network| network.vrf = podlane_dataplane::VrfId(0))
                .gateway(0, gate, &[(crate::packets::gateway(0).v4.into(), 24)])
                .gateway(1, gate, &[(crate::packets::gateway(1).v4.into(), 24)])
                .port(port, 1, policed(pod)),
            Node(1),
            Node(2),
        )
        .remote(0, 0, B.mac, &[B.v4.into()]);
    let mut bed = TestBed::new(plan);
    bed.shared.learn_hop(UPLINK, Node(2).v4(), Node(2).mac(), 1);
    bed.enforce(2, Asked(move |opening: &Opening| opening.to.port.path().is_some() && opening.port == 53));
    for _ in 0..3 {
        bed.receive(port, udp4(pod, B.at(gate)));
        bed.turn();
    }
    bed.receive(port, echo4(pod, B.at(gate), Icmpv4Type::ECHO_REQUEST));
    bed.turn();
    assert_eq!(bed.moved(), [received(port, 4), sent(UPLINK, 3), dropped(DropReason::PolicyDenied, 1)]);
}

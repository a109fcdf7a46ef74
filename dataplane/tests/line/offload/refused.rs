//! What is not carried, and the reason that is told.

use core::num::NonZeroU64;

use podlane_dataplane::{
    PortId,
    offload::{
        Fields, Refusal,
        emulated::{Emulated, Settings},
    },
    tables::{
        PortTable,
        rates::{Rate, Rates},
    },
    testbed::{Plan, TestBed, received, sent},
};
use podlane_wire::Icmpv4Type;

use crate::{
    offload::bed::{A, B, behind, establish, pair, pass, refused, report, settle},
    packets::{BLUE, RED, echo4, tagged, udp4, udp6},
    policy::bed::{Asked, a_to_b, policed},
    tunnel::{Node, UPLINK, VXLAN},
};

fn plan() -> Plan {
    Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, B.stated())
}

/// Establishes a flow behind an engine like this, and says how often it was refused for the reason; it is delivered all the same.
fn refusals(settings: Settings, packet: &[u8], reason: Refusal) -> u64 {
    let mut bed = pair(settings);
    establish(&mut bed, RED, packet);
    pass(&mut bed, RED, packet);
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)], "{reason:?}");
    assert_eq!(report(&bed).hits, 0);
    refused(&bed, reason)
}

#[test]
fn a_flow_that_the_engine_cannot_carry_is_refused_by_name() {
    let cases: [(Settings, Vec<u8>, Refusal); 5] = [
        (Settings { ipv6: false, ..Settings::default() }, udp6(A, B), Refusal::Family),
        (Settings { ipv4: false, ..Settings::default() }, udp4(A, B), Refusal::Family),
        (Settings { udp: false, ..Settings::default() }, udp4(A, B), Refusal::Protocol),
        (Settings { icmp: false, ..Settings::default() }, echo4(A, B, Icmpv4Type::ECHO_REPLY), Refusal::Protocol),
        (Settings { matches: Fields::ALL - Fields::MACS, ..Settings::default() }, udp4(A, B), Refusal::PartialMatch),
    ];
    for (settings, packet, reason) in cases {
        assert_eq!(refusals(settings, &packet, reason), 1, "{reason:?}");
    }
}

#[test]
fn a_flow_that_may_be_taken_later_is_offered_again() {
    let mut bed = pair(Settings { refuse_every: 1, ..Settings::default() });
    for tries in 1..4 {
        (0..30).for_each(|_| pass(&mut bed, RED, &udp4(A, B)));
        assert_eq!(refused(&bed, Refusal::Failed), tries);
        // Not if it lies idle.
        bed.pass(5_000);
        assert_eq!(refused(&bed, Refusal::Failed), tries);
    }
}

#[test]
fn a_table_that_is_full_refuses_and_one_that_is_busy_too() {
    for (settings, reason) in [
        (Settings { capacity: 1, ..Settings::default() }, Refusal::Full),
        (Settings { insertions: 1, ..Settings::default() }, Refusal::Busy),
    ] {
        let mut bed = pair(settings);
        for _ in 0..10 {
            bed.tick();
            bed.receive(RED, udp4(A, B));
            bed.receive(RED, udp6(A, B));
            bed.turn();
        }
        assert_eq!((report(&bed).flows, refused(&bed, reason)), (1, 1), "{reason:?}");
    }
}

#[test]
fn without_policy_an_engine_that_sees_no_ports_may_carry_and_with_policy_it_may_not() {
    let blind = || Settings { matches: Fields::ALL - Fields::PORTS, ..Settings::default() };
    let mut bed = pair(blind());
    establish(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!((report(&bed).hits, refused(&bed, Refusal::PartialMatch)), (1, 0));
    let mut bed = behind(blind(), Plan::new(1).port(RED, 0, policed(A)).port(BLUE, 0, policed(B)));
    bed.enforce(2, Asked(a_to_b));
    establish(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!((report(&bed).hits, refused(&bed, Refusal::PartialMatch)), (0, 1));
}

#[test]
fn a_pod_with_a_rate_at_either_end_is_held_to_it_by_workers_alone() {
    let rate = NonZeroU64::new(1_000_000_000).map(|bits| Rate::of_bits(bits, 1_000_000_000));
    let of = |ingress, egress| Rates { ingress, egress, ..Rates::default() };
    for (sender, receiver) in [(of(None, rate), of(None, None)), (of(None, None), of(rate, None))] {
        let port = |host: crate::packets::Host, rates| PortTable { rates, ..host.stated() };
        let plan = Plan::new(1).port(RED, 0, port(A, sender)).port(BLUE, 0, port(B, receiver));
        let mut bed = behind(Settings::default(), plan);
        establish(&mut bed, RED, &udp4(A, B));
        assert_eq!((report(&bed).offered, refused(&bed, Refusal::Rate)), (0, 1));
    }
}

#[test]
fn a_port_without_an_engine_offers_nothing() {
    let mut bed =
        TestBed::offloading(plan(), 1, |flows, workers| Box::new(Emulated::new(Settings::default(), workers, flows)));
    establish(&mut bed, RED, &udp4(A, B));
    assert_eq!((report(&bed).offered, report(&bed).looked_up, report(&bed).refused.len()), (0, 0, 0));
}

#[test]
fn a_flow_that_leaves_by_another_workers_port_is_refused_and_handed_over_as_ever() {
    let mut bed = TestBed::offloading(plan().offloaded(), 2, |flows, workers| {
        Box::new(Emulated::new(Settings::default(), workers, flows))
    });
    establish(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!((report(&bed).hits, refused(&bed, Refusal::OtherWorker)), (0, 1));
}

#[test]
fn tags_are_edited_under_the_engine_as_by_a_worker_unless_it_has_none() {
    const TRUNK: PortId = PortId(4);
    for vlan in [true, false] {
        let plan = Plan::new(1).port(RED, 0, A.stated()).tagged(TRUNK, 7, 0);
        let mut bed = behind(Settings { vlan, ..Settings::default() }, plan);
        pass(&mut bed, TRUNK, &tagged(7, &udp4(B, A)));
        establish(&mut bed, RED, &udp4(A, B));
        let _ = bed.sent_by(TRUNK);
        pass(&mut bed, RED, &udp4(A, B));
        assert_eq!(bed.sent_by(TRUNK), [tagged(7, &udp4(A, B))]);
        assert_eq!((report(&bed).hits, refused(&bed, Refusal::Vlan)), (u64::from(vlan), u64::from(!vlan)));
    }
}

#[test]
fn what_is_carried_into_a_tunnel_counts_at_its_path_and_what_comes_out_of_one_is_refused() {
    let plan = VXLAN.on(Plan::new(1).port(RED, 0, A.stated()), Node(1), Node(2));
    let plan = plan.remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]);
    let mut bed = behind(Settings::default(), plan);
    bed.shared.learn_hop(UPLINK, Node(2).v4(), Node(2).mac(), 1);
    let packet = udp4(A, B);
    establish(&mut bed, RED, &packet);
    let by_worker = bed.sent_by(UPLINK).pop().expect("it was sent");
    let before = bed.counters();
    pass(&mut bed, RED, &packet);
    assert_eq!((bed.sent_by(UPLINK), report(&bed).hits), (vec![by_worker.clone()], 1));
    settle(&mut bed);
    let after = bed.counters();
    assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)]);
    let bytes = |counters: &podlane_dataplane::counters::Counters| {
        (counters.ports[UPLINK.index()].sent.bytes, counters.paths[0].sent.bytes, counters.paths[0].sent.packets)
    };
    let (outer, inner, packets) = bytes(&after);
    assert_eq!(
        (outer - bytes(&before).0, inner - bytes(&before).1, packets - bytes(&before).2),
        (by_worker.len() as u64, packet.len() as u64, 1)
    );
    let back = crate::offload::twins::tunnelled(&udp4(B, A));
    establish(&mut bed, UPLINK, &back);
    assert_eq!(refused(&bed, Refusal::FromTunnel), 1);
}

//! Whatever a pod sends, the ledger balances and nobody is let in: packets bent around those that are right.

use podlane_dataplane::{
    policy::Opening,
    testbed::{Moved, TestBed},
};
use podlane_wire::Icmpv4Type;
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    packets::{BLUE, GREEN, RED, echo4, udp4, udp6},
    policy::bed::{A, ACK, Asked, B, RST, SYN, SYN_ACK, Talk, three},
    policy::{fragments::pieces, icmp::error4},
};

/// One packet of each kind between A and B.
fn packets() -> Vec<Vec<u8>> {
    let talk = Talk::new();
    let mut packets = vec![
        udp4(A, B),
        udp6(A, B),
        echo4(A, B, Icmpv4Type::ECHO_REQUEST),
        talk.asks(SYN, 0),
        talk.asks(ACK, 1),
        talk.asks(RST, 1),
        talk.over_ipv6().asks(SYN, 0),
        error4(A, B, 3, &talk.answers(SYN_ACK, 0)),
        talk.answers(SYN_ACK, 0),
        talk.answers(ACK, 1),
        udp4(B, A),
        error4(B, A, 11, &udp4(A, B)),
    ];
    packets.extend(pieces(A, B, false));
    packets.extend(pieces(A, B, true));
    packets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A and B may talk; C at GREEN may neither open nor be opened to, so it hears nothing and is not heard.
    #[test]
    fn bent_packets_balance_and_reach_nobody_they_may_not(
        sent in vec((any::<Index>(), 14_usize..90, any::<u8>(), 0_usize..30), 1..200),
    ) {
        let mut bed = TestBed::new(three());
        bed.enforce(2, Asked(|opening: &Opening| opening.from.port != GREEN && opening.to.port != GREEN));
        let packets = packets();
        for (which, at, byte, cut) in sent {
            let mut packet = which.get(&packets).clone();
            if let Some(bent) = packet.get_mut(at) {
                *bent = byte;
            }
            packet.truncate(packet.len() - cut / 2);
            for port in [RED, BLUE, GREEN] {
                bed.receive(port, packet.clone());
            }
            bed.turn();
        }
        let moved = bed.moved();
        prop_assert!(!moved.iter().any(|line| matches!(line, Moved::Sent(GREEN, _))), "{moved:?}");
    }
}

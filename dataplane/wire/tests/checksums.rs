//! Checksums against an oracle that adds 16-bit words one by one, as RFC 1071 words it.

use podlane_wire::checksum::{
    Sum, is_unfinished, pseudo_v4, pseudo_v6, sum, sum_parts, update, update_udp, update16, update32, verify_tcp,
    verify_udp_v4,
};
use podlane_wire::{IpProtocol, Malformed};
use proptest::collection::vec;
use proptest::prelude::*;

/// The folded sum of big-endian words.
fn plain_sum(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |sum: u16, word| {
        let word = u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]);
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sum_equals_the_plain_one(bytes in vec(any::<u8>(), 0..3_000)) {
        prop_assert_eq!(sum(&bytes).fold(), plain_sum(&bytes));
    }

    #[test]
    fn parts_of_any_length_join_to_the_whole(bytes in vec(any::<u8>(), 0..300), cuts in vec(1..40usize, 0..20)) {
        let mut parts = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            parts.push(part);
            rest = after;
        }
        parts.push(rest);
        prop_assert_eq!(sum_parts(parts).fold(), plain_sum(&bytes));
    }

    #[test]
    fn native_words_added_elsewhere_join_in(words in vec(any::<u64>(), 0..50), tail in vec(any::<u8>(), 0..9)) {
        let raw = words.iter().fold(0u64, |sum, word| {
            let (sum, carry) = sum.overflowing_add(*word);
            sum + u64::from(carry)
        });
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(&tail);
        prop_assert_eq!(Sum::from_raw(raw).plus(sum(&tail)).fold(), plain_sum(&bytes));
        prop_assert_eq!(Sum::from_raw(sum(&bytes).to_raw()).fold(), plain_sum(&bytes));
    }

    #[test]
    fn an_update_equals_a_full_computation(
        bytes in vec(any::<u8>(), 8..200),
        at in any::<prop::sample::Index>(),
        new in any::<[u8; 4]>(),
    ) {
        let mut bytes = bytes;
        bytes[0] |= 1; // some byte is not zero, as in every header
        let at = 2 + at.index(bytes.len() - 5);
        let old = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let before = sum(&bytes).finish();
        bytes[at..at + 4].copy_from_slice(&new);
        let after = sum(&bytes).finish();
        let turn = |bytes: [u8; 4]| if at % 2 == 1 { sum(&bytes).at_odd_offset() } else { sum(&bytes) };
        prop_assert_eq!(update(before, turn(old), turn(new)), after);
        prop_assert_eq!(update_udp(before, turn(old), turn(new)) != 0, before != 0);
        if at % 2 == 0 {
            prop_assert_eq!(update32(before, u32::from_be_bytes(old), u32::from_be_bytes(new)), after);
            let half = update16(before, u16::from_be_bytes([old[0], old[1]]), u16::from_be_bytes([new[0], new[1]]));
            prop_assert_eq!(
                update16(half, u16::from_be_bytes([old[2], old[3]]), u16::from_be_bytes([new[2], new[3]])),
                after
            );
        }
    }

    #[test]
    fn pseudo_headers_equal_their_bytes(v4 in any::<[[u8; 4]; 2]>(), v6 in any::<[[u8; 16]; 2]>(), len in any::<u32>()) {
        let [source, destination] = v4;
        let short = (len as u16).to_be_bytes();
        let bytes = [&source[..], &destination, &[0, 6], &short].concat();
        let pseudo = pseudo_v4(source.into(), destination.into(), IpProtocol::TCP, len as u16);
        prop_assert_eq!(pseudo.fold(), plain_sum(&bytes));

        let [source, destination] = v6;
        let bytes = [&source[..], &destination, &len.to_be_bytes(), &[0, 0, 0, 17]].concat();
        let pseudo = pseudo_v6(source.into(), destination.into(), IpProtocol::UDP, len);
        prop_assert_eq!(pseudo.fold(), plain_sum(&bytes));
    }

    /// What a kernel leaves unfinished is recognised; finishing it makes it valid, and finishing it twice changes nothing.
    #[test]
    fn finishing_is_idempotent(ends in any::<[[u8; 4]; 2]>(), segment in vec(any::<u8>(), 20..200)) {
        let mut segment = segment;
        let pseudo = pseudo_v4(ends[0].into(), ends[1].into(), IpProtocol::TCP, segment.len() as u16);
        segment[16..18].copy_from_slice(&pseudo.fold().to_be_bytes());
        let checksum = sum(&segment).finish();
        segment[16..18].copy_from_slice(&checksum.to_be_bytes());
        prop_assert_eq!(verify_tcp(pseudo, &segment), Ok(()));
        if is_unfinished(checksum, pseudo) {
            prop_assert_eq!(sum(&segment).finish(), checksum);
        }
        segment[0] ^= 1;
        prop_assert_eq!(verify_tcp(pseudo, &segment), Err(Malformed::TcpBadChecksum));
    }

    #[test]
    fn a_udp_checksum_is_verified_and_never_sent_as_zero(ends in any::<[[u8; 4]; 2]>(), rest in vec(any::<u8>(), 2..60)) {
        let mut datagram = [&[1, 2, 3, 4, 0, 0, 0, 0][..], &rest].concat();
        let pseudo = pseudo_v4(ends[0].into(), ends[1].into(), IpProtocol::UDP, datagram.len() as u16);
        // Bend two bytes so that the computed checksum is zero, the case that RFC 768 singles out.
        datagram[8..10].copy_from_slice(&[0, 0]);
        let missing = pseudo.plus(sum(&datagram)).finish();
        datagram[8..10].copy_from_slice(&missing.to_be_bytes());
        prop_assert_eq!(pseudo.plus(sum(&datagram)).finish(), 0);
        let checksum = pseudo.plus(sum(&datagram)).finish_udp();
        prop_assert_eq!(checksum, 0xffff);
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
        prop_assert_eq!(verify_udp_v4(pseudo, &datagram), Ok(()));
    }
}

/// A field that holds the pseudo-header's sum is finished by complementing the whole; when the field was finished already and
/// equals that sum by chance, the same step gives the same field.
#[test]
fn a_finished_checksum_that_looks_unfinished_survives() {
    let ends = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
    let mut found = 0;
    for word in 0..=u16::MAX {
        let mut segment = [0; 22];
        segment[20..].copy_from_slice(&word.to_be_bytes());
        let pseudo = pseudo_v4(ends[0], ends[1], IpProtocol::TCP, 22);
        let finished = pseudo.plus(sum(&segment)).finish();
        if is_unfinished(finished, pseudo) {
            segment[16..18].copy_from_slice(&finished.to_be_bytes());
            assert_eq!(sum(&segment).finish(), finished);
            found += 1;
        }
    }
    assert!(found >= 1, "the loop meets the coincidence");
}

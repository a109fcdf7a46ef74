//! A handshake through a tunnel announces no segment that does not fit it, and nothing else of it changes.

use proptest::prelude::*;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{TcpControl, TcpPacket, TcpRepr, TcpSeqNumber},
};

use super::*;

const TCP: u8 = 6;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// As Linux opens: 1460, SACK permitted, timestamps, no operation, window scale.
const OPTIONS: [u8; 20] = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

/// The ends of a connection, which the pseudo-header of its checksum begins with.
#[derive(Clone, Copy, Debug)]
enum Ends {
    V4,
    V6,
}

impl Ends {
    const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn pseudo(self, len: usize) -> Vec<u8> {
        match self {
            Self::V4 => [&HOST4.octets(), &FAR4.octets(), &[0, TCP][..], &(len as u16).to_be_bytes()].concat(),
            Self::V6 => [&HOST6.octets()[..], &FAR6.octets(), &(len as u32).to_be_bytes(), &[0, 0, 0, TCP]].concat(),
        }
    }

    /// The frame of a segment, whose checksum is made right.
    fn framed(self, mut segment: Vec<u8>) -> Vec<u8> {
        segment[16..18].fill(0);
        let sum = checksum(&[&self.pseudo(segment.len()), &segment]);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        match self {
            Self::V4 => frame(MAC, HOST, IPV4, &ipv4(HOST4, FAR4, TCP, &segment)),
            Self::V6 => frame(MAC, HOST, IPV6, &ipv6(HOST6, FAR6, (TCP, 64), &segment)),
        }
    }

    fn tcp_at(self) -> usize {
        match self {
            Self::V4 => 34,
            Self::V6 => 54,
        }
    }

    /// The MTU at which `size` is the largest segment.
    fn mtu(self, size: u16) -> u16 {
        size + if matches!(self, Self::V4) { 40 } else { 60 }
    }
}

fn segment(flags: u8, options: &[u8]) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4));
    let words = (5 + options.len() / 4) as u8;
    let header = [0x9c, 0x40, 0, 80, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, words << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0];
    [&header, options].concat()
}

pub(super) fn syn() -> Vec<u8> {
    Ends::V6.framed(segment(SYN, &OPTIONS))
}

fn clamped(ends: Ends, size: u16, segment: Vec<u8>) -> (bool, Vec<u8>) {
    let mut frame = ends.framed(segment);
    let changed = clamp_mss(&mut frame, ends.mtu(size));
    (changed, frame)
}

#[test]
fn a_syn_and_its_answer_are_lowered_and_their_checksum_stays_right() {
    for (ends, flags) in Ends::BOTH.into_iter().zip([SYN, SYN | ACK]) {
        let mut lower = OPTIONS;
        lower[2..4].copy_from_slice(&1410_u16.to_be_bytes());
        let expected = (true, ends.framed(segment(flags, &lower)));
        assert_eq!(clamped(ends, 1410, segment(flags, &OPTIONS)), expected);
    }
}

#[test]
fn what_fits_or_says_nothing_or_opens_nothing_is_left_alone() {
    for ends in Ends::BOTH {
        for (size, segment) in [
            (1460, segment(SYN, &OPTIONS)),
            (9000, segment(SYN, &OPTIONS)),
            (100, segment(ACK, &OPTIONS)),
            (100, segment(SYN, &OPTIONS[4..])),
            (100, segment(SYN, &[])),
            (0, segment(SYN, &OPTIONS)),
        ] {
            let untouched = (false, ends.framed(segment.clone()));
            assert_eq!(clamped(ends, size, segment), untouched, "{size}");
        }
        let mut frame = ends.framed(segment(SYN, &OPTIONS));
        assert!(!clamp_mss(&mut frame, 39), "no MTU at all");
    }
}

#[test]
fn options_that_are_cut_off_or_lie_are_left_alone() {
    for options in [
        [2, 4, 5, 0xb4, 3, 0, 0, 0].as_slice(), // a length of zero, behind the size
        &[3, 0, 2, 4, 5, 0xb4, 0, 0],           // and before it
        &[8, 10, 0, 0, 2, 4, 5, 0xb4],          // longer than the header
        &[2, 3, 5, 1],                          // a size of one byte
        &[0, 2, 4, 5, 0xb4, 0, 0, 0],           // behind the end
    ] {
        let (changed, frame) = clamped(Ends::V4, 500, segment(SYN, options));
        assert_eq!(changed, options.starts_with(&[2, 4]), "{options:?}");
        assert!(changed || frame == Ends::V4.framed(segment(SYN, options)));
    }
    let whole = Ends::V4.framed(segment(SYN, &OPTIONS));
    for len in 0..whole.len() {
        let mut cut = whole[..len].to_vec();
        assert!(!clamp_mss(&mut cut, 500), "{len} bytes");
        assert_eq!(cut, whole[..len]);
    }
}

#[test]
fn a_checksum_that_the_kernel_left_unfinished_stays_as_it_is() {
    for ends in Ends::BOTH {
        let mut frame = ends.framed(segment(SYN, &OPTIONS));
        let at = ends.tcp_at();
        let unfinished = !checksum(&[&ends.pseudo(40)]);
        frame[at + 16..at + 18].copy_from_slice(&unfinished.to_be_bytes());
        assert!(clamp_mss(&mut frame, ends.mtu(1410)));
        assert_eq!(frame[at + 16..at + 18], unfinished.to_be_bytes());
        assert_eq!(frame[at + 22..at + 24], 1410_u16.to_be_bytes());
        let finished = checksum(&[&frame[at..]]);
        frame[at + 16..at + 18].copy_from_slice(&finished.to_be_bytes());
        assert_eq!(checksum(&[&ends.pseudo(40), &frame[at..]]), 0);
    }
}

#[test]
fn a_finished_checksum_that_looks_unfinished_stays_right() {
    for ends in Ends::BOTH {
        let mut syn = segment(SYN, &OPTIONS);
        let pseudo = ends.pseudo(syn.len());
        syn[14..16].fill(0);
        // The window that makes the segment's checksum equal the pseudo-header's sum.
        let window = checksum(&[&pseudo, &pseudo, &syn]);
        syn[14..16].copy_from_slice(&window.to_be_bytes());
        let mut frame = ends.framed(syn);
        let at = ends.tcp_at();
        assert_eq!(frame[at + 16..at + 18], (!checksum(&[&pseudo])).to_be_bytes());
        assert!(clamp_mss(&mut frame, ends.mtu(1410)));
        assert_eq!(checksum(&[&pseudo, &frame[at..]]), 0);
    }
}

#[test]
fn headers_before_it_are_walked() {
    let plain = Ends::V4.framed(segment(SYN, &OPTIONS));
    let mut optioned = plain.clone();
    optioned.splice(34..34, [1, 1, 1, 0]);
    (optioned[14], optioned[17]) = (0x46, optioned[17] + 4);
    assert!(clamp_mss(&mut optioned, 1450));
    assert_eq!(optioned[60..62], 1410_u16.to_be_bytes());

    let mut extended = Ends::V6.framed(segment(SYN, &OPTIONS));
    extended.splice(54..54, [TCP, 0, 1, 4, 0, 0, 0, 0]);
    (extended[20], extended[19]) = (60, extended[19] + 8);
    assert!(clamp_mss(&mut extended, 1470));
    assert_eq!(extended[84..86], 1410_u16.to_be_bytes());
    assert_eq!(checksum(&[&Ends::V6.pseudo(40), &extended[62..]]), 0);
}

#[test]
fn fragments_tags_and_other_protocols_are_left_alone() {
    let whole = Ends::V4.framed(segment(SYN, &OPTIONS));
    let change = |change: fn(&mut Vec<u8>)| {
        let mut frame = whole.clone();
        change(&mut frame);
        let before = frame.clone();
        assert!(!clamp_mss(&mut frame, 500));
        assert_eq!(frame, before);
    };
    change(|frame| frame[20] = 0x20);
    change(|frame| frame[21] = 0x10);
    change(|frame| frame[23] = UDP);
    change(|frame| frame[12..14].copy_from_slice(&ARP.to_be_bytes()));
    change(|frame| drop(frame.splice(12..12, [0x81, 0, 0, 7])));
}

/// A SYN as smoltcp writes it, and its maximum segment size as smoltcp reads it.
fn smoltcp_syn(size: u16) -> Vec<u8> {
    let syn = TcpRepr {
        src_port: 40_000,
        dst_port: 80,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(7),
        ack_number: None,
        window_len: 64_000,
        window_scale: Some(7),
        max_seg_size: Some(size),
        sack_permitted: true,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let mut segment = vec![0; syn.buffer_len()];
    let caps = ChecksumCapabilities::default();
    syn.emit(&mut TcpPacket::new_unchecked(&mut segment), &HOST4.into(), &FAR4.into(), &caps);
    frame(MAC, HOST, IPV4, &ipv4(HOST4, FAR4, TCP, &segment))
}

fn smoltcp_size(frame: &[u8]) -> Option<u16> {
    let packet = TcpPacket::new_checked(&frame[34..]).unwrap();
    // Reading verifies the checksum.
    TcpRepr::parse(&packet, &HOST4.into(), &FAR4.into(), &ChecksumCapabilities::default()).unwrap().max_seg_size
}

proptest! {
    #[test]
    fn smoltcp_reads_the_smaller_of_what_was_said_and_what_fits(size in 1_u16.., mtu in 41_u16..) {
        let mut frame = smoltcp_syn(size);
        prop_assert_eq!(clamp_mss(&mut frame, mtu), size > mtu - 40);
        prop_assert_eq!(smoltcp_size(&frame), Some(size.min(mtu - 40)));
    }

    #[test]
    fn whatever_the_options_a_right_checksum_stays_right(
        words in prop::collection::vec(any::<[u8; 4]>(), 0..=10),
        nops in 0_usize..4,
        mtu: u16,
        flags: u8,
        v6: bool,
    ) {
        let ends = if v6 { Ends::V6 } else { Ends::V4 };
        let mut options = vec![1; nops];
        options.extend([2, 4, 0xff, 0xff]);
        options.extend(words.as_flattened());
        options.truncate(options.len().min(40) / 4 * 4);
        let before = ends.framed(segment(flags, &options));
        let mut after = before.clone();
        let changed = clamp_mss(&mut after, mtu);
        prop_assert_eq!(changed, before != after);
        prop_assert!(!changed || flags & SYN != 0);
        let at = ends.tcp_at();
        prop_assert_eq!(checksum(&[&ends.pseudo(after.len() - at), &after[at..]]), 0);
        let differing = (0..after.len()).filter(|&byte| before[byte] != after[byte]);
        let size_at = at + 20 + nops + 2;
        for byte in differing {
            prop_assert!([at + 16, at + 17, size_at, size_at + 1].contains(&byte));
        }
    }
}

//! Finishing a transport checksum in software, for a socket whose kernel or NIC does not.

use crate::frame::Frame;
use crate::simd::ones_complement_sum;
use crate::umem::Umem;

impl Umem {
    /// Does what the frame's checksum request asks, and clears it: sums from the request's start to the packet's end over
    /// all segments (the field holds the pseudo-header's sum) and puts the complement into the field. A sum that comes out
    /// as zero is written as all ones, its equal, because zero in UDP means "no checksum" (RFC 768).
    ///
    /// # Panics
    /// If the frame is of another memory.
    pub fn finish_checksum(&self, frame: &mut Frame) {
        let Some((start, field)) = frame.checksum_request() else {
            return;
        };
        let start = usize::from(start);
        let mut sum = 0;
        let mut odd = false;
        for (at, segment) in self.segments(frame).enumerate() {
            let piece = if at == 0 { &segment[start..] } else { segment };
            let part = ones_complement_sum(piece);
            sum += if odd { u64::from((part as u16).swap_bytes()) } else { part };
            odd ^= piece.len() % 2 == 1;
        }
        let checksum = match !fold(sum) {
            0 => 0xffff,
            sum => sum,
        };
        let field = start + usize::from(field);
        frame.bytes_mut()[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
        frame.clear_request();
    }
}

/// Folds the carries of a few 16-bit sums in.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use crate::{FrameSize, HugePages, Umem, UmemConfig, ones_complement_sum};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_finished_checksum_makes_the_whole_sum_all_ones(
            bytes in proptest::collection::vec(any::<u8>(), 60..9000),
            start in 0u16..40,
            seed: u16,
        ) {
            let config = UmemConfig { frames: 16, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
            let (umem, mut pool) = Umem::create(&config).unwrap();
            let mut frame = pool.write_packet(&bytes).unwrap();
            let at = usize::from(start) + 6;
            frame.bytes_mut()[at..at + 2].copy_from_slice(&seed.to_be_bytes());
            frame.request_checksum(start, 6).unwrap();
            umem.finish_checksum(&mut frame);
            prop_assert!(!frame.wants_checksum());
            let whole: Vec<u8> = umem.segments(&frame).flatten().copied().collect();
            // What was in the field is part of the sum, as a pseudo-header's would be: put it back in for the check.
            let sum = ones_complement_sum(&whole[usize::from(start)..]) + u64::from(seed);
            let folded = (sum & 0xffff) + (sum >> 16);
            prop_assert_eq!((folded & 0xffff) + (folded >> 16), 0xffff);
            pool.give(frame);
        }
    }
}

//! Bytes that tell where they are.
//!
//! A stream carries a long block of pseudo-random bytes over and over. The block's length is a prime, so
//! a segment that is lost, repeated, swapped or shifted by a frame's or a page's worth of bytes shows as
//! a difference, and not only one whose bytes were damaged.

/// Length of the block in bytes: the largest prime below 64 KiB.
const PERIOD: usize = 65_521;

/// A byte pattern and the place to compare against it.
pub(super) struct Pattern {
    /// The block twice in a row, so that a whole period can be had from any offset in one slice.
    twice: Vec<u8>,
}

impl Pattern {
    /// The pattern grown from `seed`; streams with different seeds cannot be taken for each other.
    pub(super) fn new(seed: u64) -> Self {
        // xorshift64*, which only has to look unlike traffic; a zero state would stay zero
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        let mut twice = Vec::with_capacity(PERIOD * 2);
        while twice.len() < PERIOD {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            twice.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        twice.truncate(PERIOD);
        twice.extend_from_within(..);
        Self { twice }
    }

    /// One period of bytes as they stand from `offset` of the stream on.
    pub(super) fn from(&self, offset: u64) -> &[u8] {
        let start = Self::phase(offset);
        &self.twice[start..start + PERIOD]
    }

    /// The offset of the first byte of `bytes` that is not what it should be, if `bytes` begins at
    /// `offset` of the stream.
    pub(super) fn first_difference(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = offset;
        for piece in bytes.chunks(PERIOD) {
            let expected = &self.from(at)[..piece.len()];
            if piece != expected {
                let within = piece.iter().zip(expected).take_while(|(got, want)| got == want).count();
                return Some(at + within as u64);
            }
            at += piece.len() as u64;
        }
        None
    }

    fn phase(offset: u64) -> usize {
        // the remainder is below PERIOD, which is a usize
        usize::try_from(offset % PERIOD as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_read_in_any_pieces_is_the_same_stream() {
        let pattern = Pattern::new(7);
        let whole: Vec<u8> = (0..3).flat_map(|period| pattern.from(period * PERIOD as u64).to_vec()).collect();
        for size in [1, 1448, 4096, PERIOD, PERIOD + 1, 150_000] {
            let mut offset = 0;
            for piece in whole.chunks(size) {
                assert_eq!(pattern.first_difference(offset, piece), None);
                offset += piece.len() as u64;
            }
        }
    }

    #[test]
    fn a_damaged_byte_is_found_where_it_is() {
        let pattern = Pattern::new(7);
        let mut bytes = pattern.from(1000).to_vec();
        bytes[4321] ^= 0x10;
        assert_eq!(pattern.first_difference(1000, &bytes), Some(5321));
    }

    #[test]
    fn segments_that_were_lost_or_swapped_do_not_pass() {
        let pattern = Pattern::new(7);
        for shift in [1, 64, 1448, 2048, 4096, 65_536] {
            assert!(pattern.first_difference(0, &pattern.from(shift)[..1448]).is_some(), "shift {shift}");
        }
    }

    #[test]
    fn two_streams_are_not_taken_for_each_other() {
        let (one, other) = (Pattern::new(1), Pattern::new(2));
        assert!(one.first_difference(0, other.from(0)).is_some());
    }
}

//! The Internet checksum's sum (RFC 1071), as fast as the processor adds.
//!
//! It is here and not beside the other checksums because choosing vector code at run time takes `unsafe`.

/// From these lengths on vectors pay, measured on a Sapphire Rapids core in bytes per nanosecond (scalar, AVX2, AVX-512):
/// 20, 21, 19 at 128 bytes; 23, 49, 53 at 512; 17, 51, 69 at 1,460; 15, 72, 96 at 3,840.
#[cfg(target_arch = "x86_64")]
const AVX2_FROM: usize = 128;
#[cfg(target_arch = "x86_64")]
const AVX512_FROM: usize = 512;

/// The one's complement sum of `bytes` as big-endian 16-bit words, an odd last byte padded with zero, folded to 16 bits.
///
/// It is zero only if every byte is. Sums of even-length pieces add up: add, then fold the carries in.
#[inline]
#[must_use]
pub fn ones_complement_sum(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // Both questions are answered from memory: the processor is asked once in a process.
        if bytes.len() >= AVX512_FROM && std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY:
            // * The processor has AVX-512F.
            return unsafe { avx512(bytes) };
        }
        if bytes.len() >= AVX2_FROM && std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY:
            // * The processor has AVX2.
            return unsafe { avx2(bytes) };
        }
    }
    scalar(bytes)
}

/// Native-endian sum of any size to a big-endian sum of 16 bits. One's complement addition does not care about the byte
/// order of its words (RFC 1071, 2(B)), so one swap at the end replaces one for each word.
#[inline]
fn finish(mut sum: u64) -> u64 {
    sum = (sum >> 32) + (sum & 0xffff_ffff);
    sum = (sum >> 32) + (sum & 0xffff_ffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    u64::from((sum as u16).to_be())
}

/// Adds with the carry going around.
#[inline]
fn add(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    sum + u64::from(carry)
}

#[inline]
fn scalar(bytes: &[u8]) -> u64 {
    finish(scalar_native(bytes))
}

#[inline]
fn scalar_native(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0, |sum, word| add(sum, u64::from_ne_bytes(*word)));
    // In pieces rather than through a padded copy, whose call costs a 20-byte header twice the rest of its sum.
    let (words, rest) = rest.as_chunks::<4>();
    let sum = words.iter().fold(sum, |sum, word| add(sum, u64::from(u32::from_ne_bytes(*word))));
    let (words, rest) = rest.as_chunks::<2>();
    let sum = words.iter().fold(sum, |sum, word| add(sum, u64::from(u16::from_ne_bytes(*word))));
    rest.iter().fold(sum, |sum, last| add(sum, u64::from(u16::from_ne_bytes([*last, 0]))))
}

/// Sums 32-bit halves of 64-bit lanes, so no carry is ever lost below 2^32 blocks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(bytes: &[u8]) -> u64 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_loadu_si256, _mm256_set1_epi64x, _mm256_setzero_si256,
        _mm256_srli_epi64, _mm256_storeu_si256,
    };
    let low = _mm256_set1_epi64x(0xffff_ffff);
    let mut sums = [_mm256_setzero_si256(); 4];
    let (blocks, rest) = bytes.as_chunks::<64>();
    for block in blocks {
        // SAFETY:
        // * Both loads read 32 bytes inside the 64 of `block`; they ask for no alignment.
        let (a, b): (__m256i, __m256i) =
            unsafe { (_mm256_loadu_si256(block.as_ptr().cast()), _mm256_loadu_si256(block.as_ptr().add(32).cast())) };
        sums[0] = _mm256_add_epi64(sums[0], _mm256_and_si256(a, low));
        sums[1] = _mm256_add_epi64(sums[1], _mm256_srli_epi64::<32>(a));
        sums[2] = _mm256_add_epi64(sums[2], _mm256_and_si256(b, low));
        sums[3] = _mm256_add_epi64(sums[3], _mm256_srli_epi64::<32>(b));
    }
    let sum = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
    let mut lanes = [0u64; 4];
    // SAFETY:
    // * `lanes` is 32 bytes of ours; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
    finish(lanes.into_iter().fold(scalar_native(rest), add))
}

/// As `avx2`, on registers twice as wide.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(bytes: &[u8]) -> u64 {
    use std::arch::x86_64::{
        _mm512_add_epi64, _mm512_and_si512, _mm512_loadu_si512, _mm512_set1_epi64, _mm512_setzero_si512,
        _mm512_srli_epi64, _mm512_storeu_si512,
    };
    let low = _mm512_set1_epi64(0xffff_ffff);
    let mut sums = [_mm512_setzero_si512(); 4];
    let (blocks, rest) = bytes.as_chunks::<128>();
    for block in blocks {
        // SAFETY:
        // * Both loads read 64 bytes inside the 128 of `block`; they ask for no alignment.
        let (a, b) =
            unsafe { (_mm512_loadu_si512(block.as_ptr().cast()), _mm512_loadu_si512(block.as_ptr().add(64).cast())) };
        sums[0] = _mm512_add_epi64(sums[0], _mm512_and_si512(a, low));
        sums[1] = _mm512_add_epi64(sums[1], _mm512_srli_epi64::<32>(a));
        sums[2] = _mm512_add_epi64(sums[2], _mm512_and_si512(b, low));
        sums[3] = _mm512_add_epi64(sums[3], _mm512_srli_epi64::<32>(b));
    }
    let sum = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
    let mut lanes = [0u64; 8];
    // SAFETY:
    // * `lanes` is 64 bytes of ours; the store asks for no alignment.
    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), sum) };
    finish(lanes.into_iter().fold(scalar_native(rest), add))
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071, word by word.
    fn naive(bytes: &[u8]) -> u64 {
        let mut sum = 0u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    }

    fn sample(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn every_short_length_at_every_alignment_agrees_with_the_naive_sum() {
        let bytes = sample(400);
        for start in 0..64 {
            for len in 0..=300 {
                let piece = &bytes[start..start + len];
                assert_eq!(ones_complement_sum(piece), naive(piece), "{len} bytes at {start}");
                assert_eq!(scalar(piece), naive(piece), "scalar: {len} bytes at {start}");
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn each_vector_loop_agrees_with_the_naive_sum_below_its_own_threshold_too() {
        let bytes = sample(1400);
        for len in (0..=300).chain([511, 512, 513, 1300]) {
            for start in [0, 1, 7, 63] {
                let piece = &bytes[start..start + len];
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY:
                    // * The processor has AVX2.
                    assert_eq!(unsafe { avx2(piece) }, naive(piece), "AVX2: {len} bytes at {start}");
                }
                if std::arch::is_x86_feature_detected!("avx512f") {
                    // SAFETY:
                    // * The processor has AVX-512F.
                    assert_eq!(unsafe { avx512(piece) }, naive(piece), "AVX-512: {len} bytes at {start}");
                }
            }
        }
    }

    #[test]
    fn all_ones_never_overflow() {
        for len in [64, 127, 1500, 9000, 65_535, 1 << 20] {
            let bytes = vec![0xff; len];
            assert_eq!(ones_complement_sum(&bytes), naive(&bytes), "{len}");
        }
    }

    #[test]
    fn zeroes_sum_to_zero_and_nothing_else_does() {
        assert_eq!(ones_complement_sum(&[0; 500]), 0);
        let mut bytes = vec![0; 500];
        bytes[499] = 1;
        assert_ne!(ones_complement_sum(&bytes), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_agree_with_the_naive_sum(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(ones_complement_sum(&bytes), naive(&bytes));
        }
    }
}

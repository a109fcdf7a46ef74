//! The one place where bytes become integers and back.
//!
//! Every offset is a const parameter checked against the header's length while compiling, so an accessor
//! cannot panic and compiles to one load. Run-time offsets were refused: each would need its own proof.

/// `M` bytes at offset `AT` of an `N`-byte header.
#[inline]
pub(crate) const fn bytes<const AT: usize, const M: usize, const N: usize>(header: &[u8; N]) -> [u8; M] {
    const { assert!(AT + M <= N, "the field lies outside the header") };
    let (_, tail) = header.split_at(AT);
    match tail.first_chunk::<M>() {
        Some(field) => *field,
        None => [0; M], // the assertion above rules it out; the optimiser knows
    }
}

/// Big-endian 16 bits at offset `AT`.
#[inline]
pub(crate) const fn be16<const AT: usize, const N: usize>(header: &[u8; N]) -> u16 {
    u16::from_be_bytes(bytes::<AT, 2, N>(header))
}

/// Big-endian 32 bits at offset `AT`.
#[inline]
pub(crate) const fn be32<const AT: usize, const N: usize>(header: &[u8; N]) -> u32 {
    u32::from_be_bytes(bytes::<AT, 4, N>(header))
}

/// Writes `M` bytes at offset `AT`.
#[inline]
pub(crate) fn put<const AT: usize, const M: usize, const N: usize>(header: &mut [u8; N], field: [u8; M]) {
    const { assert!(AT + M <= N, "the field lies outside the header") };
    if let Some(place) = header.get_mut(AT..AT + M) {
        place.copy_from_slice(&field);
    }
}

/// Writes 16 bits, big-endian, at offset `AT`.
#[inline]
pub(crate) fn put16<const AT: usize, const N: usize>(header: &mut [u8; N], value: u16) {
    put::<AT, 2, N>(header, value.to_be_bytes());
}

/// Writes 32 bits, big-endian, at offset `AT`.
#[inline]
pub(crate) fn put32<const AT: usize, const N: usize>(header: &mut [u8; N], value: u32) {
    put::<AT, 4, N>(header, value.to_be_bytes());
}

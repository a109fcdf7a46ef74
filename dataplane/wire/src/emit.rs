//! What every emitter shares: the buffer is long enough, or nothing is written and the caller is told by how much.

use core::fmt;

/// The buffer given to an `emit` is shorter than what has to be written. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// Bytes the emitter has to write.
    pub needed: usize,
    /// Bytes it was given.
    pub given: usize,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a header of {} bytes does not fit a buffer of {}: give a longer buffer", self.needed, self.given)
    }
}

impl core::error::Error for NoRoom {}

/// The first `N` bytes of `buffer`, to be written.
#[inline]
pub(crate) fn room<const N: usize>(buffer: &mut [u8]) -> Result<&mut [u8; N], NoRoom> {
    let given = buffer.len();
    buffer.first_chunk_mut::<N>().ok_or(NoRoom { needed: N, given })
}

/// The first `N` bytes of `buffer` and the `extra` bytes after them, to be written.
#[inline]
pub(crate) fn room_with<const N: usize>(buffer: &mut [u8], extra: usize) -> Result<(&mut [u8; N], &mut [u8]), NoRoom> {
    let given = buffer.len();
    let needed = N + extra;
    let no_room = NoRoom { needed, given };
    let whole = buffer.get_mut(..needed).ok_or(no_room)?;
    whole.split_first_chunk_mut::<N>().ok_or(no_room)
}

/// Up to 40 bytes of IPv4 or TCP options, a whole number of 32-bit words, as an emitter carries them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OptionBytes {
    bytes: [u8; OptionBytes::MAX],
    len: u8,
}

impl OptionBytes {
    /// The most that fits behind a 20-byte header whose length field counts to fifteen words.
    pub const MAX: usize = 40;
    /// No options.
    pub const NONE: Self = Self { bytes: [0; Self::MAX], len: 0 };

    /// Copies `options`, padded with zeros (end of options) to a whole word; `None` past 40 bytes.
    #[must_use]
    pub fn new(options: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..options.len())?.copy_from_slice(options);
        let len = options.len().next_multiple_of(4);
        Some(Self { bytes, len: u8::try_from(len).ok()? })
    }

    /// The options with their padding.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Their length in bytes: a multiple of four, at most 40.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for OptionBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl Default for OptionBytes {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_padded_to_a_word_and_bounded() {
        assert_eq!(OptionBytes::new(&[1, 2, 3]).unwrap().as_slice(), [1, 2, 3, 0]);
        assert_eq!(OptionBytes::new(&[7; 40]).unwrap().len(), 40);
        assert_eq!(OptionBytes::new(&[7; 41]), None);
        assert!(OptionBytes::default().is_empty());
    }

    #[test]
    fn a_short_buffer_is_told_by_how_much() {
        let error = room_with::<20>(&mut [0; 23], 4).unwrap_err();
        assert_eq!(error, NoRoom { needed: 24, given: 23 });
    }
}

//! What IGMPv3 and MLDv2 have in common (RFC 3376, RFC 3810): a querier's settings, and reports made of records, each
//! about one group and its sources. Only the width of an address differs: `N` is its length in bytes.

use crate::emit::{NoRoom, room_with};
use crate::field::{be16, bytes};
use crate::malformed::Malformed;

/// What a querier says about itself in a query of the newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Querier {
    /// Routers are not to restart their timers at this query (S flag).
    pub suppress: bool,
    /// How many lost packets it is prepared for (QRV), 3 bits.
    pub robustness: u8,
    /// Time between its general queries, seconds, encoded (QQIC).
    pub interval: u8,
}

impl Querier {
    pub(crate) const fn from_bytes([flags, interval]: [u8; 2]) -> Self {
        Self { suppress: flags & 8 != 0, robustness: flags & 7, interval }
    }

    pub(crate) const fn to_bytes(self) -> [u8; 2] {
        [(self.suppress as u8) << 3 | (self.robustness & 7), self.interval]
    }
}

/// What a record says of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct RecordKind(pub u8);

impl RecordKind {
    /// The group is wanted from the sources named.
    pub const IS_INCLUDE: Self = Self(1);
    /// The group is wanted from all but the sources named.
    pub const IS_EXCLUDE: Self = Self(2);
    /// From now on the group is wanted from the sources named; from none, to leave it.
    pub const TO_INCLUDE: Self = Self(3);
    /// From now on the group is wanted from all but the sources named; to join it.
    pub const TO_EXCLUDE: Self = Self(4);
    /// The sources named are wanted too.
    pub const ALLOW: Self = Self(5);
    /// The sources named are wanted no more.
    pub const BLOCK: Self = Self(6);
}

/// One group's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRecord<'a, const N: usize> {
    /// What is said.
    pub kind: RecordKind,
    /// The group's address, which nobody has checked to be one.
    pub group: [u8; N],
    /// The sources named.
    pub sources: &'a [[u8; N]],
}

impl<'a, const N: usize> GroupRecord<'a, N> {
    /// Length of a record without sources.
    pub const LEN: usize = 4 + N;

    /// Whether the sender is a member of the group after this, for who keeps no account of sources. `None` when that does not
    /// follow: sources that are no more wanted may have been all or some.
    #[must_use]
    pub const fn joins(&self) -> Option<bool> {
        match self.kind {
            RecordKind::IS_EXCLUDE | RecordKind::TO_EXCLUDE => Some(true),
            RecordKind::IS_INCLUDE | RecordKind::TO_INCLUDE => Some(!self.sources.is_empty()),
            RecordKind::ALLOW if !self.sources.is_empty() => Some(true),
            _ => None,
        }
    }

    /// The first record of `bytes` and what follows it; auxiliary data is passed over (RFC 3376, section 4.2.11).
    fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<4>()?;
        let (group, rest) = rest.split_first_chunk::<N>()?;
        let (sources, rest) = rest.split_at_checked(usize::from(be16::<2, _>(header)) * N)?;
        let rest = rest.get(usize::from(header[1]) * 4..)?;
        let (sources, _) = sources.as_chunks();
        Some((Self { kind: RecordKind(header[0]), group: *group, sources }, rest))
    }

    /// Writes the record, without auxiliary data, and returns its length. More than 65,535 sources are counted as that.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than that.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let sources = self.sources.as_flattened();
        let (header, rest) = room_with::<4>(buffer, N + sources.len())?;
        let [high, low] = u16::try_from(self.sources.len()).unwrap_or(u16::MAX).to_be_bytes();
        *header = [self.kind.0, 0, high, low];
        if let Some((group, rest)) = rest.split_first_chunk_mut::<N>() {
            *group = self.group;
            rest.copy_from_slice(sources);
        }
        Ok(Self::LEN + sources.len())
    }
}

/// Walks the records of a report; ends after the first error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecords<'a, const N: usize> {
    left: u16,
    rest: &'a [u8],
}

impl<'a, const N: usize> GroupRecords<'a, N> {
    const BAD: Malformed = if N == 4 { Malformed::IgmpBadRecord } else { Malformed::MldBadRecord };

    /// The first `count` records in `bytes`; what follows them is ignored (RFC 3376, section 4.2.11).
    #[must_use]
    pub const fn new(count: u16, bytes: &'a [u8]) -> Self {
        Self { left: count, rest: bytes }
    }

    /// The last four bytes of a report's header, and what follows it.
    pub(crate) const fn parse(header: [u8; 4], records: &'a [u8]) -> Self {
        Self::new(be16::<2, _>(&header), records)
    }

    /// What [`GroupRecords::parse`] takes.
    pub(crate) const fn to_parts(&self) -> ([u8; 4], &'a [u8]) {
        let [high, low] = self.left.to_be_bytes();
        ([0, 0, high, low], self.rest)
    }
}

impl<'a, const N: usize> Iterator for GroupRecords<'a, N> {
    type Item = Result<GroupRecord<'a, N>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let Some((record, rest)) = GroupRecord::take(self.rest) else {
            self.left = 0;
            return Some(Err(Self::BAD));
        };
        self.rest = rest;
        Some(Ok(record))
    }
}

/// A newer query's last part: the querier, and the sources it asks about, all there.
pub(crate) fn querier<const N: usize>(rest: &[u8]) -> Option<(Querier, &[[u8; N]])> {
    let (header, sources) = rest.split_first_chunk::<4>()?;
    let sources = sources.get(..usize::from(be16::<2, _>(header)) * N)?;
    Some((Querier::from_bytes(bytes::<0, 2, _>(header)), sources.as_chunks().0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn record(kind: RecordKind, sources: &[[u8; 4]]) -> GroupRecord<'_, 4> {
        GroupRecord { kind, group: [239, 0, 0, 1], sources }
    }

    #[test]
    fn who_is_a_member_follows_from_kind_and_sources() {
        let one = [[192, 0, 2, 1]];
        let joins = |kind| (record(kind, &[]).joins(), record(kind, &one).joins());
        assert_eq!(joins(RecordKind::IS_EXCLUDE), (Some(true), Some(true)));
        assert_eq!(joins(RecordKind::TO_EXCLUDE), (Some(true), Some(true)));
        assert_eq!(joins(RecordKind::IS_INCLUDE), (Some(false), Some(true)));
        assert_eq!(joins(RecordKind::TO_INCLUDE), (Some(false), Some(true)));
        assert_eq!(joins(RecordKind::ALLOW), (None, Some(true)));
        assert_eq!(joins(RecordKind::BLOCK), (None, None));
        assert_eq!(joins(RecordKind(7)), (None, None));
    }

    #[test]
    fn auxiliary_data_is_passed_over_and_the_count_ends_the_walk() {
        let first = [4, 2, 0, 0, 239, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9];
        let second = [3, 0, 0, 0, 239, 0, 0, 2];
        let bytes = [&first[..], &second, &second].concat();
        let kinds = |count| GroupRecords::<4>::new(count, &bytes).map(|record| record.map(|record| record.kind));
        let expected = [Ok(RecordKind::TO_EXCLUDE), Ok(RecordKind::TO_INCLUDE)];
        assert_eq!(kinds(2).collect::<Vec<_>>(), expected);
        assert_eq!(kinds(9).last(), Some(Err(Malformed::IgmpBadRecord)));
        assert_eq!(kinds(9).count(), 4);
        assert_eq!(GroupRecords::<16>::new(1, &bytes[..19]).next(), Some(Err(Malformed::MldBadRecord)));
    }
}

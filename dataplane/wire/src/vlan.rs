//! 802.1Q and 802.1ad tags: at most two, because a third is how loops and forged frames look.

use crate::emit::{NoRoom, room};
use crate::ethernet::EtherType;
use crate::field::{be16, put16};
use crate::malformed::Malformed;

/// The most tags a frame may carry.
pub const MAX_TAGS: usize = 2;

/// One VLAN tag: the control word that follows a tag's EtherType, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VlanTag {
    /// What marked the tag: [`EtherType::VLAN`] or [`EtherType::PROVIDER_VLAN`].
    pub protocol: EtherType,
    /// Priority code point, 0 to 7.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
    /// VLAN identifier, 0 to 4095; 0 means a priority and no VLAN, 4095 is reserved.
    pub id: u16,
}

impl VlanTag {
    /// Length of a tag on the wire: its EtherType and its control word.
    pub const LEN: usize = 4;

    /// Reads the control word and the next EtherType, which follow the EtherType `protocol`.
    ///
    /// # Errors
    /// [`Malformed::VlanTagTruncated`].
    #[inline]
    pub const fn parse(protocol: EtherType, bytes: &[u8]) -> Result<(Self, EtherType, &[u8]), Malformed> {
        match bytes.split_first_chunk::<4>() {
            Some((tag, payload)) => {
                let control = be16::<0, _>(tag);
                Ok((Self::from_control(protocol, control), EtherType(be16::<2, _>(tag)), payload))
            }
            None => Err(Malformed::VlanTagTruncated),
        }
    }

    /// The tag in a control word.
    #[inline]
    #[must_use]
    pub const fn from_control(protocol: EtherType, control: u16) -> Self {
        Self { protocol, priority: (control >> 13) as u8, drop_eligible: control & 0x1000 != 0, id: control & 0x0fff }
    }

    /// The control word; only the low 3 bits of the priority and 12 of the identifier fit.
    #[inline]
    #[must_use]
    pub const fn control(&self) -> u16 {
        ((self.priority as u16) << 13) | ((self.drop_eligible as u16) << 12) | (self.id & 0x0fff)
    }

    /// Writes the tag as it stands between the addresses and the next EtherType; returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`VlanTag::LEN`].
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let tag = room::<{ Self::LEN }>(buffer)?;
        put16::<0, _>(tag, self.protocol.0);
        put16::<2, _>(tag, self.control());
        Ok(Self::LEN)
    }
}

/// The tags of a frame, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VlanTags {
    /// The outer tag, or the only one.
    pub outer: Option<VlanTag>,
    /// The inner tag of two.
    pub inner: Option<VlanTag>,
}

impl VlanTags {
    /// Walks the tags after an Ethernet header; returns them, the EtherType after them, and the rest.
    ///
    /// # Errors
    /// [`Malformed::VlanTagTruncated`], [`Malformed::TooManyVlanTags`].
    #[inline]
    pub const fn parse(ethertype: EtherType, bytes: &[u8]) -> Result<(Self, EtherType, &[u8]), Malformed> {
        if !ethertype.is_vlan() {
            return Ok((Self { outer: None, inner: None }, ethertype, bytes));
        }
        let (outer, ethertype, bytes) = match VlanTag::parse(ethertype, bytes) {
            Ok(parsed) => parsed,
            Err(malformed) => return Err(malformed),
        };
        if !ethertype.is_vlan() {
            return Ok((Self { outer: Some(outer), inner: None }, ethertype, bytes));
        }
        let (inner, ethertype, bytes) = match VlanTag::parse(ethertype, bytes) {
            Ok(parsed) => parsed,
            Err(malformed) => return Err(malformed),
        };
        if ethertype.is_vlan() {
            return Err(Malformed::TooManyVlanTags);
        }
        Ok((Self { outer: Some(outer), inner: Some(inner) }, ethertype, bytes))
    }

    /// How many there are.
    #[inline]
    #[must_use]
    pub const fn count(&self) -> usize {
        self.outer.is_some() as usize + self.inner.is_some() as usize
    }

    /// The tags, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = VlanTag> + use<> {
        self.outer.into_iter().chain(self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_word_round_trips() {
        for control in 0..=u16::MAX {
            assert_eq!(VlanTag::from_control(EtherType::VLAN, control).control(), control);
        }
    }

    #[test]
    fn two_tags_are_walked_and_a_third_is_refused() {
        let bytes = [0x20, 0x64, 0x81, 0x00, 0x00, 0x07, 0x08, 0x00, 0xab];
        let (tags, next, rest) = VlanTags::parse(EtherType::PROVIDER_VLAN, &bytes).unwrap();
        assert_eq!(tags.iter().map(|tag| tag.id).collect::<std::vec::Vec<_>>(), [100, 7]);
        assert_eq!((tags.count(), next, rest), (2, EtherType::IPV4, &[0xab][..]));
        let looped = [0, 1, 0x81, 0, 0, 1, 0x81, 0, 0, 1, 0x81, 0];
        assert_eq!(VlanTags::parse(EtherType::VLAN, &looped), Err(Malformed::TooManyVlanTags));
        assert_eq!(VlanTags::parse(EtherType::VLAN, &bytes[..7]), Err(Malformed::VlanTagTruncated));
    }
}

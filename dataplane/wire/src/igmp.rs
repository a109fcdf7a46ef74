//! IGMP (RFC 1112, RFC 2236, RFC 3376): who listens to an IPv4 multicast group, in all three versions.

use crate::checksum;
use crate::emit::{NoRoom, room, room_with};
use crate::field::{bytes, put};
use crate::group_record::{self, GroupRecords, Querier};
use crate::malformed::Malformed;
use core::net::Ipv4Addr;

const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT_V3: u8 = 0x22;

/// An IGMP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Igmp<'a> {
    /// Who listens? And the sources it is about, each in the order of the wire.
    Query(IgmpQuery, &'a [[u8; 4]]),
    /// The sender listens to this group (version 1).
    ReportV1(Ipv4Addr),
    /// The sender listens to this group (version 2).
    ReportV2(Ipv4Addr),
    /// The sender listens to this group no more (version 2).
    Leave(Ipv4Addr),
    /// What the sender listens to, and from whom (version 3).
    ReportV3(GroupRecords<'a, 4>),
}

/// A querier's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IgmpQuery {
    /// The group it is about; unspecified to ask about all.
    pub group: Ipv4Addr,
    /// Within what time to answer, tenths of a second, encoded by version 3 from 128 up; zero in version 1.
    pub max_response: u8,
    /// What a querier of version 3 says about itself.
    pub querier: Option<Querier>,
}

impl<'a> Igmp<'a> {
    /// Length of a message of version 1 or 2, and of the part that all messages have.
    pub const LEN: usize = 8;
    /// Length of a query of version 3 without sources.
    pub const QUERY_LEN: usize = 12;

    /// Reads a message, which is all that an IPv4 packet carries. `Ok(None)` when the type is another: multicast routers
    /// have more. The checksum is not looked at, see [`checksum::verify_igmp`]; records are read as they are walked.
    ///
    /// # Errors
    /// Any `Malformed::Igmp…` but those of records and checksum.
    pub fn parse(message: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let (header, rest) = message.split_first_chunk::<{ Igmp::LEN }>().ok_or(Malformed::IgmpTruncated)?;
        let group = Ipv4Addr::from_octets(bytes::<4, 4, _>(header));
        let named = match group.is_multicast() {
            true => Ok(group),
            false => Err(Malformed::IgmpNotAGroup),
        };
        Ok(Some(match header[0] {
            QUERY if group.is_unspecified() => Self::query(group, header[1], rest)?,
            QUERY => Self::query(named?, header[1], rest)?,
            REPORT_V1 => Self::ReportV1(named?),
            REPORT_V2 => Self::ReportV2(named?),
            LEAVE => Self::Leave(named?),
            REPORT_V3 => Self::ReportV3(GroupRecords::parse(bytes::<4, 4, _>(header), rest)),
            _ => return Ok(None),
        }))
    }

    /// The version is told by the length (RFC 3376, section 7.1).
    fn query(group: Ipv4Addr, max_response: u8, rest: &'a [u8]) -> Result<Self, Malformed> {
        let (querier, sources) = match rest.len() {
            0 => (None, &[][..]),
            1..4 => return Err(Malformed::IgmpBadQueryLength),
            _ => {
                let (querier, sources) = group_record::querier(rest).ok_or(Malformed::IgmpTruncated)?;
                (Some(querier), sources)
            }
        };
        Ok(Self::Query(IgmpQuery { group, max_response, querier }, sources))
    }

    /// Writes the message, checksum zero, and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than that.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let (kind, group) = match self {
            Self::Query(query, sources) => return query.emit(sources, buffer),
            Self::ReportV3(records) => {
                let (counted, bytes) = records.to_parts();
                let (header, rest) = room_with::<{ Igmp::LEN }>(buffer, bytes.len())?;
                put::<0, 4, _>(header, [REPORT_V3, 0, 0, 0]);
                put::<4, 4, _>(header, counted);
                rest.copy_from_slice(bytes);
                return Ok(Igmp::LEN + bytes.len());
            }
            Self::ReportV1(group) => (REPORT_V1, group),
            Self::ReportV2(group) => (REPORT_V2, group),
            Self::Leave(group) => (LEAVE, group),
        };
        let message = room::<{ Igmp::LEN }>(buffer)?;
        put::<0, 4, _>(message, [kind, 0, 0, 0]);
        put::<4, 4, _>(message, group.octets());
        Ok(Igmp::LEN)
    }
}

impl IgmpQuery {
    /// Whether all groups are asked about, by which routers and snooping switches know the querier.
    #[must_use]
    pub const fn is_general(&self) -> bool {
        self.group.is_unspecified()
    }

    fn emit(&self, sources: &[[u8; 4]], buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let flat = sources.as_flattened();
        let extra = if self.querier.is_some() { 4 + flat.len() } else { 0 };
        let (header, rest) = room_with::<{ Igmp::LEN }>(buffer, extra)?;
        put::<0, 4, _>(header, [QUERY, self.max_response, 0, 0]);
        put::<4, 4, _>(header, self.group.octets());
        if let (Some(querier), Some((settings, rest))) = (self.querier, rest.split_first_chunk_mut::<4>()) {
            put::<0, 2, _>(settings, querier.to_bytes());
            put::<2, 2, _>(settings, u16::try_from(sources.len()).unwrap_or(u16::MAX).to_be_bytes());
            rest.copy_from_slice(flat);
        }
        Ok(Igmp::LEN + extra)
    }
}

/// Offset of the checksum field, which covers the whole message.
pub const CHECKSUM_AT: usize = 2;

/// Writes the checksum of a whole message.
pub fn fill_checksum(message: &mut [u8]) {
    if let Some(header) = message.first_chunk_mut::<{ Igmp::LEN }>() {
        put::<CHECKSUM_AT, 2, _>(header, [0; 2]);
        let checksum = checksum::sum(message).finish();
        if let Some(header) = message.first_chunk_mut::<{ Igmp::LEN }>() {
            put::<CHECKSUM_AT, 2, _>(header, checksum.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group_record::{GroupRecord, RecordKind};

    /// As Linux leaves 239.1.2.3 with version 3: a change to "include nothing".
    const LEAVE_V3: [u8; 16] = [0x22, 0, 0xe9, 0xf9, 0, 0, 0, 1, 3, 0, 0, 0, 239, 1, 2, 3];

    #[test]
    fn a_report_of_version_3_reads_as_sent() {
        assert_eq!(checksum::verify_igmp(&LEAVE_V3), Ok(()));
        let Ok(Some(Igmp::ReportV3(mut records))) = Igmp::parse(&LEAVE_V3) else {
            panic!("no report");
        };
        let record = GroupRecord { kind: RecordKind::TO_INCLUDE, group: [239, 1, 2, 3], sources: &[] };
        assert_eq!((records.next(), records.next()), (Some(Ok(record)), None));
    }

    #[test]
    fn the_older_messages_name_their_group() {
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let message = |kind: u8| [kind, 0, 0, 0, 239, 1, 2, 3];
        assert_eq!(Igmp::parse(&message(0x12)), Ok(Some(Igmp::ReportV1(group))));
        assert_eq!(Igmp::parse(&message(0x16)), Ok(Some(Igmp::ReportV2(group))));
        assert_eq!(Igmp::parse(&message(0x17)), Ok(Some(Igmp::Leave(group))));
        assert_eq!(Igmp::parse(&message(0x13)), Ok(None), "DVMRP");
    }

    #[test]
    fn a_query_s_length_tells_its_version() {
        let general = [0x11, 100, 0, 0, 0, 0, 0, 0, 0x0a, 125, 0, 1, 192, 0, 2, 1];
        let Ok(Some(Igmp::Query(query, sources))) = Igmp::parse(&general) else {
            panic!("no query");
        };
        assert!(query.is_general() && sources == [[192, 0, 2, 1]]);
        assert_eq!(query.querier, Some(Querier { suppress: true, robustness: 2, interval: 125 }));
        let older = Igmp::parse(&general[..8]);
        assert!(matches!(older, Ok(Some(Igmp::Query(IgmpQuery { querier: None, max_response: 100, .. }, [])))));
        assert_eq!(Igmp::parse(&general[..11]), Err(Malformed::IgmpBadQueryLength));
        assert_eq!(Igmp::parse(&general[..15]), Err(Malformed::IgmpTruncated));
        assert_eq!(Igmp::parse(&general[..7]), Err(Malformed::IgmpTruncated));
    }

    #[test]
    fn what_is_no_group_is_refused() {
        for kind in [0x11, 0x12, 0x16, 0x17] {
            assert_eq!(Igmp::parse(&[kind, 0, 0, 0, 10, 0, 0, 1]), Err(Malformed::IgmpNotAGroup));
        }
    }

    #[test]
    fn the_checksum_is_written_and_verified() {
        let mut message = LEAVE_V3;
        message[2..4].fill(0xaa);
        assert_eq!(checksum::verify_igmp(&message), Err(Malformed::IgmpBadChecksum));
        fill_checksum(&mut message);
        assert_eq!(message, LEAVE_V3);
    }
}

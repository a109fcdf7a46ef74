//! Multicast listener discovery (RFC 2710, RFC 3810): who listens to an IPv6 multicast group, in both versions. It is a
//! part of ICMPv6.

use crate::emit::{NoRoom, room_with};
use crate::field::{be16, put, put16};
use crate::group_record::{self, GroupRecords, Querier};
use crate::icmpv6::{Icmpv6, Icmpv6Type};
use crate::malformed::Malformed;
use core::net::Ipv6Addr;

/// A multicast listener discovery message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mld<'a> {
    /// Who listens? And the sources it is about, each in the order of the wire.
    Query(MldQuery, &'a [[u8; 16]]),
    /// The sender listens to this group (version 1).
    Report(Ipv6Addr),
    /// The sender listens to this group no more (version 1).
    Done(Ipv6Addr),
    /// What the sender listens to, and from whom (version 2).
    ReportV2(GroupRecords<'a, 16>),
}

/// A querier's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MldQuery {
    /// The group it is about; unspecified to ask about all.
    pub group: Ipv6Addr,
    /// Within what time to answer, milliseconds, encoded by version 2 from 32,768 up.
    pub max_response: u16,
    /// What a querier of version 2 says about itself.
    pub querier: Option<Querier>,
}

impl<'a> Mld<'a> {
    /// Length of a message of version 1, its ICMPv6 header included.
    pub const LEN: usize = 24;
    /// Length of a query of version 2 without sources, its ICMPv6 header included.
    pub const QUERY_LEN: usize = 28;

    /// Reads a message from its ICMPv6 header and body. `Ok(None)` when the type is another.
    ///
    /// The hop limit must be 1 (RFC 3810, section 6.2). The checksum, the source's scope and the Router Alert option
    /// are the caller's to look at; records are read as they are walked.
    ///
    /// # Errors
    /// Any `Malformed::Mld…` but the one of records.
    pub fn parse(hop_limit: u8, icmp: Icmpv6<'_>, body: &'a [u8]) -> Result<Option<Self>, Malformed> {
        if !icmp.kind().is_listener_discovery() {
            return Ok(None);
        }
        if hop_limit != 1 {
            return Err(Malformed::MldBadHopLimit);
        }
        if icmp.kind() == Icmpv6Type::LISTENER_REPORT_V2 {
            return Ok(Some(Self::ReportV2(GroupRecords::parse(icmp.rest(), body))));
        }
        let (group, rest) = body.split_first_chunk().ok_or(Malformed::MldTruncated)?;
        let group = Ipv6Addr::from_octets(*group);
        let general = icmp.kind() == Icmpv6Type::LISTENER_QUERY && group.is_unspecified();
        if !general && !group.is_multicast() {
            return Err(Malformed::MldNotAGroup);
        }
        match icmp.kind() {
            Icmpv6Type::LISTENER_QUERY => Self::query(group, be16::<0, _>(&icmp.rest()), rest).map(Some),
            Icmpv6Type::LISTENER_REPORT => Ok(Some(Self::Report(group))),
            _ => Ok(Some(Self::Done(group))),
        }
    }

    /// The version is told by the length (RFC 3810, section 8.1).
    fn query(group: Ipv6Addr, max_response: u16, rest: &'a [u8]) -> Result<Self, Malformed> {
        let (querier, sources) = match rest.len() {
            0 => (None, &[][..]),
            1..4 => return Err(Malformed::MldBadQueryLength),
            _ => {
                let (querier, sources) = group_record::querier(rest).ok_or(Malformed::MldTruncated)?;
                (Some(querier), sources)
            }
        };
        Ok(Self::Query(MldQuery { group, max_response, querier }, sources))
    }

    /// Writes the message with its ICMPv6 header, checksum zero, and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than that.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let (kind, group) = match self {
            Self::Query(query, sources) => return query.emit(sources, buffer),
            Self::ReportV2(records) => {
                let (counted, bytes) = records.to_parts();
                let (header, rest) = room_with::<{ Icmpv6::LEN }>(buffer, bytes.len())?;
                put::<0, 4, _>(header, [Icmpv6Type::LISTENER_REPORT_V2.0, 0, 0, 0]);
                put::<4, 4, _>(header, counted);
                rest.copy_from_slice(bytes);
                return Ok(Icmpv6::LEN + bytes.len());
            }
            Self::Report(group) => (Icmpv6Type::LISTENER_REPORT, group),
            Self::Done(group) => (Icmpv6Type::LISTENER_DONE, group),
        };
        let (message, _) = room_with::<{ Mld::LEN }>(buffer, 0)?;
        put::<0, 8, _>(message, [kind.0, 0, 0, 0, 0, 0, 0, 0]);
        put::<8, 16, _>(message, group.octets());
        Ok(Mld::LEN)
    }
}

impl MldQuery {
    /// Whether all groups are asked about, by which routers and snooping switches know the querier.
    #[must_use]
    pub const fn is_general(&self) -> bool {
        self.group.is_unspecified()
    }

    fn emit(&self, sources: &[[u8; 16]], buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let flat = sources.as_flattened();
        let extra = if self.querier.is_some() { 4 + flat.len() } else { 0 };
        let (header, rest) = room_with::<{ Mld::LEN }>(buffer, extra)?;
        put::<0, 8, _>(header, [Icmpv6Type::LISTENER_QUERY.0, 0, 0, 0, 0, 0, 0, 0]);
        put16::<4, _>(header, self.max_response);
        put::<8, 16, _>(header, self.group.octets());
        if let (Some(querier), Some((settings, rest))) = (self.querier, rest.split_first_chunk_mut::<4>()) {
            put::<0, 2, _>(settings, querier.to_bytes());
            put16::<2, _>(settings, u16::try_from(sources.len()).unwrap_or(u16::MAX));
            rest.copy_from_slice(flat);
        }
        Ok(Mld::LEN + extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group_record::{GroupRecord, RecordKind};

    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x1234);

    fn parse(hop_limit: u8, message: &[u8]) -> Result<Option<Mld<'_>>, Malformed> {
        let (icmp, body) = Icmpv6::parse(message)?;
        Mld::parse(hop_limit, icmp, body)
    }

    fn written(message: &Mld<'_>) -> std::vec::Vec<u8> {
        let mut buffer = [0xa5; 80];
        let len = message.emit(&mut buffer).unwrap();
        buffer[..len].to_vec()
    }

    #[test]
    fn a_report_of_version_2_reads_as_sent() {
        let record = GroupRecord { kind: RecordKind::TO_EXCLUDE, group: GROUP.octets(), sources: &[] };
        let mut message = [0; 28];
        message[..8].copy_from_slice(&[143, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(record.emit(&mut message[8..]), Ok(20));
        let Ok(Some(Mld::ReportV2(mut records))) = parse(1, &message) else {
            panic!("no report");
        };
        assert_eq!((records.next(), records.next()), (Some(Ok(record)), None));
    }

    #[test]
    fn the_older_messages_name_their_group() {
        for message in [Mld::Report(GROUP), Mld::Done(GROUP)] {
            assert_eq!(parse(1, &written(&message)), Ok(Some(message)));
        }
        assert_eq!(parse(1, &[128, 0, 0, 0, 0, 0, 0, 0]), Ok(None), "an echo");
    }

    #[test]
    fn a_query_s_length_tells_its_version() {
        let querier = Some(Querier { suppress: false, robustness: 2, interval: 125 });
        let query = MldQuery { group: Ipv6Addr::UNSPECIFIED, max_response: 10_000, querier };
        assert!(query.is_general());
        let message = written(&Mld::Query(query, &[]));
        assert_eq!(message.len(), Mld::QUERY_LEN);
        assert_eq!(parse(1, &message), Ok(Some(Mld::Query(query, &[]))));
        let older = Mld::Query(MldQuery { querier: None, ..query }, &[]);
        assert_eq!(parse(1, &message[..24]), Ok(Some(older)));
        assert_eq!(parse(1, &message[..27]), Err(Malformed::MldBadQueryLength));
        assert_eq!(parse(1, &message[..23]), Err(Malformed::MldTruncated));
    }

    #[test]
    fn what_comes_from_afar_or_is_no_group_is_refused() {
        let report = written(&Mld::Report(GROUP));
        assert_eq!(parse(64, &report), Err(Malformed::MldBadHopLimit));
        let host = written(&Mld::Report(Ipv6Addr::LOCALHOST));
        assert_eq!(parse(1, &host), Err(Malformed::MldNotAGroup));
        let everything = written(&Mld::Done(Ipv6Addr::UNSPECIFIED));
        assert_eq!(parse(1, &everything), Err(Malformed::MldNotAGroup));
    }
}

//! Who joins and leaves, in every version of IGMP and MLD, and who is believed (RFC 4541).

use podlane_wire::{GroupRecord, GroupRecords, Igmp, IgmpQuery, Mld, MldQuery, Querier, RecordKind, igmp};
use smoltcp::wire::{IgmpPacket, IgmpRepr};

use super::*;

const IGMP: u8 = 2;
const GROUP4: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x1234);
const NEAR: Ipv6Addr = HOST.link_local();

type Told = Vec<(IpAddr, bool)>;

fn snooped(frame: &[u8]) -> Option<(Snooped, Told)> {
    let mut told = Told::new();
    let kind = membership(frame, |group, joins| told.push((group, joins)));
    assert!(kind == Some(Snooped::Report) || told.is_empty(), "what is no report tells nothing");
    kind.map(|kind| (kind, told))
}

fn report(told: &[(IpAddr, bool)]) -> Option<(Snooped, Told)> {
    Some((Snooped::Report, told.to_vec()))
}

fn querier() -> Option<(Snooped, Told)> {
    Some((Snooped::Querier, Told::new()))
}

fn igmp_frame(from: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let group = Ipv4Addr::new(224, 0, 0, 22);
    frame(MacAddr::of_ipv4_multicast(group), HOST, IPV4, &ipv4(from, group, IGMP, message))
}

pub(super) fn igmp(message: &Igmp<'_>) -> Vec<u8> {
    let mut bytes = [0; 200];
    let len = message.emit(&mut bytes).unwrap();
    igmp::fill_checksum(&mut bytes[..len]);
    igmp_frame(HOST4, &bytes[..len])
}

/// What an MLD message travels in.
struct Envelope {
    from: Ipv6Addr,
    hops: u8,
    /// The hop-by-hop header, if any.
    extension: Vec<u8>,
}

impl Envelope {
    fn right() -> Self {
        Self { from: NEAR, hops: 1, extension: vec![ICMPV6, 0, 5, 2, 0, 0, 1, 0] }
    }

    fn of(&self, message: &Mld<'_>) -> Vec<u8> {
        let mut bytes = [0; 200];
        let len = message.emit(&mut bytes).unwrap();
        let to: Ipv6Addr = "ff02::16".parse().unwrap();
        let message = icmpv6(self.from, to, bytes[0], &bytes[4..len]);
        let next = if self.extension.is_empty() { ICMPV6 } else { 0 };
        let payload = [&self.extension[..], &message].concat();
        frame(MacAddr::of_ipv6_multicast(to), HOST, IPV6, &ipv6(self.from, to, (next, self.hops), &payload))
    }
}

pub(super) fn mld(message: &Mld<'_>) -> Vec<u8> {
    Envelope::right().of(message)
}

/// The records of a report of the newer version.
fn records<const N: usize>(records: &[GroupRecord<'_, N>]) -> Vec<u8> {
    let mut bytes = vec![0; 150];
    let len = records.iter().fold(0, |at, record| at + record.emit(&mut bytes[at..]).unwrap());
    bytes.truncate(len);
    bytes
}

#[test]
fn the_older_igmp_joins_and_leaves_one_group() {
    for (message, joins) in
        [(Igmp::ReportV1(GROUP4), true), (Igmp::ReportV2(GROUP4), true), (Igmp::Leave(GROUP4), false)]
    {
        assert_eq!(snooped(&igmp(&message)), report(&[(GROUP4.into(), joins)]));
    }
}

#[test]
fn what_smoltcp_says_is_understood() {
    let joins = |version| IgmpRepr::MembershipReport { group_addr: GROUP4, version };
    for (message, joins) in [
        (joins(smoltcp::wire::IgmpVersion::Version1), true),
        (joins(smoltcp::wire::IgmpVersion::Version2), true),
        (IgmpRepr::LeaveGroup { group_addr: GROUP4 }, false),
    ] {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut IgmpPacket::new_unchecked(&mut bytes));
        assert_eq!(snooped(&igmp_frame(HOST4, &bytes)), report(&[(GROUP4.into(), joins)]));
    }
}

#[test]
fn the_older_mld_joins_and_leaves_one_group() {
    assert_eq!(snooped(&mld(&Mld::Report(GROUP6))), report(&[(GROUP6.into(), true)]));
    assert_eq!(snooped(&mld(&Mld::Done(GROUP6))), report(&[(GROUP6.into(), false)]));
}

#[test]
fn a_newer_report_names_many_groups_and_sources_make_members() {
    let group = |last| [239, 1, 2, last];
    let source = [[192, 0, 2, 1]];
    let bytes = records(&[
        GroupRecord { kind: RecordKind::TO_EXCLUDE, group: group(1), sources: &[] },
        GroupRecord { kind: RecordKind::TO_INCLUDE, group: group(2), sources: &[] },
        GroupRecord { kind: RecordKind::IS_INCLUDE, group: group(3), sources: &source },
        GroupRecord { kind: RecordKind::BLOCK, group: group(4), sources: &source },
        GroupRecord { kind: RecordKind::ALLOW, group: group(5), sources: &source },
        GroupRecord { kind: RecordKind::IS_EXCLUDE, group: [10, 1, 0, 9], sources: &[] },
    ]);
    let told = [(group(1), true), (group(2), false), (group(3), true), (group(5), true)];
    let told = told.map(|(group, joins)| (IpAddr::from(group), joins));
    assert_eq!(snooped(&igmp(&Igmp::ReportV3(GroupRecords::new(6, &bytes)))), report(&told));
    let bent = Igmp::ReportV3(GroupRecords::new(7, &bytes));
    assert_eq!(snooped(&igmp(&bent)), None, "a report is told whole or not at all");

    let bytes = records(&[
        GroupRecord { kind: RecordKind::IS_EXCLUDE, group: GROUP6.octets(), sources: &[] },
        GroupRecord { kind: RecordKind::TO_INCLUDE, group: GROUP6.octets(), sources: &[] },
    ]);
    let told = [(GROUP6.into(), true), (GROUP6.into(), false)];
    assert_eq!(snooped(&mld(&Mld::ReportV2(GroupRecords::new(2, &bytes)))), report(&told));
}

#[test]
fn groups_that_everyone_gets_are_not_told() {
    let mdns = Ipv4Addr::new(224, 0, 0, 251);
    assert_eq!(snooped(&igmp(&Igmp::ReportV2(mdns))), report(&[]));
    assert!(always_flooded(mdns.into()) && !always_flooded(Ipv4Addr::new(224, 0, 1, 251).into()));
    for (group, everyone) in [("ff02::1", true), ("ff01::5", true), ("ff02::fb", false), ("ff02::1:ff00:9", false)] {
        let group: Ipv6Addr = group.parse().unwrap();
        assert_eq!(always_flooded(group.into()), everyone, "{group}");
        let told = if everyone { vec![] } else { vec![(group.into(), true)] };
        assert_eq!(snooped(&mld(&Mld::Report(group))), report(&told));
    }
    assert!(!always_flooded(HOST4.into()) && !always_flooded(HOST6.into()));
}

#[test]
fn a_general_query_shows_a_querier_and_no_other_does() {
    for settings in [None, Some(Querier { suppress: false, robustness: 2, interval: 125 })] {
        let query = |group| IgmpQuery { group, max_response: 100, querier: settings };
        assert_eq!(snooped(&igmp(&Igmp::Query(query(Ipv4Addr::UNSPECIFIED), &[]))), querier());
        assert_eq!(snooped(&igmp(&Igmp::Query(query(GROUP4), &[]))), None);
        let query = |group| MldQuery { group, max_response: 10_000, querier: settings };
        assert_eq!(snooped(&mld(&Mld::Query(query(Ipv6Addr::UNSPECIFIED), &[]))), querier());
        assert_eq!(snooped(&mld(&Mld::Query(query(GROUP6), &[]))), None);
    }
    let mut proxy = igmp(&Igmp::Query(IgmpQuery { group: Ipv4Addr::UNSPECIFIED, max_response: 1, querier: None }, &[]));
    proxy[26..30].fill(0);
    resum4(&mut proxy[14..]);
    assert_eq!(snooped(&proxy), None, "asked from no address");
}

#[test]
fn mld_that_may_come_from_afar_is_not_believed() {
    let said = Mld::Report(GROUP6);
    let told = |envelope: &Envelope| snooped(&envelope.of(&said));
    let good = report(&[(GROUP6.into(), true)]);
    assert_eq!(told(&Envelope { from: Ipv6Addr::UNSPECIFIED, ..Envelope::right() }), good, "no address yet");
    let padded = vec![ICMPV6, 1, 0, 1, 1, 0, 5, 2, 0, 0, 1, 4, 0, 0, 0, 0];
    assert_eq!(told(&Envelope { extension: padded, ..Envelope::right() }), good);
    assert_eq!(told(&Envelope { from: HOST6, ..Envelope::right() }), None);
    assert_eq!(told(&Envelope { hops: 2, ..Envelope::right() }), None);
    for extension in [
        vec![],
        vec![ICMPV6, 0, 1, 4, 0, 0, 0, 0],
        vec![ICMPV6, 0, 5, 2, 0, 1, 1, 0], // an alert about RSVP
        vec![ICMPV6, 0, 1, 4, 5, 2, 0, 0], // inside another option
        vec![ICMPV6, 0, 1, 9, 5, 2, 0, 0],
    ] {
        assert_eq!(told(&Envelope { extension, ..Envelope::right() }), None);
    }
    let query = Mld::Query(MldQuery { group: Ipv6Addr::UNSPECIFIED, max_response: 1, querier: None }, &[]);
    for from in [HOST6, Ipv6Addr::UNSPECIFIED] {
        assert_eq!(snooped(&Envelope { from, ..Envelope::right() }.of(&query)), None);
    }
}

#[test]
fn a_flipped_bit_or_a_missing_end_is_noticed() {
    let (igmp, mld) = (igmp(&Igmp::ReportV2(GROUP4)), mld(&Mld::Report(GROUP6)));
    for (good, from) in [(&igmp, 14), (&mld, 14 + 40 + 8)] {
        for at in from..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(snooped(&bad), None, "byte {at}");
        }
        for len in 0..good.len() {
            assert_eq!(snooped(&good[..len]), None, "{len} bytes");
        }
        let mut tagged = good.clone();
        tagged.splice(12..12, [0x81, 0, 0, 7]);
        assert_eq!(snooped(&tagged), None);
    }
    assert_eq!(snooped(&echo::ping4(8)), None);
    assert_eq!(snooped(&echo::ping6(8)), None);
}

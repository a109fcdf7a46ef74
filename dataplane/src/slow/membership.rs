//! Snooping: which groups the stations of a port listen to, from their IGMP and MLD (RFC 4541).
//!
//! A snooping switch believes nothing that is not whole and right in every checksum (RFC 4541, section 2.1.1), and no MLD
//! that a router may have forwarded: hop limit 1, the Router Alert option and a link-local source are demanded of it (RFC
//! 3810, section 6.2), an unspecified source allowed in what is not a query (RFC 3590, section 4). No account is kept of
//! sources: a station that wants a group from some sources only is its member.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_wire::{
    GroupRecords, Icmpv6, Igmp, IpProtocol, Ipv6, Malformed, Mld, Network, Packet, Transport, checksum,
};

/// What a message about memberships came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snooped {
    /// A station told what it listens to, or no longer does.
    Report,
    /// A querier asked everyone: behind its port is a multicast router, or one who stands in for it.
    Querier,
}

/// Whether a group's packets go to every port, whoever reported it: the link-local groups of IPv4 (RFC 4541, section 2.1.2),
/// and those of IPv6 that nobody reports (RFC 3810, section 6), all nodes first.
#[must_use]
pub fn always_flooded(group: IpAddr) -> bool {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    match group {
        IpAddr::V4(v4) => matches!(v4.octets(), [224, 0, 0, _]),
        IpAddr::V6(v6) => v6 == ALL_NODES || v6.is_multicast() && v6.segments()[0] & 0x000f <= 1,
    }
}

/// Reads an untagged frame's IGMP or MLD message, and tells each group that it is about to `member`, with whether the
/// sender is a member of it from now on.
///
/// A report is told whole or not at all. It may name as many groups as the frame has room for, some 180 in 1,500 bytes;
/// how many are kept is the caller's to bound. Not told are groups that are [`always_flooded`], addresses that are none,
/// and records from which no membership follows (sources blocked: the sender may still want others, and if not, its membership
/// runs out). `None` for everything else, queries for one group among it.
pub fn membership(frame: &[u8], mut member: impl FnMut(IpAddr, bool)) -> Option<Snooped> {
    let packet = Packet::parse(frame).ok()?;
    if packet.tags.count() != 0 || packet.is_fragment() {
        return None;
    }
    let tell = &mut |group: IpAddr, joins| {
        if group.is_multicast() && !always_flooded(group) {
            member(group, joins);
        }
    };
    let message = frame.get(packet.transport_at..packet.payload.end)?;
    match (packet.network, packet.transport) {
        (Network::Ipv4(ipv4), Transport::Other(IpProtocol::IGMP)) => {
            ipv4.verify_checksum().ok()?;
            checksum::verify_igmp(message).ok()?;
            igmp(Igmp::parse(message).ok()??, ipv4.source(), tell)
        }
        (Network::Ipv6(ipv6, upper), Transport::Icmpv6(icmp)) => {
            let extensions = frame.get(packet.network_at + Ipv6::LEN..packet.transport_at)?;
            let alerts = ipv6.next_header() == IpProtocol::HOP_BY_HOP && has_router_alert(extensions);
            let pseudo = ipv6.pseudo(IpProtocol::ICMPV6, message.len() as u32);
            checksum::verify_icmpv6(pseudo, message).ok()?;
            let body = upper.payload.get(Icmpv6::LEN..)?;
            let said = Mld::parse(ipv6.hop_limit(), icmp, body).ok()??;
            if alerts { mld(&said, ipv6.source(), tell) } else { None }
        }
        _ => None,
    }
}

fn igmp(said: Igmp<'_>, source: Ipv4Addr, tell: &mut impl FnMut(IpAddr, bool)) -> Option<Snooped> {
    match said {
        // A switch that stands in for a querier asks from no address and is no router (RFC 4541, section 2.1.1).
        Igmp::Query(query, _) => return (query.is_general() && !source.is_unspecified()).then_some(Snooped::Querier),
        Igmp::ReportV1(group) | Igmp::ReportV2(group) => tell(group.into(), true),
        Igmp::Leave(group) => tell(group.into(), false),
        Igmp::ReportV3(records) => each(&records, tell).ok()?,
    }
    Some(Snooped::Report)
}

fn mld(said: &Mld<'_>, source: Ipv6Addr, tell: &mut impl FnMut(IpAddr, bool)) -> Option<Snooped> {
    let near = source.is_unicast_link_local();
    match said {
        Mld::Query(query, _) => return (query.is_general() && near).then_some(Snooped::Querier),
        _ if !near && !source.is_unspecified() => return None,
        Mld::Report(group) => tell((*group).into(), true),
        Mld::Done(group) => tell((*group).into(), false),
        Mld::ReportV2(records) => each(records, tell).ok()?,
    }
    Some(Snooped::Report)
}

/// Tells all records, once all are known to be sound.
fn each<const N: usize>(records: &GroupRecords<'_, N>, tell: &mut impl FnMut(IpAddr, bool)) -> Result<(), Malformed>
where
    IpAddr: From<[u8; N]>,
{
    records.clone().try_for_each(|record| record.map(drop))?;
    for record in records.clone().flatten() {
        if let Some(joins) = record.joins() {
            tell(record.group.into(), joins);
        }
    }
    Ok(())
}

/// Whether the hop-by-hop header that `extensions` begin with says that the packet is MLD (RFC 2711, section 2.1).
fn has_router_alert(extensions: &[u8]) -> bool {
    const PAD1: u8 = 0;
    const ABOUT_MLD: [u8; 4] = [5, 2, 0, 0];
    let [_, len, rest @ ..] = extensions else { return false };
    let Some(mut options) = rest.get(..usize::from(*len) * 8 + 6) else { return false };
    // Every turn takes at least one byte off.
    loop {
        if options.starts_with(&ABOUT_MLD) {
            return true;
        }
        let next = match options {
            [PAD1, ..] => options.get(1..),
            [_, len, ..] => options.get(usize::from(*len) + 2..),
            _ => None,
        };
        let Some(next) = next else { return false };
        options = next;
    }
}

//! Reading the outer headers of a packet that came in by an uplink.
//!
//! What is claimed there is an allegation like any other: lengths are checked before they are believed, the IPv4 header
//! by its checksum, and the UDP datagram by its own unless it has none (RFC 7348, 4.1; RFC 6935 for IPv6).

use core::net::IpAddr;

use podlane_wire::{IpProtocol, checksum};

use crate::{
    drops::DropReason,
    headers::{
        ETHERNET, FRAGMENT, IPV4, IPV6, TYPE_IPV4, TYPE_IPV6, TYPE_SERVICE_VLAN, TYPE_VLAN, UDP_HEADER as UDP, VLAN_TAG,
    },
    ids::PathId,
    tables::{arrivals::Arrival, underlay::Underlay},
    tunnel::Encapsulation,
};

const IPV6_FRAGMENT_HEADER: u8 = 44;
/// An Ethernet header.
const SHORTEST_INNER: usize = 14;

/// Congestion experienced (RFC 3168, 5).
pub const CONGESTION: u8 = 3;

/// A tunnelled packet, read.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// The path it came by.
    pub path: PathId,
    /// How many bytes come before the inner frame.
    pub before: usize,
    /// How long the inner frame is.
    pub inner: usize,
    /// The outer congestion bits.
    pub ecn: u8,
    /// Where the UDP header is, and its pseudo-header's sum, if there is a checksum to be looked at.
    pub checksum: Option<(usize, checksum::Sum)>,
}

/// What a frame that came in by an uplink is.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// A tunnelled packet for this node.
    Tunnelled(Opened),
    /// Something else.
    Other,
    /// To be dropped by this name.
    Wrong(DropReason),
}

/// The outer IP header, read.
struct Ip {
    source: IpAddr,
    destination: IpAddr,
    /// Where the UDP header is.
    udp: usize,
    /// Bytes behind the IP header.
    payload: usize,
    ecn: u8,
}

/// Reads a frame of `length` bytes in all, of which `bytes` are the first segment, from an uplink whose tunnels are in `vlan`. What is in
/// another VLAN is none of them, whatever it says.
#[inline]
#[must_use]
pub fn read(underlay: &Underlay, vlan: Option<u16>, bytes: &[u8], length: usize) -> Reading {
    let Some(header) = bytes.first_chunk::<ETHERNET>() else { return Reading::Other };
    let (mut l3, mut ethertype) = (ETHERNET, u16::from_be_bytes([header[12], header[13]]));
    // A tag that is only a priority is none (802.1Q, 6.9.1).
    let mut tag = None;
    if ethertype == TYPE_VLAN {
        let Some(control) = bytes.get(ETHERNET..).and_then(|rest| rest.first_chunk::<VLAN_TAG>()) else {
            return Reading::Other;
        };
        tag = Some(u16::from_be_bytes([control[0], control[1]]) & 0xfff).filter(|id| *id != 0);
        (l3, ethertype) = (ETHERNET + VLAN_TAG, u16::from_be_bytes([control[2], control[3]]));
    }
    if tag != vlan {
        return Reading::Other;
    }
    let ip = match ethertype {
        TYPE_IPV4 => ipv4(bytes, l3, length),
        TYPE_IPV6 => ipv6(bytes, l3, length),
        _ => return Reading::Other,
    };
    match ip {
        Ok(Some(ip)) if underlay.is_vtep(ip.destination) => datagram(underlay, bytes, &ip),
        Ok(_) => Reading::Other,
        // Only what is for us is ours to complain about; the rest is dropped as what it is.
        Err((destination, reason)) if underlay.is_vtep(destination) => Reading::Wrong(reason),
        Err(_) => Reading::Other,
    }
}

/// Reads an IPv4 header in front of UDP; `None` for anything else.
#[inline]
fn ipv4(bytes: &[u8], l3: usize, length: usize) -> Result<Option<Ip>, (IpAddr, DropReason)> {
    let Some(header) = bytes.get(l3..).and_then(|rest| rest.first_chunk::<IPV4>()) else { return Ok(None) };
    let [first, tos, high, low, .., a, b, c, d, e, f, g, h] = *header;
    let destination = IpAddr::from([e, f, g, h]);
    let header_length = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || header_length < IPV4 || header[9] != IpProtocol::UDP.0 {
        return Ok(None);
    }
    let total = usize::from(u16::from_be_bytes([high, low]));
    let whole = bytes.get(l3..l3 + header_length);
    if total < header_length || l3 + total > length || whole.is_none() {
        return Err((destination, DropReason::TunnelTruncated));
    }
    if !whole.is_some_and(|header| checksum::sum(header).is_valid()) {
        return Err((destination, DropReason::OuterChecksum));
    }
    if u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0 {
        return Err((destination, DropReason::OuterFragment));
    }
    let source = IpAddr::from([a, b, c, d]);
    Ok(Some(Ip { source, destination, udp: l3 + header_length, payload: total - header_length, ecn: tos & 3 }))
}

/// Reads an IPv6 header in front of UDP; `None` for anything else. No sender of tunnels puts extension headers there.
#[inline]
fn ipv6(bytes: &[u8], l3: usize, length: usize) -> Result<Option<Ip>, (IpAddr, DropReason)> {
    let Some(header) = bytes.get(l3..).and_then(|rest| rest.first_chunk::<IPV6>()) else { return Ok(None) };
    let address =
        |at: usize| header[at..at + 16].first_chunk::<16>().map_or(IpAddr::from([0; 16]), |octets| (*octets).into());
    let (source, destination) = (address(8), address(24));
    if header[0] >> 4 != 6 {
        return Ok(None);
    }
    if header[6] == IPV6_FRAGMENT_HEADER {
        return Err((destination, DropReason::OuterFragment));
    }
    if header[6] != IpProtocol::UDP.0 {
        return Ok(None);
    }
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if l3 + IPV6 + payload > length {
        return Err((destination, DropReason::TunnelTruncated));
    }
    Ok(Some(Ip { source, destination, udp: l3 + IPV6, payload, ecn: header[1] >> 4 & 3 }))
}

#[inline]
fn datagram(underlay: &Underlay, bytes: &[u8], ip: &Ip) -> Reading {
    let header = bytes.get(ip.udp..).and_then(|rest| rest.split_first_chunk::<UDP>());
    let Some((&[_, _, port_high, port_low, high, low, sum_high, sum_low], rest)) = header else {
        return Reading::Wrong(DropReason::TunnelTruncated);
    };
    let Some(encapsulation) = underlay.service(u16::from_be_bytes([port_high, port_low])) else {
        return Reading::Other;
    };
    let stated = usize::from(u16::from_be_bytes([high, low]));
    if stated < UDP || stated > ip.payload {
        return Reading::Wrong(DropReason::TunnelTruncated);
    }
    match inside(underlay, encapsulation, ip, rest, stated - UDP) {
        Ok((path, header)) => {
            let field = u16::from_be_bytes([sum_high, sum_low]);
            let checksum = (field != 0).then(|| (ip.udp, pseudo(ip, stated)));
            let before = ip.udp + UDP + header;
            Reading::Tunnelled(Opened { path, before, inner: stated - UDP - header, ecn: ip.ecn, checksum })
        }
        Err(reason) => Reading::Wrong(reason),
    }
}

/// Reads what stands behind the UDP header, `length` bytes in all: the path, and the tunnel header's length.
#[inline]
fn inside(
    underlay: &Underlay,
    encapsulation: Encapsulation,
    ip: &Ip,
    rest: &[u8],
    length: usize,
) -> Result<(PathId, usize), DropReason> {
    let (vni, header) = encapsulation.open(&rest[..rest.len().min(length)])?;
    let Some(path) = underlay.arrivals.path(Arrival::new(ip.source, encapsulation, vni)) else {
        return Err(if underlay.is_vtep(ip.source) {
            DropReason::TunnelLoop
        } else {
            underlay.arrivals.stranger(ip.source)
        });
    };
    let inner = rest.get(header..).unwrap_or(&[]);
    let Some(ethernet) = inner.first_chunk::<SHORTEST_INNER>().filter(|_| length >= header + SHORTEST_INNER) else {
        return Err(DropReason::InnerRunt);
    };
    match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
        TYPE_VLAN | TYPE_SERVICE_VLAN => Err(DropReason::InnerVlan),
        _ => Ok((path, header)),
    }
}

fn pseudo(ip: &Ip, length: usize) -> checksum::Sum {
    match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            checksum::pseudo_v4(source, destination, IpProtocol::UDP, length as u16)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            checksum::pseudo_v6(source, destination, IpProtocol::UDP, length as u32)
        }
        _ => checksum::Sum::ZERO,
    }
}

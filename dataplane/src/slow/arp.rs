//! ARP over Ethernet for IPv4 (RFC 826, RFC 5227).
//!
//! The gateway answers for its own addresses, also when they are probed, so that a host that is about to take one
//! learns that it is taken (RFC 5227, section 2.1.1), and also when they are announced by another, which tells that
//! host of the conflict (section 2.4). Answers are unicast: a gateway's binding does not change.

use core::net::{IpAddr, Ipv4Addr};

use podlane_wire::MacAddr;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol};

use super::{
    Gateway, Quiet, Reply,
    limit::Kind,
    packet::{Draft, Frame, ethernet},
};

/// An ARP packet whose sender is the frame's.
struct Stated {
    operation: ArpOperation,
    sender: (Ipv4Addr, EthernetAddress),
    target: Ipv4Addr,
}

fn read(frame: &Frame<'_>) -> Result<Stated, Quiet> {
    let packet = ArpPacket::new_checked(frame.payload()).map_err(|_| Quiet::Malformed)?;
    let ArpRepr::EthernetIpv4 { operation, source_hardware_addr, source_protocol_addr, target_protocol_addr, .. } =
        ArpRepr::parse(&packet).map_err(|_| Quiet::Malformed)?
    else {
        return Err(Quiet::Unanswered);
    };
    if source_hardware_addr != frame.src_addr() {
        return Err(Quiet::Forged);
    }
    Ok(Stated { operation, sender: (source_protocol_addr, source_hardware_addr), target: target_protocol_addr })
}

/// Answers a request for an address of the gateway.
pub(super) fn answer(gateway: &Gateway<'_>, frame: &Frame<'_>, out: &mut [u8]) -> Result<Reply, Quiet> {
    let stated = read(frame)?;
    if stated.operation != ArpOperation::Request {
        return Err(Quiet::Unanswered);
    }
    if !gateway.has(stated.target.into()) {
        return Err(Quiet::NotOurs);
    }
    let (address, mac) = stated.sender;
    let allowed = address.is_unspecified() // a probe
        || address == stated.target // an announcement of our address
        || gateway.is_host(address.into());
    if !allowed {
        return Err(Quiet::BadSource);
    }
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: ethernet(gateway.mac),
        source_protocol_addr: stated.target,
        target_hardware_addr: mac,
        target_protocol_addr: address,
    };
    write(Draft { gateway, to: mac, out }, &reply, Kind::Neighbour)
}

/// The sender's binding, which every ARP packet but a probe states.
pub(super) fn learned(frame: &Frame<'_>) -> Option<(IpAddr, MacAddr)> {
    let stated = read(frame).ok()?;
    let known = matches!(stated.operation, ArpOperation::Request | ArpOperation::Reply);
    let (address, mac) = stated.sender;
    known.then_some((address.into(), MacAddr(mac.0)))
}

/// Asks everyone for the address of `target`.
pub(super) fn request(gateway: &Gateway<'_>, target: Ipv4Addr, out: &mut [u8]) -> Result<Reply, Quiet> {
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: ethernet(gateway.mac),
        source_protocol_addr: gateway.ipv4_towards(target).ok_or(Quiet::NoAddress)?,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let to = EthernetAddress::BROADCAST;
    write(Draft { gateway, to, out }, &request, Kind::Request)
}

fn write(draft: Draft<'_, '_>, packet: &ArpRepr, kind: Kind) -> Result<Reply, Quiet> {
    let (body, len) = draft.ethernet(EthernetProtocol::Arp, packet.buffer_len())?;
    packet.emit(&mut ArpPacket::new_unchecked(body));
    Ok(Reply { len, kind })
}

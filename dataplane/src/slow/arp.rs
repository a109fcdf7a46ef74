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

impl Stated {
    fn is_announcement(&self) -> bool {
        self.operation == ArpOperation::Request && self.sender.0 == self.target
    }
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

/// The sender's binding, when the packet is there to state it: a reply, or an announcement, which may have the form of
/// a request (RFC 5227, section 2.3).
pub(super) fn heard(frame: &Frame<'_>) -> Option<(IpAddr, MacAddr)> {
    let stated = read(frame).ok()?;
    let (address, mac) = stated.sender;
    (stated.operation == ArpOperation::Reply || stated.is_announcement()).then_some((address.into(), MacAddr(mac.0)))
}

/// Whether a station tells everyone about its own address and asks for nothing.
pub(super) fn is_announcement(frame: &Frame<'_>) -> bool {
    read(frame).is_ok_and(|stated| stated.is_announcement())
}

/// Asks everyone for the address of `target`.
pub(super) fn request(gateway: &Gateway<'_>, target: Ipv4Addr, out: &mut [u8]) -> Result<Reply, Quiet> {
    let from = gateway.ipv4_towards(target).ok_or(Quiet::NoAddress)?;
    let to = EthernetAddress::BROADCAST;
    ask(Draft { gateway, to, out }, from, target)
}

/// Asks for the address of `target`; from `0.0.0.0`, a probe.
pub(super) fn ask(draft: Draft<'_, '_>, from: Ipv4Addr, target: Ipv4Addr) -> Result<Reply, Quiet> {
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: ethernet(draft.gateway.mac),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    write(draft, &request, Kind::Request)
}

fn write(draft: Draft<'_, '_>, packet: &ArpRepr, kind: Kind) -> Result<Reply, Quiet> {
    let (body, len) = draft.ethernet(EthernetProtocol::Arp, packet.buffer_len())?;
    packet.emit(&mut ArpPacket::new_unchecked(body));
    Ok(Reply { len, kind })
}

//! Neighbour discovery for IPv6 (RFC 4861, section 7; RFC 4862, section 5.4 for duplicate address detection).
//!
//! The gateway solicits, and it advertises when solicited; as a router, it says so in every advertisement, and what
//! speaks for a host does not. A message counts only when it passes all checks of sections 7.1.1 and 7.1.2, hop limit
//! 255 first: that is what keeps neighbour discovery from being forged from beyond the link.

use core::net::{IpAddr, Ipv6Addr};

use podlane_wire::MacAddr;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, NdiscNeighborFlags, NdiscRepr,
        RawHardwareAddress,
    },
};

use super::{
    Gateway, Quiet, Reply, Role,
    limit::Kind,
    packet::{self, Draft, Frame, ethernet},
};

const ON_LINK: u8 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group in which the owner of `address` listens for solicitations (RFC 4291, section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// A message that passed what the two kinds have in common.
fn read<'a>(packet: &Ipv6Packet<&'a [u8]>) -> Result<NdiscRepr<'a>, Quiet> {
    if packet.next_header() != IpProtocol::Icmpv6 {
        return Err(Quiet::Unanswered);
    }
    if packet.hop_limit() != ON_LINK {
        return Err(Quiet::OffLink);
    }
    let message = Icmpv6Packet::new_checked(packet.payload()).map_err(|_| Quiet::Malformed)?;
    if !message.verify_checksum(&packet.src_addr(), &packet.dst_addr()) {
        return Err(Quiet::Checksum);
    }
    if message.msg_code() != 0 {
        return Err(Quiet::Malformed);
    }
    if !message.msg_type().is_ndisc() {
        return Err(Quiet::Unanswered);
    }
    NdiscRepr::parse(&message).map_err(|_| Quiet::Malformed)
}

/// What a valid solicitation asks for, and the link-layer address it states (RFC 4861, section 7.1.1).
fn solicitation(packet: &Ipv6Packet<&[u8]>) -> Result<(Ipv6Addr, Option<RawHardwareAddress>), Quiet> {
    let NdiscRepr::NeighborSolicit { target_addr: target, lladdr } = read(packet)? else {
        return Err(Quiet::Unanswered);
    };
    let probe = packet.src_addr().is_unspecified();
    let probe_is_valid = packet.dst_addr() == solicited_node(target) && lladdr.is_none();
    if target.is_multicast() || probe && !probe_is_valid {
        return Err(Quiet::Malformed);
    }
    Ok((target, lladdr))
}

/// Whether a stated link-layer address is the frame's sender.
fn is_sender(frame: &Frame<'_>, stated: RawHardwareAddress) -> bool {
    stated.as_bytes() == frame.src_addr().as_bytes()
}

/// Answers a solicitation for an address of the gateway (RFC 4861, section 7.2.4), as the router or the host it is.
pub(super) fn answer(
    (gateway, role): (&Gateway<'_>, Role),
    frame: &Frame<'_>,
    received: &Ipv6Packet<&[u8]>,
    out: &mut [u8],
) -> Result<Reply, Quiet> {
    let (target, stated) = solicitation(received)?;
    let (source, destination) = (received.src_addr(), received.dst_addr());
    if !gateway.has(target.into()) || destination != target && destination != solicited_node(target) {
        return Err(Quiet::NotOurs);
    }
    if stated.is_some_and(|stated| !is_sender(frame, stated)) {
        return Err(Quiet::Forged);
    }
    let always = match role {
        Role::Router => NdiscNeighborFlags::ROUTER | NdiscNeighborFlags::OVERRIDE,
        Role::Host => NdiscNeighborFlags::OVERRIDE,
    };
    let (to, destination, flags) = if source.is_unspecified() {
        let all = EthernetAddress(MacAddr::of_ipv6_multicast(ALL_NODES).octets());
        (all, ALL_NODES, always)
    } else if gateway.is_host(source.into()) {
        (frame.src_addr(), source, always | NdiscNeighborFlags::SOLICITED)
    } else {
        return Err(Quiet::BadSource);
    };
    let advertisement =
        NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr: Some(ethernet(gateway.mac).into()) };
    let len = write(Draft { gateway, to, out }, (target, destination), advertisement)?;
    Ok(Reply { len, kind: Kind::Neighbour })
}

/// What a valid advertisement is about, and the link-layer address it states (RFC 4861, section 7.1.2).
fn advertised<'a>(
    packet: &Ipv6Packet<&[u8]>,
    message: &NdiscRepr<'a>,
) -> Option<(Ipv6Addr, NdiscNeighborFlags, Option<RawHardwareAddress>)> {
    let &NdiscRepr::NeighborAdvert { flags, target_addr, lladdr } = message else {
        return None;
    };
    // What goes to a group was not solicited.
    let lies = packet.dst_addr().is_multicast() && flags.contains(NdiscNeighborFlags::SOLICITED);
    (!lies).then_some((target_addr, flags, lladdr))
}

/// The binding a solicitation states of its source, or an advertisement of its target.
pub(super) fn learned(frame: &Frame<'_>) -> Option<(IpAddr, MacAddr)> {
    let packet = packet::ipv6(frame.payload()).ok()?;
    let message = read(&packet).ok()?;
    let (address, stated) = match message {
        NdiscRepr::NeighborSolicit { .. } => {
            let (_, stated) = solicitation(&packet).ok()?;
            (packet.src_addr(), stated?)
        }
        _ => {
            let (target, _, stated) = advertised(&packet, &message)?;
            (target, stated?)
        }
    };
    is_sender(frame, stated).then(|| (address.into(), MacAddr(frame.src_addr().0)))
}

/// The binding an advertisement states of its target.
///
/// An answer to a solicitation sent straight to its target may leave the link-layer address out (RFC 4861, section 4.4;
/// Linux does): it then confirms that the target is where the frame comes from.
pub(super) fn heard(frame: &Frame<'_>) -> Option<(IpAddr, MacAddr)> {
    let packet = packet::ipv6(frame.payload()).ok()?;
    let (target, flags, stated) = advertised(&packet, &read(&packet).ok()?)?;
    let sound = match stated {
        Some(stated) => is_sender(frame, stated),
        None => flags.contains(NdiscNeighborFlags::SOLICITED),
    };
    sound.then(|| (target.into(), MacAddr(frame.src_addr().0)))
}

/// Solicits the address of `target` from everyone who may have it.
pub(super) fn request(gateway: &Gateway<'_>, target: Ipv6Addr, out: &mut [u8]) -> Result<Reply, Quiet> {
    let group = solicited_node(target);
    let to = ethernet(MacAddr::of_ipv6_multicast(group));
    solicit(Draft { gateway, to, out }, (gateway.ipv6_towards(target), group), target)
}

/// Solicits the address of `target` from the link-local address, of the station at `to` if it is given: whether it is
/// still there (RFC 4861, section 7.3.3).
pub(super) fn seek(
    gateway: &Gateway<'_>,
    target: Ipv6Addr,
    to: Option<EthernetAddress>,
    out: &mut [u8],
) -> Result<Reply, Quiet> {
    let group = solicited_node(target);
    let (to, destination) = match to {
        Some(to) => (to, target),
        None => (ethernet(MacAddr::of_ipv6_multicast(group)), group),
    };
    solicit(Draft { gateway, to, out }, (gateway.link_local, destination), target)
}

fn solicit(draft: Draft<'_, '_>, way: (Ipv6Addr, Ipv6Addr), target: Ipv6Addr) -> Result<Reply, Quiet> {
    let own = ethernet(draft.gateway.mac);
    let solicitation = NdiscRepr::NeighborSolicit { target_addr: target, lladdr: Some(own.into()) };
    let len = write(draft, way, solicitation)?;
    Ok(Reply { len, kind: Kind::Request })
}

fn write(
    draft: Draft<'_, '_>,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    message: NdiscRepr<'_>,
) -> Result<usize, Quiet> {
    let (body, len) = draft.icmpv6((source, destination), ON_LINK, message.buffer_len())?;
    Icmpv6Repr::Ndisc(message).emit(
        &source,
        &destination,
        &mut Icmpv6Packet::new_unchecked(body),
        &ChecksumCapabilities::default(),
    );
    Ok(len)
}

//! Into a tunnel: the outer headers go in front, and the packet leaves by an uplink.
//!
//! Nothing that leaves here is longer than the way carries: what is too long is cut if its sender allows that, else its sender is told.

use podlane_rings::Frame;

use crate::{
    burst::{Layout, length_of},
    drops::DropReason,
    flow::{Class, FlowKey, Program, TagEdit, learned::spread},
    headers::{ETHERNET, TYPE_IPV4, TYPE_IPV6},
    ids::PortId,
    stage::{
        apply::{Packet, Pass, edit_tag},
        dispatch::Exits,
        fragment, gateway, hop,
    },
    tables::underlay::Underlay,
    tunnel::template::Patch,
};

/// Puts the outer headers in front of a packet that needs nothing else, and counts them into its length. Returns whether it was one;
/// if not, it is as it was.
#[inline]
pub(super) fn plain(
    frame: &mut Frame,
    length: &mut u32,
    (program, hash): (&Program, u64),
    underlay: &Underlay,
) -> bool {
    let Some(path) = underlay.path(program.path()).filter(|path| !path.clamp_mss) else { return false };
    let Some(head) = frame.bytes().first_chunk::<16>() else { return false };
    let ecn = match u16::from_be_bytes([head[12], head[13]]) {
        TYPE_IPV4 => head[15] & 3,
        TYPE_IPV6 => head[15] >> 4 & 3,
        _ => 0,
    };
    let patch = Patch { next_hop: program.next_hop(), entropy: hash, ecn };
    let pushed = path.template.push_plain(frame, *length as usize, patch);
    if pushed {
        *length += u32::from(path.template.length());
    }
    pushed
}

/// Sends a packet into the tunnel as it is.
pub(super) fn bridged(packet: Packet<'_>, program: &Program, hash: u64, pass: &Pass<'_>, exits: &mut Exits) {
    if packet.length > u32::from(program.mtu()) + u32::from(packet.layout.l3) {
        return too_big(packet, program, hash, pass, exits);
    }
    send(packet, program, hash, (pass, pass.ingress), exits);
}

/// Counts the hop, writes the inner MAC addresses, and sends the packet into the tunnel.
pub(super) fn routed(mut packet: Packet<'_>, program: &Program, hash: u64, pass: &Pass<'_>, exits: &mut Exits) {
    let Some(path) = pass.tables.underlay.path(program.path()) else {
        return exits.drop(pass.ingress, packet.frame, DropReason::EgressGone);
    };
    let cut = match hop::count(&mut packet, program.mtu()) {
        Ok(()) => false,
        Err(DropReason::TooBig) if fragment::is_allowed(&packet) => true,
        Err(reason) => return gateway::refuse(packet, reason, program.mtu(), pass, exits),
    };
    if cut && let Err(reason) = hop::count(&mut packet, u16::MAX) {
        return exits.drop(pass.ingress, packet.frame, reason);
    }
    let bytes = packet.frame.bytes_mut();
    bytes[..6].copy_from_slice(&program.inner_next_hop().0);
    bytes[6..12].copy_from_slice(&path.gateway_mac.0);
    if cut {
        return in_pieces(packet, program, hash, pass, exits);
    }
    send(packet, program, hash, (pass, pass.ingress), exits);
}

/// Tag, outer headers, out. `origin` is whom the ledger has it from.
#[inline]
fn send(mut packet: Packet<'_>, program: &Program, hash: u64, (pass, origin): (&Pass<'_>, PortId), exits: &mut Exits) {
    let Some(path) = pass.tables.underlay.path(program.path()) else {
        return exits.drop(origin, packet.frame, DropReason::EgressGone);
    };
    if program.tag() != TagEdit::Keep
        && let Err(reason) = edit_tag(&mut packet, program.tag())
    {
        return exits.drop(origin, packet.frame, reason);
    }
    if path.clamp_mss {
        crate::slow::clamp_mss(packet.frame.bytes_mut(), program.mtu());
    }
    let offload = exits.finishes_checksums(path.egress);
    let umem = exits.pool.umem();
    let patch = Patch { next_hop: program.next_hop(), entropy: hash, ecn: ecn(&packet) };
    let length = packet.length as usize;
    if let Err(reason) = path.template.push(&mut packet.frame, length, patch, (umem, offload)) {
        return exits.drop(origin, packet.frame, reason);
    }
    exits.counters.path(program.path()).sent.add(1, length as u64);
    exits.send(origin, path.egress, packet.frame);
}

/// Sends a packet that belongs to no flow: a copy, or one the switch made. `origin` is whom the ledger has it from.
pub(super) fn of_no_flow(
    packet: Packet<'_>,
    program: &Program,
    (pass, origin): (&Pass<'_>, PortId),
    exits: &mut Exits,
) {
    let hash = u64::from(spread(packet.key.words())) << 32;
    if packet.length > u32::from(program.mtu()) + u32::from(packet.layout.l3.max(ETHERNET as u16)) {
        return exits.drop(origin, packet.frame, DropReason::TooBig);
    }
    send(packet, program, hash, (pass, origin), exits);
}

/// The congestion bits of the packet, zero unless it is IP. What the switch made itself has no layout, and no such bits.
#[inline]
pub(super) fn ecn(packet: &Packet<'_>) -> u8 {
    let l3 = usize::from(packet.layout.l3);
    if l3 == 0 {
        return 0;
    }
    let Some(&[first, second]) = packet.frame.bytes().get(l3..).and_then(|rest| rest.first_chunk::<2>()) else {
        return 0;
    };
    match packet.key.kind().class {
        Class::Ipv4 => second & 3,
        Class::Ipv6 if first >> 4 == 6 => second >> 4 & 3,
        _ => 0,
    }
}

#[cold]
fn too_big(packet: Packet<'_>, program: &Program, hash: u64, pass: &Pass<'_>, exits: &mut Exits) {
    if fragment::is_allowed(&packet) {
        return in_pieces(packet, program, hash, pass, exits);
    }
    gateway::refuse_as_destination(packet, program.mtu(), pass, exits);
}

/// Sends a packet in pieces that fit.
#[cold]
fn in_pieces(mut packet: Packet<'_>, program: &Program, hash: u64, pass: &Pass<'_>, exits: &mut Exits) {
    // A fragment has no transport header to finish later.
    exits.pool.umem().finish_checksum(&mut packet.frame);
    let (key, l3): (&FlowKey, _) = (packet.key, packet.layout.l3);
    fragment::cut(packet, program.mtu(), pass.ingress, exits, |frame, origin, exits| {
        let length = length_of(&frame, exits.pool.umem()) as u32;
        let piece = Packet { frame, key, layout: Layout { l3, l4: 0 }, length };
        send(piece, program, hash, (pass, origin), exits);
    });
}

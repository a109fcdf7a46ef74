//! open: tunnelled packets lose their outer headers, before anything else looks at them.
//!
//! What comes out of a tunnel came in by its path, a logical port, and goes down the line like any other packet. What an
//! uplink brings besides is the underlay's own talk (ARP, neighbour discovery, ICMP), or nobody's.

use podlane_rings::{Frame, Umem};
use podlane_wire::checksum;

use crate::{
    burst::{BURST, Burst, Line, length_of},
    drops::DropReason,
    headers::{ETHERNET, IPV4, TYPE_IPV4, TYPE_IPV6},
    slow,
    stage::{dispatch::Exits, underlay},
    tables::underlay::Path,
    tunnel::{
        glance::Glance,
        outer::{CONGESTION, Opened, Reading},
    },
};

use super::{
    apply::Pass,
    outer_checksum::{self, Outer},
};

/// Opens a burst that came in by an uplink. Returns how many packets and bytes that was; what is left in the burst goes
/// on, each row with the path it came by.
#[inline(never)] // registers of its own, as in classify
pub fn open(line: &mut Line, burst: &mut Burst, pass: &Pass<'_>, exits: &mut Exits) -> (u64, u64) {
    let underlay = &pass.tables.underlay;
    let unfinished = pass.port.is_some_and(|port| port.unfinished_checksums);
    let (mut packets, mut bytes, mut dead) = (0, 0, 0_u64);
    let mut verdicts = [None; BURST];
    let vlan = underlay.uplink_at(pass.ingress).and_then(|uplink| uplink.vlan);
    let mut glance = Glance::new(underlay, vlan);
    for (row, frame) in burst.frames_mut().iter_mut().take(BURST).enumerate() {
        let length = length_of(frame, exits.pool.umem());
        packets += 1;
        bytes += length as u64;
        let verdict = match glance.read(frame.bytes(), length) {
            Reading::Tunnelled(opened) => {
                line.vias[row] = opened.path.port();
                exits.counters.path(opened.path).received.add(1, opened.inner as u64);
                take_out(frame, length, &opened, unfinished, exits.pool.umem())
                    .map(|()| clamp(frame, underlay.path(opened.path), pass))
            }
            Reading::Other => Err(DropReason::NotTunnelled),
            Reading::Wrong(reason) => Err(reason),
        };
        if let Err(reason) = verdict {
            verdicts[row] = Some(reason);
            dead |= 1 << row;
        }
    }
    if dead != 0 {
        sift(line, burst, &verdicts, pass, exits);
    }
    (packets, bytes)
}

/// Takes the outer headers off.
#[inline]
fn take_out(
    frame: &mut Frame,
    length: usize,
    opened: &Opened,
    unfinished: bool,
    umem: &Umem,
) -> Result<(), DropReason> {
    if let Some((udp, pseudo)) = opened.checksum {
        outer_checksum::verify(frame, &Outer { udp, pseudo, inner: opened.before }, unfinished, umem)?;
    }
    frame.pop_front(opened.before).map_err(|_| DropReason::TunnelTruncated)?;
    if length - opened.before > opened.inner && !frame.is_chained() {
        // What was padded for the wire.
        frame.set_len(opened.inner).map_err(|_| DropReason::TunnelTruncated)?;
    }
    if opened.ecn & 1 != 0 {
        mark_congestion(frame, opened.ecn)?;
    }
    Ok(())
}

/// Carries the underlay's congestion mark over to the inner packet (RFC 6040, 4.2): congestion experienced, or the milder one of
/// ECT(1).
#[cold]
fn mark_congestion(frame: &mut Frame, outer: u8) -> Result<(), DropReason> {
    let Some(head) = frame.bytes_mut().first_chunk_mut::<{ ETHERNET + IPV4 }>() else { return Ok(()) };
    let (link, ip) = head.split_at_mut(ETHERNET);
    match (u16::from_be_bytes([link[12], link[13]]), ip[0] >> 4) {
        (TYPE_IPV4, 4) => {
            let before = u16::from_be_bytes([ip[0], ip[1]]);
            ip[1] = ip[1] & !CONGESTION | marked(ip[1] & CONGESTION, outer)?;
            let after = u16::from_be_bytes([ip[0], ip[1]]);
            let sum = checksum::update16(u16::from_be_bytes([ip[10], ip[11]]), before, after);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (TYPE_IPV6, 6) => {
            let inner = marked(ip[1] >> 4 & CONGESTION, outer)?;
            ip[1] = ip[1] & !(CONGESTION << 4) | inner << 4;
        }
        _ => {}
    }
    Ok(())
}

/// The inner congestion bits that come of these, the outer ones being ECT(1) or congestion experienced.
const fn marked(inner: u8, outer: u8) -> Result<u8, DropReason> {
    const NOT_CAPABLE: u8 = 0;
    const ECT_0: u8 = 2;
    match (inner, outer) {
        (NOT_CAPABLE, CONGESTION) => Err(DropReason::CongestionMark),
        (NOT_CAPABLE, _) => Ok(NOT_CAPABLE),
        (ECT_0, _) | (_, CONGESTION) => Ok(outer),
        _ => Ok(inner),
    }
}

/// Lowers what TCP offers to what the way back carries.
#[inline]
fn clamp(frame: &mut Frame, path: Option<&Path>, pass: &Pass<'_>) {
    let Some(path) = path.filter(|path| path.clamp_mss) else { return };
    let peer = pass.tables.underlay.peer_of(path);
    let mtu = peer.map_or(path.mtu, |peer| pass.shared.path_mtu(peer.address, path.mtu));
    slow::clamp_mss(frame.bytes_mut(), path.inner_of(mtu));
}

/// Takes what does not go on out of the burst.
#[cold]
fn sift(
    line: &mut Line,
    burst: &mut Burst,
    verdicts: &[Option<DropReason>; BURST],
    pass: &Pass<'_>,
    exits: &mut Exits,
) {
    let mut kept = 0;
    burst.sift(|row, frame| {
        let Some(reason) = verdicts.get(row).copied().flatten() else {
            line.vias[kept] = line.vias[row];
            kept += 1;
            return Some(frame);
        };
        match reason {
            DropReason::NotTunnelled => underlay::hear(frame, pass, exits),
            reason => exits.drop(pass.ingress, frame, reason),
        }
        None
    });
}

//! The underlay's own talk: who the next hops are, what the way to a peer carries.
//!
//! Off the hot path. Nothing here waits: a question goes out, and its answer comes in by an uplink like any frame.

use podlane_rings::Frame;

use crate::{
    counters::SWITCH,
    drops::DropReason,
    ids::PathId,
    slow::{self, Asker},
    stage::{apply::Pass, dispatch::Exits},
    tables::underlay::{Hop, Underlay, Uplink, hop_key},
};

/// Hears a frame that came in by an uplink and is no tunnel's.
#[cold]
pub(super) fn hear(frame: Frame, pass: &Pass<'_>, exits: &mut Exits) {
    if let Some((address, mac)) = slow::heard(frame.bytes())
        && pass.tables.underlay.is_hop(pass.ingress, address)
    {
        pass.shared.learn_hop(pass.ingress, address, mac, pass.now);
        return exits.drop(pass.ingress, frame, DropReason::ForUnderlay);
    }
    exits.drop(pass.ingress, frame, DropReason::NotTunnelled);
}

/// Asks for the next hops towards the peer of a path, not more often than is decent. Returns whether they were asked in vain
/// for so long that senders should be told.
#[cold]
pub(super) fn seek(path: PathId, pass: &Pass<'_>, exits: &mut Exits) -> bool {
    let underlay = &pass.tables.underlay;
    let Some(peer) = underlay.path(path).and_then(|path| underlay.peer_of(path)) else { return false };
    let mut tell = true;
    for hop in &peer.hops {
        let Some(uplink) = underlay.uplinks.get(usize::from(hop.uplink)) else { continue };
        let advice = exits.limits.asked.wanted(&hop_key(uplink.port, hop.address), pass.now);
        tell &= advice.tell;
        if advice.ask {
            ask(underlay, uplink, hop, exits);
        }
    }
    tell
}

/// Sends one question for a next hop.
fn ask(underlay: &Underlay, uplink: &Uplink, hop: &Hop, exits: &mut Exits) {
    let asker = Asker { mac: uplink.mac, ipv4: underlay.own_ipv4(), ipv6: uplink.link_local, to: None };
    let Some(mut frame) = exits.pool.take() else { return };
    let said =
        frame.set_len(frame.tailroom()).ok().and_then(|()| slow::seek(&asker, hop.address, frame.bytes_mut()).ok());
    match said.and_then(|reply| frame.set_len(reply.len).ok()) {
        Some(()) => {
            exits.counters.made(frame.len());
            exits.send(SWITCH, uplink.port, frame);
        }
        None => exits.pool.give(frame),
    }
}

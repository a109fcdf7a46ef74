//! The underlay's own talk: who the next hops are, what the way to a peer carries.
//!
//! Off the hot path. Nothing here waits: a question goes out, and its answer comes in by an uplink like any frame. The uplink
//! is the host's too, so only what concerns tunnels is heard: answers of next hops, news of tunnel packets that did not fit, and
//! questions for addresses that are this node's alone. An address shared with the host's kernel is answered for by the kernel.

use core::net::IpAddr;

use podlane_rings::Frame;
use podlane_wire::MacAddr;

use crate::{
    burst::Layout,
    counters::SWITCH,
    drops::DropReason,
    flow::{FlowKey, TagEdit},
    ids::PathId,
    slow::{self, Asker, Reply, TooBigNews},
    stage::{
        apply::{Packet, Pass, edit_tag},
        claims::{ROOM, untagged},
        dispatch::Exits,
    },
    tables::underlay::{Underlay, Uplink, hop_key},
};

/// News of a smaller IPv4 MTU than this is not believed: every host takes as much (RFC 791, 3.1), and a forged message that says less
/// would starve a path. IPv6 has its own least, which [`slow::too_big_news`] keeps (RFC 8201, 4).
///
/// Under 1330 bytes outside over IPv4, or 1350 over IPv6, inside is less than the 1280 that IPv6 takes for granted. Nothing below it
/// may fragment then (RFC 7348, 4.3), so longer IPv6 packets die as too big and their senders are told the true number, which RFC 8201
/// has them ignore: such a path carries IPv4, and IPv6 in packets that fit.
const IPV4_LEAST: u16 = 576;

/// Hears a frame that came in by an uplink and is no tunnel's.
#[cold]
pub(super) fn hear(frame: Frame, pass: &Pass<'_>, exits: &mut Exits) {
    match read(frame.bytes(), pass, exits) {
        Ok(reply) => {
            // It takes the question's place in the ledger.
            exits.pool.give(frame);
            exits.send(pass.ingress, pass.ingress, reply);
        }
        Err(reason) => exits.drop(pass.ingress, frame, reason),
    }
}

/// The answer to a frame, or the name of its end.
fn read(bytes: &[u8], pass: &Pass<'_>, exits: &mut Exits) -> Result<Frame, DropReason> {
    let uplink = pass.tables.underlay.uplink_at(pass.ingress).ok_or(DropReason::NotTunnelled)?;
    let mut room = [0; ROOM];
    let bytes = in_vlan(bytes, uplink.vlan, &mut room).ok_or(DropReason::NotTunnelled)?;
    if hear_of_hop(bytes, uplink, pass) || hear_of_mtu(bytes, uplink, pass) {
        return Err(DropReason::ForUnderlay);
    }
    answer(bytes, uplink, pass, exits)
}

/// The frame without its tag; `None` if it is of another VLAN than tunnels on this uplink are.
fn in_vlan<'a>(bytes: &'a [u8], vlan: Option<u16>, room: &'a mut [u8; ROOM]) -> Option<&'a [u8]> {
    const TAGGED: Layout = Layout { l3: 18, l4: 0 };
    let head = bytes.first_chunk::<16>()?;
    let tag = (head[12..14] == [0x81, 0]).then(|| u16::from_be_bytes([head[14], head[15]]) & 0xfff);
    match (tag, vlan) {
        (None, None) => Some(bytes),
        // Only a priority.
        (Some(0), None) => Some(untagged(bytes, TAGGED, room)),
        (Some(tag), Some(vlan)) if tag == vlan => Some(untagged(bytes, TAGGED, room)),
        _ => None,
    }
}

/// Learns from an answer or announcement, if it is a next hop's.
fn hear_of_hop(bytes: &[u8], uplink: &Uplink, pass: &Pass<'_>) -> bool {
    slow::heard(bytes).is_some_and(|(address, mac)| believe(address, mac, uplink, pass))
}

/// Takes it that an address has `mac`, if it is a next hop's. Returns whether it is.
fn believe(address: IpAddr, mac: MacAddr, uplink: &Uplink, pass: &Pass<'_>) -> bool {
    let believed = pass.tables.underlay.is_hop(uplink.port, address) && mac != uplink.mac;
    if believed {
        pass.shared.learn_hop(uplink.port, address, mac, pass.now);
    }
    believed
}

/// Learns from a router that a tunnel packet did not fit, if it can have been one of ours.
fn hear_of_mtu(bytes: &[u8], uplink: &Uplink, pass: &Pass<'_>) -> bool {
    let for_us = bytes.first_chunk::<6>() == Some(&uplink.mac.0);
    let Some(news) = slow::too_big_news(bytes).filter(|_| for_us) else { return false };
    let believed = is_credible(&news, uplink, &pass.tables.underlay);
    if believed {
        pass.shared.lower_path_mtu(news.peer, news.mtu, pass.now);
    }
    believed
}

/// Whether such a packet may have left by the uplink, and the news is any.
fn is_credible(news: &TooBigNews, uplink: &Uplink, underlay: &Underlay) -> bool {
    let least = if news.peer.is_ipv4() { IPV4_LEAST } else { 0 };
    let sent = underlay.peers.iter().any(|peer| peer.address == news.peer && peer.vtep == news.ours);
    sent && underlay.service(news.udp_port).is_some() && (least..uplink.mtu).contains(&news.mtu)
}

/// The answer to a question for an address that is this node's alone.
fn answer(bytes: &[u8], uplink: &Uplink, pass: &Pass<'_>, exits: &mut Exits) -> Result<Frame, DropReason> {
    let underlay = &pass.tables.underlay;
    let ipv4 = underlay.own_ipv4().map(|address| [(address, 32)]);
    let ipv6 = underlay.own_ipv6().map(|address| [(address, 128)]);
    let own = slow::Gateway {
        mac: uplink.mac,
        ipv4: ipv4.as_ref().map_or(&[], |own| own),
        ipv6: ipv6.as_ref().map_or(&[], |own| own),
        link_local: uplink.link_local,
        mtu: uplink.mtu,
    };
    say(uplink, exits, |exits, out| {
        let reply = slow::answer_as_host(&own, bytes, out).map_err(|_| DropReason::NotTunnelled)?;
        // Who asks for us says who it is (RFC 826). An uplink's announcements are left to the host, so of a next hop that has moved
        // this may be the first word.
        if let Some((address, mac)) = slow::learned(&own, bytes) {
            believe(address, mac, uplink, pass);
        }
        let admitted = exits.limits.underlay_reply(reply.kind, pass.now);
        admitted.then_some(reply).ok_or(DropReason::ReplyLimit)
    })
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
        let advice = pass.shared.hop_questions.wanted(&hop_key(uplink.port, hop.address), pass.now);
        tell &= advice.tell;
        if advice.ask {
            ask(underlay, uplink, (hop.address, None), exits);
        }
    }
    tell
}

/// Sends one question for a next hop: to everyone, or whether it is still where it was.
pub(crate) fn ask(underlay: &Underlay, uplink: &Uplink, (hop, to): (IpAddr, Option<MacAddr>), exits: &mut Exits) {
    let asker = Asker { mac: uplink.mac, ipv4: underlay.own_ipv4(), ipv6: uplink.link_local, to };
    let question =
        say(uplink, exits, |_, out| slow::seek(&asker, hop, out).map_err(|_| DropReason::UnderlayUnresolved));
    // One that cannot be put into words or memory is put again in a second.
    if let Ok(frame) = question {
        exits.counters.made(frame.len());
        exits.send(SWITCH, uplink.port, frame);
    }
}

/// A frame with what `write` has to say, with the uplink's tag.
fn say(
    uplink: &Uplink,
    exits: &mut Exits,
    write: impl FnOnce(&mut Exits, &mut [u8]) -> Result<Reply, DropReason>,
) -> Result<Frame, DropReason> {
    let mut frame = exits.pool.take().ok_or(DropReason::NoFrame)?;
    let spoken = frame
        .set_len(frame.tailroom())
        .map_err(|_| DropReason::NoFrame)
        .and_then(|()| write(exits, frame.bytes_mut()))
        .and_then(|reply| frame.set_len(reply.len).map_err(|_| DropReason::NoFrame));
    if let Err(reason) = spoken {
        exits.pool.give(frame);
        return Err(reason);
    }
    let key = FlowKey::default();
    let mut packet = Packet::made(frame, &key);
    match edit_tag(&mut packet, uplink.vlan.map_or(TagEdit::Keep, TagEdit::Push)) {
        Ok(()) => Ok(packet.frame),
        Err(reason) => {
            exits.pool.give(packet.frame);
            Err(reason)
        }
    }
}

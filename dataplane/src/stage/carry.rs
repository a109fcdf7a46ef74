//! carry: what an engine in front of the ports does with a packet of a flow it was given, as a NIC would.
//!
//! It runs the same code as apply, on the packets that need nothing of what apply asks others for: no error to send back, no piece to cut.
//! Whether it can is known before anything is written, so that what it leaves is as it came, and meets the stages.

use podlane_rings::{Frame, Umem};

use crate::{
    burst::Layout,
    flow::{FlowKey, Op, TagEdit},
    headers::{ETHERNET, IPV6, TCP, UDP_HEADER, VLAN_TAG},
    offload::Offer,
    stage::{
        apply::{Packet, edit_tag},
        encapsulate, finish, hop,
        track::{TURNS, acknowledgement},
    },
    tunnel::{HEADER, template::Patch},
};

/// The most that is put in front of a packet: outer headers, and a tag.
const ROOM: usize = ETHERNET + 2 * VLAN_TAG + IPV6 + UDP_HEADER + HEADER;

/// What was carried.
pub(crate) struct Sent {
    pub(crate) frame: Frame,
    /// What its TCP header acknowledges ([`acknowledgement`]), if it has one.
    pub(crate) acknowledged: Option<u64>,
}

/// Carries a packet of an offered flow. `offload`: the leaving port can finish a checksum.
///
/// # Errors
/// The frame as it was: it is a worker's.
pub(crate) fn carry(
    frame: Frame,
    (key, layout): (&FlowKey, Layout),
    offer: &Offer,
    (umem, offload): (&Umem, bool),
) -> Result<Sent, Frame> {
    let length = frame.len() as u32;
    let tcp = key.kind().protocol == TCP;
    let said = acknowledgement(frame.bytes(), layout.l4);
    let turns = tcp && said & TURNS != 0;
    if frame.is_chained() || layout.l4 == 0 || turns || length > offer.longest || frame.headroom() < ROOM {
        return Err(frame);
    }
    let program = &offer.program;
    let mut packet = Packet { frame, key, layout, length };
    if matches!(program.op(), Op::Route | Op::RouteEncapsulate) {
        if hop::count(&mut packet, program.mtu()).is_err() {
            return Err(packet.frame);
        }
        match (program.op(), &offer.into) {
            (Op::RouteEncapsulate, Some(into)) => {
                let bytes = packet.frame.bytes_mut();
                bytes[..6].copy_from_slice(&program.inner_next_hop().0);
                bytes[6..12].copy_from_slice(&into.gateway_mac.0);
            }
            _ => hop::readdress(&mut packet, program),
        }
    }
    if offer.unfinished_checksums && finish::request(&mut packet.frame, key, layout) && !offload {
        umem.finish_checksum(&mut packet.frame);
    }
    // Both have room: the tag that is taken off was read, and what is put on was made sure of.
    let edited = program.tag() == TagEdit::Keep || edit_tag(&mut packet, program.tag()).is_ok();
    debug_assert!(edited, "a tag of a packet that was read");
    if let Some(into) = &offer.into {
        let ecn = encapsulate::ecn(&packet);
        let patch = Patch { next_hop: program.next_hop(), entropy: into.entropy, ecn };
        let length = packet.length as usize;
        let pushed = into.template.push(&mut packet.frame, length, patch, (umem, offload));
        debug_assert!(pushed.is_ok(), "room that was made sure of");
    }
    Ok(Sent { frame: packet.frame, acknowledged: tcp.then_some(said) })
}

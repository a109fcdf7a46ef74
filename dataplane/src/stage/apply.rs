//! apply: programs run. The only executor: a hit and a miss, a drop and a flood all end here.

use podlane_rings::Frame;

use crate::{
    burst::{BURST, Burst, Layout, Line},
    drops::DropReason,
    flow::{FlowKey, Op, Program, TagEdit},
    headers::{ETHERNET, VLAN_TAG},
    ids::{Generation, PortId, VrfId},
    policy::Enforcement,
    stage::{dispatch::Exits, encapsulate, finish, fragment, gateway, hop, outer_mac, replicate, shared::Shared},
    tables::{PortTable, Tables, underlay::Underlay},
};

/// What every packet of a pass has in common.
pub struct Pass<'a> {
    /// The tables the programs were resolved from.
    pub tables: &'a Tables,
    /// What was learned.
    pub shared: &'a Shared,
    /// The port the burst came in by.
    pub ingress: PortId,
    /// Its table, unless it is closed.
    pub port: Option<&'a PortTable>,
    /// The policy in force.
    pub policy: Option<&'a Enforcement>,
    /// Of the tables or the policy, whichever came last.
    pub generation: Generation,
    /// Worker-clock milliseconds.
    pub now: u32,
}

impl Pass<'_> {
    /// The routing domain of a packet: within one, addresses are unique.
    pub(crate) fn zone(&self, key: &FlowKey) -> Option<VrfId> {
        let number = self.tables.network_at(key.port(), key.vlan())?;
        Some(self.tables.network(number)?.vrf)
    }
}

/// One packet on its way out.
pub struct Packet<'a> {
    pub(crate) frame: Frame,
    pub(crate) key: &'a FlowKey,
    pub(crate) layout: Layout,
    pub(crate) length: u32,
}

/// Runs the programs of a burst, in order of arrival.
#[inline(never)] // registers of its own, as in classify
pub fn apply(line: &mut Line, burst: &mut Burst, pass: &Pass<'_>, exits: &mut Exits) {
    let rows = line.rows.min(BURST);
    if pass.port.is_some_and(|port| port.unfinished_checksums) {
        finish(line, burst.frames_mut(), exits);
    }
    // Packets that only have to be sent by now.
    let ready = ready(line, burst.frames_mut(), &pass.tables.underlay, exits);
    let mut frames = burst.drain();
    let mut row = 0;
    while row < rows {
        // Packets with one way out come in runs: they are sent together.
        let end = end_of_run(line, ready, row, rows);
        if end > row {
            let bytes = line.lengths[row..end].iter().map(|length| u64::from(*length)).sum();
            exits.send_run(pass.ingress, line.programs[row].egress(), frames.by_ref().take(end - row), bytes);
            row = end;
            continue;
        }
        let Some(frame) = frames.next() else { break };
        let program = &line.programs[row];
        let packet = Packet { frame, key: &line.keys[row], layout: line.layouts[row], length: line.lengths[row] };
        match program.op() {
            Op::Bridge => forward(packet, program, pass.ingress, exits),
            Op::Route => route(packet, program, pass, exits),
            Op::Drop => exits.drop(pass.ingress, packet.frame, program.reason()),
            Op::Flood => replicate::flood(packet, pass, exits),
            Op::Answer => gateway::answer(packet, program.reason(), pass, exits),
            Op::Encapsulate => encapsulate::bridged(packet, program, line.hashes[row], pass, exits),
            Op::Readdress => readdress(packet, program, pass.ingress, exits),
            Op::RouteEncapsulate => encapsulate::routed(packet, program, line.hashes[row], pass, exits),
        }
        row += 1;
    }
}

/// Sees to checksums that were left unfinished: here, or where the leaving port can do it, by asking for it.
#[inline(never)] // registers of its own, as in classify
fn finish(line: &Line, frames: &mut [Frame], exits: &Exits) {
    let columns = line.programs.iter().zip(line.keys.iter()).zip(&line.layouts);
    for (frame, ((program, key), layout)) in frames.iter_mut().zip(columns) {
        let offload = match program.op() {
            Op::Drop | Op::Answer => continue,
            // Its copies leave by many ports.
            Op::Flood => false,
            Op::Bridge | Op::Route | Op::Readdress | Op::Encapsulate | Op::RouteEncapsulate => {
                exits.finishes_checksums(program.egress())
            }
        };
        if layout.l4 != 0 && finish::request(frame, key, *layout) && !offload {
            exits.pool.umem().finish_checksum(frame);
        }
    }
}

/// Rewrites what is routed or encapsulated in the plainest way, and says which rows are ready to be sent: those, and what is bridged as
/// it is. What is not ready is as it came.
#[inline(never)] // inlined, the mask lived on the stack, and a profile had a quarter of apply's samples there
fn ready(line: &mut Line, frames: &mut [Frame], underlay: &Underlay, exits: &mut Exits) -> u64 {
    let Line { programs, layouts, lengths, hashes, .. } = line;
    let columns = programs.iter().zip(layouts.iter()).zip(lengths.iter_mut()).zip(hashes.iter());
    let mut ready = 0;
    for (row, (frame, (((program, layout), length), hash))) in frames.iter_mut().zip(columns).enumerate() {
        let fits = *length <= u32::from(program.mtu()) + u32::from(layout.l3);
        let done = fits
            && match program.plain_op() {
                Some(Op::Bridge) => true,
                Some(Op::Route) => hop::rewrite(frame.bytes_mut(), program),
                Some(Op::Readdress) => {
                    outer_mac::plain(frame.bytes_mut(), |addresses| program.write_link_addresses(addresses))
                }
                Some(Op::Encapsulate) => {
                    let bytes = *length;
                    let pushed = encapsulate::plain(frame, length, (program, *hash), underlay);
                    if pushed {
                        exits.counters.path(program.path()).sent.add(1, bytes.into());
                    }
                    pushed
                }
                _ => false,
            };
        ready |= u64::from(done) << row;
    }
    ready
}

/// Where the run of ready packets from `row` ends that leave by the same port; `row` itself if it is not ready.
#[inline]
fn end_of_run(line: &Line, ready: u64, row: usize, rows: usize) -> usize {
    let first = &line.programs[row];
    let alike = |row: &usize| ready >> row & 1 != 0 && line.programs[*row].egress() == first.egress();
    (row..rows).find(|row| !alike(row)).unwrap_or(rows)
}

/// Tag, out: what bridged and routed packets share.
#[inline]
pub(super) fn forward(mut packet: Packet<'_>, program: &Program, ingress: PortId, exits: &mut Exits) {
    let egress = program.egress();
    if packet.length > u32::from(program.mtu()) + u32::from(packet.layout.l3) {
        return exits.drop(ingress, packet.frame, DropReason::TooBig);
    }
    if program.tag() != TagEdit::Keep
        && let Err(reason) = edit_tag(&mut packet, program.tag())
    {
        return exits.drop(ingress, packet.frame, reason);
    }
    exits.send(ingress, egress, packet.frame);
}

/// To or from a station that shares an uplink's MAC address.
fn readdress(mut packet: Packet<'_>, program: &Program, ingress: PortId, exits: &mut Exits) {
    outer_mac::readdress(&mut packet, program.next_hop(), program.source());
    forward(packet, program, ingress, exits);
}

fn route(mut packet: Packet<'_>, program: &Program, pass: &Pass<'_>, exits: &mut Exits) {
    match hop::count(&mut packet, program.mtu()) {
        Ok(()) => {
            hop::readdress(&mut packet, program);
            forward(packet, program, pass.ingress, exits);
        }
        Err(DropReason::TooBig) if fragment::is_allowed(&packet) => in_pieces(packet, program, pass, exits),
        Err(reason) => gateway::refuse(packet, reason, program.mtu(), pass, exits),
    }
}

/// Routes a packet as fragments.
#[cold]
fn in_pieces(mut packet: Packet<'_>, program: &Program, pass: &Pass<'_>, exits: &mut Exits) {
    if let Err(reason) = hop::count(&mut packet, u16::MAX) {
        return exits.drop(pass.ingress, packet.frame, reason);
    }
    hop::readdress(&mut packet, program);
    // A fragment has no transport header to finish later.
    exits.pool.umem().finish_checksum(&mut packet.frame);
    let (key, l3) = (packet.key, packet.layout.l3);
    fragment::cut(packet, program.mtu(), pass.ingress, exits, |frame, origin, exits| {
        let length = frame.len() as u32;
        let fragment = Packet { frame, key, layout: Layout { l3, l4: 0 }, length };
        forward(fragment, program, origin, exits);
    });
}

/// Takes off, puts on or rewrites the outer VLAN tag; layout and length follow.
pub(super) fn edit_tag(packet: &mut Packet<'_>, edit: TagEdit) -> Result<(), DropReason> {
    const ADDRESSES: usize = 12;
    let frame = &mut packet.frame;
    match edit {
        TagEdit::Keep => {}
        TagEdit::Pop => {
            if frame.len() < ETHERNET + VLAN_TAG {
                return Err(DropReason::VlanTruncated);
            }
            frame.bytes_mut().copy_within(..ADDRESSES, VLAN_TAG);
            frame.pop_front(VLAN_TAG).map_err(|_| DropReason::VlanTruncated)?;
            packet.shift(-(VLAN_TAG as i16));
        }
        TagEdit::Push(id) => {
            frame.push_front(VLAN_TAG).map_err(|_| DropReason::NoHeadroom)?;
            let bytes = frame.bytes_mut();
            bytes.copy_within(VLAN_TAG..VLAN_TAG + ADDRESSES, 0);
            bytes[ADDRESSES..ADDRESSES + 2].copy_from_slice(&[0x81, 0x00]);
            bytes[ADDRESSES + 2..ADDRESSES + 4].copy_from_slice(&id.to_be_bytes());
            packet.shift(VLAN_TAG as i16);
        }
        TagEdit::Set(id) => {
            let tag = frame.bytes_mut().get_mut(ETHERNET..ETHERNET + 2).ok_or(DropReason::VlanTruncated)?;
            // The priority bits stay as the sender chose them.
            let priority = u16::from_be_bytes([tag[0], tag[1]]) & 0xf000;
            tag.copy_from_slice(&(priority | id).to_be_bytes());
        }
    }
    Ok(())
}

impl<'a> Packet<'a> {
    /// A packet of the switch's own, made because of one with this key.
    pub(super) fn made(frame: Frame, key: &'a FlowKey) -> Self {
        let length = frame.len() as u32;
        Self { frame, key, layout: Layout::default(), length }
    }

    fn shift(&mut self, by: i16) {
        self.layout.l3 = self.layout.l3.wrapping_add_signed(by);
        if self.layout.l4 != 0 {
            self.layout.l4 = self.layout.l4.wrapping_add_signed(by);
        }
        self.length = self.length.wrapping_add_signed(i32::from(by));
    }
}

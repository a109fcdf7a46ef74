//! Fragments of IPv4 packets that are longer than their way takes (RFC 791, 3.2; RFC 1812, 4.2.2.7).
//!
//! Off the hot path: a sender that lets routers fragment is rare, and its packets cost a copy each. As few fragments as
//! the MTU allows leave, in order. The first takes the packet's place in the ledger, the others are the switch's own.
//! A checksum left unfinished is finished before the cut, because a fragment has no transport header to finish later.

use podlane_rings::Frame;
use podlane_wire::checksum;

use crate::{
    counters::SWITCH,
    drops::DropReason,
    flow::Class,
    headers::DONT_FRAGMENT,
    ids::PortId,
    stage::{apply::Packet, dispatch::Exits},
};

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

const SHORTEST_HEADER: usize = 20;
const LONGEST_HEADER: usize = 60;

/// The longest fragment made, Ethernet header and tag included: it is put together on the stack. A leaving port that takes
/// more gets more fragments than it must, which only a network of still longer frames could notice.
const LONGEST: usize = 9216 + 18;

/// Whether the packet is IPv4 and its sender lets routers fragment it.
pub(super) fn is_allowed(packet: &Packet<'_>) -> bool {
    let l3 = usize::from(packet.layout.l3);
    let header = packet.frame.bytes().get(l3..).and_then(|rest| rest.first_chunk::<SHORTEST_HEADER>());
    let forbidden = header.is_none_or(|header| place(header) & DONT_FRAGMENT != 0);
    packet.key.kind().class == Class::Ipv4 && !forbidden
}

/// Sends a packet's fragments, each at most `mtu` bytes from the IPv4 header on, by way of `send`, which is told whom the ledger
/// has each from. The packet is as it should leave but for its length; nothing is sent if it cannot be cut.
#[cold]
pub(super) fn cut(
    packet: Packet<'_>,
    mtu: u16,
    ingress: PortId,
    exits: &mut Exits,
    mut send: impl FnMut(Frame, PortId, &mut Exits),
) {
    match send_pieces(&packet, mtu, ingress, exits, &mut send) {
        Ok(()) => exits.pool.give(packet.frame),
        Err(reason) => exits.drop(ingress, packet.frame, reason),
    }
}

fn send_pieces(
    packet: &Packet<'_>,
    mtu: u16,
    ingress: PortId,
    exits: &mut Exits,
    send: &mut impl FnMut(Frame, PortId, &mut Exits),
) -> Result<(), DropReason> {
    let umem = exits.pool.umem().clone();
    let mut cut = Cut::of(packet, mtu, umem.segments(&packet.frame))?;
    let mut origin = ingress;
    while let Some(bytes) = cut.next_fragment() {
        if origin == SWITCH {
            exits.counters.made(bytes.len());
        }
        match exits.pool.write_packet(bytes) {
            Some(frame) => send(frame, origin, exits),
            None => exits.counters.dropped(origin, DropReason::NoFrame),
        }
        origin = SWITCH;
    }
    Ok(())
}

/// A packet being cut.
struct Cut<'a, S> {
    /// The next fragment: link header, IPv4 header, room for data.
    buffer: [u8; LONGEST],
    l3: usize,
    /// Bytes of the IPv4 header in the buffer; shorter after the first fragment if there are options that stay behind.
    header: usize,
    /// The longest fragment, from the IPv4 header on.
    mtu: usize,
    /// Flags and offset of the packet itself, which may be a fragment already.
    place: u16,
    /// Bytes of data in all, and cut off so far.
    data: usize,
    done: usize,
    finished: bool,
    /// What is left of the segment being read, and the segments behind it.
    segment: &'a [u8],
    segments: S,
}

impl<'a, S: Iterator<Item = &'a [u8]>> Cut<'a, S> {
    /// A packet about to be cut. `segments` are its bytes.
    fn of(packet: &Packet<'_>, mtu: u16, mut segments: S) -> Result<Self, DropReason> {
        let l3 = usize::from(packet.layout.l3);
        let first = segments.next().unwrap_or(&[]);
        let (link, rest) = first.split_at_checked(l3).ok_or(DropReason::Ipv4Header)?;
        let length = usize::from(rest.first().map_or(0, |first| first & 0xf)) * 4;
        let (header, segment) = rest.split_at_checked(length.max(SHORTEST_HEADER)).ok_or(DropReason::Ipv4Header)?;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let data = total.checked_sub(header.len()).ok_or(DropReason::Ipv4Length)?;
        let place = place(header);
        // A fragment that would end beyond the longest packet there is: its offset could not be written any more.
        if usize::from(place & OFFSET) * 8 + data > usize::from(u16::MAX) {
            return Err(DropReason::Ipv4Length);
        }
        let mtu = usize::from(mtu).min(LONGEST - l3);
        // RFC 791 promises that 68 bytes pass everywhere: the longest header and eight bytes of data.
        if mtu < LONGEST_HEADER + 8 {
            return Err(DropReason::TooBig);
        }
        let mut buffer = [0; LONGEST];
        buffer[..l3].copy_from_slice(link);
        buffer[l3..l3 + header.len()].copy_from_slice(header);
        let header = header.len();
        Ok(Self { buffer, l3, header, mtu, place, data, done: 0, finished: false, segment, segments })
    }

    /// The next fragment, whole.
    fn next_fragment(&mut self) -> Option<&[u8]> {
        if self.finished {
            return None;
        }
        if self.done > 0 {
            self.keep_copied_options();
        }
        let (left, room) = (self.data - self.done, self.mtu - self.header);
        self.finished = left <= room;
        // All but the last carry a multiple of eight bytes.
        let take = if self.finished { left } else { room & !7 };
        let more = if self.finished { self.place & MORE_FRAGMENTS } else { MORE_FRAGMENTS };
        let offset = (self.place & OFFSET) + (self.done / 8) as u16;
        let reserved = self.place & !(MORE_FRAGMENTS | OFFSET);
        let header = &mut self.buffer[self.l3..self.l3 + self.header];
        header[0] = 0x40 | (self.header / 4) as u8;
        header[2..4].copy_from_slice(&((self.header + take) as u16).to_be_bytes());
        header[6..8].copy_from_slice(&(reserved | more | offset).to_be_bytes());
        header[10..12].fill(0);
        let sum = checksum::sum(header).finish();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let start = self.l3 + self.header;
        self.read(start..start + take);
        self.done += take;
        Some(&self.buffer[..start + take])
    }

    /// Copies the packet's next bytes to this range of the buffer.
    fn read(&mut self, mut range: core::ops::Range<usize>) {
        while !range.is_empty() {
            if self.segment.is_empty() {
                // The packet is as long as its header says: classify has looked. A lie would leave zeros.
                let Some(next) = self.segments.next() else { return };
                self.segment = next;
                continue;
            }
            let (piece, rest) = self.segment.split_at(self.segment.len().min(range.len()));
            self.buffer[range.start..range.start + piece.len()].copy_from_slice(piece);
            range.start += piece.len();
            self.segment = rest;
        }
    }

    /// Leaves the options that every fragment carries (RFC 791, 3.1: the copied flag), padded to a word.
    fn keep_copied_options(&mut self) {
        const COPIED: u8 = 0x80;
        const END: u8 = 0;
        const NO_OPERATION: u8 = 1;
        let start = self.l3 + SHORTEST_HEADER;
        let end = self.l3 + self.header;
        let (mut at, mut kept) = (start, start);
        while at < end {
            let length = match self.buffer[at] {
                END => break,
                NO_OPERATION => 1,
                // An option that lies about its length ends the list: what it covers is not known.
                _ => match self.buffer[at..end].get(1) {
                    Some(&length) if length >= 2 && at + usize::from(length) <= end => usize::from(length),
                    _ => break,
                },
            };
            if self.buffer[at] & COPIED != 0 {
                self.buffer.copy_within(at..at + length, kept);
                kept += length;
            }
            at += length;
        }
        let padded = start + (kept - start).next_multiple_of(4);
        self.buffer[kept..padded].fill(END);
        self.header = padded - self.l3;
    }
}

/// Flags and fragment offset of a header.
fn place(header: &[u8]) -> u16 {
    u16::from_be_bytes([header[6], header[7]])
}

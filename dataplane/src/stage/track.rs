//! track: hits of connections that are followed. What nearly every segment of an established connection needs is one load and one store;
//! what opens, ends or resets one is left for a closer look.
//!
//! A segment's acknowledgement says which bytes its sender has, and its window which it takes: so the latest one of each direction is all
//! that a reset from the other side has to be held against (RFC 5961, 3.2). It is remembered in the flow's entry, whose line the
//! hit has written to already.

use podlane_rings::Frame;

use crate::{
    burst::{BURST, Line},
    flow::{FlowTable, Program, connections::Acknowledged},
};

/// FIN, SYN and RST among the bytes 8 to 16 of a TCP header, as they stand there.
pub(crate) const TURNS: u64 = 0x07 << (5 * 8);

/// Where those bytes begin.
pub(crate) const ACKNOWLEDGEMENT: usize = 8;

/// Remembers what the watched hits of a burst acknowledge. Returns the rows that deserve a closer look.
#[inline(never)] // registers of its own, as in classify
pub fn track(line: &Line, frames: &[Frame], table: &FlowTable) -> u64 {
    let rows = frames.len().min(BURST);
    // Slices of one length and an index: as zipped iterators this was 66 instructions a packet, and is 39 (callgrind).
    let (frames, programs) = (&frames[..rows], &line.programs[..rows]);
    let (layouts, entries) = (&line.layouts[..rows], &line.entries[..rows]);
    let (unknown, view) = (line.missing, table.view());
    let mut closer = 0;
    for row in 0..rows {
        let watch = programs[row].watch_bits();
        if watch == 0 || unknown >> row & 1 != 0 {
            continue;
        }
        let word = acknowledgement(frames[row].bytes(), layouts[row].l4);
        if word & TURNS == 0 && watch == Program::ACKNOWLEDGED {
            view.acknowledge(entries[row], word);
        } else {
            closer |= 1 << row;
        }
    }
    closer
}

/// Acknowledgement number, flags and window of a TCP header at `l4`. What is not there is as if it turned everything.
#[inline]
pub(crate) fn acknowledgement(bytes: &[u8], l4: u16) -> u64 {
    let at = usize::from(l4) + ACKNOWLEDGEMENT;
    let header = bytes.get(at..at + 8).and_then(|header| header.first_chunk());
    header.map_or(TURNS, |bytes| u64::from_le_bytes(*bytes))
}

/// What [`acknowledgement`] gave, as a connection sees it.
pub(crate) fn acknowledged(word: u64) -> Acknowledged {
    let [a, b, c, d, _, _, e, f] = word.to_le_bytes();
    Acknowledged { ack: u32::from_be_bytes([a, b, c, d]), window: u16::from_be_bytes([e, f]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_read_as_it_was_sent() {
        let mut header = [0; 20];
        header[8..12].copy_from_slice(&0x0102_0304_u32.to_be_bytes());
        header[12..14].copy_from_slice(&[0x50, 0x10]);
        header[14..16].copy_from_slice(&500_u16.to_be_bytes());
        let word = acknowledgement(&header, 0);
        assert_eq!(acknowledged(word), Acknowledged { ack: 0x0102_0304, window: 500 });
        assert_eq!(word & TURNS, 0);
    }

    #[test]
    fn what_opens_ends_or_resets_is_looked_at_and_so_is_what_is_not_there() {
        for flags in 0..=u8::MAX {
            let mut header = [0; 20];
            header[13] = flags;
            assert_eq!(acknowledgement(&header, 0) & TURNS != 0, flags & 7 != 0, "flags {flags:#x}");
        }
        assert_eq!(acknowledgement(&[0; 15], 0) & TURNS, TURNS);
    }
}

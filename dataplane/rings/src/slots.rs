//! The side table of a packet memory: who has each slot, and which slot follows it in a chain.
//!
//! It lies outside the shared memory, so neither the kernel nor another process can write it. All accesses are relaxed:
//! a slot changes hands by moving a `Frame` or by a ring's acquire and release, and those order everything else.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// Which ring a slot was lent through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lent {
    Fill,
    Tx,
}

/// A socket's number on its packet memory, part of the mark a lent slot bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketNumber(u16);

impl SocketNumber {
    /// Sockets that one memory can tell apart: 16 bits of mark, one for the ring, one value for "not lent".
    pub(crate) const LIMIT: u32 = (u16::MAX as u32 - 1) / 2;

    pub(crate) fn new(number: u32) -> Option<Self> {
        (number < Self::LIMIT).then_some(Self(number as u16))
    }

    pub(crate) fn get(self) -> u32 {
        u32::from(self.0)
    }

    fn mark(self, lent: Lent) -> u16 {
        (self.0 + 1) * 2 + (lent == Lent::Tx) as u16
    }

    /// Whose mark this is, and through which ring; none of a slot that is ours.
    fn of_mark(mark: u16) -> Option<(Self, Lent)> {
        let number = (mark / 2).checked_sub(1)?;
        Some((Self(number), if mark.is_multiple_of(2) { Lent::Fill } else { Lent::Tx }))
    }
}

/// The mark of a slot that is at home or held as a frame. These two need not be told apart: only what a kernel hands
/// back is doubted, and a frame cannot be forged.
const OURS: u16 = 0;

/// "No slot follows."
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// One step of a chain: where the bytes of a tail segment lie in its slot, and which slot comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) next: u32,
    pub(crate) offset: u16,
    pub(crate) len: u16,
}

impl Link {
    fn pack(self) -> u64 {
        u64::from(self.next) | u64::from(self.offset) << 32 | u64::from(self.len) << 48
    }

    fn unpack(word: u64) -> Self {
        Self { next: word as u32, offset: (word >> 32) as u16, len: (word >> 48) as u16 }
    }
}

/// The table: two dense arrays, because the marks are touched for every descriptor and the links for jumbo packets only.
pub(crate) struct Slots {
    marks: Box<[AtomicU16]>,
    links: Box<[AtomicU64]>,
}

impl Slots {
    pub(crate) fn new(frames: u32) -> Self {
        Self {
            marks: (0..frames).map(|_| AtomicU16::new(OURS)).collect(),
            links: (0..frames).map(|_| AtomicU64::new(u64::from(NO_SLOT))).collect(),
        }
    }

    /// The marks as one ring of one socket sees them.
    #[inline]
    pub(crate) fn borrower(&self, socket: SocketNumber, through: Lent) -> Borrower<'_> {
        Borrower { marks: &self.marks, mark: socket.mark(through) }
    }

    /// Takes back every slot that is lent to `from`, for a socket that is closed and can touch none of them any more.
    pub(crate) fn take_all_back(&self, from: SocketNumber, mut home: impl FnMut(u32)) {
        for (slot, mark) in self.marks.iter().enumerate() {
            let lent = mark.load(Relaxed);
            if lent == from.mark(Lent::Fill) || lent == from.mark(Lent::Tx) {
                mark.store(OURS, Relaxed);
                home(slot as u32);
            }
        }
    }

    /// All marks, for a process that goes on with this memory.
    pub(crate) fn marks(&self) -> Vec<u16> {
        self.marks.iter().map(|mark| mark.load(Relaxed)).collect()
    }

    /// Takes over the marks of a former process, as many as there are slots. Tells each slot that is nobody's.
    pub(crate) fn inherit(&self, marks: &[u16], mut home: impl FnMut(u32)) {
        // The last slot ends up at the bottom of a stack, as in a memory that is new.
        for (slot, (mark, former)) in self.marks.iter().zip(marks).enumerate().rev() {
            mark.store(*former, Relaxed);
            if *former == OURS {
                home(slot as u32);
            }
        }
    }

    /// Counts what these marks say is lent to each of the sockets that have a place in `lent`, by number, through its fill ring
    /// and through its tx ring. Returns how many are lent to others.
    pub(crate) fn count(marks: &[u16], lent: &mut [Option<(u32, u32)>]) -> usize {
        let mut others = 0;
        for (number, through) in marks.iter().filter_map(|mark| SocketNumber::of_mark(*mark)) {
            match (lent.get_mut(usize::from(number.0)).and_then(Option::as_mut), through) {
                (Some((fill, _)), Lent::Fill) => *fill += 1,
                (Some((_, tx)), Lent::Tx) => *tx += 1,
                (None, _) => others += 1,
            }
        }
        others
    }

    /// The first number from which on none is in these marks.
    pub(crate) fn first_unused(marks: &[u16]) -> u32 {
        marks
            .iter()
            .filter_map(|mark| SocketNumber::of_mark(*mark))
            .map(|(number, _)| number.get() + 1)
            .max()
            .unwrap_or(0)
    }

    #[inline]
    pub(crate) fn link(&self, slot: u32) -> Link {
        Link::unpack(self.links[slot as usize].load(Relaxed))
    }

    #[inline]
    pub(crate) fn set_link(&self, slot: u32, link: Link) {
        self.links[slot as usize].store(link.pack(), Relaxed);
    }
}

/// One ring that slots are lent through.
#[derive(Clone, Copy)]
pub(crate) struct Borrower<'a> {
    marks: &'a [AtomicU16],
    mark: u16,
}

impl Borrower<'_> {
    /// Marks a slot of ours as lent.
    #[inline]
    pub(crate) fn lend(self, slot: u32) {
        self.marks[slot as usize].store(self.mark, Relaxed);
    }

    /// Takes a slot back if it is lent through this ring: the one question asked of every descriptor. The number is as
    /// the kernel gave it, and may be any.
    #[inline]
    pub(crate) fn take_back(self, slot: u64) -> bool {
        match self.marks.get(slot as usize) {
            Some(mark) if mark.load(Relaxed) == self.mark => {
                mark.store(OURS, Relaxed);
                true
            }
            _ => false,
        }
    }
}

/// A slot's number is used as an index as it comes: on a machine with narrower indices it would be cut to a valid one.
const _: () = assert!(usize::BITS >= 64);

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(n: u32) -> SocketNumber {
        SocketNumber::new(n).unwrap()
    }

    #[test]
    fn only_the_borrower_gives_a_slot_back_and_only_once() {
        let slots = Slots::new(4);
        let fill = slots.borrower(number(7), Lent::Fill);
        fill.lend(2);
        assert!(!slots.borrower(number(7), Lent::Tx).take_back(2), "another ring");
        assert!(!slots.borrower(number(6), Lent::Fill).take_back(2), "another socket");
        assert!(!fill.take_back(1), "a slot not lent");
        assert!(!fill.take_back(4), "a slot that is none");
        assert!(!fill.take_back(u64::MAX), "no slot at all");
        assert!(!fill.take_back((1 << 32) + 2), "a slot's number in the low half only");
        assert!(fill.take_back(2));
        assert!(!fill.take_back(2), "twice");
    }

    #[test]
    fn a_closed_sockets_slots_come_home_and_no_others() {
        let slots = Slots::new(4);
        let other = slots.borrower(number(2), Lent::Fill);
        slots.borrower(number(1), Lent::Fill).lend(0);
        other.lend(1);
        slots.borrower(number(1), Lent::Tx).lend(3);
        let mut home = Vec::new();
        slots.take_all_back(number(1), |slot| home.push(slot));
        assert_eq!(home, [0, 3]);
        assert!(other.take_back(1));
    }

    #[test]
    fn marks_of_the_first_and_last_socket_differ_from_ours() {
        assert_eq!(SocketNumber::new(SocketNumber::LIMIT), None);
        let last = number(SocketNumber::LIMIT - 1);
        let marks = [number(0).mark(Lent::Fill), number(0).mark(Lent::Tx), last.mark(Lent::Fill), last.mark(Lent::Tx)];
        for (at, mark) in marks.iter().enumerate() {
            assert!(*mark != OURS && !marks[..at].contains(mark));
        }
    }

    proptest! {
        #[test]
        fn a_link_survives_its_packing(next: u32, offset: u16, len: u16) {
            let link = Link { next, offset, len };
            prop_assert_eq!(Link::unpack(link.pack()), link);
        }
    }
}

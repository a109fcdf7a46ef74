//! Permits: which flows may be carried at this moment, in memory that engines read and workers write.
//!
//! A flow's permit lies at the number of its entry in the flow table, so whoever knows the flow knows the permit, on any worker. It shows a
//! stamp, odd while it is granted. An engine was told the stamp with the flow, and carries a packet only if the permit shows it still; so a worker takes a flow back
//! by one store, whether the engine has heard of the flow already or not, and a permit that is granted again is another one.
//!
//! Refused: asking the engine to remove the flow and waiting (a worker waits for nobody); asking and not waiting (data after a reset would pass for
//! some milliseconds, which the workers alone would not have let through).

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::io;

use podlane_rings::ZeroedSlice;
use zerocopy::FromBytes;

/// The right to carry one flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Permit {
    /// The flow's entry in the flow table.
    pub entry: u32,
    /// What its place has to show.
    pub stamp: u32,
}

/// One place a flow-table entry.
pub struct Permits {
    places: ZeroedSlice<Place>,
}

/// The flow is not worth another offer.
const REFUSED: u32 = 1;
/// The flow is looked at already.
const NOTED: u32 = 2;

#[repr(C)]
#[derive(FromBytes)]
struct Place {
    /// Odd while it is granted.
    stamp: AtomicU32,
    /// [`REFUSED`] and [`NOTED`]: the owner's own notes.
    notes: AtomicU32,
    /// Bytes 8 to 16 of the latest TCP header that an engine carried, as they stand there.
    acknowledged: AtomicU64,
}

impl Permits {
    /// Permits for a flow table of so many entries. Pages that are not used cost nothing.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub fn new(entries: usize) -> io::Result<Self> {
        Ok(Self { places: ZeroedSlice::new(entries)? })
    }

    /// Grants a flow's permit. Only the worker that owns the entry calls it.
    #[must_use]
    pub fn grant(&self, entry: u32) -> Option<Permit> {
        let place = self.place(entry)?;
        let stamp = place.stamp.load(Ordering::Relaxed).wrapping_add(1) | 1;
        place.acknowledged.store(0, Ordering::Relaxed);
        place.stamp.store(stamp, Ordering::Release);
        Some(Permit { entry, stamp })
    }

    /// Takes back whatever permit a flow has.
    pub fn revoke(&self, entry: u32) {
        if let Some(place) = self.place(entry)
            && let stamp = place.stamp.load(Ordering::Relaxed)
            && stamp & 1 != 0
        {
            // Another thread may take the same one back; it is granted by one worker alone.
            let _ = place.stamp.compare_exchange(stamp, stamp.wrapping_add(1), Ordering::Release, Ordering::Relaxed);
        }
    }

    /// Takes back this permit, if it is granted still.
    pub fn take_back(&self, permit: Permit) {
        if let Some(place) = self.place(permit.entry) {
            let (from, to) = (permit.stamp, permit.stamp.wrapping_add(1));
            // If it is another one by now, there is nothing to take back.
            let _ = place.stamp.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
        }
    }

    /// Whether a permit is granted still.
    #[inline]
    #[must_use]
    pub fn stands(&self, permit: Permit) -> bool {
        self.place(permit.entry).is_some_and(|place| place.stamp.load(Ordering::Acquire) == permit.stamp)
    }

    /// Whether a flow has a permit.
    #[must_use]
    pub fn is_granted(&self, entry: u32) -> bool {
        self.place(entry).is_some_and(|place| place.stamp.load(Ordering::Relaxed) & 1 != 0)
    }

    /// An engine notes what a segment it carried acknowledges, for whoever has to hold a reset against it.
    #[inline]
    pub fn acknowledge(&self, permit: Permit, bytes: u64) {
        if let Some(place) = self.place(permit.entry) {
            place.acknowledged.store(bytes, Ordering::Relaxed);
        }
    }

    /// The latest of what an engine noted of a flow, if it carried any of it.
    #[must_use]
    pub fn acknowledged(&self, entry: u32) -> Option<u64> {
        Some(self.place(entry)?.acknowledged.load(Ordering::Relaxed)).filter(|bytes| *bytes != 0)
    }

    /// A new flow is at this entry: nothing of the former one holds for it.
    pub(crate) fn begin(&self, entry: u32) {
        self.revoke(entry);
        if let Some(place) = self.place(entry) {
            place.notes.store(0, Ordering::Relaxed);
            place.acknowledged.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that a flow is not worth another offer.
    pub(crate) fn refuse(&self, entry: u32) {
        if let Some(place) = self.place(entry) {
            place.notes.store(place.notes.load(Ordering::Relaxed) | REFUSED, Ordering::Relaxed);
        }
    }

    /// Notes that a flow is looked at. Returns whether there is anything to look for: it was not noted yet, nor refused or granted.
    pub(crate) fn note(&self, entry: u32) -> bool {
        let Some(place) = self.place(entry) else { return false };
        let new = place.notes.load(Ordering::Relaxed) == 0 && !self.is_granted(entry);
        if new {
            place.notes.store(NOTED, Ordering::Relaxed);
        }
        new
    }

    /// Notes that it is not looked at any more.
    pub(crate) fn look_away(&self, entry: u32) {
        if let Some(place) = self.place(entry) {
            place.notes.store(place.notes.load(Ordering::Relaxed) & !NOTED, Ordering::Relaxed);
        }
    }

    /// Whether a flow is not worth another offer.
    pub(crate) fn is_refused(&self, entry: u32) -> bool {
        self.place(entry).is_some_and(|place| place.notes.load(Ordering::Relaxed) & REFUSED != 0)
    }

    #[inline]
    fn place(&self, entry: u32) -> Option<&Place> {
        self.places.get(entry as usize)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its ground has failed")]
mod tests {
    use super::*;

    #[test]
    fn a_permit_stands_until_it_is_taken_back_and_no_former_one_stands_again() {
        let permits = Permits::new(4).unwrap();
        assert!(!permits.is_granted(2) && !permits.stands(Permit { entry: 2, stamp: 1 }));
        let first = permits.grant(2).unwrap();
        assert!(permits.stands(first) && permits.is_granted(2) && !permits.is_granted(1));
        permits.revoke(2);
        permits.revoke(2);
        assert!(!permits.stands(first) && !permits.is_granted(2));
        let second = permits.grant(2).unwrap();
        permits.take_back(first);
        assert!(permits.stands(second) && !permits.stands(first));
        let third = permits.grant(2).unwrap();
        assert!(!permits.stands(second) && permits.stands(third));
        permits.take_back(third);
        assert!(!permits.is_granted(2));
        assert!(permits.grant(4).is_none(), "the table has four entries");
    }

    #[test]
    fn a_flow_is_noted_once_and_not_where_there_is_nothing_to_look_for() {
        let permits = Permits::new(1).unwrap();
        assert!(permits.note(0) && !permits.note(0));
        permits.look_away(0);
        let permit = permits.grant(0).unwrap();
        assert!(!permits.note(0));
        permits.take_back(permit);
        assert!(permits.note(0));
        permits.refuse(0);
        permits.look_away(0);
        assert!(!permits.note(0) && permits.is_refused(0));
    }

    #[test]
    fn a_new_flow_has_nothing_of_the_former_one() {
        let permits = Permits::new(1).unwrap();
        let permit = permits.grant(0).unwrap();
        permits.acknowledge(permit, 77);
        permits.refuse(0);
        assert_eq!((permits.acknowledged(0), permits.is_refused(0)), (Some(77), true));
        permits.begin(0);
        assert_eq!((permits.acknowledged(0), permits.is_refused(0), permits.stands(permit)), (None, false, false));
    }
}

//! Connections: who opened what, by which rule, and how far it has come. One table for all workers, without a lock.
//!
//! ```text
//!   key (either direction) --> bucket --> entry: [ key | state | generation, rule | seen | sequence numbers | flows ]
//!          written by the worker that opened it, under an odd version; changed by all, word by word, by compare-and-swap
//! ```
//!
//! * The two directions of a connection may come by two workers. What changes is in words that carry the entry's version, so a
//!   swap either moves on just the connection that was looked at, or fails and is tried again on what it has become.
//! * A [`ConnectionId`] may have been given to another connection meanwhile: whatever takes one takes the key too and does nothing if
//!   the two no longer agree.
//! * Silence ends a connection: sooner while it opens or closes, later when it is established. From 7/8 full on, what is not
//!   established has a tenth of its time: a flood passes through the last eighth. What is established is never put out for others.
//! * The clock is 32 bits of milliseconds and wraps: ages are differences, of at most 24 days.
//!
//! Refused: a table per worker (the directions of a connection would have to be steered together, which no NIC or veth promises); a
//! lock per entry (the worker that holds it may be preempted); putting out the oldest (a flood is younger than all it puts out).

mod entry;
mod key;
mod state;
mod tcp;
#[cfg(test)]
mod tests;
mod writer;

use core::sync::atomic::{AtomicU32, Ordering};
use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use podlane_rings::ZeroedSlice;
use podlane_wire::TcpFlags;

use crate::{
    DropReason,
    flow::{
        connections::{
            entry::{Entry, Glance},
            state::{SPOKE, State},
        },
        index::{Index, entry_of},
        key::HashSeed,
        table::{Progress, TableFacts},
    },
    ids::{Generation, WorkerId},
    policy::Rule,
};

pub use key::{ConnectionKey, Places, Side};
pub use state::Phase;
pub use tcp::{Acknowledged, Segment};
pub use writer::{ConnectionWriter, First, Opened};

/// How connections are followed. Times are milliseconds of silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Whether a TCP connection whose SYN was not seen may be taken up in mid-stream: after a restart all are such.
    pub pick_up: bool,
    /// TCP until it is established.
    pub tcp_opening: u32,
    /// TCP while it is (RFC 5382, 5: at least 2 hours and 4 minutes).
    pub tcp_established: u32,
    /// TCP after a FIN.
    pub tcp_closing: u32,
    /// TCP after a reset or when both FINs were acknowledged.
    pub closed: u32,
    /// UDP until it is answered.
    pub udp_opening: u32,
    /// UDP after that (RFC 4787, 4.3: 5 minutes are recommended).
    pub udp: u32,
    /// ICMP echo.
    pub icmp: u32,
    /// What a first fragment opens for the later ones.
    pub fragments: u32,
    /// All other protocols.
    pub other: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pick_up: true,
            tcp_opening: 20_000,
            tcp_established: 7_440_000,
            tcp_closing: 60_000,
            closed: 10_000,
            udp_opening: 30_000,
            udp: 300_000,
            icmp: 30_000,
            fragments: 30_000,
            other: 600_000,
        }
    }
}

/// Where a connection is in the table. Another may be there later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionId(pub u32);

/// A connection that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Where it is.
    pub id: ConnectionId,
    /// The side that opened it.
    pub opener: Side,
    /// The policy it was last judged by.
    pub generation: Generation,
    /// The rule that allowed it then.
    pub rule: Rule,
    /// Between which ports it was then.
    pub places: Places,
    /// How far it has come.
    pub phase: Phase,
    /// Whether the side that did not open it has spoken.
    pub answered: bool,
}

/// What came of judging a connection that may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// The policy it was judged by.
    pub generation: Generation,
    /// The rule that allows it.
    pub rule: Rule,
    /// Between which ports it may be.
    pub places: Places,
}

/// One connection, as `podlane connections` sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionRecord {
    /// Its key.
    pub key: ConnectionKey,
    /// The side that opened it.
    pub opener: Side,
    /// How far it has come.
    pub phase: Phase,
    /// Whether the side that did not open it has spoken.
    pub answered: bool,
    /// The policy it was last judged by.
    pub generation: Generation,
    /// The rule that allowed it then.
    pub rule: Rule,
    /// Worker-clock milliseconds of its first packet.
    pub opened: u32,
    /// Worker-clock milliseconds of its last packet, as far as it was told of.
    pub seen: u32,
    /// The worker that opened it.
    pub owner: WorkerId,
}

/// How full the table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fill {
    /// Entries taken.
    pub used: usize,
    /// Those of them that are not established yet: a flood is seen here.
    pub opening: usize,
    /// Entries there are.
    pub capacity: usize,
}

/// There is no room for another connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the table of connections is full; raise its capacity, or find who opens so many")]
pub struct Full;

/// Memory files of a table of connections.
pub const CONNECTION_FILES: usize = 2;

/// The table. Shared by all workers and readable by anyone.
pub struct Connections {
    index: Index,
    entries: ZeroedSlice<Entry>,
    opening: AtomicU32,
    settings: Settings,
    seed: HashSeed,
}

impl Connections {
    /// A table for `capacity` connections, at least 1024. It costs about 150 bytes for each that has been in it.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub fn new(capacity: usize, settings: Settings, seed: HashSeed) -> io::Result<Self> {
        let capacity = capacity.clamp(1024, 1 << 28);
        Ok(Self {
            index: Index::new(capacity)?,
            entries: ZeroedSlice::new(capacity)?,
            opening: AtomicU32::new(0),
            settings,
            seed,
        })
    }

    /// The table of a former process, followed by other settings perhaps. Before [`Self::go_on`] it is for nobody to write to.
    ///
    /// # Errors
    /// The files are no such table.
    pub fn inherit(files: [OwnedFd; CONNECTION_FILES], settings: Settings, facts: &TableFacts) -> io::Result<Self> {
        let capacity = facts.capacity.clamp(1024, 1 << 28);
        let [buckets, entries] = files;
        Ok(Self {
            index: Index::inherit(buckets, capacity)?,
            entries: ZeroedSlice::inherit(entries, capacity)?,
            opening: AtomicU32::new(0),
            settings,
            seed: HashSeed::of_words(facts.seed),
        })
    }

    /// Its memory files, in the order of [`Self::inherit`].
    #[must_use]
    pub fn files(&self) -> [BorrowedFd<'_>; CONNECTION_FILES] {
        [self.index.file(), self.entries.as_fd()]
    }

    /// What an heir has to know of it.
    #[must_use]
    pub fn facts(&self) -> TableFacts {
        TableFacts { capacity: self.capacity(), seed: *self.seed.words() }
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { high_water: self.index.high_water() as u32, opening: self.opening.load(Ordering::Relaxed) }
    }

    /// Goes on where a former process ended, whose workers owned so many connections.
    pub fn go_on(&self, progress: Progress, owned: usize) {
        self.index.go_on(progress.high_water, owned);
        self.opening.store(progress.opening, Ordering::Relaxed);
    }

    /// As [`FlowTable::recycle`](crate::flow::FlowTable::recycle).
    pub fn recycle<'a>(&self, progress: Progress, owned: impl Iterator<Item = &'a u64>) {
        self.index.recycle(progress.high_water, owned.map(|word| entry_of(*word)));
    }

    /// How connections are followed.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many connections fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// How full it is.
    #[must_use]
    pub fn fill(&self) -> Fill {
        Fill {
            used: self.index.used(),
            opening: self.opening.load(Ordering::Relaxed) as usize,
            capacity: self.capacity(),
        }
    }

    /// The connection of a key; one that was silent too long is none.
    #[inline]
    #[must_use]
    pub fn find(&self, key: &ConnectionKey, now: u32) -> Option<Known> {
        self.index.candidates(self.hash(key)).find_map(|number| {
            let id = ConnectionId(number);
            let glance = self.glance(id, key)?;
            if self.is_over(glance.state, glance.seen, now, || self.is_pressed()) {
                return None;
            }
            Some(Known {
                id,
                opener: glance.state.opener(),
                generation: glance.generation,
                rule: glance.rule,
                places: glance.places,
                phase: glance.state.phase(),
                answered: glance.state.is_answered(),
            })
        })
    }

    /// Notes that a connection was judged again and may go on.
    pub fn judged(&self, id: ConnectionId, key: &ConnectionKey, judgement: Judgement) {
        if let Some((entry, glance)) = self.entry(id, key) {
            entry.judge(&glance, &judgement);
        }
    }

    /// Follows a packet of any protocol but TCP: it keeps the connection alive, and answers it if it is not the opener's. `None`
    /// when the connection is no longer there.
    pub fn packet(&self, id: ConnectionId, key: &ConnectionKey, from: Side, now: u32) -> Option<Phase> {
        let (entry, glance) = self.entry(id, key)?;
        let (before, after) = entry.change(glance.version, |state| state.set(SPOKE, from))?;
        self.count(before, after);
        entry.see(now);
        Some(after.phase())
    }

    /// Follows a TCP segment, and tells how far the connection has come with it. `acknowledged` is what the latest packet of the *other*
    /// side said, if the caller knows it: a reset is measured by it.
    ///
    /// # Errors
    /// The segment must not pass: [`DropReason::BadReset`], [`DropReason::UnexpectedSyn`], or [`DropReason::NoConnection`] when
    /// the connection is no longer there, or a reset has ended it and this is data.
    pub fn segment(
        &self,
        id: ConnectionId,
        key: &ConnectionKey,
        segment: &Segment,
        acknowledged: Option<Acknowledged>,
        now: u32,
    ) -> Result<Phase, DropReason> {
        let (entry, glance) = self.entry(id, key).ok_or(DropReason::NoConnection)?;
        let (before, after) = entry.follow(glance.version, segment, acknowledged)?;
        self.count(before, after);
        if before.phase() != Phase::Closed {
            entry.see(now);
        }
        match (segment.flags.contains(TcpFlags::RST), after.is_doubted()) {
            (true, true) => entry.doubt(now),
            (false, true) => entry.outlive_doubt(glance.version, now, self.settings.closed),
            (_, false) => {}
        }
        Ok(after.phase())
    }

    /// Hears that a packet of a connection, carried by a cached flow, was seen at `seen`. That keeps it alive until it is closed, and
    /// brings back what was about to be freed for want of time.
    pub fn confirm(&self, key: &ConnectionKey, seen: u32) {
        let alive = self.index.candidates(self.hash(key)).find_map(|number| {
            let (entry, glance) = self.entry(ConnectionId(number), key)?;
            let closed = glance.state.phase() == Phase::Closed;
            (!closed && !self.is_over(glance.state, glance.seen, seen, || false)).then_some((entry, glance))
        });
        let Some((entry, glance)) = alive else { return };
        if glance.state.is_doubted() {
            entry.outlive_doubt(glance.version, seen, self.settings.closed);
        }
        entry.see(seen);
    }

    /// Names the cached flow that carries one side's packets, so that the other's resets can be measured by it.
    pub fn link(&self, id: ConnectionId, key: &ConnectionKey, side: Side, flow: u32) {
        if let Some((entry, glance)) = self.entry(id, key) {
            entry.link(glance.version, side, flow);
        }
    }

    /// The cached flow that carries one side's packets; it may have become another's.
    #[must_use]
    pub fn linked(&self, id: ConnectionId, key: &ConnectionKey, side: Side) -> Option<u32> {
        let (entry, glance) = self.entry(id, key)?;
        entry.linked(glance.version, side)
    }

    /// Ends a connection at once: nobody finds it any more.
    pub fn close(&self, id: ConnectionId, key: &ConnectionKey) {
        if let Some((entry, glance)) = self.entry(id, key)
            && let Some((before, after)) = entry.change(glance.version, State::close)
        {
            self.count(before, after);
        }
    }

    /// Up to `limit` connections that `wanted` accepts, some of which may be silent too long already. For the control side: it reads while workers write.
    pub fn records(&self, limit: usize, mut wanted: impl FnMut(&ConnectionKey) -> bool) -> Vec<ConnectionRecord> {
        self.entries[..self.index.high_water().min(self.entries.len())]
            .iter()
            .filter_map(Entry::record)
            .filter(|connection| wanted(&connection.key))
            .take(limit)
            .collect()
    }

    #[inline]
    fn hash(&self, key: &ConnectionKey) -> u64 {
        key.hash(&self.seed)
    }

    #[inline]
    fn glance(&self, id: ConnectionId, key: &ConnectionKey) -> Option<Glance> {
        self.entries.get(id.0 as usize)?.glance(key)
    }

    fn entry(&self, id: ConnectionId, key: &ConnectionKey) -> Option<(&Entry, Glance)> {
        let entry = self.entries.get(id.0 as usize)?;
        Some((entry, entry.glance(key)?))
    }

    /// Whether the table is so full that what is not established has less time.
    #[inline]
    fn is_pressed(&self) -> bool {
        let capacity = self.capacity();
        self.index.used() >= capacity - capacity / 8
    }

    #[inline]
    fn is_over(&self, state: State, seen: u32, now: u32, pressed: impl FnOnce() -> bool) -> bool {
        // A worker a little ahead may have stamped a time that is still to come here: no age at all.
        let age = (now.wrapping_sub(seen) as i32).max(0) as u32;
        state.is_gone() || age >= state.lifetime(&self.settings, pressed)
    }

    /// Makes way for a connection of this key: ends what is left of former ones, and returns an entry of `worker`'s that held one.
    fn make_way(&self, hash: u64, key: &ConnectionKey, worker: WorkerId, now: u32) -> Option<u32> {
        let mut own = None;
        for number in self.index.candidates(hash) {
            let Some((entry, glance)) = self.entry(ConnectionId(number), key) else { continue };
            let closed = glance.state.phase() == Phase::Closed;
            if !closed && !self.is_over(glance.state, glance.seen, now, || self.is_pressed()) {
                continue;
            }
            if own.is_none() && entry.is_of(worker) && entry.empty(glance.state) {
                self.count(glance.state, State::NONE);
                own = Some(number);
            } else {
                self.close(ConnectionId(number), key);
            }
        }
        own
    }

    /// Keeps the count of connections that are opening, for one whose state has become another.
    fn count(&self, before: State, after: State) {
        match (before.is_opening(), after.is_opening()) {
            (false, true) => drop(self.opening.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.opening.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

/// Whether one moment of a clock that wraps lies after another.
#[inline]
const fn is_later(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}

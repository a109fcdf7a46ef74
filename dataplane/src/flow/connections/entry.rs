//! An entry of the table of connections: a key and what is known of it, in two cache lines, of which IPv4 reads one.
//!
//! ```text
//!   line 0   [ version, generation | version, state | key words 0-1 | version, rule | seen, owner | place and flow of either side ]
//!   line 1   [ key words 2-4 | acknowledged by either side | edge of either side | opened, doubted ]
//! ```
//!
//! The owner writes a new connection under an odd version, as a flow's entry is written. All workers change what
//! comes after, each word by compare-and-swap, and each word carries the version: the swap of somebody who still thinks of
//! the entry's former connection fails. So nobody waits and nobody changes what is not his.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use zerocopy::FromBytes;

use crate::{
    DropReason,
    flow::connections::{
        ConnectionRecord, Judgement, is_later,
        key::{ConnectionKey, KEY_WORDS, Places, Side},
        state::State,
        tcp::{Acknowledged, Segment, Track},
    },
    ids::{Generation, PortId, WorkerId},
    policy::Rule,
};

#[repr(C, align(128))]
#[derive(FromBytes)]
pub(super) struct Entry {
    /// Version (odd while being written) in the high half, generation in the low.
    stamp: AtomicU64,
    state: AtomicU64,
    key: [AtomicU64; 2],
    rule: AtomicU64,
    seen: AtomicU32,
    owner: AtomicU32,
    /// See [`Link`].
    link: [AtomicU64; 2],
    wide: [AtomicU64; KEY_WORDS - 2],
    heard: [AtomicU64; 2],
    edge: [AtomicU64; 2],
    opened: AtomicU32,
    doubted: AtomicU32,
}

const _: () = assert!(size_of::<Entry>() == 128, "two cache lines");

/// What a connection starts with.
#[derive(Clone, Copy)]
pub(super) struct Birth<'a> {
    pub(super) key: &'a ConnectionKey,
    pub(super) track: Track,
    pub(super) generation: Generation,
    pub(super) rule: Rule,
    pub(super) places: Places,
    pub(super) owner: WorkerId,
    pub(super) now: u32,
}

/// What was read of an entry while its version stood.
#[derive(Clone, Copy)]
pub(super) struct Glance {
    pub(super) version: u32,
    pub(super) generation: Generation,
    pub(super) state: State,
    pub(super) rule: Rule,
    pub(super) places: Places,
    pub(super) seen: u32,
}

impl Entry {
    /// What is here, if it is `key`'s connection.
    #[inline]
    pub(super) fn glance(&self, key: &ConnectionKey) -> Option<Glance> {
        let stamp = self.stamp.load(Ordering::Acquire);
        if stamp >> 32 & 1 != 0 || !self.holds(key) {
            return None;
        }
        let version = (stamp >> 32) as u32;
        let glance = Glance {
            version,
            generation: Generation(stamp as u32),
            state: self.state(version)?,
            rule: Rule(self.rule.load(Ordering::Relaxed) as u32),
            places: self.places(version)?,
            seen: self.seen.load(Ordering::Relaxed),
        };
        fence(Ordering::Acquire);
        (self.stamp.load(Ordering::Relaxed) >> 32 == stamp >> 32).then_some(glance)
    }

    #[inline]
    fn holds(&self, key: &ConnectionKey) -> bool {
        let [head, first, wide @ ..] = key.words();
        let mut difference = self.key[0].load(Ordering::Relaxed) ^ head | self.key[1].load(Ordering::Relaxed) ^ first;
        if key.is_wide() {
            for (mine, theirs) in self.wide.iter().zip(wide) {
                difference |= mine.load(Ordering::Relaxed) ^ theirs;
            }
        }
        difference == 0
    }

    #[inline]
    fn state(&self, version: u32) -> Option<State> {
        let state = own(self.state.load(Ordering::Acquire), version)?;
        Some(State(state)).filter(|state| state.is_live())
    }

    #[inline]
    fn places(&self, version: u32) -> Option<Places> {
        let [low, high] = &self.link;
        let [low, high] = [low, high].map(|word| Link::unpack(word.load(Ordering::Relaxed), version));
        Some(Places::of(Side::Low, low?.place, high?.place))
    }

    /// Marks it alive at `now`, unless it was seen later.
    #[inline]
    pub(super) fn see(&self, now: u32) {
        if is_later(now, self.seen.load(Ordering::Relaxed)) {
            self.seen.store(now, Ordering::Relaxed);
        }
    }

    /// Moves the state on by `change`; returns the state before and after, `None` when the connection is no longer here.
    pub(super) fn change(&self, version: u32, mut change: impl FnMut(&mut State)) -> Option<(State, State)> {
        loop {
            let before = self.state(version)?;
            let mut after = before;
            change(&mut after);
            if self.swap_state(version, before, after) {
                return Some((before, after));
            }
        }
    }

    /// Follows a TCP segment; returns the state before and after.
    pub(super) fn follow(
        &self,
        version: u32,
        segment: &Segment,
        acknowledged: Option<Acknowledged>,
    ) -> Result<(State, State), DropReason> {
        let from = segment.from.index();
        loop {
            let before = self.state(version).ok_or(DropReason::NoConnection)?;
            let edges = [0, 1].map(|side: usize| self.edge[side].load(Ordering::Relaxed));
            let heard = [0, 1].map(|side: usize| self.heard[side].load(Ordering::Relaxed));
            let mut track = Track {
                state: before,
                edge: edges.map(|word| own(word, version).unwrap_or_default()),
                heard: heard.map(|word| unpack(word, version)),
            };
            track.follow(segment, acknowledged)?;
            // The edge before the state that vouches for it. A segment speaks of its sender's alone.
            let edge = guarded(version, track.edge[from]);
            if edge != edges[from] && !swap(&self.edge[from], edges[from], edge) {
                continue;
            }
            // If another segment of this side was faster, its word is as good.
            swap(&self.heard[from], heard[from], pack(track.heard[from], version));
            if self.swap_state(version, before, track.state) {
                return Ok((before, track.state));
            }
        }
    }

    /// Notes that a reset was seen at `now` that the receiver may have refused.
    pub(super) fn doubt(&self, now: u32) {
        self.doubted.store(now, Ordering::Relaxed);
    }

    /// Forgets about it if there is still a packet `patience` later: what was on its way when a connection broke has arrived by then.
    pub(super) fn outlive_doubt(&self, version: u32, seen: u32, patience: u32) {
        if is_later(seen, self.doubted.load(Ordering::Relaxed).wrapping_add(patience)) {
            self.change(version, State::trust);
        }
    }

    fn swap_state(&self, version: u32, before: State, after: State) -> bool {
        before == after || swap(&self.state, guarded(version, before.0), guarded(version, after.0))
    }

    /// Notes by which rule and generation it may go on, and between which ports. An older generation than the one known is noted too:
    /// who has the newer policy judges the new places again.
    pub(super) fn judge(&self, seen: &Glance, judgement: &Judgement) {
        let Judgement { generation, rule, places } = *judgement;
        for side in [Side::Low, Side::High] {
            self.change_link(seen.version, side, |link| link.place = places.at(side));
        }
        let before = self.rule.load(Ordering::Relaxed);
        if swap(&self.stamp, guarded(seen.version, seen.generation.0), guarded(seen.version, generation.0))
            && own(before, seen.version).is_some()
        {
            swap(&self.rule, before, guarded(seen.version, rule.0));
        }
    }

    pub(super) fn link(&self, version: u32, side: Side, flow: u32) {
        self.change_link(version, side, |link| link.flow = Some(flow));
    }

    pub(super) fn linked(&self, version: u32, side: Side) -> Option<u32> {
        Link::unpack(self.link[side.index()].load(Ordering::Relaxed), version)?.flow
    }

    fn change_link(&self, version: u32, side: Side, change: impl Fn(&mut Link)) {
        let word = &self.link[side.index()];
        loop {
            let before = word.load(Ordering::Relaxed);
            let Some(mut link) = Link::unpack(before, version) else { return };
            change(&mut link);
            if swap(word, before, link.pack(version)) {
                return;
            }
        }
    }

    /// Writes a connection under an odd version, so that no reader believes what it saw meanwhile. Only the owner calls it, and only
    /// while the entry holds none.
    pub(super) fn write(&self, birth: &Birth<'_>) {
        let former = (self.stamp.load(Ordering::Relaxed) >> 32) as u32;
        let version = former.wrapping_add(2);
        self.stamp.store(guarded(former.wrapping_add(1), 0), Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in self.key.iter().chain(&self.wide).zip(birth.key.words()) {
            word.store(*value, Ordering::Relaxed);
        }
        for end in [Side::Low, Side::High] {
            let (side, place) = (end.index(), birth.places.at(end));
            self.edge[side].store(guarded(version, birth.track.edge[side]), Ordering::Relaxed);
            self.heard[side].store(pack(birth.track.heard[side], version), Ordering::Relaxed);
            self.link[side].store(Link { place, flow: None }.pack(version), Ordering::Relaxed);
        }
        self.rule.store(guarded(version, birth.rule.0), Ordering::Relaxed);
        self.seen.store(birth.now, Ordering::Relaxed);
        self.opened.store(birth.now, Ordering::Relaxed);
        self.owner.store(u32::from(birth.owner.0), Ordering::Relaxed);
        self.state.store(guarded(version, birth.track.state.0), Ordering::Relaxed);
        self.stamp.store(guarded(version, birth.generation.0), Ordering::Release);
    }

    /// What the owner finds here: state and time of the connection.
    pub(super) fn inspect(&self) -> (State, u32) {
        (State(self.state.load(Ordering::Acquire) as u32), self.seen.load(Ordering::Relaxed))
    }

    /// Empties the entry if its state is still `state`. Only the owner calls it.
    pub(super) fn empty(&self, state: State) -> bool {
        let version = (self.stamp.load(Ordering::Relaxed) >> 32) as u32;
        swap(&self.state, guarded(version, state.0), guarded(version, State::NONE.0))
    }

    pub(super) fn is_of(&self, worker: WorkerId) -> bool {
        self.owner.load(Ordering::Relaxed) == u32::from(worker.0)
    }

    pub(super) fn record(&self) -> Option<ConnectionRecord> {
        let mut words = [0; KEY_WORDS];
        for (word, from) in words.iter_mut().zip(self.key.iter().chain(&self.wide)) {
            *word = from.load(Ordering::Relaxed);
        }
        let key = ConnectionKey::from_words(words);
        let (owner, opened) = (self.owner.load(Ordering::Relaxed), self.opened.load(Ordering::Relaxed));
        let glance = self.glance(&key).filter(|glance| !glance.state.is_gone())?;
        Some(ConnectionRecord {
            key,
            opener: glance.state.opener(),
            phase: glance.state.phase(),
            answered: glance.state.is_answered(),
            generation: glance.generation,
            rule: glance.rule,
            opened,
            seen: glance.seen,
            owner: WorkerId(owner as u16),
        })
    }
}

#[inline]
fn swap(word: &AtomicU64, before: u64, after: u64) -> bool {
    before == after || word.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// A value under the version of the connection it is of.
#[inline]
const fn guarded(version: u32, value: u32) -> u64 {
    (version as u64) << 32 | value as u64
}

/// The value, if it is this version's.
#[inline]
const fn own(word: u64, version: u32) -> Option<u32> {
    if (word >> 32) as u32 == version { Some(word as u32) } else { None }
}

/// Where one side is, and the cached flow that carries its packets.
#[derive(Clone, Copy)]
struct Link {
    place: PortId,
    flow: Option<u32>,
}

impl Link {
    const PLACE_AT: u32 = 32;
    const VERSION_AT: u32 = 48;

    /// Under as much of the version as there is room for; those of connections are even.
    fn pack(self, version: u32) -> u64 {
        u64::from(version >> 1) << Self::VERSION_AT
            | u64::from(self.place.0) << Self::PLACE_AT
            | u64::from(self.flow.map_or(0, |flow| flow.wrapping_add(1)))
    }

    #[inline]
    fn unpack(word: u64, version: u32) -> Option<Self> {
        let current = word >> Self::VERSION_AT == u64::from(version >> 1) & 0xffff;
        let place = PortId((word >> Self::PLACE_AT) as u16);
        current.then_some(Self { place, flow: (word as u32).checked_sub(1) })
    }
}

const WINDOW_AT: u32 = 32;
const KNOWN: u64 = 1 << 48;
const VERSION_AT: u32 = 49;

/// What a side acknowledged, under as much of the version as there is room for.
fn pack(said: Option<Acknowledged>, version: u32) -> u64 {
    // Versions of connections are even.
    let version = u64::from(version >> 1) << VERSION_AT;
    said.map_or(version, |said| version | KNOWN | u64::from(said.window) << WINDOW_AT | u64::from(said.ack))
}

fn unpack(word: u64, version: u32) -> Option<Acknowledged> {
    let current = word >> VERSION_AT == u64::from(version >> 1) & 0x7fff && word & KNOWN != 0;
    current.then_some(Acknowledged { ack: word as u32, window: (word >> WINDOW_AT) as u16 })
}

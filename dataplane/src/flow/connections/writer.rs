//! One worker's right to open connections.

use std::sync::Arc;

use crate::{
    flow::{
        connections::{
            ConnectionId, Connections, Full,
            entry::Birth,
            key::{ConnectionKey, Places, Side},
            state::{SPOKE, State},
            tcp::{Segment, Track},
        },
        index::Owned,
    },
    ids::{Generation, WorkerId},
    policy::Rule,
};

/// The packet that opens a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// A TCP segment. Any but a SYN alone is of a connection picked up in mid-stream, whose opener may be either side.
    Segment(Segment),
    /// A packet of any other protocol, from the opener.
    Packet,
}

/// What opens a connection, and by what right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The side whose question it is: verdicts are asked for in its direction.
    pub opener: Side,
    /// The first packet seen of it.
    pub first: First,
    /// The policy it was judged by.
    pub generation: Generation,
    /// The rule that allowed it.
    pub rule: Rule,
    /// Between which ports.
    pub places: Places,
    /// Worker-clock milliseconds.
    pub now: u32,
}

/// One worker's right to open connections: it alone frees the entries of those it opened. All workers follow them.
pub struct ConnectionWriter {
    connections: Arc<Connections>,
    worker: WorkerId,
    owned: Owned,
}

impl ConnectionWriter {
    /// The writer of `worker`; make one per worker.
    #[must_use]
    pub fn new(connections: Arc<Connections>, worker: WorkerId) -> Self {
        let owned = Owned::with_capacity(connections.capacity());
        Self { connections, worker, owned }
    }

    /// Opens a connection that [`Connections::find`] did not find, or found [`Closed`](super::Phase::Closed): that one is gone then. Two
    /// workers that open one at once leave two equal ones, of which all find the same, and the other ages out.
    ///
    /// # Errors
    /// No entry or no lane is free.
    pub fn open(&mut self, key: &ConnectionKey, opened: &Opened) -> Result<ConnectionId, Full> {
        let birth = self.birth(key, opened);
        let table = &self.connections;
        let hash = table.hash(key);
        if let Some(number) = table.make_way(hash, key, self.worker, opened.now) {
            table.entries[number as usize].write(&birth);
            table.count(State::NONE, birth.track.state);
            return Ok(ConnectionId(number));
        }
        let number = table.index.take().ok_or(Full)?;
        table.entries[number as usize].write(&birth);
        let Some(place) = table.index.name(hash, number) else {
            table.entries[number as usize].empty(birth.track.state);
            table.index.give(number);
            return Err(Full);
        };
        table.count(State::NONE, birth.track.state);
        self.owned.push(place);
        Ok(ConnectionId(number))
    }

    /// Ends what was silent too long or was closed, looking at `budget` entries at the most. Returns how many ended.
    pub fn sweep(&mut self, now: u32, budget: usize) -> usize {
        let Self { connections, owned, .. } = self;
        let pressed = connections.is_pressed();
        owned.sweep(&connections.index, budget, |number| {
            let entry = &connections.entries[number as usize];
            let (state, seen) = entry.inspect();
            // Whoever moves it on meanwhile keeps it.
            let ends = connections.is_over(state, seen, now, || pressed) && entry.empty(state);
            if ends {
                connections.count(state, State::NONE);
            }
            ends
        })
    }

    /// Where the connections are that this worker owns, for an heir.
    #[must_use]
    pub fn places(&self) -> Vec<u64> {
        self.owned.words()
    }

    /// Owns what a former process's worker of this number owned.
    pub fn inherit(&mut self, places: &[u64]) {
        self.owned.inherit(places, &self.connections.index);
    }

    /// How many connections this worker owns.
    #[must_use]
    pub const fn owned(&self) -> usize {
        self.owned.len()
    }

    /// The table written to.
    #[must_use]
    pub const fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    fn birth<'a>(&self, key: &'a ConnectionKey, opened: &Opened) -> Birth<'a> {
        let mut state = State::new(key, opened.opener);
        let track = match opened.first {
            First::Segment(segment) => Track::open(state, &segment),
            First::Packet => {
                state.set(SPOKE, opened.opener);
                Track { state, edge: [0; 2], heard: [None; 2] }
            }
        };
        let Opened { generation, rule, places, now, .. } = *opened;
        Birth { key, track, generation, rule, places, owner: self.worker, now }
    }
}

impl Drop for ConnectionWriter {
    /// A worker that ends takes its connections with it, so that their entries serve the others.
    fn drop(&mut self) {
        let Self { connections, owned, .. } = self;
        owned.end_all(&connections.index, |number| {
            let entry = &connections.entries[number as usize];
            loop {
                let (state, _) = entry.inspect();
                if entry.empty(state) {
                    connections.count(state, State::NONE);
                    break;
                }
            }
        });
    }
}

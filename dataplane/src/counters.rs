//! The ledger: plain numbers of one worker, copied out whole when someone asks.
//!
//! For the whole switch, at every moment someone looks: received = sent + dropped + held. Packets the switch makes itself (copies of
//! a flooded frame, errors, neighbour requests) are received from [`SWITCH`], its own port; held are those waiting in
//! queues. Numbers are written by one worker only and copied between two of its turns, so a copy is always
//! consistent; frames under way between two workers are what one handed and the other has not yet taken.

use crate::{
    drops::{DropReason, REASONS},
    ids::{PathId, PortId},
};

/// The switch's own port: the source of what it makes itself.
pub const SWITCH: PortId = PortId(0);

/// Packets and their bytes, Ethernet headers included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Tally {
    /// Counts packets that have these bytes together.
    #[inline]
    pub fn add(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }
}

/// One port's numbers on one worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortCounters {
    /// What came in by it.
    pub received: Tally,
    /// What left by it.
    pub sent: Tally,
    /// What came in by it and died, by [`DropReason`].
    pub dropped: [u64; REASONS],
}

impl Default for PortCounters {
    fn default() -> Self {
        Self { received: Tally::default(), sent: Tally::default(), dropped: [0; REASONS] }
    }
}

impl PortCounters {
    /// The reasons that have counted anything.
    pub fn reasons(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().zip(self.dropped).filter(|(_, count)| *count > 0)
    }

    /// Adds another worker's numbers of the same port.
    pub fn merge(&mut self, other: &Self) {
        self.received.add(other.received.packets, other.received.bytes);
        self.sent.add(other.sent.packets, other.sent.bytes);
        for (mine, theirs) in self.dropped.iter_mut().zip(other.dropped) {
            *mine += theirs;
        }
    }
}

/// One path's numbers on one worker: inner packets and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PathCounters {
    /// What came out of it.
    pub received: Tally,
    /// What went into it.
    pub sent: Tally,
}

/// One worker's ledger.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// By [`PortId`]; grows when a port is attached.
    pub ports: Vec<PortCounters>,
    /// Of ports whose numbers are others' by now.
    pub gone: PortCounters,
    /// By [`PathId`]: inner packets out of and into tunnels. They are counted at their uplink too, so they are no part of the
    /// balance.
    pub paths: Vec<PathCounters>,
    /// Frames handed to other workers.
    pub handed: u64,
    /// Frames taken over from other workers.
    pub taken: u64,
    /// Frames waiting in this worker's queues; filled in when a copy is made.
    pub held: u64,
    /// Packets whose flow was in the table.
    pub hits: u64,
    /// Packets whose flow had to be resolved.
    pub misses: u64,
    /// Misses that found no room in the flow table: forwarded, but not remembered.
    pub uncached: u64,
    /// Connections that were opened.
    pub opened: u64,
}

impl Counters {
    /// All of it but what is held, in words, for another process of the same build.
    #[must_use]
    pub fn words(&self) -> Vec<u64> {
        // The last of the ports is those that are gone.
        let mut words = vec![REASONS as u64, self.ports.len() as u64 + 1, self.paths.len() as u64];
        words.extend([self.handed, self.taken, self.hits, self.misses, self.uncached, self.opened]);
        let tally = |tally: &Tally| [tally.packets, tally.bytes];
        for port in self.all() {
            words.extend(tally(&port.received));
            words.extend(tally(&port.sent));
            words.extend(port.dropped);
        }
        for path in &self.paths {
            words.extend(tally(&path.received));
            words.extend(tally(&path.sent));
        }
        words
    }

    /// The ledger of such words; `None` if they are none, or count by other reasons.
    #[must_use]
    pub fn of_words(words: &[u64]) -> Option<Self> {
        let (head, mut words) = words.split_first_chunk::<9>()?;
        let [reasons, ports, paths, handed, taken, hits, misses, uncached, opened] = *head;
        let (port_words, path_words) = (4 + REASONS, 4);
        let expected = usize::try_from(ports).ok()?.checked_mul(port_words)?;
        let expected = usize::try_from(paths).ok()?.checked_mul(path_words)?.checked_add(expected)?;
        if reasons != REASONS as u64 || words.len() != expected {
            return None;
        }
        let mut counters = Self { handed, taken, hits, misses, uncached, opened, ..Self::default() };
        let tallies = |words: &[u64]| {
            let tally = |at: usize| Tally { packets: words[at], bytes: words[at + 1] };
            (tally(0), tally(2))
        };
        for _ in 0..ports {
            let (port, rest) = words.split_at(port_words);
            let (received, sent) = tallies(port);
            let mut dropped = [0; REASONS];
            dropped.copy_from_slice(&port[4..]);
            counters.ports.push(PortCounters { received, sent, dropped });
            words = rest;
        }
        counters.gone = counters.ports.pop()?;
        for path in words.chunks_exact(path_words) {
            let (received, sent) = tallies(path);
            counters.paths.push(PathCounters { received, sent });
        }
        Some(counters)
    }

    /// Makes room for this port's numbers, and for the switch's own.
    pub fn make_room(&mut self, port: PortId) {
        if self.ports.len() <= port.index() {
            self.ports.resize_with(port.index() + 1, PortCounters::default);
        }
    }

    /// The numbers of a port. A port never attached counts on the switch's own.
    #[inline]
    pub fn port(&mut self, port: PortId) -> &mut PortCounters {
        let index = if port.index() < self.ports.len() { port.index() } else { SWITCH.index() };
        &mut self.ports[index]
    }

    /// Begins anew for a port whose number was another's: what that one has counted is counted among those that are gone.
    pub fn retire(&mut self, port: PortId) {
        if let Some(former) = self.ports.get_mut(port.index()) {
            self.gone.merge(&core::mem::take(former));
        }
    }

    /// Makes room for so many paths.
    pub fn make_room_for_paths(&mut self, paths: usize) {
        // One more, for a packet of tables that are gone.
        if self.paths.len() <= paths {
            self.paths.resize(paths + 1, PathCounters::default());
        }
    }

    /// The numbers of a path.
    #[inline]
    pub fn path(&mut self, path: PathId) -> &mut PathCounters {
        let index = path.index().min(self.paths.len() - 1);
        &mut self.paths[index]
    }

    /// Counts one death.
    #[inline]
    pub fn dropped(&mut self, port: PortId, reason: DropReason) {
        self.port(port).dropped[reason as usize] += 1;
    }

    /// Counts one packet the switch made.
    pub fn made(&mut self, bytes: usize) {
        self.port(SWITCH).received.add(1, bytes as u64);
    }

    /// Counts copies of a packet of so many bytes that were refused before they were made.
    pub fn not_made(&mut self, copies: u64, bytes: usize, reason: DropReason) {
        let switch = self.port(SWITCH);
        switch.received.add(copies, copies * bytes as u64);
        switch.dropped[reason as usize] += copies;
    }

    /// Adds another worker's ledger.
    pub fn merge(&mut self, other: &Self) {
        if self.ports.len() < other.ports.len() {
            self.ports.resize_with(other.ports.len(), PortCounters::default);
        }
        for (mine, theirs) in self.ports.iter_mut().zip(&other.ports) {
            mine.merge(theirs);
        }
        self.gone.merge(&other.gone);
        if self.paths.len() < other.paths.len() {
            self.paths.resize(other.paths.len(), PathCounters::default());
        }
        for (mine, theirs) in self.paths.iter_mut().zip(&other.paths) {
            mine.received.add(theirs.received.packets, theirs.received.bytes);
            mine.sent.add(theirs.sent.packets, theirs.sent.bytes);
        }
        self.handed += other.handed;
        self.taken += other.taken;
        self.held += other.held;
        self.hits += other.hits;
        self.misses += other.misses;
        self.uncached += other.uncached;
        self.opened += other.opened;
    }

    /// All that came in, the switch's own packets included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.all().map(|port| port.received.packets).sum()
    }

    /// All that went out.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.all().map(|port| port.sent.packets).sum()
    }

    /// All that died.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.all().flat_map(|port| port.dropped).sum()
    }

    /// The numbers of every port there is or was.
    pub fn all(&self) -> impl Iterator<Item = &PortCounters> {
        self.ports.iter().chain([&self.gone])
    }

    /// All that waits: in queues, and under way between workers.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.held + self.handed.saturating_sub(self.taken)
    }

    /// Whether received = sent + dropped + held.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.received() == self.sent() + self.lost() + self.waiting()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its ground has failed")]
mod tests {
    use super::*;

    #[test]
    fn what_a_port_counted_stays_in_the_ledger_when_its_number_is_anothers() {
        let mut counters = Counters::default();
        let (pod, wire) = (PortId(1), PortId(2));
        counters.make_room(wire);
        counters.make_room_for_paths(1);
        counters.port(pod).received.add(5, 500);
        counters.dropped(pod, DropReason::PortRemoved);
        counters.port(wire).sent.add(4, 400);
        assert!(counters.balanced());
        counters.retire(pod);
        assert_eq!(*counters.port(pod), PortCounters::default());
        assert_eq!(counters.gone.received, Tally { packets: 5, bytes: 500 });
        assert!(counters.balanced() && counters.received() == 5);
        // In another process, and added to another worker's, it is so still.
        let mut other = Counters::of_words(&counters.words()).unwrap();
        assert_eq!(other, counters);
        other.merge(&counters);
        assert!(other.balanced() && other.received() == 10);
    }
}

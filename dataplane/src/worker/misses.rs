//! What a worker does for packets that a hit did not settle: flows that are resolved, and flows of connections that turn.

use crate::{
    drops::DropReason,
    flow::Program,
    flow::{Basis, Insertion, Watch},
    ids::PortId,
    stage::{
        apply::Pass,
        lookup::rows,
        police::{Bond, Onward, Passage, Police, concerns},
        resolve::{Miss, resolve},
        track::{acknowledgement, track},
    },
    tables::Tables,
    worker::Worker,
};

impl Worker {
    /// Resolves the flows that were not found, asks policy for their packets, and remembers those that may go on.
    #[cold]
    pub(super) fn resolve_missing(&mut self, tables: &Tables, ingress: PortId, now: u32) {
        for row in rows(self.line.missing) {
            let (key, hash) = (&self.line.keys[row], self.line.hashes[row]);
            let table = &self.shared.flows;
            // An earlier packet of the same burst may have opened this flow.
            if let Some((entry, program)) = table.find(hash, key, self.generation) {
                table.touch(entry, self.line.lengths[row], now);
                (self.line.entries[row], self.line.programs[row]) = (entry, program);
                self.exits.counters.hits += 1;
                if program.is_watched() {
                    self.follow(row, tables, ingress, now);
                }
                continue;
            }
            self.exits.counters.misses += 1;
            let bytes = self.burst.frames().get(row).map_or(&[][..], |frame| frame.bytes());
            let miss = Miss { key, bytes, layout: self.line.layouts[row], now };
            let resolution = resolve(tables, &self.shared, &miss);
            self.line.programs[row] = resolution.program;
            let basis = Basis { generation: self.generation, epoch: resolution.epoch };
            if let Some(onward) = concerns(tables, key.port(), &resolution.program) {
                let passage = self.ask(row, onward, (tables, ingress), now);
                self.settle(row, passage, resolution.cacheable.then_some(basis), now);
            } else if resolution.cacheable {
                self.remember(row, basis, now);
            }
        }
        self.line.missing = 0;
    }

    /// Follows the connections of watched hits.
    #[inline(never)]
    pub(super) fn follow_watched(&mut self, tables: &Tables, ingress: PortId, now: u32) {
        for row in rows(track(&self.line, self.burst.frames(), &self.shared.flows)) {
            self.follow(row, tables, ingress, now);
        }
    }

    /// Looks closer at a packet of a watched flow: its connection may move on, its flow be watched otherwise, or the packet be dropped.
    #[cold]
    fn follow(&mut self, row: usize, tables: &Tables, ingress: PortId, now: u32) {
        let (entry, program) = (self.line.entries[row], &self.line.programs[row]);
        let Some(onward) = concerns(tables, self.line.keys[row].port(), program) else { return };
        match self.ask(row, onward, (tables, ingress), now) {
            Ok(Passage::Bound(bond)) => self.bind(row, entry, &bond),
            // Opened anew by this packet: the next one finds it.
            Ok(Passage::Once) => self.flows.watch(entry, Watch::Each),
            Ok(Passage::Free) => {}
            Err(reason) => self.line.programs[row] = Program::drop(reason),
        }
    }

    /// Asks policy about a packet on its way.
    #[inline(never)] // most switches have no policy, and this is as much code as all else here
    fn ask(
        &mut self,
        row: usize,
        onward: Onward,
        (tables, ingress): (&Tables, PortId),
        now: u32,
    ) -> Result<Passage, DropReason> {
        let (shared, policy, generation) = (&*self.shared, self.policy.as_deref(), self.generation);
        let pass = Pass { tables, shared, ingress, port: tables.port(ingress), policy, generation, now };
        let bytes = self.burst.frames().get(row).map_or(&[][..], |frame| frame.bytes());
        let miss = Miss { key: &self.line.keys[row], bytes, layout: self.line.layouts[row], now };
        let mut police = Police { pass: &pass, connections: &mut self.connections, exits: &mut self.exits };
        police.ask(&miss, onward)
    }

    /// Does with a packet as policy says. Its flow is remembered on this basis, if policy lets it.
    #[inline(never)] // as above
    fn settle(&mut self, row: usize, passage: Result<Passage, DropReason>, basis: Option<Basis>, now: u32) {
        match (passage, basis) {
            (Err(reason), _) => self.line.programs[row] = Program::drop(reason),
            (Ok(Passage::Once), _) | (_, None) => {}
            (Ok(Passage::Free), Some(basis)) => {
                self.remember(row, basis, now);
            }
            (Ok(Passage::Bound(bond)), Some(basis)) => {
                let program = &mut self.line.programs[row];
                *program = program.watched(bond.watch);
                if let Some(entry) = self.remember(row, basis, now) {
                    self.bind(row, entry, &bond);
                }
            }
        }
    }

    /// Puts a row's flow into the table. Returns its entry, if there was room.
    #[inline]
    fn remember(&mut self, row: usize, basis: Basis, now: u32) -> Option<u32> {
        let (hash, key, program) = (self.line.hashes[row], &self.line.keys[row], &self.line.programs[row]);
        match self.flows.insert(hash, key, program, basis, now) {
            Insertion::Done(entry) => {
                self.shared.flows.touch(entry, self.line.lengths[row], now);
                if let Some(feed) = &mut self.feed {
                    feed.note(entry, &self.shared.flows, now);
                }
                Some(entry)
            }
            Insertion::Full => {
                self.exits.counters.uncached += 1;
                None
            }
        }
    }

    /// Ties a flow to the connection of which it carries one direction, and both directions to what they are to be watched for.
    fn bind(&mut self, row: usize, entry: u32, bond: &Bond) {
        let (flows, connections) = (&self.shared.flows, &self.shared.connections);
        flows.bind(entry, bond.id.0);
        connections.link(bond.id, &bond.key, bond.side, entry);
        if bond.watch == Watch::None {
            return;
        }
        let bytes = self.burst.frames().get(row).map_or(&[][..], |frame| frame.bytes());
        flows.view().acknowledge(entry, acknowledgement(bytes, self.line.layouts[row].l4));
        self.flows.watch(entry, bond.watch);
        // Once one side ends it, what the other says counts again.
        let other = connections.linked(bond.id, &bond.key, bond.side.other());
        if let Some(other) = other.filter(|other| flows.is_of(*other, bond.id.0)) {
            self.flows.watch(other, bond.watch);
        }
    }
}

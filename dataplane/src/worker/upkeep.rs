//! What a worker does on the side, a little each millisecond: end idle flows, forget silent stations, look after devices.

use crate::{
    flow::{FlowKey, Living, Sweep},
    ids::{MAX_PORTS, NetworkId, PortId, VrfId, WorkerId},
    offload::Grounds,
    stage::{
        police::Parties,
        shared::{Shared, shard},
    },
    worker::{Worker, hops::Hops},
};

/// Every flow and station is looked at once in about this many milliseconds.
const ROUND: usize = 10_000;

/// Devices are looked after this often, milliseconds.
const HEALTH: u32 = 200;

/// A learned neighbour lives this long without being seen, milliseconds: RFC 4861's reachable time is shorter, but a
/// neighbour here is refreshed by its own ARP and ND only.
const NEIGHBOUR_AGE: u32 = 600_000;

/// When what was done last.
#[derive(Default)]
pub(super) struct Upkeep {
    last: u32,
    health: u32,
    stations: usize,
    groups: usize,
    meter: usize,
    pub(super) hops: Hops,
}

impl Upkeep {
    /// Whether a millisecond has passed.
    #[inline]
    pub(super) const fn is_due(&self, now: u32) -> bool {
        now != self.last
    }
}

impl Worker {
    /// A slice of everything that is to be done from time to time.
    #[cold]
    pub(super) fn keep_up(&mut self, now: u32) {
        let elapsed = (now.wrapping_sub(self.upkeep.last) as usize).clamp(1, 100);
        self.upkeep.last = now;
        self.feed_engines(now);
        self.end_idle_flows(now, elapsed);
        if self.id == WorkerId(0) {
            self.forget_silent_stations(now, elapsed);
            self.look_after_hops(now, elapsed);
            self.upkeep.meter = (self.upkeep.meter + 1) % MAX_PORTS;
            self.shared.meters.renew(PortId(self.upkeep.meter as u16), now);
        }
        if now.wrapping_sub(self.upkeep.health) >= HEALTH {
            self.upkeep.health = now;
            self.look_after_devices(now);
        }
    }

    /// Hears what engines carried, and offers them what has moved enough.
    fn feed_engines(&mut self, now: u32) {
        let Some(feed) = &mut self.feed else { return };
        let (tables, flows, generation) = (&*self.tables, &*self.shared.flows, self.generation);
        feed.keep_up(&Grounds { tables, flows, generation, now }, &mut self.exits.counters);
    }

    fn end_idle_flows(&mut self, now: u32, elapsed: usize) {
        let budget = (self.flows.owned() * elapsed / ROUND + 4).min(4096);
        let by = Sweep { now, idle: self.config.flow_idle, generation: self.generation, budget };
        let (tables, shared, feed) = (&self.tables, &self.shared, &mut self.feed);
        self.flows.sweep(by, |Living { entry, key, seen, connection }| {
            if let Some(feed) = feed {
                feed.note_again(entry, &shared.flows, (seen, now));
            }
            // A station is alive, and is where it is, as long as one of its flows is.
            let number = tables.network_at(key.port(), key.vlan());
            let Some((number, network)) = number.and_then(|number| Some((number, tables.network(number)?))) else {
                return true;
            };
            if key.port().path().is_none() || network.learns_remotely() {
                shared.confirm_mac(number, key.source_mac(), key.port(), seen);
            }
            connection.is_none() || is_followed(key, network.vrf, shared, (seen, now))
        });
        let budget = (self.connections.owned() * elapsed / ROUND + 4).min(4096);
        self.connections.sweep(now, budget);
    }

    fn forget_silent_stations(&mut self, now: u32, elapsed: usize) {
        let slots = self.shared.macs.slots();
        let count = slots * elapsed / ROUND + 4;
        let range = self.upkeep.stations..self.upkeep.stations + count;
        let age = |seen: u32| (now.wrapping_sub(seen) as i32).max(0) as u32;
        let (tables, flows) = (&self.tables, &self.shared.flows);
        let attached = |port: PortId| match port.path() {
            Some(path) => tables.underlay.path(path).is_some(),
            None => tables.port(port).is_some(),
        };
        let silent = |key: &[u64; 1], port: u64, seen| {
            let network = tables.network(NetworkId((key[0] >> 48) as u16));
            !attached(PortId((port - 1) as u16)) || network.is_none_or(|network| age(seen) > network.mac_age)
        };
        self.shared.macs.forget(range.clone(), silent, |key, port| {
            self.shared.crowd.left(port);
            flows.forget(shard(key));
        });
        self.shared.neighbours.forget(range, |_, _, seen| age(seen) > NEIGHBOUR_AGE, |_, _| ());
        self.upkeep.stations = if self.upkeep.stations + count >= slots { 0 } else { self.upkeep.stations + count };
        let slots = self.shared.groups.slots();
        let count = slots * elapsed / ROUND + 4;
        self.shared.groups.forget(self.upkeep.groups..self.upkeep.groups + count, attached, now);
        self.upkeep.groups = if self.upkeep.groups + count >= slots { 0 } else { self.upkeep.groups + count };
    }

    fn look_after_devices(&mut self, now: u32) {
        self.exits.limits.asked.tidy(now);
        use nix::sys::resource::{UsageWho, getrusage};
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) {
            self.pace.preempted = usage.involuntary_context_switches().unsigned_abs();
        }
        for slot in 0..self.exits.slots.len() {
            let attached = &mut self.exits.slots[slot];
            if attached.dead {
                continue;
            }
            // A port whose fill ring ran dry when no frame was free hears nothing that would have it settled.
            let health = attached.port.health();
            self.exits.mark(slot);
            let attached = &self.exits.slots[slot];
            if let Err(error) = health {
                super::report_death(&self.events, self.id, attached.id, error);
                self.exits.kill(slot);
            }
        }
    }
}

/// Whether the connection of a living flow is known still; its packets keep it so.
fn is_followed(key: &FlowKey, zone: VrfId, shared: &Shared, (seen, now): (u32, u32)) -> bool {
    let Some(parties) = Parties::of(key, zone, key.port()) else { return false };
    let is_known = |parties: &Parties| {
        let (connection, _) = parties.key();
        shared.connections.confirm(&connection, seen);
        shared.connections.find(&connection, now).is_some()
    };
    is_known(&parties) || is_known(&parties.unasked())
}

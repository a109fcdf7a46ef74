//! What the daemon tells of its tunnels: the tables' ways, with what was learned and counted on them.

use std::collections::HashMap;

use podlane_api::{Encapsulation, Judged, NextHop, NextHopState, PathMtu, Refusal, Tunnel, Tunnels, Uplink};
use podlane_bpf::UplinkCounters;
use podlane_dataplane::counters::{Counters as Numbers, PathCounters};
use podlane_dataplane::flow::key::word_mac;
use podlane_dataplane::ids::PathId;
use podlane_dataplane::tables::Tables;
use podlane_dataplane::tables::underlay::{self, Hop, Path, Peer, peer_key};
use podlane_dataplane::worker::asked::PATIENCE;
use podlane_dataplane::worker::command::Report;
use podlane_dataplane::{NetworkId, PortId, tunnel};

use super::answers::{ends, merged, mode, name, traffic};
use super::moment::Moment;
use crate::reconcile::Facts;

/// How many stations are behind a path: stated, and learned only.
#[derive(Clone, Copy, Default)]
struct Behind {
    stated: u64,
    learned: u64,
}

impl Moment<'_> {
    /// The tunnels.
    pub(super) fn tunnels(&self) -> Result<Tunnels, Refusal> {
        let reports = self.reports()?;
        let (numbers, facts) = (merged(&reports), self.engine().facts());
        let tables = &facts.tables;
        let behind = self.behind(tables);
        let underlay = &tables.underlay;
        let uplink = |uplink| self.uplink(uplink, &facts, &numbers, &reports);
        // A path by each uplink, next to each other, make one tunnel.
        let by_uplink = underlay.uplinks.len().max(1);
        let tunnel = |(index, paths)| {
            let first = PathId(u16::try_from(index * by_uplink).ok()?);
            let tunnel = self.tunnel(paths, tables)?;
            let PathCounters { received, sent } = total(first, paths, &numbers);
            let Behind { stated, learned } = behind.get(&first).copied().unwrap_or_default();
            Some(Tunnel { received: traffic(received), sent: traffic(sent), stated, learned, ..tunnel })
        };
        let tunnels = underlay.paths.chunks(by_uplink).enumerate().filter_map(tunnel).collect();
        let all = total(PathId(0), &underlay.paths, &numbers);
        Ok(Tunnels {
            uplinks: underlay.uplinks.iter().map(uplink).collect(),
            tunnels,
            received: traffic(all.received),
            sent: traffic(all.sent),
        })
    }

    /// A next hop of the underlay, as it is known.
    pub(super) fn next_hop(&self, hop: &Hop, tables: &Tables) -> Option<NextHop> {
        let uplink = tables.underlay.uplinks.get(usize::from(hop.uplink))?;
        let known = self.engine().shared().hop_state(uplink.port, hop.address);
        let state = match (known.mac, known.unanswered) {
            (Some(_), 0) => NextHopState::Reachable,
            (None, PATIENCE..) => NextHopState::Silent,
            _ => NextHopState::Asking,
        };
        Some(NextHop {
            uplink: name(self.numbers().port_name(uplink.port)),
            address: hop.address,
            mac: known.mac.map(|mac| podlane_api::MacAddr(mac.0)),
            state,
            age_ms: known.confirmed.map(|seen| self.since(seen)),
        })
    }

    /// Milliseconds since a worker's clock showed this. Workers' clocks may be ahead a little.
    pub(super) fn since(&self, then: u32) -> u64 {
        u64::from((self.now().wrapping_sub(then) as i32).max(0) as u32)
    }

    /// The workers' clock, or near it.
    pub(super) fn now(&self) -> u32 {
        self.engine().began().elapsed().as_millis() as u32
    }

    /// A tunnel of these paths; what is counted on it is still to be filled in.
    fn tunnel(&self, paths: &[Path], tables: &Tables) -> Option<Tunnel> {
        let underlay = &tables.underlay;
        let numbers = self.numbers();
        let path = paths.first()?;
        let peer = underlay.peer_of(path)?;
        let (mtu, inner_mtu, path_mtu) = self.mtus(paths, peer, tables);
        let encapsulation = match self.desired().underlay.as_ref()?.encapsulation {
            tunnel::Encapsulation::Vxlan => Encapsulation::Vxlan,
            tunnel::Encapsulation::Geneve => Encapsulation::Geneve,
        };
        Some(Tunnel {
            peer: name(numbers.peer_name(path.peer)),
            vtep: peer.address,
            network: name(numbers.network_name(path.network)),
            vni: path.vni.0,
            encapsulation,
            local_vtep: peer.vtep,
            local_vtep_shared: underlay.vteps.iter().any(|vtep| vtep.address == peer.vtep && vtep.shared),
            next_hops: peer.hops.iter().filter_map(|hop| self.next_hop(hop, tables)).collect(),
            mtu: mtu.map(u32::from),
            inner_mtu: inner_mtu.map(u32::from),
            path_mtu,
            received: traffic(Default::default()),
            sent: traffic(Default::default()),
            stated: 0,
            learned: 0,
        })
    }

    /// What fits into a tunnel by every uplink that is attached: outside, inside, and what was heard of the way.
    fn mtus(&self, paths: &[Path], peer: &Peer, tables: &Tables) -> (Option<u16>, Option<u16>, Option<PathMtu>) {
        let attached = paths.iter().filter(|path| tables.port(path.egress).is_some());
        let Some(narrowest) = attached.min_by_key(|path| path.mtu) else { return (None, None, None) };
        let heard = self.engine().shared().path_mtus.sighting(&peer_key(peer.address));
        let lowered = heard.filter(|(mtu, _)| *mtu < u64::from(narrowest.mtu));
        let mtu = lowered.map_or(narrowest.mtu, |(mtu, _)| mtu as u16);
        let path_mtu = lowered.map(|(mtu, seen)| PathMtu { mtu: mtu as u32, age_ms: self.since(seen) });
        (Some(mtu), Some(narrowest.inner_of(mtu)), path_mtu)
    }

    /// How many stations are behind each first path.
    fn behind(&self, tables: &Tables) -> HashMap<PathId, Behind> {
        let mut behind: HashMap<PathId, Behind> = HashMap::new();
        let stated = tables.networks.iter().flat_map(|network| network.stations.values());
        for path in stated.filter_map(|port| port.path()) {
            behind.entry(path).or_default().stated += 1;
        }
        for ([key], place, _) in self.engine().shared().macs.entries() {
            let Some(path) = learned_place(place).path() else { continue };
            let network = tables.network(NetworkId((key >> 48) as u16));
            if network.is_some_and(|network| !network.stations.contains_key(&word_mac(key))) {
                behind.entry(path).or_default().learned += 1;
            }
        }
        behind
    }

    fn uplink(&self, uplink: &underlay::Uplink, facts: &Facts, numbers: &Numbers, reports: &[Report]) -> Uplink {
        let port = self.numbers().port_name(uplink.port);
        let fate = port.and_then(|port| facts.ports.get(port));
        let counted = numbers.ports.get(uplink.port.index()).cloned().unwrap_or_default();
        let is_attached = facts.tables.port(uplink.port).is_some();
        Uplink {
            name: name(port),
            state: fate.map_or(podlane_api::PortState::Waiting, |fate| fate.state),
            mode: ends(reports, uplink.port).0.and_then(mode),
            mac: is_attached.then_some(podlane_api::MacAddr(uplink.mac.0)),
            mtu: is_attached.then_some(uplink.mtu.into()),
            vlan: uplink.vlan,
            received: traffic(counted.received),
            sent: traffic(counted.sent),
            judged: port.and_then(|port| facts.uplinks.get(port)).map(judged),
        }
    }
}

const fn judged(counters: &UplinkCounters) -> Judged {
    let &UplinkCounters { claimed, passed, fragments } = counters;
    Judged { claimed, passed, fragments }
}

/// The place a learned MAC address is behind, from how it is remembered.
pub(super) fn learned_place(remembered: u64) -> PortId {
    PortId((remembered.wrapping_sub(1)) as u16)
}

/// What was counted on these paths, the first of which is `first`.
fn total(first: PathId, paths: &[Path], numbers: &Numbers) -> PathCounters {
    let mut total = PathCounters::default();
    for path in numbers.paths.iter().skip(first.index()).take(paths.len()) {
        total.received.add(path.received.packets, path.received.bytes);
        total.sent.add(path.sent.packets, path.sent.bytes);
    }
    total
}

//! What the daemon tells: the workers' numbers, under the names of the configuration.

use std::collections::BTreeMap;

use podlane_api::{
    AttachMode, Counters, Dropped, Flow, FlowQuery, FlowTable, Flows, Frames, KernelDrops, Ledger, MacAddr, Network,
    Port, PortLedger, Ports, Refusal, Reply, Request, Status, Traffic, Worker, nearest,
};
use podlane_dataplane::counters::{Counters as Numbers, PortCounters, SWITCH};
use podlane_dataplane::flow::{Class, FlowKey, FlowRecord, Op, TagEdit};
use podlane_dataplane::port::{PortFacts, PortMode, PortStatistics};
use podlane_dataplane::worker::command::Report;
use podlane_dataplane::{NetworkId, PortId};

use super::Answer;
use crate::desired::{self, Attachment, Desired, Name};
use crate::reconcile::{Engine, Facts};

/// The answers to every question, from a running switch.
pub struct Answers {
    engine: Engine,
}

impl Answers {
    /// From this switch.
    #[must_use]
    pub const fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// The switch.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How the daemon is.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn status(&self) -> Result<Status, Refusal> {
        let engine = &self.engine;
        let Desired { daemon, networks, workers, .. } = engine.desired();
        let reports = self.reports()?;
        let total = merged(&reports);
        let table = &engine.shared().flows;
        let facts = engine.facts();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            instance: daemon.instance.to_string(),
            uptime_s: engine.began().elapsed().as_secs(),
            generation: facts.generation.into(),
            workers: workers.cores.iter().zip(&reports).map(|(core, report)| self.worker(*core, report)).collect(),
            flow_table: FlowTable {
                capacity: table.capacity() as u64,
                used: table.used() as u64,
                uncached: total.uncached,
            },
            networks: networks.values().map(|network| self.network(network)).collect(),
            warnings: warnings(&facts, &reports, table.used(), table.capacity()),
        })
    }

    /// The ports.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn ports(&self) -> Result<Ports, Refusal> {
        let reports = self.reports()?;
        let (total, facts) = (merged(&reports), self.engine.facts());
        let ports = self.engine.desired().ports.values().map(|port| self.port(port, &facts, &total, &reports));
        Ok(Ports { ports: ports.collect() })
    }

    /// The ledger.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn counters(&self) -> Result<Counters, Refusal> {
        let reports = self.reports()?;
        let numbers = merged(&reports);
        let mut dropped = Dropped::new();
        for (reason, count) in numbers.ports.iter().flat_map(PortCounters::reasons) {
            *dropped.entry(reason.name().to_owned()).or_default() += count;
        }
        let total = Ledger {
            received: numbers.received(),
            made: numbers.ports.get(SWITCH.index()).map_or(0, |own| own.received.packets),
            sent: numbers.sent(),
            held: numbers.waiting(),
            dropped,
        };
        let port = |name: &Name| {
            let id = self.engine.numbers().port(name);
            let own = numbers.ports.get(id.index()).cloned().unwrap_or_default();
            PortLedger {
                name: name.to_string(),
                received: own.received.packets,
                sent: own.sent.packets,
                held: held(&reports, id),
                dropped: dropped_by(&own),
            }
        };
        let ports = self.engine.desired().ports.keys().map(port).collect();
        Ok(Counters { balanced: total.balances(), total, ports })
    }

    fn flows(&self, query: &FlowQuery) -> Result<Flows, Refusal> {
        let Desired { networks, ports, .. } = self.engine.desired();
        if let Some(name) = query.network.as_deref().filter(|name| !networks.contains_key(*name)) {
            return Err(Refusal::UnknownNetwork { name: name.to_owned(), nearest: near(name, networks.keys()) });
        }
        if let Some(name) = query.port.as_deref().filter(|name| !ports.contains_key(*name)) {
            return Err(Refusal::UnknownPort { name: name.to_owned(), nearest: near(name, ports.keys()) });
        }
        let numbers = self.engine.numbers();
        let port = query.port.as_deref().and_then(|name| ports.get_key_value(name)).map(|(name, _)| numbers.port(name));
        let in_network = |key: &FlowKey| {
            let is = |wanted| self.network_of(key).is_some_and(|network| network.as_str() == wanted);
            query.network.as_deref().is_none_or(is)
        };
        let by_port = |flow: &FlowRecord| {
            port.is_none_or(|port| flow.key.port() == port || (carried(flow) && flow.program.egress() == port))
        };
        let mut records = self.engine.shared().flows.records(usize::MAX, in_network);
        records.retain(by_port);
        let matched = records.len() as u64;
        // The busiest first: that is what one looks for. A full table holds millions; only what is shown is sorted and named.
        let packets = |flow: &FlowRecord| core::cmp::Reverse(flow.packets);
        if query.limit < records.len() {
            records.select_nth_unstable_by_key(query.limit, packets);
            records.truncate(query.limit);
        }
        records.sort_by_key(packets);
        let now = self.engine.began().elapsed().as_millis() as u32;
        Ok(Flows { matched, flows: records.iter().map(|record| self.flow(record, now)).collect() })
    }

    /// The network a flow came in by.
    fn network_of(&self, key: &FlowKey) -> Option<&Name> {
        let membership = &self.engine.desired().ports.get(self.engine.numbers().port_name(key.port())?)?.membership;
        let tagged = key.vlan().id().and_then(desired::VlanId::new).map(|id| membership.tagged.get(&id));
        tagged.unwrap_or(membership.untagged.as_ref())
    }

    fn flow(&self, record: &FlowRecord, now: u32) -> Flow {
        let (key, program) = (&record.key, &record.program);
        let numbers = self.engine.numbers();
        let addresses = key.addresses();
        let ports = (matches!(key.kind().protocol, 6 | 17 | 132)).then(|| key.ports());
        let name = |name: Option<&Name>| name.map(ToString::to_string).unwrap_or_default();
        Flow {
            network: name(self.network_of(key)),
            in_port: name(numbers.port_name(key.port())),
            out_port: carried(record).then(|| name(numbers.port_name(program.egress()))),
            src_mac: MacAddr(key.source_mac().0),
            dst_mac: MacAddr(key.destination_mac().0),
            ethertype: key.kind().ethertype,
            src: addresses.map(|(source, _)| source),
            dst: addresses.map(|(_, destination)| destination),
            protocol: (key.kind().class != Class::Other).then(|| protocol(key.kind().protocol)),
            sport: ports.map(|(source, _)| source),
            dport: ports.map(|(_, destination)| destination),
            packets: record.packets,
            bytes: record.bytes,
            idle_ms: u64::from((now.wrapping_sub(record.seen) as i32).max(0) as u32),
            action: action(program),
        }
    }

    fn reports(&self) -> Result<Vec<Report>, Refusal> {
        self.engine.reports().map_err(|silent| Refusal::Stalled {
            what: format!("worker {}", silent.worker),
            waited_ms: crate::reconcile::PATIENCE.as_millis() as u64,
        })
    }

    fn worker(&self, core: usize, report: &Report) -> Worker {
        let pace = &report.pace;
        let own = self.engine.desired().workers.poll;
        let (total, free) = report.frames;
        Worker {
            core,
            poll: own,
            turns: pace.turns,
            busy_ratio: if pace.turns == 0 { 0.0 } else { pace.busy_turns as f64 / pace.turns as f64 },
            packets: report.counters.received(),
            naps: pace.sleeps,
            preempted: pace.preempted,
            frames: Frames {
                total: total as u64,
                free: free as u64,
                receiving: report.ports.iter().map(|port| port.lent.0).sum(),
                sending: report.ports.iter().map(|port| port.lent.1).sum(),
                held: report.counters.held,
            },
        }
    }

    fn network(&self, network: &desired::Network) -> Network {
        let is_in = |port: &&desired::Port| port.membership.networks().any(|name| *name == network.name);
        let id = self.engine.numbers().network(&network.name);
        let learned = self.engine.shared().macs.entries();
        let in_network = |([key], _, _): &&([u64; 1], u64, u32)| NetworkId((key >> 48) as u16) == id;
        let ports = self.engine.desired().ports.values().filter(is_in);
        let stated = ports.clone().filter(|port| port.mac.is_some()).count();
        Network {
            name: network.name.to_string(),
            vrf: network.vrf.to_string(),
            mtu: self.engine.mtu(network),
            gateways: network.gateways.clone(),
            gateway_mac: network.gateway_mac,
            ports: ports.count() as u64,
            macs: (stated + learned.iter().filter(in_network).count()) as u64,
        }
    }

    fn port(&self, port: &desired::Port, facts: &Facts, total: &Numbers, reports: &[Report]) -> Port {
        let id = self.engine.numbers().port(&port.name);
        let device = match &port.attachment {
            Attachment::Device(device) => Some(device),
            Attachment::Replay(_) => None,
        };
        let fate = facts.ports.get(&port.name);
        let numbers = total.ports.get(id.index()).cloned().unwrap_or_default();
        let (how, kernel) = ends(reports, id);
        Port {
            name: port.name.to_string(),
            kind: port.kind(),
            device: device.map(|device| device.name.to_string()),
            netns: device.and_then(|device| device.netns.clone()),
            network: port.membership.untagged.as_ref().map(ToString::to_string),
            vlans: port.membership.tagged.iter().map(|(vlan, network)| (vlan.get(), network.to_string())).collect(),
            state: fate.map_or(podlane_api::PortState::Waiting, |fate| fate.state),
            reason: fate.and_then(|fate| fate.reason.clone()),
            mode: how.and_then(mode),
            xdp: fate.and_then(|fate| fate.xdp),
            queues: how.map_or(0, |how| how.queues),
            checksum_offload: how.is_some_and(|how| how.finishes_checksums),
            mtu: fate.and_then(|fate| fate.mtu),
            received: traffic(numbers.received),
            sent: traffic(numbers.sent),
            dropped: dropped_by(&numbers),
            held: held(reports, id),
            kernel,
        }
    }
}

impl Answer for Answers {
    fn answer(&self, request: &Request) -> Result<Reply, Refusal> {
        Ok(match request {
            Request::Status => Reply::Status(self.status()?),
            Request::Ports => Reply::Ports(self.ports()?),
            Request::Flows(query) => Reply::Flows(self.flows(query)?),
            Request::Counters => Reply::Counters(self.counters()?),
        })
    }
}

/// Whether a flow's packets leave by the port its program names.
fn carried(flow: &FlowRecord) -> bool {
    matches!(flow.program.op(), Op::Bridge | Op::Route)
}

fn merged(reports: &[Report]) -> Numbers {
    let mut total = Numbers::default();
    reports.iter().for_each(|report| total.merge(&report.counters));
    total
}

fn held(reports: &[Report], id: PortId) -> u64 {
    reports.iter().flat_map(|report| &report.ports).filter(|port| port.id == id).map(|port| port.held).sum()
}

/// How the workers' ends of a port work, all together, and what the kernel lost at them.
fn ends(reports: &[Report], id: PortId) -> (Option<PortFacts>, KernelDrops) {
    let mut facts: Option<PortFacts> = None;
    let mut lost = PortStatistics::default();
    for end in reports.iter().flat_map(|report| &report.ports).filter(|end| end.id == id) {
        let queues = facts.map_or(0, |facts| facts.queues) + end.facts.queues;
        facts = Some(PortFacts { queues, ..end.facts });
        lost.merge(&end.statistics);
    }
    let kernel = KernelDrops {
        rx_dropped: lost.rx_dropped,
        rx_ring_full: lost.rx_ring_full,
        fill_ring_empty: lost.fill_ring_empty,
        tx_invalid: lost.tx_invalid,
        ..KernelDrops::default()
    };
    (facts, kernel)
}

fn mode(how: PortFacts) -> Option<AttachMode> {
    match how.mode {
        PortMode::ZeroCopy => Some(AttachMode::ZeroCopy),
        PortMode::Copy => Some(AttachMode::Copy),
        PortMode::EdgeCopy | PortMode::Memory => None,
    }
}

fn traffic(tally: podlane_dataplane::counters::Tally) -> Traffic {
    Traffic { packets: tally.packets, bytes: tally.bytes }
}

fn dropped_by(port: &PortCounters) -> Dropped {
    port.reasons().map(|(reason, count)| (reason.name().to_owned(), count)).collect::<BTreeMap<_, _>>()
}

fn near<'n>(name: &str, names: impl Iterator<Item = &'n Name>) -> Option<String> {
    nearest(name, names.map(Name::as_str)).map(str::to_owned)
}

fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}

fn action(program: &podlane_dataplane::flow::Program) -> String {
    let tag = match program.tag() {
        TagEdit::Keep => String::new(),
        TagEdit::Pop => ", pop tag".to_owned(),
        TagEdit::Push(id) => format!(", push vlan {id}"),
        TagEdit::Set(id) => format!(", set vlan {id}"),
    };
    match program.op() {
        Op::Bridge => format!("bridge{tag}"),
        Op::Route => format!("route to {}{tag}", program.next_hop()),
        Op::Encapsulate => format!("encapsulate to {}{tag}", program.next_hop()),
        Op::RouteEncapsulate => format!("route and encapsulate to {}{tag}", program.next_hop()),
        Op::Flood => "flood".to_owned(),
        Op::Answer => "answer".to_owned(),
        Op::Drop => format!("drop {}", program.reason().name()),
    }
}

/// What is not as it should be, with what to do.
fn warnings(facts: &Facts, reports: &[Report], used: usize, capacity: usize) -> Vec<String> {
    let mut warnings: Vec<String> = facts.warnings.values().cloned().collect();
    warnings.extend(facts.fatal.clone());
    if used * 10 >= capacity * 9 {
        warnings.push(format!("the flow table holds {used} of {capacity} flows; raise `capacity` under [flows]"));
    }
    for report in reports {
        let (total, free) = report.frames;
        if free * 20 < total {
            let worker = report.worker;
            warnings.push(format!(
                "worker {worker} has {free} of {total} frames free; raise `frames` under [workers] or lower `ring`"
            ));
        }
    }
    warnings
}

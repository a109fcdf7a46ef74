//! What the daemon tells: the workers' numbers, under the names of the configuration.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use podlane_api::{
    AttachMode, Counters, Dropped, FlowTable, Frames, KernelDrops, Ledger, Manifests, Network, PolicyApplied, Port,
    PortLedger, Ports, Refusal, Reply, Request, Status, TookOver, Traffic, Why, WhyQuery, Worker, nearest,
};
use podlane_dataplane::counters::{Counters as Numbers, PortCounters, SWITCH};
use podlane_dataplane::port::{PortFacts, PortMode, PortStatistics};
use podlane_dataplane::worker::command::Report;
use podlane_dataplane::{NetworkId, PortId};
use podlane_policy::model::PodName;

use super::chronicle::Chronicle;
use super::moment::Moment;
use super::trials::Shadows;
use super::{Answer, leases};
use crate::attach::Attachments;
use crate::desired::{self, Behind, Desired, Name};
use crate::reconcile::{Engine, Facts};
use crate::{cni, netavark};

/// How often workers are asked for reports that fit together. Under traffic one way about every second look does not.
const LOOKS: u32 = 64;

/// How long a daemon that did not take over may still have the journal: it has failed, and ends.
const LETTING_GO: Duration = Duration::from_secs(10);

/// How often the journal is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(20);

/// The answers to every question, from a running switch.
pub struct Answers {
    pub(super) chronicle: Chronicle,
    /// The daemon it took over from.
    took_over: Option<TookOver>,
    /// Before what they look on, so that nobody looks on any more when that ends.
    shadows: Shadows,
    /// None where pods are not attached. Before the switch that they work with.
    attachments: RwLock<Option<Arc<Attachments>>>,
    engine: Arc<Engine>,
}

impl Answers {
    /// From this switch, and what is attached to it.
    #[must_use]
    pub fn new(engine: Arc<Engine>, attachments: Option<Attachments>) -> Self {
        let attachments = RwLock::new(attachments.map(Arc::new));
        Self { chronicle: Chronicle::default(), took_over: None, shadows: Shadows::new(), attachments, engine }
    }

    /// From a switch that was taken over, where this had been changed before.
    #[must_use]
    pub fn inherit(
        (engine, attachments): (Arc<Engine>, Option<Attachments>),
        took_over: TookOver,
        changes: &[Request],
    ) -> Self {
        let answers = Self { took_over: Some(took_over), ..Self::new(engine, attachments) };
        for change in changes {
            let replayed = match change {
                // In force before anything was taken over.
                Request::ApplyPolicy(_) | Request::DeletePolicy(_) => {
                    answers.chronicle.keep(change);
                    continue;
                }
                change => answers.answer(change),
            };
            if let Err(refusal) = replayed {
                tracing::warn!("a change that was made at the former daemon does not fit any more: {refusal}");
            }
        }
        answers
    }

    pub(super) const fn took_over(&self) -> Option<TookOver> {
        self.took_over
    }

    /// The pods that are attached.
    ///
    /// # Errors
    /// None are by this daemon.
    pub fn attachments(&self) -> Result<Arc<Attachments>, Refusal> {
        let attachments = self.attachments.read().unwrap_or_else(PoisonError::into_inner);
        attachments.clone().ok_or(Refusal::NoAttachments)
    }

    /// Makes a call that may change what is attached. None can while another daemon takes over.
    ///
    /// # Errors
    /// [`Refusal::HandingOver`], or no pods are attached by this daemon.
    pub(super) fn with_attachments(&self, call: &mut dyn FnMut(&Attachments)) -> Result<(), Refusal> {
        let _under_way = self.chronicle.change()?;
        call(&*self.attachments()?);
        Ok(())
    }

    /// Has the next daemon find all that this one promised.
    pub(super) fn let_go_of_attachments(&self) {
        if let Ok(attachments) = self.attachments() {
            attachments.close();
        }
    }

    /// Goes on where it let go, because the next daemon did not take over.
    pub(super) fn take_up_attachments(&self) {
        let Ok(former) = self.attachments() else { return };
        let deadline = Instant::now() + LETTING_GO;
        let reopened = loop {
            match former.reopened() {
                Err(error) if error.is_held() && Instant::now() < deadline => thread::sleep(AGAIN),
                reopened => break reopened,
            }
        };
        match reopened {
            Ok(attachments) => {
                *self.attachments.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(attachments));
            }
            Err(error) => tracing::error!(%error, "no pod can be attached any more; restart the daemon"),
        }
    }

    /// The switch.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The candidates that are judged beside the live policy.
    pub(super) const fn shadows(&self) -> &Shadows {
        &self.shadows
    }

    /// The ports.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn ports(&self) -> Result<Ports, Refusal> {
        Moment::of(self).ports()
    }

    /// The ledger.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn counters(&self) -> Result<Counters, Refusal> {
        Moment::of(self).counters()
    }

    /// Applies policies.
    ///
    /// # Errors
    /// What is wrong with them; or no policy is enforced, or a worker does not answer.
    pub fn apply_policy(&self, manifests: &Manifests) -> Result<PolicyApplied, Refusal> {
        Moment::of(self).apply_policy(manifests)
    }

    /// Why a connection would come through or not.
    ///
    /// # Errors
    /// What was asked means nothing that is there.
    pub fn why(&self, query: &WhyQuery) -> Result<Why, Refusal> {
        Moment::of(self).why(query)
    }
}

impl Moment<'_> {
    /// How the daemon is.
    fn status(&self) -> Result<Status, Refusal> {
        let engine = self.engine();
        let Desired { daemon, networks, workers, .. } = self.desired();
        let reports = self.reports()?;
        let total = merged(&reports);
        let table = &engine.shared().flows;
        let facts = engine.facts();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            instance: daemon.instance.to_string(),
            uptime_s: engine.began().elapsed().as_secs(),
            generation: engine.generation().into(),
            took_over: self.took_over(),
            workers: workers.cores.iter().zip(&reports).map(|(core, report)| self.worker(*core, report)).collect(),
            flow_table: FlowTable {
                capacity: table.capacity() as u64,
                used: table.used() as u64,
                uncached: total.uncached,
            },
            connection_table: engine.enforcer().map(|_| self.connection_table()),
            networks: networks.values().map(|network| self.network(network, &facts)).collect(),
            warnings: [warnings(&facts, &reports, table.used(), table.capacity()), self.closed()].concat(),
        })
    }

    /// The pods behind ports that nobody has described.
    fn closed(&self) -> Vec<String> {
        let said = |pod: &PodName| {
            format!(
                "nothing is known of pod {pod}, which is behind a port, so that it is closed; give the port its `labels`, or apply the Pod"
            )
        };
        let judge = self.engine().enforcer().map(|enforcer| enforcer.in_force());
        judge.map(|judge| judge.unknown().map(said).collect()).unwrap_or_default()
    }

    fn ports(&self) -> Result<Ports, Refusal> {
        let reports = self.reports()?;
        let (total, facts) = (merged(&reports), self.engine().facts());
        let ports = self.desired().ports.values().map(|port| self.port(port, &facts, &total, &reports));
        let underlay = self.desired().underlay.iter().flat_map(|underlay| &underlay.uplinks);
        Ok(Ports { ports: ports.collect(), underlay: underlay.map(ToString::to_string).collect() })
    }

    fn counters(&self) -> Result<Counters, Refusal> {
        let (reports, numbers) = self.fitting_reports()?;
        let mut dropped = Dropped::new();
        for (reason, count) in numbers.all().flat_map(PortCounters::reasons) {
            *dropped.entry(reason.name().to_owned()).or_default() += count;
        }
        let total = Ledger {
            received: numbers.received(),
            made: numbers.ports.get(SWITCH.index()).map_or(0, |own| own.received.packets),
            sent: numbers.sent(),
            held: numbers.waiting(),
            dropped,
        };
        let share = |name: &Name| {
            let id = self.numbers().port(name);
            let own = numbers.ports.get(id.index()).cloned().unwrap_or_default();
            ledger(name.to_string(), &own, held(&reports, id))
        };
        let ports = self.desired().ports.keys().map(share).collect();
        Ok(Counters { balanced: total.balances(), total, ports, gone: self.gone(&numbers, &reports) })
    }

    /// What was counted at ports that are no more, whether their numbers are others' by now or not.
    fn gone(&self, numbers: &Numbers, reports: &[Report]) -> PortLedger {
        let (mut gone, mut waiting) = (numbers.gone.clone(), 0);
        for (id, counted) in (0..).map(PortId).zip(&numbers.ports).skip(SWITCH.index() + 1) {
            if self.numbers().port_name(id).is_none() {
                gone.merge(counted);
                waiting += held(reports, id);
            }
        }
        ledger(String::new(), &gone, waiting)
    }

    /// Reports that fit together, and their sum. Workers report one after the other, so that one may have taken over frames which another
    /// had not handed to it when it reported: a ledger that does not balance. Then they are asked again.
    fn fitting_reports(&self) -> Result<(Vec<Report>, Numbers), Refusal> {
        let mut looks = LOOKS;
        loop {
            let reports = self.reports()?;
            let numbers = merged(&reports);
            looks -= 1;
            if numbers.handed >= numbers.taken || looks == 0 {
                return Ok((reports, numbers));
            }
        }
    }

    fn worker(&self, core: usize, report: &Report) -> Worker {
        let pace = &report.pace;
        let own = self.desired().workers.poll;
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

    fn network(&self, network: &desired::Network, facts: &Facts) -> Network {
        let is_in = |port: &&Arc<desired::Port>| port.membership.networks().any(|name| *name == network.name);
        let id = self.numbers().network(&network.name);
        let learned = self.engine().shared().macs.entries();
        let in_network = |([key], _, _): &&([u64; 1], u64, u32)| NetworkId((key >> 48) as u16) == id;
        let ports = self.desired().ports.values().filter(is_in);
        let stated = ports.clone().filter(|port| port.mac.is_some()).count();
        Network {
            name: network.name.to_string(),
            vrf: network.vrf.to_string(),
            mtu: self.engine().mtu(network),
            gateways: network.gateways.clone(),
            gateway_mac: network.gateway_mac,
            ports: ports.count() as u64,
            macs: (stated + learned.iter().filter(in_network).count()) as u64,
            vni: network.vni.map(desired::Vni::get),
            pod_mtu: facts.proposed_mtus.get(&network.name).copied().map(u32::from),
        }
    }

    fn port(&self, port: &desired::Port, facts: &Facts, total: &Numbers, reports: &[Report]) -> Port {
        let id = self.numbers().port(&port.name);
        let device = match &port.behind {
            Behind::Device(device) => Some(device),
            Behind::Replay(_) => None,
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
            sharing: port.sharing(),
            state: fate.map_or(podlane_api::PortState::Waiting, |fate| fate.state),
            reason: fate.and_then(|fate| fate.reason.clone()),
            mode: how.and_then(mode),
            xdp: fate.and_then(|fate| fate.xdp),
            queues: how.map_or(0, |how| how.queues),
            checksum_offload: how.is_some_and(|how| how.finishes_checksums),
            mtu: fate.and_then(|fate| fate.mtu),
            rates: port.rates.into(),
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
        let _begun = self.chronicle.begin(request)?;
        let moment = Moment::of(self);
        let reply = match request {
            Request::Status => Reply::Status(moment.status()?),
            Request::Ports => Reply::Ports(moment.ports()?),
            Request::Flows(query) => Reply::Flows(moment.flows(query)?),
            Request::Counters => Reply::Counters(moment.counters()?),
            Request::Tunnels => Reply::Tunnels(moment.tunnels()?),
            Request::Offload => Reply::Offload(moment.offload()),
            Request::Neighbours(query) => Reply::Neighbours(moment.neighbours(query)?),
            Request::Endpoints(query) => Reply::Endpoints(moment.endpoints(query)?),
            Request::SetEndpoint(endpoint) => Reply::SetEndpoint(moment.set_endpoint(endpoint)?),
            Request::RemoveEndpoint(removal) => Reply::RemoveEndpoint(moment.remove_endpoint(removal)?),
            Request::Policies => Reply::Policies(moment.policies()?),
            Request::ApplyPolicy(manifests) => Reply::ApplyPolicy(moment.apply_policy(manifests)?),
            Request::DeletePolicy(manifests) => Reply::DeletePolicy(moment.delete_policy(manifests)?),
            Request::Why(query) => Reply::Why(moment.why(query)?),
            Request::TestPolicy(candidate) => Reply::TestPolicy(moment.test_policy(candidate)?),
            Request::StartShadow(candidate) => Reply::Shadow(moment.start_shadow(candidate)?),
            Request::Shadow(query) => Reply::Shadow(moment.shadow(*query)?),
            Request::EndShadow(query) => Reply::Shadow(moment.end_shadow(*query)?),
            Request::Denied(query) => Reply::Denied(moment.denied(query)?),
            Request::Connections(query) => Reply::Connections(moment.connections(query)?),
            Request::Cni(call) => Reply::Cni(cni::carry_out(&*self.attachments()?, call)?),
            Request::Netavark(call) => {
                let answer = netavark::carry_out(&*self.attachments()?, call);
                Reply::Netavark(answer.map_err(|error| Refusal::Attachment { detail: error.to_string() })?)
            }
            Request::Attachments(query) => Reply::Attachments(self.listed(query)?),
            Request::Leases(query) => {
                Reply::Leases(self.attachments()?.addresses(|ipam, now| leases::listed(ipam, now, query)))
            }
        };
        self.chronicle.note(request, &reply);
        Ok(reply)
    }
}

pub(super) fn merged(reports: &[Report]) -> Numbers {
    let mut total = Numbers::default();
    reports.iter().for_each(|report| total.merge(&report.counters));
    total
}

/// A name as it is answered; empty for what has none.
pub(super) fn name(name: Option<&Name>) -> String {
    name.map(ToString::to_string).unwrap_or_default()
}

/// One row of the ledger.
fn ledger(name: String, counted: &PortCounters, held: u64) -> PortLedger {
    PortLedger {
        name,
        received: counted.received.packets,
        sent: counted.sent.packets,
        held,
        dropped: dropped_by(counted),
    }
}

fn held(reports: &[Report], id: PortId) -> u64 {
    reports.iter().flat_map(|report| &report.ports).filter(|port| port.id == id).map(|port| port.held).sum()
}

/// How the workers' ends of a port work, all together, and what the kernel lost at them.
pub(super) fn ends(reports: &[Report], id: PortId) -> (Option<PortFacts>, KernelDrops) {
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

pub(super) fn mode(how: PortFacts) -> Option<AttachMode> {
    match how.mode {
        PortMode::ZeroCopy => Some(AttachMode::ZeroCopy),
        PortMode::Copy => Some(AttachMode::Copy),
        PortMode::EdgeCopy | PortMode::Memory => None,
    }
}

pub(super) fn traffic(tally: podlane_dataplane::counters::Tally) -> Traffic {
    Traffic { packets: tally.packets, bytes: tally.bytes }
}

fn dropped_by(port: &PortCounters) -> Dropped {
    port.reasons().map(|(reason, count)| (reason.name().to_owned(), count)).collect::<BTreeMap<_, _>>()
}

pub(super) fn near<'n>(name: &str, names: impl Iterator<Item = &'n Name>) -> Option<String> {
    nearest(name, names.map(Name::as_str)).map(str::to_owned)
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

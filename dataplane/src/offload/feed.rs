//! The feed: which of a worker's flows are worth an offer, looked at beside the packets' line.
//!
//! A flow is noted when it enters the table, a miss, and looked at every few milliseconds until it has moved enough; a hit does nothing for it.
//! What was refused for a reason that passes, and what was put out, is noted again a second later; what still moves when it is looked at for
//! ageing, then. These have to move as much again: one that lies idle would only put out others.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    counters::Counters,
    flow::{Class, FlowRecord, FlowTable, Op, Watch},
    headers::{ETHERNET, ICMP, ICMPV6, TCP, VLAN_TAG},
    ids::{Generation, PortId, WorkerId},
    offload::{
        EngineId, Exchange, Fields, IntoTunnel, Offer, Permits, Refusal, Usage,
        told::{End, Told},
    },
    tables::{PortTable, Tables},
};

/// Packets after which a flow is worth an engine's insertion. A request and its reply are fewer; chosen, not measured.
const ENOUGH: u64 = 8;

/// Flows that are watched for having moved enough. What finds no place is found again when its turn comes to be looked at for ageing.
const NOTED: usize = 8192;

/// Flows looked at in a millisecond.
const GLANCES: usize = 64;

/// A flow that has not moved enough after so many milliseconds is not looked at any more: it will be when it is looked at for ageing.
const PATIENCE: u32 = 2_000;

/// Until a flow that was put out or refused is offered again, milliseconds.
const AGAIN: u32 = 1_000;

/// A flow that was silent for so long when it is looked at for ageing is not worth another look, milliseconds.
const SILENT: u32 = 1_000;

/// News taken in a millisecond.
const NEWS: usize = 1024;

/// A worker's side of offload.
pub(crate) struct Feed {
    exchange: Arc<Exchange>,
    worker: WorkerId,
    noted: VecDeque<Noted>,
}

#[derive(Clone, Copy)]
struct Noted {
    entry: u32,
    /// Not looked at before.
    from: u32,
    /// From how many packets on it has to move; none before it is first looked at.
    base: Option<u64>,
}

/// What flows are judged by.
pub(crate) struct Grounds<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) flows: &'a FlowTable,
    pub(crate) generation: Generation,
    pub(crate) now: u32,
}

/// What is to become of a flow.
enum Judgement {
    /// It is offered, once it has a permit.
    Offer(Box<Draft>),
    /// It is looked at again.
    Wait,
    /// It is not for this engine.
    Refuse(EngineId, Refusal),
    /// No engine is chosen for its port, or it is not there any more.
    Never,
}

/// An offer without a permit.
struct Draft {
    engine: EngineId,
    ingress: PortId,
    needs: Fields,
    longest: u32,
    unfinished_checksums: bool,
    into: Option<Box<IntoTunnel>>,
}

impl Feed {
    pub(crate) fn new(exchange: Arc<Exchange>, worker: WorkerId) -> Self {
        Self { exchange, worker, noted: VecDeque::with_capacity(NOTED) }
    }

    pub(crate) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Has a flow looked at that has just been resolved.
    pub(crate) fn note(&mut self, entry: u32, flows: &FlowTable, now: u32) {
        self.look(Noted { entry, from: now, base: Some(0) }, flows);
    }

    /// Has a flow looked at again that was last seen at `seen`.
    pub(crate) fn note_again(&mut self, entry: u32, flows: &FlowTable, (seen, now): (u32, u32)) {
        if (now.wrapping_sub(seen) as i32) < SILENT as i32 {
            self.look(Noted { entry, from: now, base: None }, flows);
        }
    }

    fn look(&mut self, noted: Noted, flows: &FlowTable) {
        if self.noted.len() < NOTED && flows.permits().is_some_and(|permits| permits.note(noted.entry)) {
            self.noted.push_back(noted);
        }
    }

    /// A millisecond's worth of news and offers.
    pub(crate) fn keep_up(&mut self, grounds: &Grounds<'_>, counters: &mut Counters) {
        let Some(permits) = grounds.flows.permits() else { return };
        for _ in 0..NEWS {
            let Some(told) = self.exchange.next_told(self.worker) else { break };
            self.hear(&told, grounds, permits, counters);
        }
        for _ in 0..self.noted.len().min(GLANCES) {
            let Some(mut noted) = self.noted.pop_front() else { break };
            let age = grounds.now.wrapping_sub(noted.from) as i32;
            let stays = age < 0 || !self.consider(&mut noted, grounds, permits) && age < PATIENCE as i32;
            if stays {
                self.noted.push_back(noted);
            } else {
                permits.look_away(noted.entry);
            }
        }
    }

    /// Credits what was carried: to the ledger, and to the flow, which lives by it.
    fn hear(&mut self, told: &Told, grounds: &Grounds<'_>, permits: &Permits, counters: &mut Counters) {
        let Usage { carried, seen } = told.usage;
        if carried.packets > 0 {
            let ([from, into], (ingress, egress)) = (told.paths, told.ports);
            let bytes = |outer: u8| carried.bytes + carried.packets * u64::from(outer);
            let outer = |path: Option<(_, u8)>| path.map_or(0, |(_, outer)| outer);
            counters.port(ingress).received.add(carried.packets, bytes(outer(from)));
            counters.port(egress).sent.add(carried.packets, bytes(outer(into)));
            if let Some((path, _)) = from {
                counters.path(path).received.add(carried.packets, carried.bytes);
            }
            if let Some((path, _)) = into {
                counters.path(path).sent.add(carried.packets, carried.bytes);
            }
            grounds.flows.credit(told.permit.entry, &told.key, carried, seen);
        }
        let Some(end) = told.over else { return };
        // If another flow is at the entry by now, or this one was offered anew, the news is not about it.
        let about = permits.stands(told.permit);
        permits.take_back(told.permit);
        match end {
            _ if !about => {}
            End::Refused(refusal) if !refusal.passes() => permits.refuse(told.permit.entry),
            End::Refused(_) | End::Evicted | End::Lost => {
                let from = grounds.now.wrapping_add(AGAIN);
                self.look(Noted { entry: told.permit.entry, from, base: None }, grounds.flows);
            }
            // If it goes on, it is resolved anew, or still moves when it is looked at for ageing.
            End::Aged => {}
        }
    }

    /// Looks at a flow. Returns whether that is settled.
    fn consider(&self, noted: &mut Noted, grounds: &Grounds<'_>, permits: &Permits) -> bool {
        let entry = noted.entry;
        if permits.is_granted(entry) || permits.is_refused(entry) {
            return true;
        }
        let Some(flow) = grounds.flows.record(entry).filter(|flow| flow.owner == self.worker) else { return true };
        let moved = flow.packets.saturating_sub(*noted.base.get_or_insert(flow.packets));
        match judge(&flow, moved, grounds) {
            Judgement::Never => true,
            Judgement::Wait => false,
            Judgement::Refuse(engine, refusal) => {
                permits.refuse(entry);
                self.exchange.refuse(engine, refusal);
                true
            }
            Judgement::Offer(draft) => {
                let Some(permit) = permits.grant(entry) else { return true };
                let Draft { engine, ingress, needs, longest, unfinished_checksums, into } = *draft;
                let FlowRecord { key, program, generation, epoch, .. } = flow;
                let heard = self.exchange.offer(Offer {
                    engine,
                    worker: self.worker,
                    permit,
                    key,
                    program,
                    generation,
                    epoch,
                    needs,
                    ingress,
                    unfinished_checksums,
                    longest,
                    into,
                });
                if !heard {
                    permits.take_back(permit);
                }
                heard
            }
        }
    }
}

/// What is to become of a flow that has moved so many packets.
fn judge(flow: &FlowRecord, moved: u64, grounds: &Grounds<'_>) -> Judgement {
    let Grounds { tables, flows, generation, .. } = *grounds;
    let (key, program) = (&flow.key, &flow.program);
    if flow.generation != generation || flows.epoch(program.shard()) != flow.epoch {
        // Its next packet is a miss, which notes it.
        return Judgement::Never;
    }
    let ingress = match key.port().path() {
        Some(path) => tables.underlay.path(path).map(|path| path.egress),
        None => Some(key.port()),
    };
    let chosen = ingress.and_then(|ingress| Some((ingress, tables.port(ingress)?)));
    let Some((ingress, port)) = chosen else { return Judgement::Never };
    let Some(engine) = port.offload else { return Judgement::Never };
    if let Some(refusal) = unfit(flow, port, tables) {
        return Judgement::Refuse(engine, refusal);
    }
    let to = match program.op() {
        Op::Encapsulate | Op::RouteEncapsulate => program.path().port(),
        _ => program.egress(),
    };
    let policed = tables.is_policed_between(key.port(), to);
    let watched = if policed && key.kind().protocol == TCP { Watch::Acknowledged } else { Watch::None };
    if moved < ENOUGH || program.watch() != watched {
        return Judgement::Wait;
    }
    let into = match program.op() {
        Op::Encapsulate | Op::RouteEncapsulate => {
            let Some(into) = into_tunnel(flow, grounds) else { return Judgement::Never };
            Some(Box::new(into))
        }
        _ => None,
    };
    let asking = tables.is_asking(key.port()) || tables.is_asking(to);
    let needs = if policed || asking { Fields::ALL } else { Fields::ALL - Fields::PORTS };
    let header = if key.vlan().is_tagged() { ETHERNET + VLAN_TAG } else { ETHERNET };
    // What classify calls a giant, and what apply calls too big.
    let longest = (u32::from(port.mtu) + 22).min(u32::from(program.mtu()) + header as u32);
    Judgement::Offer(Box::new(Draft {
        engine,
        ingress,
        needs,
        longest,
        unfinished_checksums: port.unfinished_checksums,
        into,
    }))
}

/// Why a flow is for no engine, whatever it does.
fn unfit(flow: &FlowRecord, port: &PortTable, tables: &Tables) -> Option<Refusal> {
    let (key, program) = (&flow.key, &flow.program);
    let kind = key.kind();
    if !matches!(kind.class, Class::Ipv4 | Class::Ipv6) {
        return Some(Refusal::NotIp);
    }
    if key.is_fragment() {
        return Some(Refusal::Fragments);
    }
    // Of ICMP, questions and answers to them are flows; the rest speaks of others.
    let echo = match kind.protocol {
        ICMP => matches!(key.ports().0 >> 8, 0 | 8),
        ICMPV6 => matches!(key.ports().0 >> 8, 128 | 129),
        _ => true,
    };
    if !echo {
        return Some(Refusal::Protocol);
    }
    if !matches!(program.op(), Op::Bridge | Op::Route | Op::Encapsulate | Op::RouteEncapsulate) {
        return Some(Refusal::Program);
    }
    let leaving = tables.port(program.egress()).and_then(|port| port.rates.ingress);
    (port.rates.egress.is_some() || leaving.is_some()).then_some(Refusal::Rate)
}

fn into_tunnel(flow: &FlowRecord, grounds: &Grounds<'_>) -> Option<IntoTunnel> {
    let underlay = &grounds.tables.underlay;
    let path = underlay.path(flow.program.path())?;
    Some(IntoTunnel {
        path: flow.program.path(),
        template: path.template.clone(),
        peer: underlay.peer_of(path)?.address,
        vni: path.vni,
        gateway_mac: path.gateway_mac,
        entropy: grounds.flows.hash(&flow.key),
    })
}

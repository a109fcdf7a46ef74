//! What the daemon tells of the connections that the workers follow, under the names of pods and rules.

use std::net::IpAddr;

use podlane_api::{
    ConnectionQuery, ConnectionRecord, ConnectionState, ConnectionTable, Connections, MAX_CONNECTIONS, Refusal,
};
use podlane_dataplane::flow::connections::{ConnectionKey, ConnectionRecord as Record, Phase, Side};
use podlane_policy::compile::{Origin, RuleId};
use podlane_policy::model::{Pod, Protocol};

use super::answers::name;
use super::flows::{has_ports, protocol};
use super::moment::Moment;
use super::why::First;
use crate::enforce::{Judge, Live};
use crate::told::question::Party;

impl Moment<'_> {
    pub(super) fn connections(&self, query: &ConnectionQuery) -> Result<Connections, Refusal> {
        let enforcer = self.enforcer()?;
        let judge = enforcer.in_force();
        let of = query.of.as_deref().map(|of| self.addresses_of(of, &judge)).transpose()?;
        let is_wanted = |key: &ConnectionKey| {
            let has = |addresses: &Vec<IpAddr>| ends_of(key).iter().any(|(address, _)| addresses.contains(address));
            !key.is_of_fragments() && of.as_ref().is_none_or(has)
        };
        let mut records = self.engine().shared().connections.records(usize::MAX, is_wanted);
        let matched = records.len() as u64;
        // The latest heard of first: that is what one looks for. A full table holds many; only what is shown is sorted and named.
        let silent = |record: &Record| self.since(record.seen);
        let limit = query.limit.min(MAX_CONNECTIONS);
        if limit < records.len() {
            records.select_nth_unstable_by_key(limit, silent);
            records.truncate(limit);
        }
        records.sort_by_key(silent);
        let connections =
            enforcer.look(|live| records.iter().map(|record| self.connection(record, &judge, live)).collect());
        Ok(Connections { matched, table: self.connection_table(), connections })
    }

    /// The connection table's fill.
    pub(super) fn connection_table(&self) -> ConnectionTable {
        let fill = self.engine().shared().connections.fill();
        let [capacity, used, opening] = [fill.capacity, fill.used, fill.opening].map(|number| number as u64);
        ConnectionTable { capacity, used, opening }
    }

    /// A connection between these ends that is there, the latest heard of; that of the client's port nobody knows.
    pub(super) fn connection_of(&self, first: &First) -> Option<ConnectionRecord> {
        let enforcer = self.enforcer().ok()?;
        let judge = enforcer.in_force();
        let has = |key: &ConnectionKey| {
            let [low, high] = ends_of(key);
            let is = |from: (IpAddr, u16), to: (IpAddr, u16)| {
                from.0 == first.from && to.0 == first.to && (!has_ports(first.number()) || to.1 == first.port)
            };
            key.protocol() == first.number() && !key.is_of_fragments() && (is(low, high) || is(high, low))
        };
        let opened_so = |record: &Record| record.key.end(record.opener).0 == first.from;
        let records = self.engine().shared().connections.records(usize::MAX, has).into_iter();
        let latest = records.filter(opened_so).min_by_key(|record| self.since(record.seen))?;
        Some(enforcer.look(|live| self.connection(&latest, &judge, live)))
    }

    fn addresses_of(&self, text: &str, judge: &Judge) -> Result<Vec<IpAddr>, Refusal> {
        let party: Party = text.parse().map_err(|untold| super::why::unanswerable(&untold))?;
        let pods: Vec<&Pod> = judge.compiled().pods().collect();
        Ok(self.party(&party, &pods)?.addresses)
    }

    fn connection(&self, record: &Record, judge: &Judge, live: &Live) -> ConnectionRecord {
        let number = record.key.protocol();
        let (from, to) = (record.key.end(record.opener), record.key.end(record.opener.other()));
        let port = |port: u16| has_ports(number).then_some(port);
        let pod = |address| live.compiler().pod_at(address).map(|pod| pod.name.to_string());
        ConnectionRecord {
            vrf: name(self.numbers().vrf_name(record.key.zone())),
            protocol: protocol(number),
            from: from.0,
            from_port: port(from.1),
            from_pod: pod(from.0),
            to: to.0,
            to_port: port(to.1),
            to_pod: pod(to.0),
            state: match record.phase {
                Phase::Opening => ConnectionState::Opening,
                Phase::Answered => ConnectionState::Answered,
                Phase::Established => ConnectionState::Established,
                Phase::Closing => ConnectionState::Closing,
                Phase::Closed => ConnectionState::Closed,
            },
            rule: rule(record, judge),
            generation: record.generation.0.into(),
            age_ms: self.since(record.opened),
            idle_ms: self.since(record.seen),
        }
    }
}

fn ends_of(key: &ConnectionKey) -> [(IpAddr, u16); 2] {
    [key.end(Side::Low), key.end(Side::High)]
}

/// The name of the rule that let a connection in. Numbers are given again when policies go, so one is believed only of a rule that would let
/// it in now.
fn rule(record: &Record, judge: &Judge) -> Option<String> {
    let number = RuleId(record.rule.0);
    let kind = Protocol::of_number(record.key.protocol());
    let (from, to) = (record.key.end(record.opener), record.key.end(record.opener.other()));
    let port = if kind == Protocol::Other { 0 } else { to.1 };
    let now = judge.compiled().decide(Origin::Address(from.0), to.0, kind, port);
    let by = [now.egress, now.ingress];
    let is_so = is_of_all(number) || by.iter().flatten().any(|verdict| verdict.allow && verdict.rule == number);
    is_so.then(|| judge.rule_name(record.rule)).flatten()
}

/// Whether a number means the same in all tables.
pub(super) fn is_of_all(rule: RuleId) -> bool {
    [RuleId::OPEN, RuleId::OWN_NODE, RuleId::ITSELF, RuleId::UNKNOWN].contains(&rule)
}

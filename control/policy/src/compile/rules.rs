//! The policies there are, with their peers and names numbered and filed.
//!
//! Peers that ask for the same are one set, whoever asks. An `ipBlock` is its prefix less those it takes out again, and prefixes are
//! sets as well: an address is in every prefix that contains it, which are as many as there are lengths, however many blocks name them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::index::{Index, is_in};
use super::interned::Interned;
use super::pages::Pages;
use super::record::{PeerKey, PortKey, Record, RuleRecord};
use super::{Identity, RuleId};
use crate::model::{Direction, Labels, Peer, PodName, PodsOf, Policy, PolicyName, PortMatch, Prefix, Protocol, Rule};

/// What identities are in or not.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Set {
    Everybody,
    Pods(PodsOf),
    Prefix(Prefix),
}

/// What came or went with a policy.
#[derive(Debug)]
pub(super) enum Shift {
    PodsCame(u32, PodsOf),
    PodsWent(u32, PodsOf),
    /// A prefix came; what lies in it has to be looked at again.
    PrefixCame(Prefix),
    /// A prefix went, and what identity it had.
    PrefixWent(Prefix, Option<Identity>),
    /// A port's name is used for the first time, or no longer.
    Name(String),
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    records: Pages<Option<Arc<Record>>>,
    /// How many records there have ever been at once.
    records_used: u32,
    /// Which of the records has a rule.
    owners: Pages<u32>,
    free: Vec<u32>,
    by_name: BTreeMap<PolicyName, u32>,
    by_subject: Index,
    sets: Interned<Set>,
    by_member: Index,
    prefixes: BTreeMap<Prefix, (u32, Option<Identity>)>,
    /// How many prefixes of each length there are, by family.
    lengths: [BTreeMap<u8, usize>; 2],
    names: Interned<String>,
    next_rule: u32,
    free_rules: BTreeMap<u32, Vec<u32>>,
    /// Gone, but named by tables that are yet to be replaced.
    retired: Vec<u32>,
}

impl Rules {
    pub(super) fn new() -> Self {
        let mut rules = Self { next_rule: RuleId::FIRST, ..Self::default() };
        rules.sets.hold(Set::Everybody);
        rules
    }

    /// Takes a policy in; says under which number.
    pub(super) fn insert(&mut self, policy: Policy, shifts: &mut Vec<Shift>) -> u32 {
        let base = self.number_rules(Record::numbers(&policy));
        let mut number = base + 2;
        let rules = Direction::BOTH.map(|direction| {
            let rules = policy.rules(direction).iter();
            rules
                .map(|rule| {
                    number += 1;
                    self.rule(rule, RuleId(number - 1), shifts)
                })
                .collect()
        });
        let at = self.free.pop().unwrap_or_else(|| {
            self.records_used += 1;
            self.records_used - 1
        });
        (base..number).for_each(|rule| self.owners.set(rule, at));
        self.by_name.insert(policy.name.clone(), at);
        self.by_subject.insert(&policy.subject, at);
        self.records.set(at, Some(Arc::new(Record { policy: Arc::new(policy), base, rules })));
        at
    }

    /// Strikes a policy out. Its numbers are not used again before [`settle`](Self::settle).
    pub(super) fn remove(&mut self, at: u32, shifts: &mut Vec<Shift>) -> Option<Arc<Record>> {
        let record = self.records.get(at)?.clone()?;
        self.by_subject.remove(&record.policy.subject, at);
        if self.by_name.get(&record.policy.name) == Some(&at) {
            self.by_name.remove(&record.policy.name);
        }
        for rule in record.rules.iter().flatten() {
            for peer in &rule.peers {
                for set in std::iter::once(&peer.set).chain(&peer.except) {
                    self.release(*set, shifts);
                }
            }
            for port in &rule.ports {
                if let PortKey::Named { name, .. } = port {
                    shifts.extend(self.names.release(*name).map(|name| Shift::Name(name.to_string())));
                }
            }
        }
        self.retired.push(at);
        Some(record)
    }

    /// No table names what is retired any longer.
    pub(super) fn settle(&mut self) {
        for at in self.retired.drain(..) {
            if let Some(record) = self.records.get(at).cloned().flatten() {
                self.free_rules.entry(Record::numbers(&record.policy)).or_default().push(record.base);
                self.records.set(at, None);
            }
            self.free.push(at);
        }
    }

    fn number_rules(&mut self, count: u32) -> u32 {
        if let Some(base) = self.free_rules.get_mut(&count).and_then(Vec::pop) {
            return base;
        }
        let base = self.next_rule;
        self.next_rule = base.checked_add(count).expect("more rules than a u32 counts do not fit into memory");
        base
    }

    fn rule(&mut self, rule: &Rule, number: RuleId, shifts: &mut Vec<Shift>) -> RuleRecord {
        let peers = match &rule.peers {
            None => vec![self.everybody()],
            Some(peers) => peers.iter().map(|peer| self.peer(peer, shifts)).collect(),
        };
        let ports = match &rule.ports {
            None => Protocol::ALL.map(|protocol| PortKey::Range { protocol, first: 0, last: u16::MAX }).to_vec(),
            Some(ports) => ports.iter().flat_map(|port| self.port(port, shifts)).collect(),
        };
        RuleRecord { number, action: rule.action, peers, ports }
    }

    fn everybody(&mut self) -> PeerKey {
        PeerKey { set: self.sets.hold(Set::Everybody).0, except: Vec::new() }
    }

    fn peer(&mut self, peer: &Peer, shifts: &mut Vec<Shift>) -> PeerKey {
        match peer {
            Peer::Pods(pods) => {
                let (set, new) = self.sets.hold(Set::Pods(pods.clone()));
                if new {
                    self.by_member.insert(pods, set);
                    shifts.push(Shift::PodsCame(set, pods.clone()));
                }
                PeerKey { set, except: Vec::new() }
            }
            Peer::Block(block) => {
                let set = self.prefix(block.cidr, shifts);
                let except = sorted(block.except.iter().map(|prefix| self.prefix(*prefix, shifts)));
                PeerKey { set, except }
            }
        }
    }

    fn prefix(&mut self, prefix: Prefix, shifts: &mut Vec<Shift>) -> u32 {
        let (set, new) = self.sets.hold(Set::Prefix(prefix));
        if new {
            *self.lengths_of(prefix).entry(prefix.length()).or_default() += 1;
            self.prefixes.insert(prefix, (set, None));
            shifts.push(Shift::PrefixCame(prefix));
        }
        set
    }

    fn lengths_of(&mut self, prefix: Prefix) -> &mut BTreeMap<u8, usize> {
        &mut self.lengths[usize::from(prefix.address().is_ipv6())]
    }

    fn port(&mut self, port: &PortMatch, shifts: &mut Vec<Shift>) -> Vec<PortKey> {
        match port {
            PortMatch::Range { protocol, first, last } => {
                vec![PortKey::Range { protocol: *protocol, first: *first, last: *last }]
            }
            PortMatch::Named { name, protocol } => {
                let one = protocol.as_ref().map(std::slice::from_ref);
                let protocols = one.unwrap_or(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
                let mut named = |protocol: &Protocol| {
                    let (number, new) = self.names.hold(name.clone());
                    shifts.extend(new.then(|| Shift::Name(name.clone())));
                    PortKey::Named { protocol: *protocol, name: number }
                };
                protocols.iter().map(&mut named).collect()
            }
        }
    }

    fn release(&mut self, set: u32, shifts: &mut Vec<Shift>) {
        match self.sets.release(set).as_deref() {
            Some(Set::Pods(pods)) => {
                self.by_member.remove(pods, set);
                shifts.push(Shift::PodsWent(set, pods.clone()));
            }
            Some(Set::Prefix(prefix)) => {
                let identity = self.prefixes.remove(prefix).and_then(|(_, identity)| identity);
                let lengths = self.lengths_of(*prefix);
                if let Some(count) = lengths.get_mut(&prefix.length()) {
                    *count -= 1;
                    if *count == 0 {
                        lengths.remove(&prefix.length());
                    }
                }
                shifts.push(Shift::PrefixWent(*prefix, identity));
            }
            Some(Set::Everybody) | None => {}
        }
    }

    pub(super) fn number(&self, name: &PolicyName) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get(&self, at: u32) -> Option<&Arc<Record>> {
        self.records.get(at)?.as_ref()
    }

    pub(super) fn records(&self) -> Pages<Option<Arc<Record>>> {
        self.records.clone()
    }

    pub(super) fn owners(&self) -> Pages<u32> {
        self.owners.clone()
    }

    /// All policies, sorted by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.by_name.values().filter_map(|at| self.get(*at))
    }

    /// The number of a port's name, if a policy uses it.
    pub(super) fn port_name(&self, name: &String) -> Option<u32> {
        self.names.number(name)
    }

    /// The policies that select a pod, sorted by number.
    pub(super) fn selecting(&self, name: &PodName, labels: &Labels, namespace: &Labels) -> Vec<u32> {
        let selects =
            |at: &u32| self.get(*at).is_some_and(|record| is_in(&record.policy.subject, name, labels, namespace));
        sorted(self.by_subject.candidates(name, labels, namespace).into_iter().filter(selects))
    }

    /// The pod sets a pod is in, sorted.
    pub(super) fn sets_with(&self, name: &PodName, labels: &Labels, namespace: &Labels) -> Vec<u32> {
        let holds = |set: &u32| match self.sets.get(*set).map(|set| &**set) {
            Some(Set::Pods(pods)) => is_in(pods, name, labels, namespace),
            _ => false,
        };
        sorted(self.by_member.candidates(name, labels, namespace).into_iter().filter(holds))
    }

    /// The sets of all prefixes that contain what starts at `address` and has this length.
    pub(super) fn containing(&self, address: IpAddr, length: u8) -> impl Iterator<Item = u32> {
        let lengths = self.lengths[usize::from(address.is_ipv6())].range(..=length);
        lengths.filter_map(move |(length, _)| Some(self.prefixes.get(&Prefix::new(address, *length)?)?.0))
    }

    /// All prefixes with their identities, sorted.
    pub(super) fn prefixes(&self) -> Vec<(Prefix, Identity)> {
        self.prefixes.iter().filter_map(|(prefix, (_, identity))| Some((*prefix, (*identity)?))).collect()
    }

    /// The prefixes that lie in this one.
    pub(super) fn within(&self, prefix: Prefix) -> Vec<Prefix> {
        let following = self.prefixes.range(prefix..).map(|(inner, _)| *inner);
        following.take_while(|inner| prefix.covers(inner)).collect()
    }

    pub(super) fn identity_of(&mut self, prefix: Prefix) -> Option<&mut Option<Identity>> {
        self.prefixes.get_mut(&prefix).map(|(_, identity)| identity)
    }
}

fn sorted(numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

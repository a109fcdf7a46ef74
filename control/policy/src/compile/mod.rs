//! Pods and policies into tables, by classes, a change at a time.
//!
//! ```text
//! Change -> Roster, Rules (what is there, filed) -> pods concerned -> Classes (shared) -> Compiled
//! ```
//!
//! A change finds the pods it concerns through indices, only those are classed anew, and only tables of a list of policies that did not
//! exist before are built. What is then handed out is new lists of pointers to mostly old parts. Compiling everything is the same road
//! taken from nothing.

mod addresses;
mod classes;
mod compiled;
mod index;
mod interned;
mod pages;
mod record;
mod roster;
mod rules;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use addresses::Prefixes;
use classes::Classes;
pub(crate) use compiled::{Chain, PodEntry, Signature};
pub use compiled::{Compiled, Decision, Identity, Origin, PodNumber, RuleId, RuleName, Subject, Verdict};
pub(crate) use record::{PortName, Record};
use roster::{Changed, PodState, Roster};
use rules::{Rules, Shift};

use crate::model::{NamedPort, Namespace, Pod, PodName, PodsOf, Policy, PolicyName, Prefix};

/// Everything policies are decided from.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cluster {
    /// The namespaces.
    pub namespaces: Vec<Namespace>,
    /// The pods.
    pub pods: Vec<Pod>,
    /// The policies.
    pub policies: Vec<Policy>,
}

/// Something that came, went or became different. Names are unique: what has the name of another takes its place.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// A pod as it is now.
    Pod(Pod),
    /// A pod is gone.
    NoPod(PodName),
    /// A namespace as it is now.
    Namespace(Namespace),
    /// A namespace is gone. Pods still in it are as if it had no labels but its name.
    NoNamespace(String),
    /// A policy as it is now.
    Policy(Policy),
    /// A policy is gone.
    NoPolicy(PolicyName),
}

/// Compiles, and remembers what a next change can use again.
#[derive(Debug)]
pub struct Compiler {
    roster: Roster,
    rules: Rules,
    classes: Classes,
    changed_pods: Vec<u32>,
    changed_prefixes: Vec<Prefix>,
    prefix_went: bool,
    /// As last handed out, and changed in place since.
    compiled: Compiled,
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            roster: Roster::default(),
            rules: Rules::new(),
            classes: Classes::new(),
            changed_pods: Vec::new(),
            changed_prefixes: Vec::new(),
            prefix_went: false,
            compiled: Compiled::default(),
        }
    }

    /// Of a whole cluster.
    #[must_use]
    pub fn of(cluster: Cluster) -> Self {
        let mut compiler = Self::new();
        // Policies before pods, so that each pod is filed once.
        let namespaces = cluster.namespaces.into_iter().map(Change::Namespace);
        let policies = cluster.policies.into_iter().map(Change::Policy);
        namespaces.chain(policies).chain(cluster.pods.into_iter().map(Change::Pod)).for_each(|change| {
            compiler.apply(change);
        });
        compiler
    }

    /// Takes a change in. Cheap: classes are found anew when [`compile`](Self::compile) is called.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Pod(pod) => self.set_pod(pod),
            Change::NoPod(name) => self.remove_pod(&name),
            Change::Namespace(namespace) => {
                let name = namespace.name.clone();
                self.roster.set_namespace(namespace);
                self.relabelled(&name);
            }
            Change::NoNamespace(name) => {
                self.roster.remove_namespace(&name);
                self.relabelled(&name);
            }
            Change::Policy(policy) => self.set_policy(policy),
            Change::NoPolicy(name) => self.remove_policy(&name),
        }
    }

    /// The tables of everything applied so far.
    #[must_use]
    pub fn compile(&mut self) -> Compiled {
        self.settle();
        self.compiled.clone()
    }

    /// What has been applied, sorted by name: a start for another compiler. Namespaces that nobody declared are left out.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        Cluster {
            namespaces: self.roster.namespaces(),
            pods: self.roster.all().map(|(_, state)| (*state.pod).clone()).collect(),
            policies: self.rules.all().map(|record| (*record.policy).clone()).collect(),
        }
    }

    /// A pod as it was applied.
    #[must_use]
    pub fn pod(&self, name: &PodName) -> Option<&Pod> {
        self.roster.named(name).map(|state| &*state.pod)
    }

    /// The pod that has an address, none on its node's network among them.
    #[must_use]
    pub fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        self.roster.get(self.roster.owner(address)?).map(|state| &*state.pod)
    }

    /// Whether a namespace was declared.
    #[must_use]
    pub fn has_namespace(&self, name: &str) -> bool {
        self.roster.has_namespace(name)
    }

    /// Whether some pod is in a set.
    #[must_use]
    pub fn has_member(&self, pods: &PodsOf) -> bool {
        self.roster.has_member(pods)
    }

    /// A policy as it was applied.
    #[must_use]
    pub fn policy(&self, name: &PolicyName) -> Option<&Policy> {
        self.rules.get(self.rules.number(name)?).map(|record| &*record.policy)
    }

    /// All policies, sorted by name, each with how many pods it selects.
    pub fn policies(&self) -> impl Iterator<Item = (&Policy, usize)> {
        let mut selected: BTreeMap<u32, usize> = BTreeMap::new();
        for at in self.roster.all().flat_map(|(_, state)| &state.policies) {
            *selected.entry(*at).or_default() += 1;
        }
        let count = move |record: &Record| {
            let at = self.rules.number(&record.policy.name);
            at.and_then(|at| selected.get(&at).copied()).unwrap_or_default()
        };
        self.rules.all().map(move |record| (&*record.policy, count(record)))
    }

    /// How many pods there are, and how many namespaces were declared.
    #[must_use]
    pub fn population(&self) -> (usize, usize) {
        self.roster.population()
    }

    fn set_pod(&mut self, pod: Pod) {
        if self.roster.named(&pod.name).is_some_and(|state| *state.pod == pod) {
            return;
        }
        self.remove_pod(&pod.name);
        let name = pod.name.clone();
        let number = self.roster.insert(pod);
        self.compiled.pod_numbers.insert(name, number);
        self.enter(number, false);
        self.refile(number);
    }

    fn remove_pod(&mut self, name: &PodName) {
        let Some((number, state)) = self.roster.remove(name) else { return };
        for address in &state.pod.addresses {
            if self.compiled.owners.get(address).is_some_and(|owner| owner.0 == number) {
                self.compiled.owners.remove(address);
            }
        }
        self.compiled.pods.set(number, None);
        self.compiled.pod_numbers.remove(name);
        self.release(&state);
    }

    /// Puts a pod into the tables as it stands, with its addresses if their identities are other ones.
    fn enter(&mut self, number: u32, addresses: bool) {
        let Some(state) = self.roster.get(number) else { return };
        let identities = Arc::clone(&state.identities);
        for (address, identity) in identities.iter().filter(|_| addresses) {
            if self.roster.owner(*address) == Some(number) {
                self.compiled.owners.insert(*address, (number, *identity));
            }
        }
        let entry = PodEntry { pod: Arc::clone(&state.pod), subject: state.subject, identities };
        self.compiled.pods.set(number, Some(entry));
    }

    /// Finds anew which sets and policies a pod is in.
    fn refile(&mut self, number: u32) {
        let Some(state) = self.roster.get(number).filter(|state| !state.pod.host_network) else { return };
        let labels = self.roster.labels(&state.pod.name.namespace);
        let sets = self.rules.sets_with(&state.pod.name, &state.pod.labels, &labels);
        let policies = self.rules.selecting(&state.pod.name, &state.pod.labels, &labels);
        if let Some(state) = self.roster.get_mut(number) {
            (state.sets, state.policies) = (sets, policies);
        }
        self.pod_changed(number, Changed::BOTH);
    }

    fn relabelled(&mut self, namespace: &str) {
        for number in self.roster.of_namespace(namespace) {
            self.refile(number);
        }
    }

    fn set_policy(&mut self, policy: Policy) {
        let before = self.rules.number(&policy.name);
        if before.and_then(|at| self.rules.get(at)).is_some_and(|record| *record.policy == policy) {
            return;
        }
        let mut shifts = Vec::new();
        let subject = policy.subject.clone();
        // The new before the old, so that what both name stays.
        let number = self.rules.insert(policy, &mut shifts);
        match before.filter(|at| self.rules.get(*at).is_some_and(|record| record.policy.subject == subject)) {
            Some(before) => {
                self.rules.remove(before, &mut shifts);
                self.select(&subject, |policies| {
                    policies.iter_mut().filter(|at| **at == before).for_each(|at| *at = number);
                });
            }
            None => {
                self.select(&subject, |policies| policies.push(number));
                self.strike(before, &mut shifts);
            }
        }
        self.shift(shifts);
    }

    fn remove_policy(&mut self, name: &PolicyName) {
        let mut shifts = Vec::new();
        self.strike(self.rules.number(name), &mut shifts);
        self.shift(shifts);
    }

    fn strike(&mut self, at: Option<u32>, shifts: &mut Vec<Shift>) {
        let Some((at, record)) = at.and_then(|at| Some((at, self.rules.remove(at, shifts)?))) else { return };
        self.select(&record.policy.subject, |policies| policies.retain(|policy| *policy != at));
    }

    fn select(&mut self, subject: &PodsOf, edit: impl Fn(&mut Vec<u32>)) {
        for number in self.roster.members(subject) {
            if let Some(state) = self.roster.get_mut(number) {
                edit(&mut state.policies);
            }
            self.pod_changed(number, Changed::SUBJECT);
        }
    }

    fn shift(&mut self, shifts: Vec<Shift>) {
        for shift in shifts {
            match shift {
                Shift::PodsCame(set, pods) => self.each_member(&pods, |sets| insert_sorted(sets, set)),
                Shift::PodsWent(set, pods) => self.each_member(&pods, |sets| sets.retain(|held| *held != set)),
                Shift::PrefixCame(prefix) => self.prefix_shifted(prefix),
                Shift::PrefixWent(prefix, identity) => {
                    self.prefix_went = true;
                    identity.into_iter().for_each(|identity| self.classes.release_identity(identity));
                    self.prefix_shifted(prefix);
                }
                Shift::Name(name) => {
                    self.roster.with_port(&name).into_iter().for_each(|pod| self.pod_changed(pod, Changed::BOTH));
                }
            }
        }
    }

    fn each_member(&mut self, pods: &PodsOf, edit: impl Fn(&mut Vec<u32>)) {
        for number in self.roster.members(pods) {
            if let Some(state) = self.roster.get_mut(number) {
                edit(&mut state.sets);
            }
            self.pod_changed(number, Changed::IDENTITY);
        }
    }

    fn prefix_shifted(&mut self, prefix: Prefix) {
        self.changed_prefixes.extend(self.rules.within(prefix));
        self.roster.within(prefix).into_iter().for_each(|pod| self.pod_changed(pod, Changed::IDENTITY));
    }

    fn pod_changed(&mut self, number: u32, what: Changed) {
        if let Some(state) = self.roster.get_mut(number) {
            if state.changed == Changed::default() {
                self.changed_pods.push(number);
            }
            state.changed.subject |= what.subject;
            state.changed.identity |= what.identity;
        }
    }

    fn release(&mut self, state: &PodState) {
        state.subject.into_iter().for_each(|subject| self.classes.release_subject(subject));
        state.identities.iter().for_each(|(_, identity)| self.classes.release_identity(*identity));
    }

    /// Finds the classes of all that changed.
    fn settle(&mut self) {
        for number in std::mem::take(&mut self.changed_pods) {
            self.classify(number);
        }
        let mut prefixes = std::mem::take(&mut self.changed_prefixes);
        let prefixes_shifted = !prefixes.is_empty() || self.prefix_went;
        prefixes.sort_unstable();
        prefixes.dedup();
        for prefix in prefixes {
            let sets = self.sets_at(prefix.address(), prefix.length(), &[0]);
            let identity = self.classes.identity(Signature { sets, names: Vec::new() });
            let before = match self.rules.identity_of(prefix) {
                Some(place) => place.replace(identity),
                None => Some(identity),
            };
            before.into_iter().for_each(|before| self.classes.release_identity(before));
        }
        self.rules.settle();
        if prefixes_shifted {
            self.compiled.prefixes = Arc::new(Prefixes::new(self.rules.prefixes()));
            self.prefix_went = false;
        }
        self.compiled.subjects = self.classes.subjects();
        self.compiled.identities = self.classes.identities();
        self.compiled.records = self.rules.records();
        self.compiled.rules = self.rules.owners();
    }

    fn classify(&mut self, number: u32) {
        let Some(state) = self.roster.get(number).filter(|state| !state.pod.host_network) else { return };
        let changed = state.changed;
        let mut names: Vec<PortName> = state.pod.ports.iter().filter_map(|port| self.port_name(port)).collect();
        names.sort_unstable();
        names.dedup();
        let signatures = changed.identity.then(|| self.signatures(state, &names));
        let subject = changed.subject.then(|| self.classes.subject(&state.policies, names, &self.rules));
        let identity = |(address, signature)| (address, self.classes.identity(signature));
        let identities = signatures.map(|signatures| signatures.into_iter().map(identity).collect());
        let Some(state) = self.roster.get_mut(number) else { return };
        state.changed = Changed::default();
        // The new are held before the old are let go, so that what stays the same keeps its number.
        if let Some(before) = subject.and_then(|subject| state.subject.replace(subject)) {
            self.classes.release_subject(before);
        }
        if let Some(identities) = identities {
            let before: Arc<[(IpAddr, Identity)]> = std::mem::replace(&mut state.identities, identities);
            before.iter().for_each(|(_, identity)| self.classes.release_identity(*identity));
        }
        self.enter(number, changed.identity);
    }

    /// What identifies a pod at each of its addresses.
    fn signatures(&self, state: &PodState, names: &[PortName]) -> Vec<(IpAddr, Signature)> {
        let mut everybody = vec![0];
        everybody.extend(&state.sets);
        let addresses = state.pod.addresses.iter();
        let signature = |address: &IpAddr| {
            let sets = self.sets_at(*address, u8::MAX, &everybody);
            (*address, Signature { sets, names: names.to_vec() })
        };
        addresses.map(signature).collect()
    }

    fn port_name(&self, port: &NamedPort) -> Option<PortName> {
        let name = self.rules.port_name(&port.name)?;
        Some(PortName { protocol: port.protocol, port: port.port, name })
    }

    /// These sets and all prefixes around an address, sorted.
    fn sets_at(&self, address: IpAddr, length: u8, sets: &[u32]) -> Vec<u32> {
        let mut sets: Vec<u32> = sets.iter().copied().chain(self.rules.containing(address, length)).collect();
        sets.sort_unstable();
        sets
    }
}

fn insert_sorted(sets: &mut Vec<u32>, set: u32) {
    if let Err(at) = sets.binary_search(&set) {
        sets.insert(at, set);
    }
}

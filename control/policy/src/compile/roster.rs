//! The pods and namespaces there are, and every way a changed policy has to find those it concerns.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::index::is_in;
use super::interned::Map;
use super::{Identity, Subject};
use crate::model::{Labels, Namespace, Pod, PodName, PodsOf, Prefix, Scope};

/// A pod with what follows for it from the policies there are.
#[derive(Debug)]
pub(super) struct PodState {
    pub(super) pod: Arc<Pod>,
    /// The pod sets it is in.
    pub(super) sets: Vec<u32>,
    /// The policies that select it.
    pub(super) policies: Vec<u32>,
    pub(super) subject: Option<Subject>,
    pub(super) identities: Arc<[(IpAddr, Identity)]>,
    pub(super) changed: Changed,
}

/// Which of a pod's classes have to be found anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Changed {
    pub(super) subject: bool,
    pub(super) identity: bool,
}

impl Changed {
    pub(super) const SUBJECT: Self = Self { subject: true, identity: false };
    pub(super) const IDENTITY: Self = Self { subject: false, identity: true };
    pub(super) const BOTH: Self = Self { subject: true, identity: true };
}

/// Pods are numbered; those on their node's network are in no index, since no policy finds them.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pods: Vec<Option<PodState>>,
    free: Vec<u32>,
    by_name: BTreeMap<PodName, u32>,
    by_address: BTreeMap<IpAddr, u32>,
    of_namespace: Map<String, Vec<u32>>,
    with_label: Map<String, Map<String, Vec<u32>>>,
    with_port: Map<String, Vec<u32>>,
    namespaces: Map<String, Arc<Labels>>,
}

impl Roster {
    pub(super) fn set_namespace(&mut self, namespace: Namespace) {
        self.namespaces.insert(namespace.name, Arc::new(namespace.labels));
    }

    pub(super) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name)
    }

    /// How many pods there are, and how many namespaces were declared.
    pub(super) fn population(&self) -> (usize, usize) {
        (self.by_name.len(), self.namespaces.len())
    }

    /// Whether a set has a member: as [`members`](Self::members), and ends at the first.
    pub(super) fn has_member(&self, pods: &PodsOf) -> bool {
        let is_member = |number: &u32| {
            self.get(*number).is_some_and(|state| {
                let labels = self.labels(&state.pod.name.namespace);
                is_in(pods, &state.pod.name, &state.pod.labels, &labels)
            })
        };
        match (&pods.namespaces, pods.pods.required()) {
            (Scope::Named(namespace), _) => self.of_namespace.get(namespace).into_iter().flatten().any(is_member),
            (Scope::Selected(_), Some((key, value))) => {
                let found = self.with_label.get(key).and_then(|values| values.get(value));
                found.into_iter().flatten().any(is_member)
            }
            (Scope::Selected(selector), None) => {
                let mut inside =
                    self.of_namespace.iter().filter(|(namespace, _)| selector.matches(&self.labels(namespace)));
                inside.any(|(_, numbers)| numbers.iter().any(is_member))
            }
        }
    }

    /// The namespaces that were declared, sorted.
    pub(super) fn namespaces(&self) -> Vec<Namespace> {
        let mut all: Vec<Namespace> =
            self.namespaces.iter().map(|(name, labels)| Namespace::new(name, (**labels).clone())).collect();
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The labels of a namespace. One that nobody declared has only its name: pods may be known before their namespace.
    pub(super) fn labels(&self, namespace: &str) -> Arc<Labels> {
        let implied = || Arc::new(Namespace::new(namespace, Labels::new()).labels);
        self.namespaces.get(namespace).map_or_else(implied, Arc::clone)
    }

    pub(super) fn insert(&mut self, pod: Pod) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.pods.push(None);
            u32::try_from(self.pods.len() - 1).expect("more pods than a u32 counts do not fit into memory")
        });
        self.by_name.insert(pod.name.clone(), number);
        if !pod.host_network {
            self.file(&pod, number);
        }
        self.pods[number as usize] = Some(PodState {
            pod: Arc::new(pod),
            sets: Vec::new(),
            policies: Vec::new(),
            subject: None,
            identities: Arc::new([]),
            changed: Changed::default(),
        });
        number
    }

    fn file(&mut self, pod: &Pod, number: u32) {
        self.of_namespace.entry(pod.name.namespace.clone()).or_default().push(number);
        for (key, value) in &pod.labels {
            let values = self.with_label.entry(key.clone()).or_default();
            values.entry(value.clone()).or_default().push(number);
        }
        for port in &pod.ports {
            self.with_port.entry(port.name.clone()).or_default().push(number);
        }
        self.by_address.extend(pod.addresses.iter().map(|address| (*address, number)));
    }

    pub(super) fn remove(&mut self, name: &PodName) -> Option<(u32, PodState)> {
        let number = self.by_name.remove(name)?;
        let state = self.pods[number as usize].take()?;
        self.free.push(number);
        let pod = &state.pod;
        strike(&mut self.of_namespace, &pod.name.namespace, number);
        for (key, value) in &pod.labels {
            if let Some(values) = self.with_label.get_mut(key) {
                strike(values, value, number);
            }
        }
        for port in &pod.ports {
            strike(&mut self.with_port, &port.name, number);
        }
        for address in &pod.addresses {
            if self.by_address.get(address) == Some(&number) {
                self.by_address.remove(address);
            }
        }
        Some((number, state))
    }

    pub(super) fn get(&self, number: u32) -> Option<&PodState> {
        self.pods.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut PodState> {
        self.pods.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn named(&self, name: &PodName) -> Option<&PodState> {
        self.get(*self.by_name.get(name)?)
    }

    /// All pods, sorted by name, with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &PodState)> {
        self.by_name.values().filter_map(|number| Some((*number, self.get(*number)?)))
    }

    /// The pod that has this address: of several, the one that came last.
    pub(super) fn owner(&self, address: IpAddr) -> Option<u32> {
        self.by_address.get(&address).copied()
    }

    pub(super) fn of_namespace(&self, namespace: &str) -> Vec<u32> {
        self.of_namespace.get(namespace).cloned().unwrap_or_default()
    }

    pub(super) fn with_port(&self, name: &str) -> Vec<u32> {
        self.with_port.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn within(&self, prefix: Prefix) -> Vec<u32> {
        self.by_address.range(prefix.address()..=prefix.last()).map(|(_, number)| *number).collect()
    }

    /// The pods of a set.
    pub(super) fn members(&self, pods: &PodsOf) -> Vec<u32> {
        let of = |namespace: &str, numbers: &[u32]| -> Vec<u32> {
            let labels = self.labels(namespace);
            let belongs = |number: &&u32| {
                self.get(**number).is_some_and(|state| is_in(pods, &state.pod.name, &state.pod.labels, &labels))
            };
            numbers.iter().filter(belongs).copied().collect()
        };
        match (&pods.namespaces, pods.pods.required()) {
            (Scope::Named(namespace), _) => {
                of(namespace, self.of_namespace.get(namespace).map_or(&[][..], Vec::as_slice))
            }
            (Scope::Selected(_), Some((key, value))) => {
                let found = self.with_label.get(key).and_then(|values| values.get(value));
                let namespace = |number: u32| self.get(number).map(|state| &state.pod.name.namespace);
                let mut by_namespace: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
                for number in found.into_iter().flatten() {
                    if let Some(namespace) = namespace(*number) {
                        by_namespace.entry(namespace).or_default().push(*number);
                    }
                }
                by_namespace.into_iter().flat_map(|(namespace, numbers)| of(namespace, &numbers)).collect()
            }
            (Scope::Selected(selector), None) => {
                let inside = |namespace: &&String| selector.matches(&self.labels(namespace));
                let namespaces = self.of_namespace.keys().filter(inside);
                namespaces.flat_map(|namespace| of(namespace, &self.of_namespace[namespace])).collect()
            }
        }
    }
}

/// Takes a number out of a place, and the place away with the last: labels such as a revision's hash come and go for ever.
fn strike(places: &mut Map<String, Vec<u32>>, key: &str, number: u32) {
    if let Some(place) = places.get_mut(key) {
        place.retain(|filed| *filed != number);
        if place.is_empty() {
            places.remove(key);
        }
    }
}

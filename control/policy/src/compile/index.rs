//! Which of many pod sets a pod is in, without asking each.
//!
//! Almost every set is bound to one namespace or asks for some label with one value; it is filed under that, and a pod
//! looks only where its own namespace and labels point. What asks for neither is asked of every pod. Filing only narrows:
//! each candidate is then matched in full.

use super::interned::Map;
use crate::model::{Labels, PodName, PodsOf, Scope, Selector};

#[derive(Debug, Default)]
struct Shelf {
    by_label: Map<String, Map<String, Vec<u32>>>,
    rest: Vec<u32>,
}

impl Shelf {
    fn place(&mut self, selector: &Selector) -> &mut Vec<u32> {
        match selector.required() {
            Some((key, value)) => self.by_label.entry(key.to_owned()).or_default().entry(value.to_owned()).or_default(),
            None => &mut self.rest,
        }
    }

    fn tidy(&mut self, selector: &Selector) {
        let Some((key, value)) = selector.required() else { return };
        let Some(values) = self.by_label.get_mut(key) else { return };
        values.remove(value);
        if values.is_empty() {
            self.by_label.remove(key);
        }
    }

    fn gather(&self, labels: &Labels, into: &mut Vec<u32>) {
        into.extend_from_slice(&self.rest);
        if self.by_label.is_empty() {
            return;
        }
        for (key, value) in labels {
            if let Some(found) = self.by_label.get(key).and_then(|values| values.get(value)) {
                into.extend_from_slice(found);
            }
        }
    }
}

/// Pod sets by what they ask for. Numbers are the caller's.
#[derive(Debug, Default)]
pub(super) struct Index {
    of_namespace: Map<String, Shelf>,
    of_pod_label: Shelf,
    of_namespace_label: Shelf,
}

impl Index {
    fn place(&mut self, pods: &PodsOf) -> &mut Vec<u32> {
        match &pods.namespaces {
            Scope::Named(name) => self.of_namespace.entry(name.clone()).or_default().place(&pods.pods),
            Scope::Selected(_) if pods.pods.required().is_some() => self.of_pod_label.place(&pods.pods),
            Scope::Selected(namespaces) => self.of_namespace_label.place(namespaces),
        }
    }

    pub(super) fn insert(&mut self, pods: &PodsOf, number: u32) {
        self.place(pods).push(number);
    }

    pub(super) fn remove(&mut self, pods: &PodsOf, number: u32) {
        let place = self.place(pods);
        if let Some(at) = place.iter().position(|filed| *filed == number) {
            place.swap_remove(at);
        }
        if place.is_empty() {
            self.tidy(pods);
        }
    }

    /// Takes the place of this set away, which is empty.
    fn tidy(&mut self, pods: &PodsOf) {
        match &pods.namespaces {
            Scope::Named(name) => {
                let empty = self.of_namespace.get_mut(name).is_some_and(|shelf| {
                    shelf.tidy(&pods.pods);
                    shelf.rest.is_empty() && shelf.by_label.is_empty()
                });
                if empty {
                    self.of_namespace.remove(name);
                }
            }
            Scope::Selected(_) if pods.pods.required().is_some() => self.of_pod_label.tidy(&pods.pods),
            Scope::Selected(namespaces) => self.of_namespace_label.tidy(namespaces),
        }
    }

    /// All sets the pod may be in, each once, and some it is not in.
    pub(super) fn candidates(&self, name: &PodName, labels: &Labels, namespace: &Labels) -> Vec<u32> {
        let mut found = Vec::new();
        if let Some(shelf) = self.of_namespace.get(&name.namespace) {
            shelf.gather(labels, &mut found);
        }
        self.of_pod_label.gather(labels, &mut found);
        self.of_namespace_label.gather(namespace, &mut found);
        found
    }
}

/// Whether a pod of these names and labels is in the set.
pub(super) fn is_in(pods: &PodsOf, name: &PodName, labels: &Labels, namespace: &Labels) -> bool {
    let in_scope = match &pods.namespaces {
        Scope::Named(named) => *named == name.namespace,
        Scope::Selected(selector) => selector.matches(namespace),
    };
    in_scope && pods.pods.matches(labels)
}

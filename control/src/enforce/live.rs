//! The cluster as it is now: what the files said at the start, what was applied since, and the pods that ports state.
//!
//! A change is checked whole before any of it is taken in, so that what is refused has changed nothing. A pod behind a port has the
//! port's addresses, whatever else describes it: they are what the packet path lets it send from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use podlane_policy::model::{Pod, PodName, PolicyName};
use podlane_policy::yaml::{Documents, Source, unmatched_among};
use podlane_policy::{Change, Cluster, Compiler};

use super::error::{Doubt, Misfit, Unfit};
use super::places::{Place, Places};
use super::{EnforceError, Judge, files};
use crate::desired::{Description, Desired, Name, Port};
use podlane_dataplane::PortId;

/// A pod that a port states.
#[derive(Clone, Debug)]
struct Stated {
    port: Name,
    addresses: Vec<IpAddr>,
    description: Option<Description>,
}

impl Stated {
    /// What a port states of the pod behind it.
    fn by(port: &Port) -> Option<(PodName, Self)> {
        let pod = port.pod.as_ref()?;
        let (addresses, description) = (port.addresses.clone(), pod.description.clone());
        Some((pod.name.clone(), Self { port: port.name.clone(), addresses, description }))
    }

    /// The pod as the port describes it, if it does.
    fn pod(&self, name: &PodName) -> Option<Pod> {
        let Description { labels, ports } = self.description.clone()?;
        let (addresses, name) = (self.addresses.clone(), name.clone());
        Some(Pod { name, labels, addresses, ports, host_network: false, node: None })
    }

    /// A described pod with the port's addresses.
    fn house(&self, pod: &Pod) -> Result<Pod, Misfit> {
        let port = self.port.clone();
        if pod.host_network {
            return Err(Misfit::HostNetwork { port });
        }
        let set = |addresses: &[IpAddr]| addresses.iter().copied().collect::<BTreeSet<_>>();
        let (given, stated) = (&pod.addresses, &self.addresses);
        if !given.is_empty() && !stated.is_empty() && set(given) != set(stated) {
            return Err(Misfit::OtherAddresses { port, given: given.clone(), stated: stated.clone() });
        }
        let addresses = if stated.is_empty() { given.clone() } else { stated.clone() };
        Ok(Pod { addresses, ..pod.clone() })
    }

    /// What two descriptions of one pod disagree in, where neither came later.
    fn contradiction(&self, pod: &Pod) -> Option<Misfit> {
        let Description { labels, ports } = self.description.as_ref()?;
        let port = self.port.clone();
        let sorted = |ports: &[_]| ports.iter().cloned().collect::<BTreeSet<_>>();
        if *labels != pod.labels {
            return Some(Misfit::OtherLabels { port });
        }
        (sorted(ports) != sorted(&pod.ports)).then_some(Misfit::OtherPorts { port })
    }
}

/// What a change has changed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Changed {
    /// The objects that were applied or deleted, as `Kind namespace/name`, in the order of the files.
    pub objects: Vec<String>,
    /// What of them is probably not meant.
    pub doubts: Vec<Doubt>,
}

/// The cluster as it is now.
#[derive(Debug)]
pub struct Live {
    compiler: Compiler,
    stated: BTreeMap<PodName, Stated>,
    /// The pods that documents describe, as they do.
    documented: BTreeMap<PodName, Pod>,
    places: Arc<Places>,
    sources: BTreeMap<PolicyName, Source>,
}

impl Live {
    /// That of a configuration and the files it names.
    ///
    /// # Errors
    /// [`EnforceError`] with everything that is wrong.
    pub fn open(desired: &Desired, places: Arc<Places>) -> Result<(Self, Vec<Doubt>), EnforceError> {
        let named = desired.policy.as_ref().map(|policy| policy.files.as_slice()).unwrap_or_default();
        let documents = files::read(named)?;
        let stated: BTreeMap<PodName, Stated> = desired.ports.values().filter_map(|port| Stated::by(port)).collect();
        let described = stated.iter().filter_map(|(name, stated)| stated.pod(name));
        let compiler = Compiler::of(Cluster { pods: described.collect(), ..Cluster::default() });
        let mut live = Self { compiler, stated, documented: BTreeMap::new(), places, sources: BTreeMap::new() };
        let pods = documents.cluster.pods.iter();
        let contradictions = pods.filter_map(|pod| {
            let misfit = live.stated.get(&pod.name)?.contradiction(pod)?;
            Some(unfit(&documents, object_of_pod(&pod.name), misfit))
        });
        let contradictions: Vec<Unfit> = contradictions.collect();
        if !contradictions.is_empty() {
            return Err(EnforceError::Unfit(contradictions));
        }
        let doubts = live.apply(documents).map_err(EnforceError::Unfit)?.doubts;
        let unknown = live.stated.iter().filter(|(name, _)| live.compiler.pod(name).is_none());
        let unknown = unknown.map(|(pod, stated)| Doubt::UnknownPod { pod: pod.clone(), port: stated.port.clone() });
        let placed = |name: &PodName| live.compiler.pod(name).is_none_or(|pod| !pod.addresses.is_empty());
        let placeless = live.stated.iter().filter(|(name, _)| !placed(name));
        let placeless = placeless.map(|(pod, stated)| Doubt::NoAddress { pod: pod.clone(), port: stated.port.clone() });
        let doubts = unknown.chain(placeless).chain(doubts).collect();
        Ok((live, doubts))
    }

    /// Takes in objects, each new or in the place of the one of its name. All of them, or none.
    ///
    /// # Errors
    /// Everything that does not fit what is there.
    pub fn apply(&mut self, documents: Documents) -> Result<Changed, Vec<Unfit>> {
        let mut misfits = Vec::new();
        let mut pods = Vec::new();
        for pod in &documents.cluster.pods {
            match self.house(pod, &documents) {
                Ok(pod) => pods.push(pod),
                Err(misfit) => misfits.push(unfit(&documents, object_of_pod(&pod.name), misfit)),
            }
        }
        if !misfits.is_empty() {
            return Err(misfits);
        }
        let objects = objects(&documents);
        let Documents { cluster: Cluster { namespaces, policies, pods: written }, sources, warnings, .. } = documents;
        self.documented.extend(written.into_iter().map(|pod| (pod.name.clone(), pod)));
        namespaces.into_iter().for_each(|namespace| self.compiler.apply(Change::Namespace(namespace)));
        policies.into_iter().for_each(|policy| self.compiler.apply(Change::Policy(policy)));
        pods.into_iter().for_each(|pod| self.compiler.apply(Change::Pod(pod)));
        let applied = sources.keys().filter_map(|name| self.compiler.policy(name));
        let unmatched = unmatched_among(&self.compiler, applied, &sources);
        self.sources.extend(sources);
        let doubts = warnings.into_iter().chain(unmatched).map(Doubt::Object).collect();
        Ok(Changed { objects, doubts })
    }

    /// Takes objects away by their kinds and names. All of them, or none. A pod that its port describes is then again what the
    /// port says.
    ///
    /// # Errors
    /// Everything that is not there.
    pub fn delete(&mut self, documents: Documents) -> Result<Changed, Vec<Unfit>> {
        let mut misfits = Vec::new();
        let mut miss = |object: String, misfit| misfits.push(unfit(&documents, object, misfit));
        let Cluster { namespaces, pods, policies } = &documents.cluster;
        for policy in policies.iter().filter(|policy| self.compiler.policy(&policy.name).is_none()) {
            miss(policy.name.to_string(), Misfit::Absent);
        }
        for namespace in namespaces.iter().filter(|namespace| !self.compiler.has_namespace(&namespace.name)) {
            miss(format!("Namespace {}", namespace.name), Misfit::Absent);
        }
        for pod in pods {
            let described = self.stated.get(&pod.name).and_then(|stated| Some((stated, stated.pod(&pod.name)?)));
            match (self.compiler.pod(&pod.name), described) {
                (None, _) => miss(object_of_pod(&pod.name), Misfit::Absent),
                (Some(known), Some((stated, described))) if *known == described => {
                    miss(object_of_pod(&pod.name), Misfit::OfThePort { port: stated.port.clone() });
                }
                _ => {}
            }
        }
        if !misfits.is_empty() {
            return Err(misfits);
        }
        let objects = objects(&documents);
        let Cluster { namespaces, pods, policies } = documents.cluster;
        for policy in policies {
            self.sources.remove(&policy.name);
            self.compiler.apply(Change::NoPolicy(policy.name));
        }
        namespaces.into_iter().for_each(|namespace| self.compiler.apply(Change::NoNamespace(namespace.name)));
        for Pod { name, .. } in pods {
            self.documented.remove(&name);
            let described = self.stated.get(&name).and_then(|stated| stated.pod(&name));
            self.compiler.apply(described.map_or(Change::NoPod(name), Change::Pod));
        }
        Ok(Changed { objects, doubts: Vec::new() })
    }

    /// Puts a pod behind a new port. What documents say of the pod counts before what the port does, but for the addresses, which are the
    /// port's. Returns whether anything is behind the port that policies are about.
    ///
    /// # Errors
    /// The pod cannot be behind a port, or its address is another's; nothing is changed then.
    pub fn house_port(&mut self, id: PortId, port: &Port) -> Result<bool, Misfit> {
        let place = Place::behind(port);
        if place == Place::Elsewhere {
            return Ok(false);
        }
        if let Some((name, stated)) = Stated::by(port) {
            let pod = self.inhabitant(&name, &stated)?;
            self.stated.insert(name, stated);
            pod.into_iter().for_each(|pod| self.compiler.apply(Change::Pod(pod)));
        }
        Arc::make_mut(&mut self.places).set(id, place);
        Ok(true)
    }

    /// Takes a pod from behind a port that is gone; what documents say of the pod stays. Returns whether anything was behind it that
    /// policies are about.
    pub fn unhouse_port(&mut self, id: PortId, port: &Port) -> bool {
        if *self.places.at(id) == Place::Elsewhere {
            return false;
        }
        Arc::make_mut(&mut self.places).set(id, Place::Elsewhere);
        let inside = port.pod.as_ref().map(|pod| &pod.name);
        let inside = inside.filter(|name| self.stated.get(*name).is_some_and(|stated| stated.port == port.name));
        if let Some(name) = inside {
            self.stated.remove(name);
            let documented = self.documented.get(name).cloned();
            self.compiler.apply(documented.map_or_else(|| Change::NoPod(name.clone()), Change::Pod));
        }
        true
    }

    /// The pod of a port that is to come, as policies will see it; none that nobody describes.
    fn inhabitant(&self, name: &PodName, stated: &Stated) -> Result<Option<Pod>, Misfit> {
        for address in &stated.addresses {
            if let Some(owner) = self.compiler.pod_at(*address).filter(|owner| owner.name != *name) {
                return Err(Misfit::AddressTaken { address: *address, pod: owner.name.clone() });
            }
        }
        match self.documented.get(name) {
            Some(pod) if pod.host_network => Err(Misfit::HostNetwork { port: stated.port.clone() }),
            Some(pod) if stated.addresses.is_empty() => Ok(Some(pod.clone())),
            Some(pod) => Ok(Some(Pod { addresses: stated.addresses.clone(), ..pod.clone() })),
            None => Ok(stated.pod(name)),
        }
    }

    /// What decides as everything is now.
    #[must_use]
    pub fn judge(&mut self) -> Judge {
        Judge::new(self.compiler.compile(), Arc::clone(&self.places))
    }

    /// Everything there is, asked by name.
    #[must_use]
    pub const fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// Where a policy was written.
    #[must_use]
    pub fn source(&self, policy: &PolicyName) -> Option<&Source> {
        self.sources.get(policy)
    }

    /// A pod of a change as it will be, if it can be.
    fn house(&self, pod: &Pod, documents: &Documents) -> Result<Pod, Misfit> {
        let pod = self.stated.get(&pod.name).map_or_else(|| Ok(pod.clone()), |stated| stated.house(pod))?;
        let replaced = |name: &PodName| documents.cluster.pods.iter().any(|pod| pod.name == *name);
        for address in pod.addresses.iter().filter(|_| !pod.host_network) {
            if let Some(owner) = self.compiler.pod_at(*address).filter(|owner| owner.name != pod.name)
                && !replaced(&owner.name)
            {
                return Err(Misfit::AddressTaken { address: *address, pod: owner.name.clone() });
            }
            // A pod that nobody describes yet has its port's addresses all the same.
            let mut others = self.stated.iter().filter(|(name, _)| **name != pod.name);
            if let Some((owner, stated)) = others.find(|(_, stated)| stated.addresses.contains(address)) {
                let (port, pod) = (stated.port.clone(), owner.clone());
                return Err(Misfit::AddressOfPort { address: *address, port, pod });
            }
        }
        Ok(pod)
    }
}

fn object_of_pod(name: &PodName) -> String {
    format!("Pod {name}")
}

fn unfit(documents: &Documents, object: String, misfit: Misfit) -> Unfit {
    Unfit { source: documents.places.get(&object).cloned().unwrap_or_default(), object, misfit }
}

/// What the documents have, in the order of the files.
fn objects(documents: &Documents) -> Vec<String> {
    let mut objects: Vec<(&Source, &String)> = documents.places.iter().map(|(object, place)| (place, object)).collect();
    objects.sort_unstable_by(|(one, _), (other, _)| (&one.file, one.line).cmp(&(&other.file, other.line)));
    objects.into_iter().map(|(_, object)| object.clone()).collect()
}

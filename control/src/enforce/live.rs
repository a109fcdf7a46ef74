//! The cluster as it is now: what the files said at the start, what was applied since, and the pods that ports state.
//!
//! A change is checked whole before any of it is taken in, so that what is refused has changed nothing. A pod behind ports has their
//! addresses, whatever else describes it: they are what the packet path lets it send from.

use std::collections::BTreeMap;
use std::sync::Arc;

use podlane_policy::model::{Pod, PodName, PolicyName};
use podlane_policy::yaml::{Documents, Source, unmatched_among};
use podlane_policy::{Change, Cluster, Compiler};

use super::error::{Doubt, Misfit, Unfit};
use super::places::{Place, Places};
use super::stated::{Stated, Statement};
use super::{EnforceError, Judge, files};
use crate::desired::{Desired, Port};
use podlane_dataplane::PortId;

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
        let stated = stated_by(desired);
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
        let unknown = unknown.map(|(pod, stated)| Doubt::UnknownPod { pod: pod.clone(), port: stated.port().clone() });
        let placed = |name: &PodName| live.compiler.pod(name).is_none_or(|pod| !pod.addresses.is_empty());
        let placeless = live.stated.iter().filter(|(name, _)| !placed(name));
        let placeless =
            placeless.map(|(pod, stated)| Doubt::NoAddress { pod: pod.clone(), port: stated.port().clone() });
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
                    miss(object_of_pod(&pod.name), Misfit::OfThePort { port: stated.port().clone() });
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
        if Place::behind(port) == Place::Elsewhere && *self.places.at(id) == Place::Elsewhere {
            return Ok(false);
        }
        if let Some((name, statement)) = Statement::by(port) {
            let stated = match self.stated.get(&name).cloned() {
                Some(stated) => stated.and(statement)?,
                None => Stated::of(statement),
            };
            self.has_free_addresses(&name, &stated)?;
            let pod = self.inhabitant(&name, &stated)?;
            self.stated.insert(name, stated);
            pod.into_iter().for_each(|pod| self.compiler.apply(Change::Pod(pod)));
        }
        Arc::make_mut(&mut self.places).put(id, port);
        Ok(true)
    }

    /// Takes a pod from behind a port that is gone; what documents say of the pod stays. Returns whether anything was behind it that
    /// policies are about.
    pub fn unhouse_port(&mut self, id: PortId, port: &Port) -> bool {
        if matches!(self.places.at(id), Place::Elsewhere | Place::Gone) {
            return false;
        }
        Arc::make_mut(&mut self.places).clear(id);
        let Some((name, _)) = Statement::by(port) else { return true };
        let Some(stated) = self.stated.get(&name).filter(|stated| stated.is_by(&port.name)).cloned() else {
            return true;
        };
        let left = match stated.without(&port.name) {
            Some(stated) => {
                // What is left of a pod that fitted fits.
                let left = self.inhabitant(&name, &stated).ok().flatten();
                self.stated.insert(name.clone(), stated);
                left
            }
            None => {
                self.stated.remove(&name);
                self.documented.get(&name).cloned()
            }
        };
        self.compiler.apply(left.map_or_else(|| Change::NoPod(name), Change::Pod));
        true
    }

    /// Whether no other pod has an address of a pod that ports state.
    fn has_free_addresses(&self, name: &PodName, stated: &Stated) -> Result<(), Misfit> {
        for address in stated.addresses() {
            if let Some(owner) = self.compiler.pod_at(address).filter(|owner| owner.name != *name) {
                return Err(Misfit::AddressTaken { address, pod: owner.name.clone() });
            }
        }
        Ok(())
    }

    /// The pod that ports state, as policies will see it; none that nobody describes.
    fn inhabitant(&self, name: &PodName, stated: &Stated) -> Result<Option<Pod>, Misfit> {
        let addresses = stated.addresses();
        match self.documented.get(name) {
            Some(pod) if pod.host_network => Err(Misfit::HostNetwork { port: stated.port().clone() }),
            Some(pod) if addresses.is_empty() => Ok(Some(pod.clone())),
            Some(pod) => Ok(Some(Pod { addresses, ..pod.clone() })),
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
            if let Some((owner, stated)) = others.find(|(_, stated)| stated.addresses().contains(address)) {
                let (port, pod) = (stated.port().clone(), owner.clone());
                return Err(Misfit::AddressOfPort { address: *address, port, pod });
            }
        }
        Ok(pod)
    }
}

/// What ports state of their pods. Of ports that describe one pod otherwise, the first counts: each was let in beside others that are not here.
fn stated_by(desired: &Desired) -> BTreeMap<PodName, Stated> {
    let mut stated: BTreeMap<PodName, Stated> = BTreeMap::new();
    for (name, statement) in desired.ports.values().filter_map(|port| Statement::by(port)) {
        let all = match stated.remove(&name) {
            Some(first) => first.clone().and(statement.clone()).unwrap_or_else(|misfit| {
                tracing::error!(pod = %name, "{misfit}; what the first port states counts");
                first.beside(statement)
            }),
            None => Stated::of(statement),
        };
        stated.insert(name, all);
    }
    stated
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

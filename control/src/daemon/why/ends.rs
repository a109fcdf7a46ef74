//! Who is meant by a name: a pod that policies know, a port of the configuration, or whoever has an address.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use podlane_api::Refusal;
use podlane_policy::model::{Pod, PodName};

use crate::daemon::moment::Moment;
use crate::desired;
use crate::told::question::{Opener, Party, Unmeant, pod_meant};

/// An end of a question.
#[derive(Clone)]
pub(in crate::daemon) struct Meant<'a> {
    pub(super) party: Party,
    /// The pod that policies know.
    pub(super) pod: Option<&'a Pod>,
    /// The port that states it.
    pub(super) port: Option<&'a desired::Port>,
    pub(in crate::daemon) addresses: Vec<IpAddr>,
}

impl fmt::Display for Meant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.party.fmt(f)
    }
}

impl Meant<'_> {
    /// The pod's name, whether policies know it or only its port does.
    pub(super) fn pod_name(&self) -> Option<String> {
        let of_port = || self.port.and_then(|port| port.pod.as_ref()).map(|pod| &pod.name);
        self.pod.map(|pod| &pod.name).or_else(of_port).map(ToString::to_string)
    }
}

impl Moment<'_> {
    /// Who opens.
    pub(super) fn opener<'a>(&'a self, opener: &Opener, pods: &[&'a Pod]) -> Result<Meant<'a>, Refusal> {
        let party = match opener {
            Opener::Party(party) => return self.party(party, pods),
            Opener::Node => Party::Name("node".to_owned()),
        };
        let port = self.desired().ports.values().find(|port| port.node);
        let detail = "no port has node = true, by which the node itself reaches its pods (ask from an address)";
        let port = port.ok_or_else(|| Refusal::Unanswerable { detail: detail.to_owned() })?;
        Ok(Meant { party, pod: None, addresses: stated(port)?, port: Some(port) })
    }

    /// Who is opened to.
    pub(in crate::daemon) fn party<'a>(&'a self, party: &Party, pods: &[&'a Pod]) -> Result<Meant<'a>, Refusal> {
        let meant = |pod: Option<&'a Pod>, port: Option<&'a desired::Port>, addresses| Meant {
            party: party.clone(),
            pod,
            port,
            addresses,
        };
        let known = match (pod_meant(party, pods), party) {
            (Ok(pod), _) => pod,
            // Policies know nothing of it, or nothing of any pod; the port does.
            (Err(Unmeant::NoSuchPod { .. }), Party::Pod(name)) if self.port_of(name).is_some() => None,
            (Err(Unmeant::NoSuchPod { near, .. }), Party::Name(name)) => {
                let Some(port) = self.desired().ports.get(name.as_str()) else {
                    let ports = self.desired().ports.keys().map(desired::Name::as_str);
                    let nearest = near.map(|pod| pod.to_string());
                    let nearest = nearest.or_else(|| podlane_api::nearest(name, ports).map(str::to_owned));
                    return Err(Refusal::UnknownEnd { name: name.clone(), nearest });
                };
                let name = port.pod.as_ref().map(|pod| &pod.name);
                let pod = pods.iter().copied().find(|pod| Some(&pod.name) == name);
                return Ok(meant(pod, Some(port), stated(port)?));
            }
            (Err(unmeant), _) => return Err(refusal(unmeant)),
        };
        match party {
            Party::Address(address) => {
                let port = known.and_then(|pod| self.port_of(&pod.name)).or_else(|| self.port_with(*address));
                Ok(meant(known, port, vec![*address]))
            }
            Party::Pod(name) if known.is_none() => {
                let port = self.port_of(name);
                Ok(meant(None, port, port.map(stated).transpose()?.unwrap_or_default()))
            }
            Party::Pod(_) | Party::Name(_) => {
                let addresses = crate::told::question::addresses(party, known).map_err(refusal)?;
                Ok(meant(known, known.and_then(|pod| self.port_of(&pod.name)), addresses))
            }
        }
    }

    /// The same end, behind that of its pod's ports which has the address.
    pub(super) fn at<'a>(&'a self, meant: &Meant<'a>, address: IpAddr) -> Meant<'a> {
        let pod = meant.port.and_then(|port| port.pod.as_ref()).map(|pod| &pod.name);
        let is_its = |port: &&desired::Port| pod.is_some() && port.pod.as_ref().map(|pod| &pod.name) == pod;
        let ports = self.desired().ports.values().map(Arc::as_ref);
        let with = ports.filter(is_its).find(|port| port.addresses.contains(&address));
        Meant { port: with.or(meant.port), ..meant.clone() }
    }

    fn port_of(&self, pod: &PodName) -> Option<&desired::Port> {
        let has = |port: &&desired::Port| port.pod.as_ref().is_some_and(|inside| inside.name == *pod);
        self.desired().ports.values().map(Arc::as_ref).find(has)
    }

    fn port_with(&self, address: IpAddr) -> Option<&desired::Port> {
        self.desired().ports.values().map(Arc::as_ref).find(|port| port.addresses.contains(&address))
    }
}

/// The addresses that a port states.
fn stated(port: &desired::Port) -> Result<Vec<IpAddr>, Refusal> {
    if port.addresses.is_empty() {
        let detail = format!("port {} states no addresses (ask about an address of it)", port.name);
        return Err(Refusal::Unanswerable { detail });
    }
    Ok(port.addresses.clone())
}

/// What cannot be asked, as the daemon refuses it.
pub(in crate::daemon) fn refusal(unmeant: Unmeant) -> Refusal {
    match unmeant {
        Unmeant::NoSuchPod { pod, near, .. } => {
            Refusal::UnknownEnd { name: pod, nearest: near.map(|near| near.to_string()) }
        }
        Unmeant::NoAddress { pod } => {
            Refusal::Unanswerable { detail: format!("pod {pod} has no address yet (wait until it has one)") }
        }
        unmeant => Refusal::Unanswerable { detail: unmeant.to_string() },
    }
}

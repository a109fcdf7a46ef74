//! What ports state of the pods behind them. A pod may have several ports, in one network or in many: to policies it is one pod, which has the
//! addresses of all of them, and every one of its ports is held to the policies that are about it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podlane_policy::model::{Pod, PodName};

use super::error::Misfit;
use crate::desired::{Description, Name, Port};

/// What one port states of the pod behind it.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    port: Name,
    addresses: Vec<IpAddr>,
    description: Option<Description>,
    /// By a port that came while the switch ran.
    attached: bool,
}

/// What the ports of one pod state of it, the first that came first. Never empty.
#[derive(Clone, Debug)]
pub(super) struct Stated(Vec<Statement>);

impl Statement {
    /// A port's, and the pod that it is about.
    pub(super) fn by(port: &Port) -> Option<(PodName, Self)> {
        let pod = port.pod.as_ref()?;
        let (addresses, description) = (port.addresses.clone(), pod.description.clone());
        Some((pod.name.clone(), Self { port: port.name.clone(), addresses, description, attached: pod.attached }))
    }

    fn says_more(&self) -> bool {
        self.description.as_ref().is_some_and(|said| *said != Description::default())
    }
}

impl Stated {
    /// By one port.
    pub(super) fn of(first: Statement) -> Self {
        Self(vec![first])
    }

    /// With another port of the same pod.
    ///
    /// # Errors
    /// The two describe different pods.
    pub(super) fn and(mut self, other: Statement) -> Result<Self, Misfit> {
        if let (Some(said), true) = (&other.description, other.says_more())
            && let Some(first) = self.0.iter().find(|first| first.says_more())
            && let Some(misfit) = differs(first, said)
        {
            return Err(misfit);
        }
        self.0.push(other);
        Ok(self)
    }

    /// With another port of the same pod, whatever that says of the pod.
    pub(super) fn beside(mut self, other: Statement) -> Self {
        self.0.push(Statement { description: None, ..other });
        self
    }

    /// Without a port; none when that was the last. What the port said of the pod stays true while the pod has another.
    pub(super) fn without(mut self, port: &Name) -> Option<Self> {
        let said =
            self.describing().filter(|statement| statement.says_more()).and_then(|said| said.description.clone());
        self.0.retain(|statement| statement.port != *port);
        if let (Some(said), None) = (said, self.0.iter().find(|statement| statement.says_more())) {
            self.0.first_mut()?.description = Some(said);
        }
        (!self.0.is_empty()).then_some(self)
    }

    /// Whether it is stated by this port, perhaps among others.
    pub(super) fn is_by(&self, port: &Name) -> bool {
        self.0.iter().any(|statement| statement.port == *port)
    }

    /// The port that describes the pod; the first where none does.
    pub(super) fn port(&self) -> &Name {
        let describes = self.describing().or(self.0.first());
        &describes.expect("a pod is stated by one port at least").port
    }

    /// The addresses of all ports.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in self.0.iter().flat_map(|statement| &statement.addresses) {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        addresses
    }

    /// The pod as its ports describe it, if one does.
    pub(super) fn pod(&self, name: &PodName) -> Option<Pod> {
        let Description { labels, ports } = self.describing()?.description.clone()?;
        let (addresses, name) = (self.addresses(), name.clone());
        Some(Pod { name, labels, addresses, ports, host_network: false, node: None })
    }

    /// A described pod with the ports' addresses.
    ///
    /// # Errors
    /// It is on its node's network, or has addresses that its ports do not state, where these were not attached: a pod that comes
    /// again has others than who described it knew.
    pub(super) fn house(&self, pod: &Pod) -> Result<Pod, Misfit> {
        let port = self.port().clone();
        if pod.host_network {
            return Err(Misfit::HostNetwork { port });
        }
        let (given, stated) = (&pod.addresses, self.addresses());
        let set = |addresses: &[IpAddr]| addresses.iter().copied().collect::<BTreeSet<_>>();
        // Who describes a pod with several interfaces may know of the first alone, as Kubernetes does.
        let fits = if self.0.len() > 1 { set(given).is_subset(&set(&stated)) } else { set(given) == set(&stated) };
        if !given.is_empty() && !stated.is_empty() && !fits && !self.is_attached() {
            return Err(Misfit::OtherAddresses { port, given: given.clone(), stated });
        }
        let addresses = if stated.is_empty() { given.clone() } else { stated };
        Ok(Pod { addresses, ..pod.clone() })
    }

    /// Whether a port that came while the switch ran states it.
    fn is_attached(&self) -> bool {
        self.0.iter().any(|statement| statement.attached)
    }

    /// What the ports and a description disagree in, where neither came later. Of an attached pod what is described counts, as it does
    /// when the pod comes later.
    pub(super) fn contradiction(&self, pod: &Pod) -> Option<Misfit> {
        let statement = self.describing().filter(|statement| !statement.attached)?;
        differs(statement, &Description { labels: pod.labels.clone(), ports: pod.ports.clone() })
    }

    /// Who describes the pod: the first that says anything of it, else the first that says there is nothing to say.
    fn describing(&self) -> Option<&Statement> {
        let describes = |statement: &&Statement| statement.description.is_some();
        self.0.iter().find(|statement| statement.says_more()).or_else(|| self.0.iter().find(describes))
    }
}

/// What another description of the same pod says otherwise.
fn differs(statement: &Statement, other: &Description) -> Option<Misfit> {
    let said = statement.description.as_ref()?;
    let port = statement.port.clone();
    let sorted = |ports: &[_]| ports.iter().cloned().collect::<BTreeSet<_>>();
    if said.labels != other.labels {
        return Some(Misfit::OtherLabels { port });
    }
    (sorted(&said.ports) != sorted(&other.ports)).then_some(Misfit::OtherPorts { port })
}

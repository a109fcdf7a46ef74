//! What is behind each port, by the port's number, as the configuration states it.

use podlane_dataplane::PortId;
use podlane_policy::model::PodName;

use crate::compile::Numbers;
use crate::desired::Desired;

/// What is behind a port.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Place {
    /// No pod of this node: a wire, another node, something that policies are not about.
    #[default]
    Elsewhere,
    /// The node itself.
    OwnNode,
    /// This pod.
    Pod(PodName),
}

/// What is behind every port.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Places(Vec<Place>);

impl Places {
    /// Those of a configuration.
    #[must_use]
    pub fn of(desired: &Desired, numbers: &Numbers) -> Self {
        let mut places = vec![Place::Elsewhere; numbers.ports_end()];
        for port in desired.ports.values() {
            let pod = port.pod.as_ref().map(|pod| Place::Pod(pod.name.clone()));
            places[numbers.port(&port.name).index()] = if port.node { Place::OwnNode } else { pod.unwrap_or_default() };
        }
        Self(places)
    }

    /// What is behind one port, which may be a path's.
    #[must_use]
    pub fn at(&self, port: PortId) -> &Place {
        self.0.get(port.index()).unwrap_or(&Place::Elsewhere)
    }

    /// The port a pod is behind.
    #[must_use]
    pub fn port_of(&self, pod: &PodName) -> Option<PortId> {
        let at = self.0.iter().position(|place| matches!(place, Place::Pod(name) if name == pod))?;
        u16::try_from(at).ok().map(PortId)
    }

    /// All, by number.
    pub(super) fn all(&self) -> &[Place] {
        &self.0
    }
}

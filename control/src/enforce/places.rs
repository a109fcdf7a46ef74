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
        desired
            .ports
            .values()
            .map(|port| {
                let pod = port.pod.as_ref().map(|pod| Place::Pod(pod.name.clone()));
                (numbers.port(&port.name), if port.node { Place::OwnNode } else { pod.unwrap_or_default() })
            })
            .collect()
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

    /// What is behind the ports up to the last that has something behind it, by number.
    pub(super) fn all(&self) -> &[Place] {
        &self.0
    }
}

/// What is not named is elsewhere.
impl FromIterator<(PortId, Place)> for Places {
    fn from_iter<T: IntoIterator<Item = (PortId, Place)>>(behind: T) -> Self {
        let mut places = Vec::new();
        for (port, place) in behind {
            if places.len() <= port.index() {
                places.resize(port.index() + 1, Place::Elsewhere);
            }
            places[port.index()] = place;
        }
        Self(places)
    }
}

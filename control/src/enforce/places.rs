//! What is behind each port, by the port's number, as the configuration and those who add ports state it.

use podlane_dataplane::PortId;
use podlane_policy::model::PodName;

use crate::compile::Numbers;
use crate::desired::{Desired, Port};

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

impl Place {
    /// What a port says is behind it.
    pub(super) fn behind(port: &Port) -> Self {
        let pod = port.pod.as_ref().map(|pod| Self::Pod(pod.name.clone()));
        if port.node { Self::OwnNode } else { pod.unwrap_or_default() }
    }
}

/// What is behind every port.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Places(Vec<Place>);

impl Places {
    /// Those of a configuration.
    #[must_use]
    pub fn of(desired: &Desired, numbers: &Numbers) -> Self {
        desired.ports.values().map(|port| (numbers.port(&port.name), Place::behind(port))).collect()
    }

    /// Says what is behind a port from now on.
    pub(super) fn set(&mut self, port: PortId, place: Place) {
        if self.0.len() <= port.index() {
            self.0.resize(port.index() + 1, Place::Elsewhere);
        }
        self.0[port.index()] = place;
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
        let mut places = Self::default();
        behind.into_iter().for_each(|(port, place)| places.set(port, place));
        places
    }
}

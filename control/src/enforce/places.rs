//! What is behind each port, by the port's number, as the configuration and those who add ports state it.

use std::collections::BTreeSet;

use podlane_dataplane::PortId;
use podlane_policy::model::PodName;

use crate::compile::Numbers;
use crate::desired::{Desired, Dhcp, Port};

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
    /// Whatever was behind a port that is being removed: until no table has the port, nothing passes it.
    Gone,
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
pub struct Places {
    behind: Vec<Place>,
    /// The ports whose pods have their addresses over DHCP.
    leasing: BTreeSet<PortId>,
}

impl Places {
    /// Those of a configuration.
    #[must_use]
    pub fn of(desired: &Desired, numbers: &Numbers) -> Self {
        let mut places = Self::default();
        desired.ports.values().for_each(|port| places.put(numbers.port(&port.name), port));
        places
    }

    /// Says that a port is there, and what it says is behind it.
    pub(super) fn put(&mut self, id: PortId, port: &Port) {
        self.set(id, Place::behind(port));
        if port.dhcp != Dhcp::Unused {
            self.leasing.insert(id);
        }
    }

    /// Says that a port goes.
    pub(super) fn clear(&mut self, id: PortId) {
        self.set(id, Place::Gone);
        self.leasing.remove(&id);
    }

    fn set(&mut self, port: PortId, place: Place) {
        if self.behind.len() <= port.index() {
            self.behind.resize(port.index() + 1, Place::Elsewhere);
        }
        self.behind[port.index()] = place;
    }

    /// What is behind one port, which may be a path's.
    #[must_use]
    pub fn at(&self, port: PortId) -> &Place {
        self.behind.get(port.index()).unwrap_or(&Place::Elsewhere)
    }

    /// The first of the ports that a pod is behind.
    #[must_use]
    pub fn port_of(&self, pod: &PodName) -> Option<PortId> {
        let at = self.behind.iter().position(|place| matches!(place, Place::Pod(name) if name == pod))?;
        u16::try_from(at).ok().map(PortId)
    }

    /// What is behind the ports up to the last that has something behind it, by number, and whether its addresses come over DHCP.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Place, bool)> {
        let behind = self.behind.iter().zip(0_u16..);
        behind.map(|(place, number)| (place, self.leasing.contains(&PortId(number))))
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

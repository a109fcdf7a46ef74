//! Which number each name goes by, on the packet path.

use std::collections::BTreeMap;

use podlane_dataplane::{NetworkId, PortId, VrfId};

use crate::desired::{Desired, Name};

/// Numbers for every port, network, VRF and peer of one [`Desired`]. Port 0 is the switch's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Numbers {
    ports: Vec<Name>,
    networks: Vec<Name>,
    vrfs: Vec<Name>,
    peers: Vec<Name>,
}

impl Numbers {
    /// Numbers in the order of the names.
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        let vrfs: BTreeMap<&Name, ()> = desired.networks.values().map(|network| (&network.vrf, ())).collect();
        Self {
            ports: desired.ports.keys().cloned().collect(),
            networks: desired.networks.keys().cloned().collect(),
            vrfs: vrfs.into_keys().cloned().collect(),
            peers: desired.peers.keys().cloned().collect(),
        }
    }

    /// A port's number.
    ///
    /// # Panics
    /// If the name is not of the desires these numbers were made for: a mistake of the caller.
    #[must_use]
    pub fn port(&self, name: &Name) -> PortId {
        PortId(position(&self.ports, name) + 1)
    }

    /// A network's number.
    ///
    /// # Panics
    /// As [`Self::port`].
    #[must_use]
    pub fn network(&self, name: &Name) -> NetworkId {
        NetworkId(position(&self.networks, name))
    }

    /// A VRF's number.
    ///
    /// # Panics
    /// As [`Self::port`].
    #[must_use]
    pub fn vrf(&self, name: &Name) -> VrfId {
        VrfId(position(&self.vrfs, name))
    }

    /// A peer's number.
    ///
    /// # Panics
    /// As [`Self::port`].
    #[must_use]
    pub fn peer(&self, name: &Name) -> u16 {
        position(&self.peers, name)
    }

    /// The VRFs, in the order of their numbers.
    pub fn vrfs(&self) -> impl Iterator<Item = &Name> {
        self.vrfs.iter()
    }

    /// One more than the largest port number.
    #[must_use]
    pub fn ports_end(&self) -> usize {
        self.ports.len() + 1
    }

    /// The port that goes by a number; none for the switch's own.
    #[must_use]
    pub fn port_name(&self, id: PortId) -> Option<&Name> {
        self.ports.get(id.index().checked_sub(1)?)
    }

    /// The network that goes by a number.
    #[must_use]
    pub fn network_name(&self, id: NetworkId) -> Option<&Name> {
        self.networks.get(id.index())
    }

    /// The peer that goes by a number.
    #[must_use]
    pub fn peer_name(&self, number: u16) -> Option<&Name> {
        self.peers.get(usize::from(number))
    }
}

fn position(names: &[Name], name: &Name) -> u16 {
    let position = names.binary_search(name).expect("a name of the desires that were numbered");
    u16::try_from(position).expect("the configuration bounds how many there are")
}

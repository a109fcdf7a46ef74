//! Stations on other nodes, as they are stated and moved over the socket.

use podlane_api::{Endpoint, EndpointQuery, EndpointRemoval, Endpoints, MacAddr, Refusal, Stale};

use super::answers::near;
use super::moment::Moment;
use crate::desired::{self, Name};
use crate::reconcile::EndpointError;

impl Moment<'_> {
    pub(super) fn endpoints(&self, query: &EndpointQuery) -> Result<Endpoints, Refusal> {
        self.check_network(query.network.as_deref())?;
        let is_wanted = |endpoint: &desired::Endpoint| {
            query.network.as_deref().is_none_or(|name| endpoint.network.as_str() == name)
        };
        let mut endpoints = self.engine().endpoints().list();
        endpoints.retain(is_wanted);
        endpoints.sort_by(|one, other| (&one.network, one.mac).cmp(&(&other.network, other.mac)));
        let endpoint = |endpoint: desired::Endpoint| Endpoint {
            network: endpoint.network.to_string(),
            mac: endpoint.mac,
            addresses: endpoint.addresses,
            peer: endpoint.peer.to_string(),
            generation: endpoint.generation,
        };
        Ok(Endpoints { endpoints: endpoints.into_iter().map(endpoint).collect() })
    }

    pub(super) fn set_endpoint(&self, endpoint: &Endpoint) -> Result<Endpoint, Refusal> {
        let network = self.network_named(&endpoint.network)?.clone();
        let peer = self.peer_named(&endpoint.peer)?;
        let stated = desired::Endpoint {
            network,
            mac: endpoint.mac,
            addresses: endpoint.addresses.clone(),
            peer: peer.clone(),
            generation: endpoint.generation,
        };
        let changed = self.engine().endpoints().set(stated);
        changed.map(|()| endpoint.clone()).map_err(|error| refusal(error, &endpoint.network, endpoint.mac))
    }

    pub(super) fn remove_endpoint(&self, removal: &EndpointRemoval) -> Result<EndpointRemoval, Refusal> {
        let network = self.network_named(&removal.network)?;
        let changed = self.engine().endpoints().remove(network, removal.mac, removal.generation);
        changed.map(|()| removal.clone()).map_err(|error| refusal(error, &removal.network, removal.mac))
    }

    /// Whether a network that is asked for is there.
    pub(super) fn check_network(&self, name: Option<&str>) -> Result<(), Refusal> {
        name.map_or(Ok(()), |name| self.network_named(name).map(|_| ()))
    }

    fn network_named(&self, name: &str) -> Result<&Name, Refusal> {
        let networks = &self.desired().networks;
        let unknown = || Refusal::UnknownNetwork { name: name.to_owned(), nearest: near(name, networks.keys()) };
        networks.get_key_value(name).map(|(name, _)| name).ok_or_else(unknown)
    }

    pub(super) fn peer_named(&self, name: &str) -> Result<&Name, Refusal> {
        let peers = &self.desired().peers;
        let (nearest, none) = (near(name, peers.keys()), peers.is_empty());
        let unknown = || Refusal::UnknownPeer { name: name.to_owned(), nearest, none };
        peers.get_key_value(name).map(|(name, _)| name).ok_or_else(unknown)
    }
}

fn refusal(error: EndpointError, network: &str, mac: MacAddr) -> Refusal {
    let network = network.to_owned();
    let stale = |what, known, given, because| {
        let network = network.clone();
        Refusal::StaleEndpoint { network, what, known, given, because }
    };
    match error {
        EndpointError::Unfit(mistake) => Refusal::UnfitEndpoint { network, mac, detail: mistake.to_string() },
        EndpointError::Stale { what, known, given, .. } => stale(what, known, given, Stale::Stated),
        EndpointError::Removed { removed, given, .. } => stale(mac.to_string(), removed, given, Stale::Removed),
        EndpointError::Newer { known, given, .. } => stale(mac.to_string(), known, given, Stale::Newer),
        EndpointError::Unknown { .. } => Refusal::UnknownEndpoint { network, mac },
        EndpointError::TooMany => Refusal::TooManyEndpoints,
        EndpointError::Late => Refusal::EndpointLate,
    }
}

//! Pods that are attached while the daemon runs: where that is written down, and which addresses they can get.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use podlane_api::Gateway;
use podlane_ipam::{Plan, Span, Subnet};

use super::{Desired, Name, Network};

/// That pods are attached, and what of it is kept where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attachments {
    /// What the daemon has promised.
    pub journal: PathBuf,
    /// How long an address that was released goes to no other pod.
    pub quarantine: Duration,
    /// Where Docker finds the daemon as a plugin; none where it does not.
    pub docker: Option<PathBuf>,
    /// The directory of the vhost-user ports' directories.
    pub vhost_sockets: PathBuf,
}

impl Attachments {
    /// Where the CNI plugin leaves what it could not tell the daemon.
    #[must_use]
    pub fn pending(&self) -> PathBuf {
        self.journal.parent().unwrap_or(Path::new("/")).join("pending")
    }
}

/// What addresses the pods of a network can get.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Supply {
    /// Each within a subnet of the network, none of which overlap; all its subnets where there is none.
    pub ranges: Vec<Span>,
    /// Each within a range; given to nobody.
    pub reserved: Vec<Span>,
    /// Routers on the wire behind the network's uplink, each with its subnet; the switch answers for none of them.
    pub routers: Vec<Gateway>,
}

impl Desired {
    /// The addresses a network has to give: what it supplies, but for what the configuration has already given to ports and endpoints.
    #[must_use]
    pub fn plan(&self, network: &Network) -> Plan {
        let is_in = |name: &Name| *name == network.name;
        let ports = self.ports.values().filter(|port| port.membership.networks().any(is_in));
        let of_ports = ports
            .flat_map(|port| port.addresses.iter().map(|address| (*address, format!("port {:?}", port.name.as_str()))));
        let endpoints = self.endpoints.iter().filter(|endpoint| is_in(&endpoint.network));
        let of_endpoints = endpoints.flat_map(|endpoint| {
            endpoint.addresses.iter().map(|address| (*address, format!("endpoint {}", endpoint.mac)))
        });
        let stated: Vec<(IpAddr, String)> = of_ports.chain(of_endpoints).collect();
        let gateways = network.gateways.iter().chain(&network.supply.routers);
        Plan {
            subnets: gateways
                .filter_map(|gateway| Subnet::of_gateway(gateway.address(), gateway.prefix_len()))
                .collect(),
            ranges: network.supply.ranges.clone(),
            reserved: network.supply.reserved.clone(),
            stated,
        }
    }
}

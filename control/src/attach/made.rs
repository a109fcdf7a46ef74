//! Networks that are asked for while the daemon runs.

use std::net::IpAddr;

use podlane_api::Gateway;
use podlane_ipam::Span;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Origin;
use crate::config::defaults;
use crate::desired::{Desired, Mtu, Name, Network, Prefix, Supply};

/// Why no network that is asked for at run time has a VNI.
pub(crate) const NO_VNI: &str = "a network between nodes is in the configuration of each of them, with its peers and the pods behind them \
    (write vni under [[network]], and join that network with podlane.network=NAME)";

/// Whether an option asks for a network between nodes, as ours would be called or as Docker's own driver has it.
pub(crate) fn asks_for_vni(option: &str) -> bool {
    matches!(option, "vni" | "podlane.vni" | "com.docker.network.driver.overlay.vxlanid_list")
}

/// A network that was asked for at run time: in the journal, and so there again after a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MadeNetwork {
    /// Its name, among those of the configuration.
    pub name: String,
    /// Who asked.
    pub origin: Origin,
    /// The configured network that this is only another caller's name of: nothing is made then, and what is asked of it is that one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<String>,
    /// The switch's own addresses in it, each with its subnet.
    pub gateways: Vec<Gateway>,
    /// The largest IP packet; none takes what its path carries.
    pub mtu: Option<u32>,
    /// What pods' addresses are taken from, as `[[network]] ranges` writes it; none for the gateways' subnets.
    pub ranges: Vec<String>,
    /// Addresses that no pod gets unasked.
    pub reserved: Vec<IpAddr>,
    /// The VRF of other networks, among which it is routed; none leaves it alone in one of its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
}

/// A network cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MadeNetworkError {
    /// Its name.
    #[error(
        "{0:?} cannot be a network's name: give 1 to 63 letters, digits, '.', '_' and '-', the first a letter or a digit"
    )]
    Name(String),
    /// There is another of its name.
    #[error("there is a network \"{0}\" already; choose another name")]
    Exists(String),
    /// Its MTU.
    #[error("network \"{network}\": an MTU of {mtu} cannot be had; give 68 to 9216")]
    Mtu {
        /// The network.
        network: String,
        /// What was asked.
        mtu: u32,
    },
    /// Its VRF.
    #[error(
        "network \"{network}\": no network names the VRF \"{vrf}\"; write vrf under its [[network]], or give one of those that `podlane status` lists"
    )]
    Vrf {
        /// The network.
        network: String,
        /// What was asked.
        vrf: String,
    },
    /// Its subnet, in a VRF with others.
    #[error(
        "network \"{network}\": {gateway} overlaps {other} of network \"{of}\" in the same VRF; choose another subnet"
    )]
    Overlap {
        /// The network.
        network: String,
        /// What was asked.
        gateway: Gateway,
        /// What is there.
        other: Gateway,
        /// Whose it is.
        of: Name,
    },
    /// A range.
    #[error("network \"{network}\": the range {range:?} cannot be had: it {why}")]
    Range {
        /// The network.
        network: String,
        /// What was asked.
        range: String,
        /// What is wrong.
        why: String,
    },
}

impl MadeNetwork {
    /// As the switch has it, beside those that it has; none where it is another name of one of these.
    ///
    /// # Errors
    /// [`MadeNetworkError`].
    pub(super) fn desired(&self, desired: &Desired) -> Result<Option<Network>, MadeNetworkError> {
        if self.stands_for.is_some() {
            return Ok(None);
        }
        let name = Name::new(&self.name).ok_or_else(|| MadeNetworkError::Name(self.name.clone()))?;
        if desired.networks.contains_key(&name) {
            return Err(MadeNetworkError::Exists(self.name.clone()));
        }
        let refused = |mtu| MadeNetworkError::Mtu { network: self.name.clone(), mtu };
        let mtu = self.mtu.map(|mtu| Mtu::new(mtu).ok_or_else(|| refused(mtu))).transpose()?;
        let ranges = self.ranges.iter().map(|range| self.range(range)).collect::<Result<_, _>>()?;
        let reserved = self.reserved.iter().copied().map(Span::one).collect();
        let alone = defaults::network(name);
        let vrf = self.vrf.as_ref().map(|vrf| self.among(vrf, desired)).transpose()?;
        Ok(Some(Network {
            vrf: vrf.unwrap_or_else(|| alone.vrf.clone()),
            gateways: self.gateways.clone(),
            mtu: mtu.or(Some(defaults::MTU)),
            supply: Supply { ranges, reserved, routers: Vec::new() },
            ..alone
        }))
    }

    /// The VRF, in which nobody has the subnets.
    fn among(&self, vrf: &str, desired: &Desired) -> Result<Name, MadeNetworkError> {
        // The VRF of a network that names none is its own, as in the configuration.
        let names = |other: &&Network| other.vrf.as_str() == vrf && other.name != other.vrf;
        let there = || desired.networks.values().filter(names);
        let overlaps = |gateway: Gateway, other: Gateway| Prefix::of(gateway).overlaps(Prefix::of(other));
        for other in there() {
            let pairs = self.gateways.iter().flat_map(|own| other.gateways.iter().map(move |its| (*own, *its)));
            if let Some((gateway, its)) = pairs.into_iter().find(|(own, its)| overlaps(*own, *its)) {
                let (network, of) = (self.name.clone(), other.name.clone());
                return Err(MadeNetworkError::Overlap { network, gateway, other: its, of });
            }
        }
        let unknown = || MadeNetworkError::Vrf { network: self.name.clone(), vrf: vrf.to_owned() };
        there().next().map(|other| other.vrf.clone()).ok_or_else(unknown)
    }

    fn range(&self, text: &str) -> Result<Span, MadeNetworkError> {
        let refused = |why: String| MadeNetworkError::Range { network: self.name.clone(), range: text.to_owned(), why };
        let range: Span = text.parse().map_err(|error: podlane_ipam::SpanError| refused(error.to_string()))?;
        let subnets = self.gateways.iter().filter_map(|own| Span::subnet(own.address(), own.prefix_len()));
        let is_within = subnets.into_iter().any(|subnet| subnet.covers(range));
        if is_within { Ok(range) } else { Err(refused("lies in none of the network's subnets".to_owned())) }
    }
}

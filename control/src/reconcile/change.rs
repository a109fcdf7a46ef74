//! Ports and networks that come and go while the switch runs: what may, and why it may not.
//!
//! A change is held to the rules of the configuration, which is valid and complete: what would be refused in the file is refused here, and
//! nothing is changed then.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use podlane_api::{MacAddr, nearest};
use thiserror::Error;

use super::open::OpenError;
use crate::config::Mistake;
use crate::config::verify::sharing::unknown_on_uplink;
use crate::config::verify::station as mistake_in;
use crate::desired::{Behind, Desired, Device, DeviceName, Name, Network, Port, Prefix};
use crate::enforce::Misfit;

/// Why a port or network was not added or removed. But for [`Self::Late`] and [`Self::Unanswered`], nothing is changed
/// then.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The name is in use.
    #[error("a {what} is named \"{name}\" already; give another name, or remove that one first")]
    Taken {
        /// What has the name.
        what: &'static str,
        /// The name.
        name: Name,
    },
    /// What had the name is still being taken away.
    #[error("port \"{name}\" is still being closed; try again in a moment")]
    Closing {
        /// The name.
        name: Name,
    },
    /// There is nothing of this name.
    #[error("there is no {what} named \"{name}\"{}", near.as_ref().map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default())]
    Unknown {
        /// What was meant.
        what: &'static str,
        /// The name.
        name: Name,
        /// What it may have been meant to be.
        near: Option<Name>,
    },
    /// It cannot stand beside what is there.
    #[error("{what} is port \"{port}\"'s already; remove that port first, or choose another")]
    Shared {
        /// The device, MAC or IP address.
        what: String,
        /// Whose it is.
        port: Name,
    },
    /// Its station does not fit its network.
    #[error(transparent)]
    Unfit(Box<Mistake>),
    /// A port that leads nowhere.
    #[error("port \"{name}\" is in no network; give it one")]
    Nowhere {
        /// The port.
        name: Name,
    },
    /// Every number is given.
    #[error("there is no room for another {what}: {most} is the most; remove one first")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// How many there can be.
        most: usize,
    },
    /// A subnet of it is in the same VRF already.
    #[error(
        "subnet {subnet} overlaps {other} of network \"{network}\" in the same vrf; choose another subnet or another vrf"
    )]
    Overlaps {
        /// The subnet.
        subnet: Box<Prefix>,
        /// The one that is there.
        other: Box<Prefix>,
        /// The network that has it.
        network: Name,
    },
    /// Tunnels are the configuration's.
    #[error("network \"{name}\" has a VNI; networks that reach other nodes are of the configuration file")]
    Overlay {
        /// The network.
        name: Name,
    },
    /// Something is in the network.
    #[error("network \"{name}\" is still needed by {by}; remove that first")]
    InUse {
        /// The network.
        name: Name,
        /// What needs it.
        by: String,
    },
    /// Its device does not serve.
    #[error("port \"{name}\": {}", super::chain(&**.source))]
    Open {
        /// The port.
        name: Name,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether nothing is wrong but that the device is not there.
        absent: bool,
    },
    /// Its pod does not fit what policies know.
    #[error("the pod of port \"{name}\": {misfit}")]
    Misfit {
        /// The port.
        name: Name,
        /// What is against it.
        misfit: Box<Misfit>,
    },
    /// The tables with it are not in force, and it was taken out again.
    #[error("not in force: {why}")]
    NotInForce {
        /// Why.
        why: String,
    },
    /// What is to be removed is taken out as soon as every worker answers.
    #[error("\"{name}\" is removed, and not in every worker yet: one does not answer (`podlane status` says which)")]
    Late {
        /// The port or network.
        name: Name,
    },
    /// It is asked for, and will be done; when is not known.
    #[error("the switch has not answered for {} s; it may yet do as asked (`podlane status` says what holds it up)", waited.as_secs())]
    Unanswered {
        /// How long.
        waited: Duration,
    },
    /// The switch ends.
    #[error("the switch is ending; ask the next daemon")]
    Ending,
}

impl ChangeError {
    /// A port that was not opened.
    pub(super) fn open(name: &Name, source: OpenError) -> Self {
        let absent = source.is_absence();
        Self::Open { name: name.clone(), source: Box::new(source), absent }
    }
}

/// Whether a port can stand beside those that are desired.
pub(super) fn fits(port: &Port, desired: &Desired) -> Result<(), ChangeError> {
    if desired.ports.contains_key(&port.name) {
        return Err(ChangeError::Taken { what: "port", name: port.name.clone() });
    }
    if port.membership.networks().next().is_none() {
        return Err(ChangeError::Nowhere { name: port.name.clone() });
    }
    port.membership.networks().try_for_each(|name| network_of(name, desired).map(|_| ()))?;
    if let Some(mistake) = mistake_in(port, desired) {
        return Err(ChangeError::Unfit(Box::new(mistake)));
    }
    if let Some(mistake) = unknown_on_uplink(port, desired) {
        return Err(ChangeError::Unfit(Box::new(mistake)));
    }
    desired.ports.values().try_for_each(|other| match shared(port, other, desired) {
        Some(what) => Err(ChangeError::Shared { what, port: other.name.clone() }),
        None => Ok(()),
    })
}

fn network_of<'d>(name: &Name, desired: &'d Desired) -> Result<&'d Network, ChangeError> {
    desired.networks.get(name).ok_or_else(|| unknown("network", name, desired.networks.keys()))
}

/// A name that is none of `names`.
pub(super) fn unknown<'n>(what: &'static str, name: &Name, names: impl Iterator<Item = &'n Name>) -> ChangeError {
    let near = nearest(name.as_str(), names.map(Name::as_str)).and_then(Name::new);
    ChangeError::Unknown { what, name: name.clone(), near }
}

/// The namespace and the name of a port's device.
fn place(port: &Port) -> Option<(Option<&Path>, &DeviceName)> {
    match &port.behind {
        Behind::Device(Device { name, netns, .. }) => Some((netns.as_deref(), name)),
        Behind::Replay(_) => None,
    }
}

/// What of a port is another's. Asked of each other port, so it copies nothing.
fn shared(port: &Port, other: &Port, desired: &Desired) -> Option<String> {
    if let Some(own) = place(port).filter(|own| place(other).as_ref() == Some(own)) {
        return Some(format!("device {}", own.1));
    }
    let meets = |name: &Name| other.membership.networks().any(|network| network == name);
    if let Some(MacAddr(mac)) = port.mac.filter(|mac| other.mac == Some(*mac))
        && port.membership.networks().any(meets)
    {
        return Some(format!("MAC address {}", MacAddr(mac)));
    }
    let vrf = |name: &Name| desired.networks.get(name).map(|network| network.vrf.clone());
    let routed = |name: &Name| other.membership.networks().any(|network| vrf(network) == vrf(name));
    let address = port.addresses.iter().find(|address| other.addresses.contains(address));
    let address: Option<&IpAddr> = address.filter(|_| port.membership.networks().any(routed));
    address.map(|address| format!("address {address}"))
}

/// Whether a network can stand beside those that are desired.
pub(super) fn fits_beside(network: &Network, desired: &Desired) -> Result<(), ChangeError> {
    let name = &network.name;
    if desired.networks.contains_key(name) {
        return Err(ChangeError::Taken { what: "network", name: name.clone() });
    }
    if network.vni.is_some() {
        return Err(ChangeError::Overlay { name: name.clone() });
    }
    let others = || desired.networks_of(&network.vrf);
    // One that names no VRF is alone in that of its own name: nobody joins it unasked.
    if network.vrf != *name
        && desired.networks.contains_key(&network.vrf)
        && others().any(|other| other.name == network.vrf)
    {
        return Err(ChangeError::Taken { what: "vrf", name: network.vrf.clone() });
    }
    for subnet in network.subnets() {
        let overlap = others().find_map(|other| Some((other, other.subnets().find(|known| known.overlaps(subnet))?)));
        if let Some((network, other)) = overlap {
            let (subnet, other) = (Box::new(subnet), Box::new(other));
            return Err(ChangeError::Overlaps { subnet, other, network: network.name.clone() });
        }
    }
    Ok(())
}

/// Whether nothing is left that needs a network.
pub(super) fn is_idle(name: &Name, desired: &Desired) -> Result<(), ChangeError> {
    let network = network_of(name, desired)?;
    let in_use = |by: String| Err(ChangeError::InUse { name: name.clone(), by });
    if network.vni.is_some() {
        return Err(ChangeError::Overlay { name: name.clone() });
    }
    let is_in = |port: &&Arc<Port>| port.membership.networks().any(|network| network == name);
    if let Some(port) = desired.ports.values().find(is_in) {
        return in_use(format!("port \"{}\"", port.name));
    }
    let via = |route: &&crate::desired::Route| matches!(&route.target, crate::desired::Target::Via { network, .. } if network == name);
    match desired.routes.iter().find(via) {
        Some(route) => in_use(format!("the route to {}", route.prefix)),
        None => Ok(()),
    }
}

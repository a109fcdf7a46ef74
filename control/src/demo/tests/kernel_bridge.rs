//! A stand-in for the switch, for tests alone: two bridges of the kernel and its forwarding between them.
//!
//! It carries what the demo sends, by other means, so that the demo can be tested apart from the
//! dataplane. The kernel keeps no ledger of the kind; the stand-in's is made up, and balances.

use std::collections::BTreeMap;

use podlane_api::{Ledger, Port};
use podlane_host::{HostError, Links, sysctl};

use super::port;
use crate::demo::pods::{Family, Network, Pod};
use crate::demo::{Switch, SwitchError, SwitchPlan};

/// The bridges, alive as long as the namespace they are in.
pub(super) struct KernelBridge;

impl KernelBridge {
    /// Starts the stand-in in the calling thread's namespace.
    pub(super) fn start(_: SwitchPlan) -> Result<Box<dyn Switch>, SwitchError> {
        Self::routing(&[Family::V4, Family::V6])
    }

    /// Starts one whose gateways speak these families alone; within a network it carries both.
    pub(super) fn routing(families: &[Family]) -> Result<Box<dyn Switch>, SwitchError> {
        build(families).map_err(|error| SwitchError::Start(error.into()))?;
        Ok(Box::new(Self))
    }
}

fn build(families: &[Family]) -> Result<(), HostError> {
    let mut links = Links::open()?;
    for conf in ["all", "default"] {
        sysctl(&format!("net/ipv6/conf/{conf}/disable_ipv6"), 0)?;
        sysctl(&format!("net/ipv6/conf/{conf}/forwarding"), 1)?;
        sysctl(&format!("net/ipv6/conf/{conf}/accept_dad"), 0)?;
    }
    sysctl("net/ipv4/ip_forward", 1)?;
    for network in Network::ALL {
        let bridge = links.bridge(network.name())?;
        sysctl(&format!("net/ipv6/conf/{}/disable_ipv6", network.name()), 0)?;
        for family in families {
            links.add_address(bridge, network.gateway(*family), Network::prefix_length(*family))?;
        }
        for pod in Pod::ALL.into_iter().filter(|pod| pod.network() == network) {
            links.enslave(pod.device(), bridge)?;
        }
        links.set_up(bridge)?;
    }
    Ok(())
}

impl Switch for KernelBridge {
    fn ports(&self) -> Result<Vec<Port>, SwitchError> {
        let mut links = Links::open().map_err(|error| SwitchError::Ask(error.into()))?;
        let ask = |pod: Pod| {
            let counters = links.counters(pod.device()).map_err(|error| SwitchError::Ask(error.into()))?;
            Ok(port(pod.name(), pod.network().name(), counters.rx_packets, counters.tx_packets))
        };
        Pod::ALL.into_iter().map(ask).collect()
    }

    fn ledger(&self) -> Result<Ledger, SwitchError> {
        let dropped = BTreeMap::from([("no_route".to_owned(), 2)]);
        Ok(Ledger { received: 11, made: 1, sent: 8, held: 1, dropped })
    }

    fn stop(self: Box<Self>) -> Result<(), SwitchError> {
        Ok(())
    }
}

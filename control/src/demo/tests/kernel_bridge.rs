//! A stand-in for the switch, for tests alone: two bridges of the kernel and its forwarding between them.
//!
//! It carries what the demo sends, by other means, so that the demo can be tested apart from the
//! dataplane. The kernel keeps no ledger of the kind; the stand-in's is made up, and balances. It holds to the demo's policy
//! by routing no more, which stops the pair that is denied and not the one that is allowed.

use std::cell::Cell;
use std::collections::BTreeMap;

use podlane_api::{Ledger, PolicyApplied, Port, Why, WhyQuery};
use podlane_host::{HostError, Links, sysctl};

use super::policy::why;
use super::{APPLIED, port};
use crate::demo::pods::{Family, Network, Pod};
use crate::demo::policy::{COUPLES, FILE, POLICY};
use crate::demo::{Switch, SwitchError, SwitchPlan};

/// The bridges, alive as long as the namespace they are in.
#[derive(Default)]
pub(super) struct KernelBridge {
    /// Whether it holds to policies.
    lawless: bool,
    /// Packets it says that it denied: one more each time it is asked.
    denied: Cell<u64>,
}

impl KernelBridge {
    /// Starts the stand-in in the calling thread's namespace.
    pub(super) fn start(_: SwitchPlan) -> Result<Box<dyn Switch>, SwitchError> {
        Self::routing(&[Family::V4, Family::V6])
    }

    /// Starts one that says it applies policies, and goes on as before.
    pub(super) fn lawless(plan: SwitchPlan) -> Result<Box<dyn Switch>, SwitchError> {
        Self::start(plan)?;
        Ok(Box::new(Self { lawless: true, ..Self::default() }))
    }

    /// Starts one whose gateways speak these families alone; within a network it carries both.
    pub(super) fn routing(families: &[Family]) -> Result<Box<dyn Switch>, SwitchError> {
        build(families).map_err(|error| SwitchError::Start(error.into()))?;
        Ok(Box::new(Self::default()))
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
        let denied = self.denied.replace(self.denied.get() + 1);
        let dropped = BTreeMap::from([("no_route".to_owned(), 2), ("policy_denied".to_owned(), denied)]);
        Ok(Ledger { received: 11 + denied, made: 1, sent: 8, held: 1, dropped })
    }

    fn apply_policy(&self, file: &str, yaml: &str) -> Result<PolicyApplied, SwitchError> {
        assert_eq!((file, yaml), (FILE, POLICY));
        if !self.lawless {
            sysctl("net/ipv4/ip_forward", 0).map_err(|error| SwitchError::Ask(error.into()))?;
        }
        Ok(PolicyApplied { objects: vec![APPLIED.to_owned()], in_force: true, ..PolicyApplied::default() })
    }

    fn why(&self, query: &WhyQuery) -> Result<Why, SwitchError> {
        Ok(why(COUPLES.iter().find(|couple| couple.from.object() == query.from).unwrap()))
    }

    fn stop(self: Box<Self>) -> Result<(), SwitchError> {
        Ok(())
    }
}

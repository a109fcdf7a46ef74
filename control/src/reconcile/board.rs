//! What has become of each port: written by the reconciler, read by whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use std::sync::Arc;

use podlane_api::{PortState, XdpMode};
use podlane_bpf::UplinkCounters;
use podlane_dataplane::tables::Tables;

use crate::compile::proposed_mtu;
use crate::desired::{Desired, Name, Network};

/// One port's fate.
#[derive(Clone, Debug)]
pub struct Fate {
    /// How it is.
    pub state: PortState,
    /// Why it is not up.
    pub reason: Option<String>,
    /// Where its XDP program runs.
    pub xdp: Option<XdpMode>,
    /// Its device's MTU.
    pub mtu: Option<u32>,
}

impl Fate {
    /// Not up, for this reason.
    #[must_use]
    pub fn not_up(state: PortState, reason: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.into()), xdp: None, mtu: None }
    }
}

/// All that can change while the daemon runs.
#[derive(Clone, Default, Debug)]
pub struct Facts {
    /// The ports, by name.
    pub ports: BTreeMap<Name, Fate>,
    /// The generation of the tables in force.
    pub generation: u32,
    /// The tables in force.
    pub tables: Arc<Tables>,
    /// For each overlay network the largest IP packet of its pods that fits into its tunnels.
    pub proposed_mtus: BTreeMap<Name, u16>,
    /// What the programs of the uplinks that are attached have judged.
    pub uplinks: BTreeMap<Name, UplinkCounters>,
    /// What is not as it should be, and what to do; by subject, so that each is said once.
    pub warnings: BTreeMap<String, String>,
    /// Why the daemon cannot go on.
    pub fatal: Option<String>,
}

/// The facts, shared.
#[derive(Default, Debug)]
pub struct Board(Mutex<Facts>);

impl Board {
    /// At the start no port is attached.
    #[must_use]
    pub fn new(desired: &Desired) -> Self {
        let waiting = || Fate::not_up(PortState::Waiting, "not attached yet");
        let ports = desired.ports.keys().map(|name| (name.clone(), waiting())).collect();
        let proposed =
            |network: &Network| Some((network.name.clone(), proposed_mtu(desired, network, &BTreeMap::new())?));
        let proposed_mtus = desired.networks.values().filter_map(proposed).collect();
        Self(Mutex::new(Facts { ports, proposed_mtus, ..Facts::default() }))
    }

    /// A copy of the facts.
    #[must_use]
    pub fn read(&self) -> Facts {
        self.lock().clone()
    }

    /// What has become of one port.
    #[must_use]
    pub fn read_port(&self, name: &Name) -> Option<Fate> {
        self.lock().ports.get(name).cloned()
    }

    /// What fits into the tunnels of an overlay network.
    #[must_use]
    pub fn proposed_mtu(&self, network: &Name) -> Option<u16> {
        self.lock().proposed_mtus.get(network).copied()
    }

    /// Changes the facts.
    pub fn write(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
    }

    /// Has a warning stand about a subject, or none.
    pub fn warn(&self, subject: &str, warning: Option<String>) {
        self.write(|facts| match warning {
            Some(warning) => drop(facts.warnings.insert(subject.to_owned(), warning)),
            None => drop(facts.warnings.remove(subject)),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What the daemon knows and tells: what is desired, and how far the world has come.

use std::collections::BTreeMap;
use std::time::Instant;

use podlane_api::{
    Counters, FlowQuery, FlowTable, Flows, KernelDrops, Ledger, Network, Port, PortLedger, PortState, Ports, Refusal,
    Reply, Request, Status, Traffic, nearest,
};

use super::Answer;
use crate::desired::{self, Attachment, Desired, Name};

/// The daemon's knowledge, from the moment it started.
#[derive(Debug)]
pub struct State {
    desired: Desired,
    began: Instant,
}

impl State {
    /// At the start: everything is desired and nothing is attached yet.
    #[must_use]
    pub fn new(desired: Desired) -> Self {
        Self { desired, began: Instant::now() }
    }

    fn status(&self) -> Status {
        let Desired { daemon, flows, networks, .. } = &self.desired;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            instance: daemon.instance.to_string(),
            uptime_s: self.began.elapsed().as_secs(),
            generation: 0,
            workers: Vec::new(),
            flow_table: FlowTable { capacity: flows.capacity.get().into(), used: 0, uncached: 0 },
            networks: networks.values().map(|network| self.network(network)).collect(),
            warnings: Vec::new(),
        }
    }

    fn network(&self, network: &desired::Network) -> Network {
        let is_in = |port: &&desired::Port| port.membership.networks().any(|name| *name == network.name);
        Network {
            name: network.name.to_string(),
            vrf: network.vrf.to_string(),
            mtu: network.mtu.get(),
            gateways: network.gateways.clone(),
            gateway_mac: network.gateway_mac,
            ports: u64::try_from(self.desired.ports.values().filter(is_in).count()).unwrap_or(u64::MAX),
            macs: 0,
        }
    }

    /// The ports, by name.
    pub(super) fn ports(&self) -> Ports {
        Ports { ports: self.desired.ports.values().map(waiting).collect() }
    }

    fn flows(&self, query: &FlowQuery) -> Result<Flows, Refusal> {
        let Desired { networks, ports, .. } = &self.desired;
        if let Some(name) = query.network.as_deref().filter(|name| !networks.contains_key(*name)) {
            return Err(Refusal::UnknownNetwork { name: name.to_owned(), nearest: near(name, networks.keys()) });
        }
        if let Some(name) = query.port.as_deref().filter(|name| !ports.contains_key(*name)) {
            return Err(Refusal::UnknownPort { name: name.to_owned(), nearest: near(name, ports.keys()) });
        }
        Ok(Flows { matched: 0, flows: Vec::new() })
    }

    /// The ledger.
    pub(super) fn counters(&self) -> Counters {
        let total = Ledger::default();
        let ports =
            self.desired.ports.keys().map(|name| PortLedger { name: name.to_string(), ..PortLedger::default() });
        Counters { balanced: total.balances(), total, ports: ports.collect() }
    }
}

impl Answer for State {
    fn answer(&self, request: &Request) -> Result<Reply, Refusal> {
        Ok(match request {
            Request::Status => Reply::Status(self.status()),
            Request::Ports => Reply::Ports(self.ports()),
            Request::Flows(query) => Reply::Flows(self.flows(query)?),
            Request::Counters => Reply::Counters(self.counters()),
        })
    }
}

fn near<'n>(name: &str, names: impl Iterator<Item = &'n Name>) -> Option<String> {
    nearest(name, names.map(Name::as_str)).map(str::to_owned)
}

/// A port before it is attached.
fn waiting(port: &desired::Port) -> Port {
    let device = match &port.attachment {
        Attachment::Device(device) => Some(device),
        Attachment::Replay(_) => None,
    };
    let tagged = port.membership.tagged.iter();
    Port {
        name: port.name.to_string(),
        kind: port.kind(),
        device: device.map(|device| device.name.to_string()),
        netns: device.and_then(|device| device.netns.clone()),
        network: port.membership.untagged.as_ref().map(ToString::to_string),
        vlans: tagged.map(|(vlan, network)| (vlan.get(), network.to_string())).collect(),
        state: PortState::Waiting,
        reason: Some("not attached yet".to_owned()),
        mode: None,
        xdp: None,
        queues: 0,
        checksum_offload: false,
        mtu: None,
        received: Traffic::default(),
        sent: Traffic::default(),
        dropped: BTreeMap::new(),
        held: 0,
        kernel: KernelDrops::default(),
    }
}

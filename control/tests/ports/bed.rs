//! A switch in this process, in the namespace of a node, and the ports that tests add to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use podlane::config::{Machine, parse};
use podlane::daemon::Answers;
use podlane::desired::{
    Behind, Device, DeviceName, Dhcp, MacAddr, Membership, Mode, Name, Port, Queues, Rates, Replay, RingSize, Role, Xdp,
};
use podlane::reconcile::{ChangeError, Engine};
use podlane_api::{Counters, PortState};
use podlane_host::lab::Pod;

use crate::support::{Node, eventually};

/// A node with a switch.
pub(crate) struct Bed {
    /// Before the node, so that it lets go of devices that are there.
    answers: Arc<Answers>,
    pub(crate) node: Node,
}

impl Bed {
    /// A switch with these tables; none where the host cannot have one.
    pub(crate) fn start(node: Node, tables: &str) -> Self {
        Self::start_with(node, 8192, tables)
    }

    /// As [`Self::start`], with this many frames.
    pub(crate) fn start_with(node: Node, frames: u32, tables: &str) -> Self {
        let file = node.configure_with(&format!("cores = [{}]\nframes = {frames}\n", Node::core()), tables);
        let text = std::fs::read_to_string(file).unwrap();
        let desired = parse(&text, &Machine { cores: [Node::core()].into() });
        let desired = desired.unwrap_or_else(|findings| panic!("{}", findings[0]));
        let engine = node.lab.switch().run(|| Engine::start(desired)).unwrap().unwrap();
        Self { answers: Arc::new(Answers::new(Arc::new(engine), None)), node }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.answers.engine()
    }

    /// Adds a port as the daemon does, in the switch's namespace.
    pub(crate) fn add(&self, port: Port) -> Result<(), ChangeError> {
        self.node.lab.switch().run(|| self.engine().add_port(port)).unwrap()
    }

    pub(crate) fn remove(&self, port: &str) -> Result<(), ChangeError> {
        self.engine().remove_port(&name(port))
    }

    /// How a port is; none of a port that is not desired.
    pub(crate) fn state(&self, port: &str) -> Option<PortState> {
        self.engine().facts().ports.get(&name(port)).map(|fate| fate.state)
    }

    pub(crate) fn wait_for(&self, port: &str, state: PortState) {
        eventually("the port's state", || self.state(port) == Some(state));
    }

    /// The ledger, which balances.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = self.answers.counters().unwrap();
        // Frames between workers, or a queue that is just being emptied.
        eventually("the ledger balances", || {
            counters = self.answers.counters().unwrap();
            counters.balanced
        });
        let received: u64 = counters.ports.iter().map(|port| port.received).sum();
        assert_eq!(received + counters.gone.received + counters.total.made, counters.total.received, "{counters:?}");
        let sent: u64 = counters.ports.iter().map(|port| port.sent).sum();
        assert_eq!(sent + counters.gone.sent, counters.total.sent, "{counters:?}");
        counters
    }

    /// What a port received.
    pub(crate) fn received(&self, port: &str) -> u64 {
        self.counters().ports.iter().find(|each| each.name == port).map_or(0, |port| port.received)
    }

    /// Waits until every frame that no open port keeps is free, and nothing is pinned for ports but for these.
    pub(crate) fn assert_left(&self, ports: &[&str]) {
        eventually("only these ports are pinned", || {
            let pinned = std::fs::read_dir(self.node.pins()).into_iter().flatten().flatten();
            let names = pinned.map(|entry| entry.file_name().to_string_lossy().into_owned());
            // The map of all pods' sockets stays while the switch runs.
            names.filter(|name| name != "%pods").all(|name| ports.contains(&name.as_str()))
        });
        eventually("every frame is at home or at an open port", || {
            self.engine().reports().unwrap().iter().all(|report| {
                let lent: u64 = report.ports.iter().map(|port| port.lent.0 + port.lent.1).sum();
                report.frames.1 as u64 + lent + report.counters.held == report.frames.0 as u64
            })
        });
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A port at the device of the same name, in the network `blue`.
pub(crate) fn port(at: &str) -> Port {
    Port {
        name: name(at),
        behind: Behind::Device(Device {
            name: DeviceName::new(at).unwrap(),
            netns: None,
            role: Role::Pod,
            sharing: None,
            queues: Queues::All,
            mode: Mode::Auto,
            xdp: Xdp::Auto,
            checksum_offload: true,
            ring: RingSize::new(512).unwrap(),
        }),
        membership: Membership { untagged: Some(name("blue")), tagged: BTreeMap::new() },
        mac: None,
        addresses: Vec::new(),
        generation: 0,
        pod: None,
        node: false,
        dhcp: Dhcp::Unused,
        rates: Rates::default(),
        offload: None,
        fault: None,
    }
}

/// The port of a pod, which states what the pod has.
pub(crate) fn port_of(pod: &Pod) -> Port {
    let v4 = pod.spec.ipv4.map(|(address, _)| address.into());
    let v6 = pod.spec.ipv6.map(|(address, _)| address.into());
    Port { mac: Some(MacAddr(pod.mac)), addresses: v4.into_iter().chain(v6).collect(), ..port(&pod.host_ifname) }
}

/// A port that writes what it is sent into a file: nothing waits for a kernel.
pub(crate) fn tape(at: &str, file: PathBuf) -> Port {
    Port { behind: Behind::Replay(Replay { input: None, output: Some(file) }), ..port(at) }
}

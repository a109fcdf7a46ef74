//! The demo as a whole: over a stand-in for the switch when root, its texts always.

mod golden;
mod kernel_bridge;
mod whole;

use std::collections::BTreeMap;
use std::io::{self, Write};

use nix::unistd::geteuid;
use podlane_api::{AttachMode, KernelDrops, Port, PortKind, PortState, Traffic, XdpMode};

/// Whether a test that needs root must be skipped; if so, says which, past the harness's capture.
pub(in crate::demo) fn skipped(test: &str) -> bool {
    if geteuid().is_root() {
        return false;
    }
    let _ = writeln!(io::stderr(), "skipped: {test}: making network namespaces needs root");
    true
}

/// A port of a pod that is up.
fn port(name: &str, network: &str, received: u64, sent: u64) -> Port {
    let traffic = |packets| Traffic { packets, bytes: packets * 64 };
    Port {
        name: name.to_owned(),
        kind: PortKind::Pod,
        device: Some(format!("pod-{name}")),
        netns: None,
        network: Some(network.to_owned()),
        vlans: BTreeMap::new(),
        state: PortState::Up,
        reason: None,
        mode: Some(AttachMode::Copy),
        xdp: Some(XdpMode::Native),
        queues: 1,
        checksum_offload: true,
        mtu: Some(1500),
        received: traffic(received),
        sent: traffic(sent),
        dropped: BTreeMap::new(),
        held: 0,
        kernel: KernelDrops::default(),
    }
}

//! The demo as a whole: over a stand-in for the switch when root, its texts always.

mod golden;
mod kernel_bridge;
mod policy;
mod whole;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use hdrhistogram::Histogram;
use nix::unistd::geteuid;
use podlane_api::{AttachMode, KernelDrops, Port, PortKind, PortState, Rates, Traffic, XdpMode};

use super::report::Measured;
use super::steps::What;
use super::traffic::{EchoMeasured, TcpMeasured, UdpMeasured};

/// Whether a test that needs root must be skipped; if so, says which, past the harness's capture.
pub(in crate::demo) fn skipped(test: &str) -> bool {
    if geteuid().is_root() {
        return false;
    }
    let _ = writeln!(io::stderr(), "skipped: {test}: making network namespaces needs root");
    true
}

/// A port of a pod that is up.
pub(in crate::demo) fn port(name: &str, network: &str, received: u64, sent: u64) -> Port {
    let traffic = |packets| Traffic { packets, bytes: packets * 64 };
    Port {
        name: name.to_owned(),
        kind: PortKind::Pod,
        device: Some(format!("pod-{name}")),
        netns: None,
        network: Some(network.to_owned()),
        vlans: BTreeMap::new(),
        sharing: None,
        state: PortState::Up,
        reason: None,
        mode: Some(AttachMode::Copy),
        xdp: Some(XdpMode::Native),
        queues: 1,
        checksum_offload: true,
        mtu: Some(1500),
        rates: Rates::default(),
        received: traffic(received),
        sent: traffic(sent),
        dropped: BTreeMap::new(),
        held: 0,
        kernel: KernelDrops::default(),
    }
}

fn round_trips() -> Histogram<u64> {
    let mut round_trips = EchoMeasured::histogram();
    round_trips.record_n(38_000, 9_800).unwrap();
    round_trips.record_n(61_000, 170).unwrap();
    round_trips.record_n(92_000, 30).unwrap();
    round_trips
}

/// What a meter could have brought back.
pub(in crate::demo) fn measured(what: What) -> Measured {
    match what {
        What::Echo { .. } => Measured::Echo(EchoMeasured { round_trips: round_trips() }),
        What::Tcp { both, .. } => Measured::Tcp(TcpMeasured {
            bytes: 341_000_000,
            bits_per_second: 3.5e9,
            bits_per_second_back: both.then_some(2.25e9),
        }),
        What::Udp { .. } => Measured::Udp(UdpMeasured {
            sent: 1_000_000,
            received: 959_000,
            reordered: 0,
            packets_per_second: 1_923_000.0,
        }),
    }
}

/// What the switch says it has applied, when it was given the demo's policy.
const APPLIED: &str = "NetworkPolicy demo/red-from-green";

/// Compares with a file beside this one; with `PODLANE_BLESS=1`, writes it anew.
pub(in crate::demo) fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/tests/golden").join(name);
    if std::env::var("PODLANE_BLESS").is_ok_and(|bless| bless == "1") {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{} is not what the demo prints, which is\n{text}", path.display());
}

//! What people see, line by line. Colour is tested where it matters: that there is none in a pipe.

use std::collections::BTreeMap;

use podlane_api::{
    AttachMode, Bandwidth, ConnectionTable, Counters, Flow, FlowTable, FlowTunnel, Flows, Frames, KernelDrops, Ledger,
    MacAddr, Network, Poll, Port, PortKind, PortLedger, PortState, Ports, Rates, Sharing, Status, TookOver, Traffic,
    Worker, XdpMode,
};

use super::*;

mod attached;
mod offload;
mod overlay;
mod policy;

fn shown(answer: &impl Show) -> String {
    answer.show(Paint::PLAIN)
}

fn port(name: &str) -> Port {
    Port {
        name: name.to_owned(),
        kind: PortKind::Pod,
        device: Some(format!("veth-{name}")),
        netns: None,
        network: Some("blue".to_owned()),
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
        received: Traffic { packets: 1_234_567, bytes: 987_654_321 },
        sent: Traffic { packets: 12, bytes: 720 },
        dropped: Dropped::new(),
        held: 0,
        kernel: KernelDrops::default(),
    }
}

#[test]
fn status_shows_workers_tables_networks_and_warnings() {
    let frames = Frames { total: 32_768, free: 30_000, receiving: 2_048, sending: 700, held: 20 };
    let worker = Worker {
        core: 1,
        poll: Poll::Adaptive,
        turns: 5_000_000,
        busy_ratio: 0.1234,
        packets: 81_234,
        naps: 17,
        preempted: 3,
        frames,
    };
    let blue = Network {
        name: "blue".to_owned(),
        vrf: "tenant-a".to_owned(),
        mtu: 1500,
        gateways: vec!["10.1.0.1/24".parse().unwrap(), "fd00:1::1/64".parse().unwrap()],
        gateway_mac: MacAddr([2, 0, 0, 0, 1, 1]),
        ports: 2,
        macs: 1,
        vni: None,
        pod_mtu: None,
    };
    let overlay = Network { name: "cloud".to_owned(), mtu: 1450, vni: Some(7), pod_mtu: Some(1450), ..blue.clone() };
    let wire = Network { name: "wire".to_owned(), vrf: "wire".to_owned(), gateways: Vec::new(), ..blue.clone() };
    let status = Status {
        version: "0.1.0".to_owned(),
        pid: 4711,
        instance: "default".to_owned(),
        uptime_s: 273_700,
        generation: 7,
        took_over: Some(TookOver { pid: 4242, gap_us: 1_730 }),
        workers: vec![worker],
        flow_table: FlowTable { capacity: 1 << 20, used: 1_500, uncached: 0 },
        connection_table: Some(ConnectionTable { capacity: 1 << 18, used: 1_200, opening: 3 }),
        networks: vec![blue, wire, overlay],
        warnings: vec!["worker on core 1 shares its core".to_owned()],
    };
    insta::assert_snapshot!(shown(&status));
}

#[test]
fn ports_show_modes_and_why_one_is_not_up() {
    let mut dropped = Dropped::new();
    dropped.insert("runt".to_owned(), 3);
    let kernel = KernelDrops { rx_ring_full: 1_000, ..KernelDrops::default() };
    let waiting = Port {
        state: PortState::Waiting,
        reason: Some("there is no device veth-green (make it, and the port comes up)".to_owned()),
        netns: Some("/run/netns/x".into()),
        mode: None,
        xdp: None,
        queues: 0,
        checksum_offload: false,
        received: Traffic::default(),
        sent: Traffic::default(),
        ..port("green")
    };
    let trunk = Port {
        kind: PortKind::Uplink,
        vlans: [(10, "blue".to_owned()), (20, "green".to_owned())].into(),
        sharing: Some(Sharing::Mac),
        network: None,
        mode: Some(AttachMode::ZeroCopy),
        checksum_offload: false,
        dropped,
        held: 4,
        kernel,
        ..port("trunk")
    };
    let up = Port { kind: PortKind::Uplink, network: None, ..port("up0") };
    let bandwidth = Bandwidth { rate: 64_000, burst: 1_000_000 };
    let rates = Rates { ingress: Some(bandwidth), egress: Some(bandwidth), new_connections: Some(1_000) };
    let red = Port { rates, ..port("red") };
    let underlay = vec!["up0".to_owned()];
    insta::assert_snapshot!(shown(&Ports { ports: vec![waiting, red, trunk, up], underlay }));
}

#[test]
fn flows_show_both_ends_and_that_there_are_more() {
    let tcp = Flow {
        network: "blue".to_owned(),
        in_port: "red".to_owned(),
        in_tunnel: None,
        out_tunnel: None,
        out_port: Some("green".to_owned()),
        src_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        dst_mac: MacAddr([2, 0, 0, 0, 0, 2]),
        ethertype: 0x86dd,
        src: Some("fd00:1::2".parse().unwrap()),
        dst: Some("fd00:1::3".parse().unwrap()),
        protocol: Some("tcp".to_owned()),
        sport: Some(40_000),
        dport: Some(80),
        packets: 1_000,
        bytes: 1_500_000,
        idle_ms: 20,
        action: "switch".to_owned(),
    };
    let tunnel = Some(FlowTunnel { peer: "node2".to_owned(), vni: 7 });
    let into = Flow {
        out_port: Some("up0".to_owned()),
        out_tunnel: tunnel.clone(),
        action: "encapsulate to 02:00:00:00:00:0b".to_owned(),
        ..tcp.clone()
    };
    let out_of = Flow { in_port: String::new(), in_tunnel: tunnel, ..tcp.clone() };
    let strange = Flow {
        out_port: None,
        ethertype: 0x88cc,
        src: None,
        dst: None,
        protocol: None,
        sport: None,
        dport: None,
        idle_ms: 64_000,
        action: "drop: reserved_multicast".to_owned(),
        ..tcp.clone()
    };
    insta::assert_snapshot!(shown(&Flows { matched: 1_004, flows: vec![tcp, into, out_of, strange] }));
}

#[test]
fn counters_show_the_ledger_and_its_verdict() {
    let mut dropped = Dropped::new();
    dropped.insert("no_route".to_owned(), 40);
    dropped.insert("runt".to_owned(), 2);
    dropped.insert("giant".to_owned(), 0);
    let total = Ledger { received: 10_000, made: 5, sent: 9_955, held: 3, dropped };
    assert!(total.balances());
    let dropped = [("no_route".to_owned(), 40), ("runt".to_owned(), 1)].into();
    let red = PortLedger { name: "red".to_owned(), received: 9_995, sent: 9_955, held: 3, dropped };
    insta::assert_snapshot!(shown(&Counters { balanced: true, total, ports: vec![red], ..Counters::default() }));
}

#[test]
fn an_unbalanced_ledger_is_not_overlooked() {
    let counters = Counters { total: Ledger { received: 1, ..Ledger::default() }, ..Counters::default() };
    assert!(shown(&counters).contains("all received IS NOT sent + dropped + held"));
}

#[test]
fn nothing_for_a_pipe_holds_an_escape() {
    assert!(!shown(&Ports { ports: vec![port("red")], underlay: Vec::new() }).contains('\u{1b}'));
}

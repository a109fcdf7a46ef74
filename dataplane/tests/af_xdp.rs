//! Real kernels on both sides: pods in network namespaces, joined by the switch over AF_XDP.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use crossbeam::channel::unbounded;
use podlane_dataplane::{
    PortId,
    flow::{FlowTable, HashSeed},
    port::af_xdp::{Device, DeviceConfig},
    stage::resolve::Shared,
    tables::PortTable,
    testbed::Plan,
    worker::{Crew, WorkerConfig, command::Command},
};
use podlane_host::lab::{Lab, PodSpec, skip};
use podlane_rings::{AskMode, FrameSize, HugePages, Umem, UmemConfig};
use podlane_wire::MacAddr;

fn device(name: &str, ifindex: u32) -> DeviceConfig {
    DeviceConfig {
        name: name.to_owned(),
        ifindex,
        program: podlane_bpf::Program::Pod,
        pin: None,
        attach: podlane_bpf::AskMode::Native,
        mode: AskMode::Auto,
        ring: 1024,
        fill: 1024,
        queues: 8,
        multi_buffer: false,
        checksum_offload: true,
    }
}

#[test]
fn two_pods_exchange_datagrams_through_the_switch() {
    if skip("two_pods_exchange_datagrams_through_the_switch") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let pods: Vec<_> = (1..=2u8)
        .map(|n| {
            let ipv4 = Some((Ipv4Addr::new(10, 9, 0, n), 24));
            lab.pod(&PodSpec { ipv4, ..PodSpec::named(&format!("pod{n}")) }).unwrap()
        })
        .collect();
    let shared = Arc::new(Shared::new(FlowTable::new(1024, HashSeed::random()).unwrap(), 1024));
    let (_, pool) =
        Umem::create(&UmemConfig { frames: 8192, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never })
            .unwrap();
    let (events, _events) = unbounded();
    let crew =
        Crew::start(vec![(WorkerConfig { flow_idle: 60_000, ..Default::default() }, pool)], &shared, &events).unwrap();
    let mut plan = Plan::new(1);
    for (n, pod) in pods.iter().enumerate() {
        let table = PortTable {
            mac: Some(MacAddr(pod.mac)),
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 9, 0, n as u8 + 1))],
            unfinished_checksums: true,
            ..PortTable::default()
        };
        plan = plan.port(PortId(n as u16 + 1), 0, table);
    }
    let mut devices = Vec::new();
    for (n, pod) in pods.iter().enumerate() {
        let (send, lent) = unbounded();
        assert!(crew.lines[0].send(Command::Lend(2048, send)).is_ok());
        let mut pools = vec![lent.recv().unwrap()];
        let (device, ports) = lab
            .switch()
            .run(|| Device::open(&device(&pod.host_ifname, pod.host_ifindex), &mut pools))
            .unwrap()
            .unwrap();
        devices.push(device);
        for (worker, port) in ports {
            let line = &crew.lines[worker.index()];
            assert!(line.send(Command::Attach(PortId(n as u16 + 1), Box::new(port))).is_ok());
        }
        assert!(crew.lines[0].send(Command::Absorb(pools.remove(0))).is_ok());
    }
    let (send, back) = unbounded();
    assert!(crew.lines[0].send(Command::Tables(Arc::new(plan.build()), send)).is_ok());
    back.recv().unwrap();

    let receiver = pods[1].run(|| UdpSocket::bind("10.9.0.2:5000").unwrap()).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let sender = pods[0].run(|| UdpSocket::bind("10.9.0.1:0").unwrap()).unwrap();
    for n in 0..100u32 {
        sender.send_to(&n.to_be_bytes(), "10.9.0.2:5000").unwrap();
        let mut bytes = [0; 4];
        receiver.recv(&mut bytes).unwrap();
        assert_eq!(u32::from_be_bytes(bytes), n);
    }
    let (send, back) = unbounded();
    assert!(crew.lines[0].send(Command::Report(send)).is_ok());
    let report = back.recv().unwrap();
    assert!(report.counters.balanced(), "{:?}", report.counters);
    eprintln!("{:?} {:?}", report.ports, report.pace);
}

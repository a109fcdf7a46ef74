//! Instructions a packet, counted by callgrind: what noise cannot move, and what fails a change that slows the line.
//!
//! `.ci/instructions` runs this and compares with `instructions.txt`. A count depends on the compiler and its flags, on this source
//! and on that of the crates it uses, but hardly on the machine: nothing on these paths asks the processor what it can
//! do, the hash seed is fixed, and memory addresses are not hashed.
//!
//! Each function sees [`BURSTS`] bursts (of [`BURST`] packets, each of another flow), so a count divided by [`PACKETS`] is a packet's. A
//! turn includes the ports of the bench, which are counted alone as `ports`. What is not about packets is done [`PACKETS`] times, or to as
//! many: a count is one checksum's, one address's, one policy's.
#![expect(missing_docs, reason = "gungraun's macros make public items that only its runner sees")]

use core::net::{Ipv4Addr, Ipv6Addr};
use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use podlane_benches::{
    actions::{Action, Actions, Ready},
    bed::{Bed, Lap},
    carousel::Device,
    case::Case,
    cluster, packets, routes,
    stages::{Stages, keys},
};
use podlane_dataplane::{
    burst::BURST,
    flow::{FlowKey, HashSeed},
    tables::lpm::{Lpm4, Lpm6},
};
use podlane_policy::{Cluster, Compiled, Compiler};
use podlane_wire::Packet;

/// Bursts of one count. `.ci/instructions` knows the number of packets.
const BURSTS: usize = 16;
/// Packets of one count, and flows.
const PACKETS: usize = BURSTS * BURST;

fn warm(case: Case) -> Bed {
    Bed::warm(case, PACKETS)
}

/// Four times what is counted, so that its memory was touched before.
fn fresh(case: Case, lap: Lap) -> Bed {
    Bed::fresh(case, lap, 4 * PACKETS)
}

/// The ports alone, their vectors grown.
fn device(case: Case) -> Device {
    let mut device = Device::new(case.load(PACKETS));
    device.turn();
    device
}

/// As many classified bursts as are counted, no two alike.
fn classified(case: Case) -> Vec<Stages> {
    let burst = |number| {
        let mut stages = Stages::new(case, PACKETS);
        (0..=number).for_each(|_| stages.arrive());
        stages.classify();
        stages
    };
    (0..BURSTS).map(burst).collect()
}

/// As many bursts that have arrived.
fn arrived(case: Case) -> Vec<Stages> {
    let burst = |number| {
        let mut stages = Stages::new(case, PACKETS);
        (0..=number).for_each(|_| stages.arrive());
        stages
    };
    (0..BURSTS).map(burst).collect()
}

/// As many whose programs are known, and the exits, their vectors grown.
fn known(action: Action) -> (Actions, Vec<Ready>) {
    let mut actions = Actions::new(action, PACKETS);
    let first = actions.ready();
    actions.apply(first);
    let ready = (0..BURSTS).map(|_| actions.ready()).collect();
    (actions, ready)
}

/// A packet of a kind, by its place in the roster.
fn packet(kind: usize) -> Vec<u8> {
    packets::all_kinds()[kind].1.clone()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn all_keys(case: Case) -> Vec<FlowKey> {
    keys(&case.load(PACKETS)).collect()
}

#[library_benchmark]
#[bench::l2(args = (Case::Bridge), setup = warm)]
#[bench::l3(args = (Case::Route), setup = warm)]
#[bench::ipv6(args = (Case::BridgeIpv6), setup = warm)]
#[bench::vlan_pop(args = (Case::PopTag), setup = warm)]
#[bench::from_pod(args = (Case::FromPod), setup = warm)]
#[bench::encapsulate(args = (Case::Encapsulate), setup = warm)]
#[bench::decapsulate(args = (Case::Decapsulate), setup = warm)]
#[bench::tcp(args = (Case::Tcp(None)), setup = warm)]
#[bench::tcp_policies_0(args = (Case::Tcp(Some(0))), setup = warm)]
#[bench::tcp_policies_10000(args = (Case::Tcp(Some(10_000))), setup = warm)]
#[bench::tcp_ipv6(args = (Case::TcpIpv6(None)), setup = warm)]
#[bench::tcp_ipv6_policies_0(args = (Case::TcpIpv6(Some(0))), setup = warm)]
#[bench::tcp_ipv6_policies_10000(args = (Case::TcpIpv6(Some(10_000))), setup = warm)]
fn hit(mut bed: Bed) -> Bed {
    bed.turns(BURSTS);
    bed
}

#[library_benchmark]
#[bench::l2(args = (Case::Bridge, Lap::First), setup = fresh)]
#[bench::l3(args = (Case::Route, Lap::First), setup = fresh)]
#[bench::tcp_policies_10000(args = (Case::Tcp(Some(10_000)), Lap::First), setup = fresh)]
#[bench::tcp_policies_10000_second(args = (Case::Tcp(Some(10_000)), Lap::Second), setup = fresh)]
fn miss(mut bed: Bed) -> Bed {
    bed.turns(BURSTS);
    bed
}

#[library_benchmark]
#[bench::bridged(args = (Case::Bridge), setup = device)]
#[bench::routed(args = (Case::Route), setup = device)]
#[bench::tunnelled(args = (Case::Decapsulate), setup = device)]
#[bench::tcp_ipv6(args = (Case::TcpIpv6(None)), setup = device)]
fn ports(mut device: Device) -> Device {
    for _ in 0..BURSTS {
        device.turn();
    }
    device
}

#[library_benchmark]
#[bench::ipv4(args = (Case::Bridge), setup = all_keys)]
#[bench::ipv6(args = (Case::BridgeIpv6), setup = all_keys)]
fn hash(keys: Vec<FlowKey>) -> Vec<FlowKey> {
    let seed = HashSeed::fixed();
    for key in &keys {
        black_box(seed.hash(key));
    }
    keys
}

#[library_benchmark]
#[bench::ipv4(args = (Case::Bridge), setup = classified)]
#[bench::ipv6(args = (Case::BridgeIpv6), setup = classified)]
fn lookup(mut bursts: Vec<Stages>) -> Vec<Stages> {
    for stages in &mut bursts {
        black_box(stages.lookup());
    }
    bursts
}

#[library_benchmark]
#[bench::ipv4(args = (Case::Bridge), setup = arrived)]
#[bench::ipv6(args = (Case::BridgeIpv6), setup = arrived)]
#[bench::tagged(args = (Case::PopTag), setup = arrived)]
fn classify(mut bursts: Vec<Stages>) -> Vec<Stages> {
    for stages in &mut bursts {
        stages.classify();
    }
    bursts
}

#[library_benchmark]
#[bench::bridge(args = (Action::Of(Case::Bridge)), setup = known)]
#[bench::finish_checksum(args = (Action::Of(Case::FromPod)), setup = known)]
#[bench::route(args = (Action::Of(Case::Route)), setup = known)]
#[bench::route_ipv6(args = (Action::Of(Case::RouteIpv6)), setup = known)]
#[bench::tag_off(args = (Action::Of(Case::PopTag)), setup = known)]
#[bench::tag_on(args = (Action::Of(Case::PushTag)), setup = known)]
#[bench::encapsulate(args = (Action::Of(Case::Encapsulate)), setup = known)]
#[bench::drop(args = (Action::Drop), setup = known)]
#[bench::flood(args = (Action::Flood), setup = known)]
fn apply((mut actions, ready): (Actions, Vec<Ready>)) -> Actions {
    for ready in ready {
        actions.apply(ready);
    }
    actions
}

#[library_benchmark]
#[bench::udp_ipv4(args = (0), setup = packet)]
#[bench::udp_ipv4_tagged(args = (1), setup = packet)]
#[bench::udp_ipv6(args = (2), setup = packet)]
#[bench::tcp_ipv4(args = (3), setup = packet)]
#[bench::tcp_ipv6(args = (4), setup = packet)]
#[bench::vxlan(args = (5), setup = packet)]
fn parse(packet: Vec<u8>) -> Vec<u8> {
    for _ in 0..PACKETS {
        // The view itself is looked at, or the compiler leaves out what nobody asks for.
        let _ = black_box(Packet::parse(black_box(&packet)));
    }
    packet
}

#[library_benchmark]
#[bench::of_20(args = (20), setup = bytes)]
#[bench::of_64(args = (64), setup = bytes)]
#[bench::of_1460(args = (1460), setup = bytes)]
#[bench::of_9000(args = (9000), setup = bytes)]
fn checksum(bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..PACKETS {
        black_box(podlane_wire::checksum::sum(black_box(&bytes)));
    }
    bytes
}

#[library_benchmark]
#[bench::of_3(args = (3), setup = routes::ipv4)]
#[bench::of_10000(args = (10_000), setup = routes::ipv4)]
fn lpm_ipv4((table, addresses): (Lpm4, Vec<Ipv4Addr>)) -> Lpm4 {
    for address in &addresses[..PACKETS] {
        black_box(table.lookup(*address));
    }
    table
}

#[library_benchmark]
#[bench::of_3(args = (3), setup = routes::ipv6)]
#[bench::of_10000(args = (10_000), setup = routes::ipv6)]
fn lpm_ipv6((table, addresses): (Lpm6, Vec<Ipv6Addr>)) -> Lpm6 {
    for address in &addresses[..PACKETS] {
        black_box(table.lookup(*address));
    }
    table
}

/// As many policies as packets elsewhere, each about two pods.
fn cluster_of_policies() -> Cluster {
    cluster::applications(PACKETS, 2)
}

#[library_benchmark]
#[bench::policy(setup = cluster_of_policies)]
fn compile(cluster: Cluster) -> (Compiler, Compiled) {
    let mut compiler = Compiler::of(cluster);
    let compiled = compiler.compile();
    (compiler, compiled)
}

library_benchmark_group!(
    name = line,
    benchmarks = [hit, miss, ports, parse, classify, hash, lookup, apply, checksum, lpm_ipv4, lpm_ipv6, compile]
);
main!(library_benchmark_groups = line);

//! Instructions a packet, counted by callgrind: what noise cannot move, and what fails a change that slows the line.
//!
//! `.ci/instructions` runs this and compares with `instructions.txt`. A count depends on the compiler and its flags, on this source
//! and on that of the crates it uses, but hardly on the machine: nothing on these paths asks the processor what it can
//! do, the hash seed is fixed, and memory addresses are not hashed.
//!
//! Each function sees [`BURSTS`] bursts (of [`BURST`] packets, each of another flow), so a count divided by [`PACKETS`] is a packet's. A
//! turn includes the ports of the bench, which are counted alone as `ports`.
#![expect(missing_docs, reason = "gungraun's macros make public items that only its runner sees")]

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use podlane_benches::{
    bed::{Bed, Case, Lap},
    carousel::Device,
    stages::{Stages, keys},
};
use podlane_dataplane::{
    burst::BURST,
    flow::{FlowKey, HashSeed},
};

/// Bursts of one count. `.ci/instructions` knows the number of packets.
const BURSTS: usize = 16;
/// Packets of one count, and flows.
const PACKETS: usize = BURSTS * BURST;

fn warm(case: Case) -> Bed {
    Bed::warm(case, PACKETS)
}

fn fresh(case: Case, lap: Lap) -> Bed {
    Bed::fresh(case, lap)
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

library_benchmark_group!(name = line, benchmarks = [hit, miss, ports, hash, lookup]);
main!(library_benchmark_groups = line);

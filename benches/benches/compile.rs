//! compile(): what is desired becomes tables, as often as anything changes; from three pods to as many as a switch has ports. And the same of
//! policies: all of a cluster's, and what one pod that comes costs.
//!
//! `cargo bench -p podlane-benches --bench compile`.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use criterion::{BenchmarkId, Criterion};
use podlane::{
    compile::{Attached, Numbers, Seen, compile},
    config::{Machine, parse},
    desired::{Desired, Name},
};
use podlane_benches::{cluster, measure::configured};
use podlane_dataplane::Generation;
use podlane_policy::{Change, Compiler};
use podlane_wire::MacAddr;

/// Networks, and ports in each: the demo, a busy node, the most ports there are in the most networks.
const SIZES: [(usize, usize); 4] = [(1, 3), (10, 11), (1_000, 4), (4, 1_000)];

fn main() {
    let mut criterion = configured().measurement_time(Duration::from_secs(4));
    let mut group = criterion.benchmark_group("compile");
    for (networks, ports) in SIZES {
        let desired = desired(networks, ports);
        let numbers = Numbers::of(&desired);
        let attached: BTreeMap<Name, Attached> = desired
            .ports
            .keys()
            .map(|name| (name.clone(), Attached { mtu: 1500, mac: MacAddr::default(), unfinished_checksums: true }))
            .collect();
        let seen = Seen { attached, ..Seen::default() };
        let size = format!("{networks} networks of {ports} ports");
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| compile(&desired, &numbers, &seen, Generation(1)).expect("the routes make tables"));
        });
    }
    group.finish();
    policies(&mut criterion);
    criterion.final_summary();
}

/// Applications with a policy each, and pods in each: some, a cluster, the largest Kubernetes vouches for within a factor of ten.
const CLUSTERS: [(usize, usize); 3] = [(10, 10), (100, 10), (1_000, 15)];

fn policies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("policy compile");
    for (applications, pods) in CLUSTERS {
        let cluster = cluster::applications(applications, pods);
        let size = format!("{applications} policies, {} pods", applications * pods);
        group.bench_with_input(BenchmarkId::new("all", &size), &cluster, |bencher, cluster| {
            bencher.iter_with_large_drop(|| Compiler::of(cluster.clone()).compile());
        });
        let mut compiler = Compiler::of(cluster);
        let mut moved = false;
        group.bench_function(BenchmarkId::new("one pod", &size), |bencher| {
            bencher.iter(|| {
                // Of another application each time, since a pod that is as it was costs nothing.
                moved = !moved;
                compiler.apply(Change::Pod(cluster::member(usize::from(moved), 0)));
                compiler.compile()
            });
        });
    }
    group.finish();
}

/// Networks of one VRF, each of them a /20 with a gateway, and pods that state one address each.
fn desired(networks: usize, ports: usize) -> Desired {
    let mut text = String::from("[workers]\ncores = [0]\nframes = 524288\n");
    for network in 0..networks {
        let subnet = 10 << 24 | (network as u32) << 12;
        let gateway = core::net::Ipv4Addr::from_bits(subnet | 1);
        writeln!(text, "[[network]]\nname = \"n{network}\"\nvrf = \"all\"\ngateways = [\"{gateway}/20\"]")
            .expect("a String takes all");
        for port in 0..ports {
            let number = network * ports + port;
            let address = core::net::Ipv4Addr::from_bits(subnet | (port as u32 + 2));
            let [.., a, b] = (number as u32).to_be_bytes();
            writeln!(
                text,
                "[[port]]\nname = \"p{number}\"\ndevice = \"veth{number}\"\nnetwork = \"n{network}\"\n\
                 mac = \"02:00:00:00:{a:02x}:{b:02x}\"\naddresses = [\"{address}\"]"
            )
            .expect("a String takes all");
        }
    }
    let machine = Machine { cores: [0].into() };
    parse(&text, &machine).unwrap_or_else(|findings| panic!("a bench's own configuration: {}", findings[0]))
}

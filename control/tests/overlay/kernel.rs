//! A peer that is a plain kernel, with checksums in the outer UDP header, as its `vxlan` device sends by default over both families:
//! behind a veth they arrive unfinished.

use std::net::IpAddr;

use podlane_host::Netns;

use crate::ground::{End, Family, KernelNode, V4, V6, cable, endpoint, network, peer, port, underlay};
use crate::support::{Node, SOON, ping, ping_sized, tcp, udp};

/// How the node knows of the kernel's pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Stated,
    /// By what it says, and by asking for it.
    Learned,
}

fn pods_reach_those_of_a_kernel(test: &str, family: Family, keys: &str, known: Known) {
    let Some(mut node) = Node::new(test) else { return };
    let far = Netns::anonymous().unwrap();
    cable(End(node.lab.switch(), "up0"), End(&far, "up0"), family, 1500);
    End(node.lab.switch(), "up0").address(family, 1, 1);
    let far = KernelNode::start(far, (family, 1, 2), family.address(1, 1), (1, 3));
    let pod = node.pod("pod", 2);
    let (network_keys, stated) = match known {
        Known::Stated => ("", endpoint("blue", 1, 3, "linux")),
        Known::Learned => ("flood = true\n", String::new()),
    };
    let text = [
        underlay(family.address(1, 1), family.prefix(), keys),
        peer("linux", family.address(1, 2)),
        network("blue", 7, 1, network_keys),
        port("pod", "blue", 1, 2),
        stated,
    ];
    node.configure(&text.concat());
    let daemon = node.start();
    daemon.wait_all_up(SOON);

    let (near, far_v6): (IpAddr, IpAddr) = ([10, 1, 0, 2].into(), "fd00:1::3".parse().unwrap());
    assert!(ping(&pod.netns, [10, 1, 0, 3], SOON), "{}", daemon.log());
    assert!(ping(&far.pod, near, SOON) && ping(&pod.netns, far_v6, SOON));
    udp(&pod.netns, &far.pod, [10, 1, 0, 3], 1_000);
    udp(&far.pod, &pod.netns, near, 1_000);
    // In fragments, once the pods know what fits.
    udp(&pod.netns, &far.pod, [10, 1, 0, 3], 8_000);
    udp(&far.pod, &pod.netns, near, 8_000);
    assert!(ping_sized(&pod.netns, far_v6, 4_000, SOON) && ping_sized(&far.pod, near, 4_000, SOON));
    tcp(&pod.netns, &far.pod, [10, 1, 0, 3], 1 << 20);
    tcp(&far.pod, &pod.netns, near, 1 << 20);
    tcp(&pod.netns, &far.pod, far_v6, 1 << 20);
    // The hosts' own, beside it.
    tcp(&far.netns, node.lab.switch(), family.address(1, 1), 1 << 20);
    let counters = daemon.counters();
    assert!(!counters.total.dropped.contains_key("outer_checksum"), "{counters:?}");
    daemon.terminate();
}

#[test]
fn pods_reach_those_of_a_kernel_over_ipv6() {
    pods_reach_those_of_a_kernel("kernel_v6", V6, "", Known::Stated);
}

#[test]
fn pods_reach_those_of_a_kernel_over_ipv4_with_checksums_both_ways() {
    pods_reach_those_of_a_kernel("kernel_v4", V4, "udp_checksum = true\n", Known::Stated);
}

#[test]
fn a_kernels_pods_are_found_where_the_network_floods() {
    pods_reach_those_of_a_kernel("kernel_flood_v4", V4, "", Known::Learned);
    pods_reach_those_of_a_kernel("kernel_flood_v6", V6, "", Known::Learned);
}

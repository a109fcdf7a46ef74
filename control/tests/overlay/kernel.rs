//! A peer that is a plain kernel, with checksums in the outer UDP header, as its `vxlan` device sends by default over both families:
//! behind a veth they arrive unfinished.

use std::net::IpAddr;

use podlane_host::Netns;

use crate::ground::{End, Family, KernelNode, V4, V6, cable, endpoint, network, peer, port, underlay};
use crate::support::{Node, SOON, ping, tcp, udp};

fn pods_reach_those_of_a_kernel(test: &str, family: Family, keys: &str) {
    let Some(mut node) = Node::new(test) else { return };
    let far = Netns::anonymous().unwrap();
    cable(End(node.lab.switch(), "up0"), End(&far, "up0"), family, 1500);
    End(node.lab.switch(), "up0").address(family, 1, 1);
    let far = KernelNode::start(far, (family, 1, 2), family.address(1, 1), (1, 3));
    let pod = node.pod("pod", 2);
    let text = [
        underlay(family.address(1, 1), family.prefix(), keys),
        peer("linux", family.address(1, 2)),
        network("blue", 7, 1, ""),
        port("pod", "blue", 1, 2),
        endpoint("blue", 1, 3, "linux"),
    ];
    node.configure(&text.concat());
    let daemon = node.start();
    daemon.wait_all_up(SOON);

    let (near, far_v6): (IpAddr, IpAddr) = ([10, 1, 0, 2].into(), "fd00:1::3".parse().unwrap());
    assert!(ping(&pod.netns, [10, 1, 0, 3], SOON), "{}", daemon.log());
    assert!(ping(&far.pod, near, SOON) && ping(&pod.netns, far_v6, SOON));
    udp(&pod.netns, &far.pod, [10, 1, 0, 3], 1_000);
    udp(&far.pod, &pod.netns, near, 1_000);
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
    pods_reach_those_of_a_kernel("kernel_v6", V6, "");
}

#[test]
fn pods_reach_those_of_a_kernel_over_ipv4_with_checksums_both_ways() {
    pods_reach_those_of_a_kernel("kernel_v4", V4, "udp_checksum = true\n");
}

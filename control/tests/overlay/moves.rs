//! A pod that moves from one node to another, as the third one sees it: both of the others are plain kernels.

use std::process::Output;
use std::time::Duration;

use podlane_host::{Links, Netns};

use crate::ground::{End, KernelNode, V4, cable, counted, endpoint, network, peer, port, underlay};
use crate::support::{Node, SOON, Stream, ping, podlane, udp};

fn state(node: &Node, peer: &str, generation: &str) -> Output {
    let what = ["endpoint", "set", "--network", "blue", "--mac", "02:00:00:00:01:03", "--address", "10.1.0.3"];
    let said = [&what[..], &["--peer", peer, "--generation", generation, "--socket"]].concat();
    podlane().args(said).arg(node.socket()).output().unwrap()
}

/// IP packets that a pod's kernel took. It is given more: its own node's bridge reports its groups to it.
fn heard(pod: &Netns) -> u64 {
    counted(pod, "InDelivers")
}

#[test]
fn a_moved_pod_is_reached_where_it_is_and_its_old_place_hears_nothing_more() {
    let Some(mut node) = Node::new("moves") else { return };
    // The two others reach the node, each by the bridge between.
    let fabric = Netns::anonymous().unwrap();
    let mut links = Links::open_in(&fabric).unwrap();
    links.bridge("br0").unwrap();
    links.set_up("br0").unwrap();
    let others = [(); 2].map(|()| Netns::anonymous().unwrap());
    for (name, netns) in [("one", node.lab.switch()), ("two", &others[0]), ("three", &others[1])] {
        cable(End(netns, "up0"), End(&fabric, name), V4, 1500);
        links.enslave(name, "br0").unwrap();
    }
    End(node.lab.switch(), "up0").address(V4, 1, 1);
    let mut host = 1;
    let [old, new] = others.map(|netns| {
        host += 1;
        KernelNode::start(netns, (V4, 1, host), V4.address(1, 1), (1, 3))
    });
    let pod = node.pod("pod", 2);
    let text = [
        underlay(V4.address(1, 1), 24, ""),
        peer("old", V4.address(1, 2)),
        peer("new", V4.address(1, 3)),
        network("blue", 7, 1, ""),
        port("pod", "blue", 1, 2),
        endpoint("blue", 1, 3, "old"),
    ];
    node.configure(&text.concat());
    let daemon = node.start();
    daemon.wait_all_up(SOON);

    udp(&pod.netns, &old.pod, [10, 1, 0, 3], 100);
    let stream = Stream::start(&pod.netns, &old.pod, [10, 1, 0, 3]);
    stream.flows();
    let moved = state(&node, "new", "1");
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    // At once, but for what is under way in kernels.
    let before = heard(&new.pod);
    std::thread::sleep(Duration::from_millis(50));
    assert!(heard(&new.pod) > before, "the new place hears nothing");
    let last = heard(&old.pod);
    udp(&pod.netns, &new.pod, [10, 1, 0, 3], 100);
    assert!(ping(&pod.netns, [10, 1, 0, 3], SOON));

    for generation in ["0", "1"] {
        let back = state(&node, "old", generation);
        assert!(!back.status.success());
        let said = String::from_utf8_lossy(&back.stderr).into_owned();
        assert!(said.contains("is not newer than 1"), "{said}");
    }
    // What the old place still says (it was not told) is not believed either.
    let _ = ping(&old.pod, [10, 1, 0, 2], Duration::from_millis(300));
    udp(&pod.netns, &new.pod, [10, 1, 0, 3], 100);
    assert_eq!(heard(&old.pod), last, "the old place hears of it");
    drop(stream);
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["pod", "up0"]);
}

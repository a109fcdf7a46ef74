//! Pods that a runtime attaches, under policy: who they are is what the runtime says, and nothing passes before a policy knows it.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::runtime::{Container, attachments};
use crate::shop::{address, list};
use crate::support::{BLUE, Node, SOON, eventually, ping};

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: green}}
    ports:
    - port: 8080
";

/// Connects once, and says by which address.
fn connect(to: SocketAddr, patience: Duration) -> Option<IpAddr> {
    TcpStream::connect_timeout(&to, patience).ok().map(|stream| stream.local_addr().unwrap().ip())
}

#[test]
fn the_label_that_a_runtime_gives_decides_from_the_first_packet_on() {
    let Some(node) = Node::new("cni_policed") else { return };
    node.configure(&format!("[policy]\n{BLUE}{}", attachments(&node)));
    let daemon = node.start();
    let file = node.path("web.yaml");
    fs::write(&file, POLICY).unwrap();
    node.cli(&["policy", "apply", file.to_str().unwrap()]);

    let pods = ["web", "red", "green"].map(Container::new);
    let lists = ["web", "red", "green"].map(|name| list(&node, name));
    let web = lists[0].add(&pods[0], "eth0");
    let server = pods[0].netns.run(|| TcpListener::bind((address(&web), 8080))).unwrap().unwrap();
    server.set_nonblocking(true).unwrap();
    let at = SocketAddr::new(address(&web), 8080);

    // Red tries without a pause, from before it has an interface until long after it is attached.
    let is_over = AtomicBool::new(false);
    let red = std::thread::scope(|scope| {
        let trying = scope.spawn(|| {
            let mut tried = 0;
            let attempts = || {
                while !is_over.load(Ordering::Acquire) {
                    assert_eq!(connect(at, Duration::from_millis(20)), None, "red is not to reach web");
                    tried += 1;
                }
            };
            pods[1].netns.run(attempts).unwrap();
            tried
        });
        let red = lists[1].add(&pods[1], "eth0");
        // Its packets are met by the policy, and by nothing else.
        let began = Instant::now();
        while !node.cli(&["policy", "denied"]).contains("shop/red") && began.elapsed() < SOON && !trying.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
        }
        is_over.store(true, Ordering::Release);
        assert!(trying.join().unwrap() > 0);
        red
    });
    let denied = node.cli(&["policy", "denied"]);
    assert!(denied.contains("NetworkPolicy shop/web") && denied.contains("shop/red"), "{denied}");
    assert!(server.accept().is_err(), "nobody has reached web");

    let green = lists[2].add(&pods[2], "eth0");
    let reached = pods[2].netns.run(|| connect(at, SOON)).unwrap();
    assert_eq!(reached, Some(address(&green)), "the policy lets green");
    let mut accepted = None;
    eventually("the server hears of it", || {
        accepted = server.accept().ok();
        accepted.is_some()
    });
    assert_eq!(accepted.map(|(_, from)| from.ip()), Some(address(&green)));
    assert!(ping(&pods[1].netns, address(&green), SOON), "no policy is about green");

    for (number, result) in [&web, &red, &green].into_iter().enumerate() {
        lists[number].del(&pods[number], "eth0", result);
    }
    daemon.terminate();
}

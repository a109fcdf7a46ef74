//! Addresses over DHCP: Debian's plugin and its daemon, and a real server behind another port. Until the pod has its address it is closed, though not
//! to DHCP; then it is guarded and under policy like any other, and what it says to keep the address or give it back is heard.

use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podlane_host::{Links, Veth, VethPeer};
use serde_json::{Value, json};

use crate::oracle::has_packages;
use crate::runtime::{Container, List, REFERENCE, attachments};
use crate::shop::{address, list};
use crate::support::{BLUE, Daemon, Node, SOON, eventually, ping};

/// Nobody may open anything to or from a pod of `shop`, but that `shop/prober` may reach it.
const CLOSED: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: prober}}
";

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// busybox's udhcpd behind a pod's `eth0`: one address, for ten seconds, so that half of that is when its client renews.
struct Server {
    running: Running,
    leases: PathBuf,
}

impl Server {
    fn start(node: &Node, pod: &Container) -> Self {
        let [config, leases, pid] = ["udhcpd.conf", "leases", "udhcpd.pid"].map(|name| node.path(name));
        std::fs::write(&leases, "").unwrap();
        let text = format!(
            "start 10.1.0.50\nend 10.1.0.50\ninterface eth0\nlease_file {}\npidfile {}\nmin_lease 2\n\
             opt subnet 255.255.255.0\nopt router 10.1.0.1\nopt lease 10\n",
            leases.display(),
            pid.display()
        );
        std::fs::write(&config, text).unwrap();
        let start = || {
            let mut command = Command::new("busybox");
            // It asks by ARP whether an address is free, for two seconds unless it is told.
            command.args(["udhcpd", "-f", "-a", "50"]).arg(&config);
            Running::start(command)
        };
        Self { running: pod.netns.run(start).unwrap(), leases }
    }

    /// When the lease of an address ends, seconds since 1970; none where it has ended, or there is none.
    fn ends(&self, address: &str) -> Option<u64> {
        std::fs::write(&self.leases, "").unwrap();
        kill(Pid::from_raw(self.running.0.id().cast_signed()), Signal::SIGUSR1).unwrap();
        // When it was written stands first, whether or not there are any.
        eventually("the leases are written", || self.leases.metadata().is_ok_and(|file| file.len() >= 8));
        let shown = Command::new("busybox").args(["dumpleases", "-a", "-d", "-f"]).arg(&self.leases).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let line = shown.lines().find(|line| line.split_whitespace().any(|word| word == address))?;
        line.split_whitespace().last()?.parse().ok()
    }
}

/// The daemon of the plugin, which keeps the leases; none where it cannot be had, which is then said.
fn dhcp(node: &Node, test: &str) -> Option<(Running, PathBuf)> {
    let files = [Path::new(REFERENCE).join("dhcp"), "/bin/busybox".into()];
    if !has_packages(test, &["containernetworking-plugins", "busybox"], &files) {
        return None;
    }
    let socket = node.path("dhcp.sock");
    let mut command = Command::new(&files[0]);
    // Unless it is told, it waits a minute for a server.
    command.args(["daemon", "-timeout", "2s", "-resendmax", "2s", "-socketpath"]).arg(&socket);
    let running = Running::start(command);
    eventually("the plugin's daemon listens", || socket.exists());
    Some((running, socket))
}

/// The list of a pod of `shop` whose addresses come so.
fn by<'n>(node: &'n Node, name: &str, ipam: Value) -> List<'n> {
    let mut list = list(node, name);
    list.plugins[0]["ipam"] = ipam;
    list
}

fn dropped(daemon: &Daemon, reason: &str) -> u64 {
    daemon.counters().total.dropped.get(reason).copied().unwrap_or_default()
}

#[test]
fn a_pod_by_dhcp_is_under_policy_by_its_address_and_keeps_it_under_any() {
    let test = "a_pod_by_dhcp_is_under_policy_by_its_address_and_keeps_it_under_any";
    let Some(node) = Node::new("cni_dhcp") else { return };
    let Some((_keeper, socket)) = dhcp(&node, test) else { return };
    node.configure(&format!("[policy]\n{BLUE}{}", attachments(&node)));
    let daemon = node.start();
    let policy = node.path("closed.yaml");
    std::fs::write(&policy, CLOSED).unwrap();
    node.cli(&["policy", "apply", policy.to_str().unwrap()]);

    let by_dhcp = json!({"type": "dhcp", "daemonSocketPath": socket});
    let pods = ["server", "prober", "stranger", "web"].map(Container::new);
    let lists = ["server", "prober", "stranger"].map(|name| list(&node, name));
    let others: Vec<Value> = lists.iter().zip(&pods).map(|(list, pod)| list.add(pod, "eth0")).collect();
    let server = Server::start(&node, &pods[0]);

    let by_dhcp = by(&node, "web", by_dhcp);
    let web = by_dhcp.add(&pods[3], "eth0");
    assert_eq!(web["ips"][0]["address"], "10.1.0.50/24", "{web}");
    assert_eq!(web["ips"][0]["gateway"], "10.1.0.1", "{web}");
    let at: IpAddr = "10.1.0.50".parse().unwrap();
    // Known to policy by the address that it got, and by what its labels say.
    assert!(ping(&pods[1].netns, at, SOON), "the policy lets the prober");
    assert!(!ping(&pods[2].netns, at, Duration::from_millis(300)), "it lets nobody else");
    let denied = node.cli(&["policy", "denied"]);
    assert!(denied.contains("shop/stranger") && denied.contains("10.1.0.50"), "{denied}");

    // It speaks as nobody else: the guard has the address, too.
    let before = dropped(&daemon, "spoofed_address");
    Links::open_in(&pods[3].netns).unwrap().add_address("eth0", [10, 1, 0, 99].into(), 24).unwrap();
    let forge = || {
        let socket = UdpSocket::bind("10.1.0.99:0").unwrap();
        socket.send_to(b"as another", "10.1.0.1:9").unwrap();
    };
    pods[3].netns.run(forge).unwrap();
    eventually("the forged packet is dropped by name", || dropped(&daemon, "spoofed_address") > before);
    assert!(by_dhcp.check(&pods[3], "eth0", &web).is_ok);

    // Renewed while its policy lets it open nothing.
    let first = server.ends("10.1.0.50").unwrap();
    let mut ends = first;
    eventually("the lease is renewed", || {
        ends = server.ends("10.1.0.50").unwrap_or_default();
        ends > first
    });
    by_dhcp.del(&pods[3], "eth0", &web);
    assert_eq!(server.ends("10.1.0.50"), None, "the server has heard that it is given back");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now < ends, "it would have ended by itself, which says nothing");
    for (number, result) in others.iter().enumerate() {
        lists[number].del(&pods[number], "eth0", result);
    }
    eventually("no port is left", || daemon.ports().ports.is_empty());
    daemon.terminate();
}

/// What a pod says that has no address yet, though it takes one.
fn speak_early(daemon: &Daemon, pod: &Container, (to, mac): (IpAddr, [u8; 6])) {
    let mut links = Links::open_in(&pod.netns).unwrap();
    eventually("its link is up", || links.by_name("eth0").is_ok_and(|link| link.up));
    links.add_address("eth0", [10, 1, 0, 77].into(), 24).unwrap();
    // Or it asks for it, and sends nothing else.
    links.add_neighbour("eth0", to, mac).unwrap();
    let socket = pod.netns.run(|| UdpSocket::bind("10.1.0.77:0")).unwrap().unwrap();
    let before = dropped(daemon, "port_closed");
    for _ in 0..50 {
        socket.send_to(b"early", (to, 9)).unwrap();
    }
    eventually("each of it is dropped by name", || dropped(daemon, "port_closed") >= before + 50);
}

#[test]
fn without_a_server_a_pod_by_dhcp_is_closed_and_nothing_of_it_is_left() {
    let test = "without_a_server_a_pod_by_dhcp_is_closed_and_nothing_of_it_is_left";
    let Some(node) = Node::new("cni_dhcp_alone") else { return };
    let Some((_keeper, socket)) = dhcp(&node, test) else { return };
    node.configure(&format!("{BLUE}{}", attachments(&node)));
    let daemon = node.start();
    let (pod, neighbour) = (Container::new("alone"), Container::new("neighbour"));
    let beside = list(&node, "neighbour");
    let its = beside.add(&neighbour, "eth0");
    let mac = Links::open_in(&neighbour.netns).unwrap().by_name("eth0").unwrap().mac.unwrap();
    let ear = neighbour.netns.run(|| UdpSocket::bind((address(&its), 9))).unwrap().unwrap();
    ear.set_nonblocking(true).unwrap();

    let refused = std::thread::scope(|scope| {
        let speaking = scope.spawn(|| speak_early(&daemon, &pod, (address(&its), mac)));
        let refused = by(&node, "alone", json!({"type": "dhcp", "daemonSocketPath": socket})).try_add(&pod, "eth0");
        speaking.join().unwrap();
        refused
    });
    assert!(refused.details().contains("the IPAM plugin dhcp refused its ADD"), "{refused:?}");
    assert!(ear.recv_from(&mut [0; 64]).is_err(), "the neighbour has heard of it");
    beside.del(&neighbour, "eth0", &its);
    eventually("no port is left", || daemon.ports().ports.is_empty());
    assert_eq!(crate::kernel::interface(&pod.netns, "eth0"), None);
    daemon.terminate();
}

#[test]
fn a_host_device_has_its_address_by_dhcp_over_its_own_wire() {
    let test = "a_host_device_has_its_address_by_dhcp_over_its_own_wire";
    let Some(mut node) = Node::new("cni_dhcp_device") else { return };
    let Some((_keeper, socket)) = dhcp(&node, test) else { return };
    node.configure(&format!("{BLUE}{}", attachments(&node)));
    let daemon = node.start();
    let (pod, far) = (Container::new("lent"), Container::new("far"));
    let peer = VethPeer { name: "eth0", netns: Some(far.netns.as_fd()), mac: None };
    node.lab.links().veth(&Veth { name: "nic0", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    let mut beyond = Links::open_in(&far.netns).unwrap();
    beyond.add_address("eth0", [10, 1, 0, 2].into(), 24).unwrap();
    beyond.set_up("eth0").unwrap();
    let server = Server::start(&node, &far);

    let mut list = by(&node, "lent", json!({"type": "dhcp", "daemonSocketPath": socket}));
    list.plugins[0]["kind"] = "host-device".into();
    list.plugins[0]["device"] = "nic0".into();
    let lent = list.add(&pod, "eth0");
    assert_eq!(address(&lent), IpAddr::from([10, 1, 0, 50]), "{lent}");
    assert!(ping(&pod.netns, IpAddr::from([10, 1, 0, 2]), SOON));
    assert!(server.ends("10.1.0.50").is_some() && list.check(&pod, "eth0", &lent).is_ok);
    list.del(&pod, "eth0", &lent);
    assert!(crate::kernel::interface(node.lab.switch(), "nic0").is_some(), "it is the host's again");
    assert_eq!(crate::kernel::interface(&pod.netns, "eth0"), None);
    daemon.terminate();
}

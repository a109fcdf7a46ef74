//! A node of a cluster: pods that policies know by name and labels, and a daemon that enforces what a directory of YAML says.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::process::Output;

use podlane_host::Netns;
use podlane_host::lab::{Pod, PodSpec};

use crate::attempt::{Attempt, Outcome, Service};
use crate::ground::{Family, V4};
use crate::support::{Daemon, Node, SOON, podlane, spec};

/// A client and a web: the least there can be policy between.
pub(crate) const PAIR: [Member; 2] =
    [Member::new("shop/client", 2, "app: client"), Member::new("shop/web", 3, "app: web")];

/// The client is reached by nobody, and the web opens nothing.
pub(crate) const ONE_WAY: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Ingress]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: silent, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
";

/// A pod of this node.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    /// `NAMESPACE/NAME`; its port is called as it is without the namespace.
    pub(crate) name: &'static str,
    /// It is at 10.`subnet`.0.`host` and fd00:`subnet`::`host`.
    pub(crate) subnet: u8,
    pub(crate) host: u8,
    /// Its labels, as YAML has them between braces.
    pub(crate) labels: &'static str,
    /// The ports of its container, as YAML has them between brackets.
    pub(crate) ports: &'static str,
}

impl Member {
    /// A pod at 10.1.0.`host`, without ports that have names.
    pub(crate) const fn new(name: &'static str, host: u8, labels: &'static str) -> Self {
        Self { name, subnet: 1, host, labels, ports: "" }
    }

    pub(crate) fn short(&self) -> &'static str {
        self.name.split_once('/').unwrap().1
    }

    pub(crate) fn address(&self, family: Family) -> IpAddr {
        let (subnet, host) = (self.subnet, self.host);
        match family {
            V4 => [10, subnet, 0, host].into(),
            Family::V6 => [0xfd00, subnet.into(), 0, 0, 0, 0, 0, host.into()].into(),
        }
    }

    /// The pod as `kubectl get pods -o yaml` would have it, as far as policies look.
    pub(crate) fn yaml(&self) -> String {
        let Self { name, labels, ports, .. } = self;
        let (namespace, short) = name.split_once('/').unwrap();
        let [v4, v6] = [V4, Family::V6].map(|family| self.address(family));
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {short}, namespace: {namespace}, labels: {{{labels}}}}}\n\
             spec:\n  containers:\n  - name: main\n    image: main\n    ports: [{ports}]\n\
             status: {{phase: Running, podIP: {v4}, podIPs: [{{ip: {v4}}}, {{ip: \"{v6}\"}}]}}\n---\n"
        )
    }

    /// Its port in the configuration.
    pub(crate) fn port(&self) -> String {
        let (Self { name, subnet, host, .. }, short) = (self, self.short());
        format!(
            "[[port]]\nname = \"{short}\"\ndevice = \"{short}\"\nnetwork = \"net{subnet}\"\npod = \"{name}\"\n\
             mac = \"02:00:00:00:{subnet:02x}:{host:02x}\"\naddresses = [\"10.{subnet}.0.{host}\", \"fd00:{subnet:x}::{host:x}\"]\n"
        )
    }
}

/// What a [`Cluster`] is to be.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) members: &'a [Member],
    /// Policies and namespaces.
    pub(crate) yaml: &'a str,
    /// More keys under `[policy]`.
    pub(crate) keys: &'a str,
    /// More keys of every network.
    pub(crate) network: &'a str,
    /// More tables of the configuration.
    pub(crate) tables: &'a str,
    /// The MTU of the pods' links.
    pub(crate) mtu: u32,
    /// Whether there are two workers, on the cores 0 and 1, and not one.
    pub(crate) shared: bool,
}

impl<'a> Plan<'a> {
    pub(crate) const fn new(members: &'a [Member], yaml: &'a str) -> Self {
        Self { members, yaml, keys: "", network: "", tables: "", mtu: 1500, shared: false }
    }
}

/// Pods, and the switch between them.
pub(crate) struct Cluster {
    pub(crate) node: Node,
    members: Vec<(Member, Pod)>,
    daemon: Option<Daemon>,
}

impl Cluster {
    /// Pods and a daemon whose ports are up; none where the host cannot have them, which is then said on standard error.
    pub(crate) fn start(test: &str, plan: &Plan<'_>) -> Option<Self> {
        let mut cluster = Self::closed(test, plan)?;
        cluster.switch_on();
        Some(cluster)
    }

    /// As [`Self::start`], before there is a daemon.
    pub(crate) fn closed(test: &str, plan: &Plan<'_>) -> Option<Self> {
        Some(Self::on(Node::new(test)?, plan))
    }

    /// On a node that is there, before there is a daemon.
    pub(crate) fn on(mut node: Node, plan: &Plan<'_>) -> Self {
        let pod = |member: &Member| {
            let spec = PodSpec { mtu: plan.mtu, ..spec(member.short(), member.subnet, member.host) };
            (*member, node.lab.pod(&spec).unwrap())
        };
        let members = plan.members.iter().map(pod).collect();
        let directory = node.path("policy.d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("pods.yaml"), plan.members.iter().map(Member::yaml).collect::<String>()).unwrap();
        fs::write(directory.join("policies.yaml"), plan.yaml).unwrap();
        let cores = if plan.shared { "0, 1".to_owned() } else { Node::core().to_string() };
        let workers = format!("cores = [{cores}]\nframes = 8192\n");
        node.configure_with(&workers, &configuration(plan, &directory.display().to_string()));
        Self { node, members, daemon: None }
    }

    /// Starts the daemon, and waits until its ports are up.
    pub(crate) fn switch_on(&mut self) {
        self.start_daemon();
        self.daemon().wait_all_up(SOON);
    }

    /// Starts the daemon, not all of whose ports need be there.
    pub(crate) fn start_daemon(&mut self) {
        self.daemon = Some(self.node.start());
    }

    /// Takes the daemon away, to be ended.
    pub(crate) fn switch(&mut self) -> Daemon {
        self.daemon.take().unwrap()
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    pub(crate) fn member(&self, name: &str) -> &Member {
        &self.find(name).0
    }

    /// The network namespace of a pod, by its name without the Kubernetes namespace.
    pub(crate) fn pod(&self, name: &str) -> &Netns {
        &self.find(name).1.netns
    }

    fn find(&self, name: &str) -> &(Member, Pod) {
        self.members.iter().find(|(member, _)| member.short() == name).unwrap()
    }

    /// What came of one pod's attempt to use a service of another.
    pub(crate) fn attempt(&self, (from, to): (&str, &str), service: Service, family: Family) -> Outcome {
        let address = self.member(to).address(family);
        let attempt = Attempt { from: self.pod(from), source: None, to: self.pod(to), address, service };
        attempt.outcome(&|| self.denied(from))
    }

    /// Asserts of each attempt what comes of it, over both families.
    pub(crate) fn assert(&self, facts: &[(&str, &str, Service, Outcome)]) {
        for (from, to, service, expected) in facts {
            for family in [V4, Family::V6] {
                let outcome = self.attempt((from, to), *service, family);
                assert_eq!(outcome, *expected, "{from} to {to}, {service:?}, {family:?}\n{}", self.daemon().log());
            }
        }
    }

    /// Packets that came in by a port and died for a reason.
    pub(crate) fn dropped(&self, port: &str, reason: &str) -> u64 {
        self.daemon().port(port).dropped.get(reason).copied().unwrap_or(0)
    }

    /// Packets of a pod that policy denied.
    pub(crate) fn denied(&self, port: &str) -> u64 {
        self.dropped(port, "policy_denied")
    }

    /// Applies or deletes objects as an operator would; the answer comes when that is in force.
    pub(crate) fn policy(&self, verb: &str, yaml: &str) {
        let output = self.try_policy(verb, yaml);
        assert!(output.status.success(), "{output:?}\n{}", self.daemon().log());
    }

    /// As [`Self::policy`], where it may be refused.
    pub(crate) fn try_policy(&self, verb: &str, yaml: &str) -> Output {
        let file = self.node.path("change.yaml");
        fs::write(&file, yaml).unwrap();
        let (mut command, socket) = (podlane(), self.node.socket());
        command.args(["policy", verb]).arg(file).arg("--socket").arg(socket).output().unwrap()
    }

    /// Ends the daemon as an operator would.
    pub(crate) fn end(mut self) {
        let daemon = self.switch();
        daemon.counters();
        daemon.terminate();
    }
}

fn configuration(plan: &Plan<'_>, directory: &str) -> String {
    let mut text = format!("[policy]\nfiles = [\"{directory}\"]\n{}", plan.keys);
    for subnet in plan.members.iter().map(|member| member.subnet).collect::<BTreeSet<_>>() {
        let gateways = format!("\"10.{subnet}.0.1/24\", \"fd00:{subnet:x}::1/64\"");
        let keys = format!("vrf = \"pods\"\ngateways = [{gateways}]\n{}", plan.network);
        writeln!(text, "[[network]]\nname = \"net{subnet}\"\n{keys}").unwrap();
    }
    text.extend(plan.members.iter().map(Member::port));
    text + plan.tables
}

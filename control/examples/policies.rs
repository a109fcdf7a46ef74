//! What policy costs a daemon at the size that is promised: 10,000 pods in 1,000 namespaces under 10,000 policies, from YAML files
//! to verdicts in force.
//!
//! `cargo run --release -p podlane --example policies`. The worker is a stand-in that only takes commands, so that what is measured
//! is the control side's. A time is no test: it prints, and whoever runs it judges.

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use podlane::compile::Numbers;
use podlane::config::{Machine, parse};
use podlane::desired::Desired;
use podlane::enforce::{Enforcer, Judge, Live, Places};
use podlane::reconcile::{Publisher, Workers};
use podlane_dataplane::PortId;
use podlane_dataplane::policy::{End, Leasing, Opening, Policy as _};
use podlane_dataplane::worker::command::{Command, Line};
use podlane_dataplane::worker::handoff::Bell;
use podlane_policy::yaml::{self, Documents};

const NAMESPACES: usize = 1_000;
const PODS: usize = 10;
const POLICIES: usize = 10;
/// Pods of this node, each behind a port.
const PORTS: usize = 1_000;

fn address(namespace: usize, pod: usize) -> IpAddr {
    let host = u32::try_from(namespace * PODS + pod).unwrap_or(0);
    IpAddr::from((0x0a00_0000 + host).to_be_bytes())
}

fn namespace(number: usize) -> String {
    let team = number % 50;
    format!("---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: ns-{number}\n  labels: {{team: team-{team}}}\n")
}

fn pod(namespace: usize, number: usize, app: usize) -> String {
    let (port, address) = ([80, 8080][number % 2], address(namespace, number));
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: pod-{number}\n  namespace: ns-{namespace}\n  labels:\n    app: app-{app}\n    \
         tier: tier-{}\nspec:\n  containers:\n  - name: main\n    ports:\n    - name: http\n      containerPort: {port}\nstatus:\n  \
         podIP: {address}\n",
        number % 3
    )
}

/// What is common: from within the namespace and from a team's, by named port and by number; and to the world less a part.
fn policy(namespace: usize, number: usize, port: usize) -> String {
    let subject = if number == 0 { "{}".to_owned() } else { format!("{{matchLabels: {{app: app-{number}}}}}") };
    let (near, team) = ((number + 1) % PODS, (namespace + number) % 50);
    let mut text = format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: policy-{number}\n  namespace: ns-{namespace}\n\
         spec:\n  podSelector: {subject}\n  ingress:\n  - from:\n    - podSelector: {{matchLabels: {{app: app-{near}}}}}\n    \
         - namespaceSelector: {{matchLabels: {{team: team-{team}}}}}\n      podSelector: {{matchLabels: {{app: app-{number}}}}}\n    \
         ports:\n    - port: http\n    - port: {port}\n"
    );
    if number < 5 {
        let third = namespace % 256;
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "  egress:\n  - to:\n    - ipBlock: {{cidr: 0.0.0.0/0, except: [198.18.{third}.0/24]}}\n    ports:\n    - port: 443\n"
        );
    }
    text
}

fn everywhere(action: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: everywhere}}\nspec:\n  tier: Admin\n  \
         priority: 10\n  subject: {{namespaces: {{}}}}\n  ingress:\n  - action: {action}\n    from: [{{namespaces: {{matchLabels: {{team: \
         team-7}}}}}}]\n"
    )
}

/// The files, gone in the end.
struct Files(PathBuf);

impl Files {
    fn write() -> Result<Self, Box<dyn Error>> {
        let files = Self(std::env::temp_dir().join(format!("podlane-policies-{}", std::process::id())));
        std::fs::create_dir_all(&files.0)?;
        let each = |count: usize| (0..NAMESPACES).flat_map(move |space| (0..count).map(move |number| (space, number)));
        let texts: [(&str, String); 3] = [
            ("namespaces.yaml", (0..NAMESPACES).map(namespace).collect()),
            ("pods.yaml", each(PODS).map(|(space, number)| pod(space, number, number)).collect()),
            ("policies.yaml", each(POLICIES).map(|(space, number)| policy(space, number, 1_000 + number)).collect()),
        ];
        for (name, text) in texts {
            println!("{:<44} {:>9} kB", name, text.len() / 1024);
            std::fs::write(files.0.join(name), text)?;
        }
        Ok(files)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn desired(files: &Files) -> Result<Desired, Box<dyn Error>> {
    let mut text = format!(
        "[workers]\ncores = [0]\nframes = 1_000_000\n[policy]\nfiles = [\"{}\"]\n[[network]]\nname = \"blue\"\n",
        files.0.display()
    );
    for port in 0..PORTS {
        let (space, number) = (port / PODS, port % PODS);
        write!(
            text,
            "[[port]]\nname = \"p{port}\"\ndevice = \"v{port}\"\nnetwork = \"blue\"\naddresses = [\"{}\"]\npod = \"ns-{space}/pod-{number}\"\n",
            address(space, number)
        )?;
    }
    let first =
        |findings: Vec<_>| findings.into_iter().next().map(|finding: podlane::config::Finding| finding.to_string());
    parse(&text, &Machine { cores: [0].into() }).map_err(|findings| first(findings).unwrap_or_default().into())
}

/// A worker that takes policies and does nothing with them.
fn stand_in() -> Result<Workers, Box<dyn Error>> {
    let (line, commands) = Line::new(Bell::new()?);
    std::thread::spawn(move || {
        let mut held = None;
        for command in commands {
            if let Command::Policy(policy, back) = command {
                let _ = back.send(held.replace(policy));
            }
        }
    });
    Ok(Workers::new(vec![line]))
}

/// Kilobytes, from the kernel's own account of this process.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.trim_matches([':', ' ', '\t']).split(' ').next()?.parse().ok()).unwrap_or(0)
}

fn documents(text: &str) -> Result<Documents, Box<dyn Error>> {
    Ok(yaml::read([("given.yaml", text)])?)
}

fn print(title: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let [median, highest] = [times[times.len() / 2], times[times.len() - 1]];
    println!("{title:<44} {median:>9.3?} median {highest:>9.3?} highest");
}

/// How long a change takes, from its text to the worker, after a pause each.
fn changes(title: &str, enforcer: &Enforcer, text: impl Fn(usize) -> String) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for round in 0..11 {
        std::thread::sleep(Duration::from_millis(150));
        let text = text(round);
        let began = Instant::now();
        enforcer.apply(documents(&text)?, true)?;
        times.push(began.elapsed());
    }
    print(title, times);
    Ok(())
}

/// Nanoseconds a verdict, over openings that jump about.
fn verdicts(title: &str, judge: &Judge, both_here: bool) {
    let end = |port: usize| End {
        address: address(port / PODS, port % PODS),
        port: judge.places().port_of(&pod_name(port)).unwrap_or(PortId(0)),
    };
    let ends: Vec<End> = (0..PORTS).map(end).collect();
    let away = |number: usize| End { address: address(number % NAMESPACES, number % PODS), port: PortId(0x8000) };
    let rounds = 2_000_000_usize;
    let mut allowed = 0_usize;
    let began = Instant::now();
    for round in 0..rounds {
        let from = ends[round * 7919 % PORTS];
        let to = if both_here { ends[round * 104_729 % PORTS] } else { away(100 + round * 104_729 % 900) };
        let verdict =
            judge.verdict(&Opening { from, to, protocol: 6, port: black_box(80), leasing: Leasing::Unrelated });
        allowed += usize::from(verdict.allow);
    }
    let each = began.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(rounds).unwrap_or(1));
    println!("{title:<44} {each:>9.1} ns ({allowed} of {rounds} allowed)");
}

fn pod_name(port: usize) -> podlane_policy::model::PodName {
    podlane_policy::model::PodName::new(format!("ns-{}", port / PODS), format!("pod-{}", port % PODS))
}

/// A thousand pods relabelled a second, for two seconds.
fn storm(enforcer: &Enforcer, publisher: &Publisher) -> Result<(), Box<dyn Error>> {
    let (began, before) = (Instant::now(), publisher.generation().0);
    let mut times = Vec::new();
    for round in 0..2_000_u32 {
        let text = pod(500, (round % 10) as usize, (round % 7) as usize);
        let due = began + Duration::from_millis(1) * round;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let at = Instant::now();
        enforcer.apply(documents(&text)?, false)?;
        times.push(at.elapsed());
    }
    let (took, publications) = (began.elapsed(), publisher.generation().0 - before);
    print("one of 1,000 labels a second, taken in", times);
    println!("{:<44} {publications:>9} in {took:.2?}", "publications meanwhile");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let files = Files::write()?;
    let desired = desired(&files)?;
    let numbers = Numbers::of(&desired);
    let publisher = Publisher::new(stand_in()?);
    let outset = memory("VmRSS");
    let began = Instant::now();
    let (live, _) = Live::open(&desired, Arc::new(Places::of(&desired, &numbers)))?;
    println!("{:<44} {:>9.3?}", "files read and filed", began.elapsed());
    let enforcer = Enforcer::start(live, &publisher)?;
    println!("{:<44} {:>9.3?}", "files read, compiled and in force", began.elapsed());
    println!("{:<44} {:>9} kB, {outset} kB before", "peak memory", memory("VmHWM"));
    println!("{:<44} {:>9} kB", "memory then", memory("VmRSS"));
    let judge = enforcer.in_force();
    verdicts("a verdict, both pods here", &judge, true);
    verdicts("a verdict, one pod here", &judge, false);
    drop(judge);
    changes("one policy changed, in force", &enforcer, |round| policy(500, 4, 2_000 + round))?;
    changes("one pod relabelled, in force", &enforcer, |round| pod(500, 3, round % PODS))?;
    changes("a policy over every pod changed, in force", &enforcer, |round| {
        everywhere(if round % 2 == 0 { "Deny" } else { "Pass" })
    })?;
    storm(&enforcer, &publisher)?;
    println!("{:<44} {:>9} kB", "peak memory at the end", memory("VmHWM"));
    Ok(())
}

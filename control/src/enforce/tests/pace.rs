//! Changes on their way to a worker: one that only takes commands, and counts the policies among them.

use std::sync::atomic::{AtomicU32, Ordering};

use podlane_dataplane::worker::command::{Command, Line};
use podlane_dataplane::worker::handoff::Bell;

use super::*;
use crate::reconcile::Workers;

/// A worker's end of a line, on a thread.
struct StandIn {
    workers: Workers,
    /// The policies it was given.
    policies: Arc<AtomicU32>,
}

impl StandIn {
    fn start() -> Self {
        let (line, commands) = Line::new(Bell::new().unwrap());
        let policies = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&policies);
        std::thread::spawn(move || {
            let mut held = None;
            for command in commands {
                if let Command::Policy(policy, back) = command {
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = back.send(held.replace(policy));
                }
            }
        });
        Self { workers: Workers::new(vec![line]), policies }
    }

    fn given(&self) -> u32 {
        self.policies.load(Ordering::Relaxed)
    }
}

fn enforcer(test: &str, worker: &StandIn) -> (Enforcer, Publisher) {
    let directory = Directory::of(test, &[("policies.yaml", POLICIES)]);
    let desired = desired(&[&directory.0]);
    let publisher = Publisher::new(worker.workers.clone());
    let (live, _) = Live::open(&desired, places(&desired)).unwrap();
    (Enforcer::start(live, &publisher).unwrap(), publisher)
}

fn labelled(value: &str) -> Documents {
    documents(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: shop, namespace: blue, labels: {{app: {value}}}}}\n"
    ))
}

#[test]
fn a_policy_is_in_force_when_the_start_returns_and_numbered_with_the_tables() {
    let worker = StandIn::start();
    let (enforcer, publisher) = enforcer("first", &worker);
    assert_eq!((worker.given(), publisher.generation().0), (1, 1));
    let former = enforcer.in_force();
    enforcer.apply(labelled("probe"), true).unwrap();
    assert_eq!((worker.given(), publisher.generation().0), (2, 2));
    assert!(allows(&former, SHOP_AT, WEB_AT, 8443));
    assert!(!allows(&enforcer.in_force(), SHOP_AT, WEB_AT, 8443));
}

#[test]
fn a_thousand_changes_at_once_are_a_few_publications_and_the_last_one_counts() {
    let worker = StandIn::start();
    let (enforcer, _) = enforcer("storm", &worker);
    let began = Instant::now();
    for round in 0..1_000 {
        enforcer.apply(labelled(if round % 2 == 0 { "probe" } else { "shop" }), false).unwrap();
    }
    enforcer.apply(labelled("probe"), true).unwrap();
    let most = u32::try_from(began.elapsed().as_millis() / PACE.as_millis()).unwrap() + 3;
    assert!(worker.given() <= most, "{} publications, at most {most}", worker.given());
    assert!(!allows(&enforcer.in_force(), SHOP_AT, WEB_AT, 8443));
}

#[test]
fn what_is_refused_is_not_published() {
    let worker = StandIn::start();
    let (enforcer, publisher) = enforcer("refused", &worker);
    let taken = "apiVersion: v1\nkind: Pod\nmetadata: {name: thief, namespace: red}\nstatus: {podIP: 10.1.0.3}\n";
    assert!(matches!(enforcer.apply(documents(taken), true), Err(EnforceError::Unfit(_))));
    assert!(matches!(enforcer.delete(documents(taken), true), Err(EnforceError::Unfit(_))));
    std::thread::sleep(PACE * 2);
    assert_eq!((worker.given(), publisher.generation().0), (1, 1));
}

#[test]
fn a_worker_that_does_not_answer_is_told_of_and_the_change_is_kept() {
    let (line, commands) = Line::new(Bell::new().unwrap());
    let publisher = Publisher::new(Workers::new(vec![line]));
    let directory = Directory::of("silent", &[("policies.yaml", POLICIES)]);
    let desired = desired(&[&directory.0]);
    let (live, _) = Live::open(&desired, places(&desired)).unwrap();
    let answers = std::thread::spawn(move || {
        let Ok(Command::Policy(_, back)) = commands.recv() else { panic!("a policy first") };
        back.send(None).unwrap();
        commands
    });
    let enforcer = Enforcer::start(live, &publisher).unwrap();
    let commands = answers.join().unwrap();
    assert!(matches!(enforcer.apply(labelled("probe"), true), Err(EnforceError::Late)));
    // Who asks is told what all but the silent one decide by.
    let began = Instant::now();
    while allows(&enforcer.in_force(), SHOP_AT, WEB_AT, 8443) {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    // It wakes: the change reaches it without being made again.
    let given = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&given);
    let turning = std::thread::spawn(move || {
        for command in commands {
            if let Command::Policy(policy, back) = command {
                let shop = Opening {
                    from: end("10.1.0.3", SHOP),
                    to: end("10.1.0.2", WEB),
                    protocol: 6,
                    port: 8443,
                    leasing: Leasing::Unrelated,
                };
                count.fetch_add(u32::from(!policy.policy.verdict(&shop).allow), Ordering::Relaxed);
                let _ = back.send(None);
            }
        }
    });
    let began = Instant::now();
    while given.load(Ordering::Relaxed) == 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    drop((enforcer, publisher));
    turning.join().unwrap();
}

#[test]
fn what_is_changed_after_the_end_reaches_nobody_and_is_not_waited_for() {
    let worker = StandIn::start();
    let (enforcer, _) = enforcer("end", &worker);
    enforcer.apply(labelled("probe"), true).unwrap();
    // Taken, and still to be published when the end comes.
    enforcer.apply(labelled("shop"), false).unwrap();
    let began = Instant::now();
    enforcer.stop();
    assert!(matches!(enforcer.apply(labelled("other"), true), Err(EnforceError::Late)));
    assert!(began.elapsed() < PATIENCE && worker.given() <= 3);
}

/// Counts what it sees.
#[derive(Debug, Default)]
struct Count(AtomicU32);

impl Onlooker for Count {
    fn saw(&self, _: &Opening, verdict: Verdict) {
        self.0.fetch_add(if verdict.allow { 1 } else { 1_000 }, Ordering::Relaxed);
    }
}

#[test]
fn an_onlooker_sees_every_verdict_and_changes_none() {
    let count = Arc::new(Count::default());
    let bench = Bench { judge: Arc::new(live("onlooker").judge()), onlooker: Some(Arc::clone(&count) as _) };
    for port in [8443, 80] {
        let opening = Opening {
            from: end("10.1.0.3", SHOP),
            to: end("10.1.0.2", WEB),
            protocol: 6,
            port,
            leasing: Leasing::Unrelated,
        };
        assert_eq!(bench.verdict(&opening), bench.judge.verdict(&opening));
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 1_001);
}

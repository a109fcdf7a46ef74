//! What a commit costs, alone and among a hundred: `cargo run --release -p podlane-journal --example pace [DIRECTORY]`.
//!
//! The second figure is the time of each of the callers, the third that of all hundred together; each beside what is in the journal already.

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use podlane_journal::{Change, Journal, Table};

const ROUNDS: usize = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "/var/lib".to_owned());
    let path = Path::new(&directory).join(format!("podlane-pace-{}", std::process::id())).join("journal.redb");
    let (journal, _) = Journal::open(&path)?;
    for held in [0, 500, 10_000] {
        journal.commit((0..held).flat_map(|pod| attachment(pod, "held")).collect())?;
        let mut alone = Vec::new();
        for pod in 0..ROUNDS {
            let began = Instant::now();
            journal.commit(attachment(pod, "alone"))?;
            alone.push(began.elapsed());
        }
        let (mut each, mut all) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS / 20 {
            let began = Instant::now();
            each.extend(hundred(&journal));
            all.push(began.elapsed());
        }
        println!("with {held} pods: alone {}; one of a hundred {}; all hundred {}", told(alone), told(each), told(all));
    }
    journal.close();
    std::fs::remove_dir_all(path.parent().unwrap_or(&path))?;
    Ok(())
}

/// As an ADD writes it: the record of the attachment, and its two leases.
fn attachment(pod: usize, name: &str) -> Vec<Change> {
    let lease = |address: String| Change::put(Table::Leases, format!("blue {address}"), vec![b'l'; 90]);
    vec![
        Change::put(Table::Attachments, format!("cni podnet {name}-{pod} eth0"), vec![b'a'; 700]),
        lease(format!("10.1.{}.{}", pod / 256, pod % 256)),
        lease(format!("fd00::{pod:x}")),
    ]
}

fn hundred(journal: &Journal) -> Vec<Duration> {
    let together = Barrier::new(100);
    std::thread::scope(|scope| {
        let commit = |pod| {
            let together = &together;
            move || {
                together.wait();
                let began = Instant::now();
                journal.commit(attachment(pod, "many")).map(|()| began.elapsed())
            }
        };
        let callers: Vec<_> = (0..100).map(|pod| scope.spawn(commit(pod))).collect();
        callers.into_iter().filter_map(|caller| caller.join().ok()?.ok()).collect()
    })
}

fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    format!("p50 {:.2} p99 {:.2} ms", at(50), at(99))
}

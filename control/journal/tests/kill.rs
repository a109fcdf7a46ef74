//! Kill -9 at any moment: what was acknowledged is there, and what was not is there whole or not at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use podlane_journal::{Change, Journal, Records, Table};

const ROUNDS: u64 = 200;
const THREADS: usize = 4;

fn main() {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("write") => write(Path::new(&args.next().unwrap())),
        // As the test runner of the others: `cargo test NAME` runs what has the name, `--list` lists.
        Some("--list") => println!("what_was_acknowledged_survives_a_kill: test"),
        Some(filter) if !filter.starts_with('-') && !"what_was_acknowledged_survives_a_kill".contains(filter) => {}
        _ => what_was_acknowledged_survives_a_kill(),
    }
}

/// Commits without end: an attachment with the thread's count, its lease, and another lease that goes with every second one. Says so after each.
fn write(path: &Path) {
    let (journal, records) = Journal::open(path).unwrap();
    let counts = counts(&records);
    std::thread::scope(|scope| {
        for (thread, count) in counts.into_iter().enumerate() {
            let journal = &journal;
            scope.spawn(move || {
                for count in count + 1.. {
                    journal.commit(step(thread, count)).unwrap();
                    println!("{thread} {count}");
                }
            });
        }
    });
}

fn step(thread: usize, count: u64) -> Vec<Change> {
    let text = count.to_string();
    let optional = match count % 2 {
        0 => Change::put(Table::Networks, format!("{thread}"), text.clone()),
        _ => Change::delete(Table::Networks, format!("{thread}")),
    };
    // Long enough that a commit is more than one page.
    let long = format!("{text} {}", "x".repeat(3000));
    vec![
        Change::put(Table::Attachments, format!("{thread}"), long),
        Change::put(Table::Leases, format!("{thread}"), text),
        optional,
    ]
}

fn counts(records: &Records) -> Vec<u64> {
    let count = |thread: usize| {
        let text = records.leases.get(&thread.to_string()).map(|value| String::from_utf8(value.clone()).unwrap());
        text.map_or(0, |text| text.parse().unwrap())
    };
    (0..THREADS).map(count).collect()
}

fn what_was_acknowledged_survives_a_kill() {
    let directory = std::env::temp_dir().join(format!("podlane-journal-kill-{}", std::process::id()));
    let path = directory.join("journal.redb");
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut total = 0;
    for round in 0..ROUNDS {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Some before the file is made, most in the middle of a commit.
        let patience = Duration::from_micros((chance >> 33) % 40_000);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("write")
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(patience);
        child.kill().unwrap();
        let mut acknowledged = vec![0; THREADS];
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            // The last line may be cut by the kill.
            let Some((thread, count)) =
                line.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
            else {
                continue;
            };
            let thread: usize = thread;
            let last: &mut u64 = &mut acknowledged[thread];
            *last = (*last).max(count);
            total += 1;
        }
        child.wait().unwrap();
        let (_, records) = Journal::open(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        held(&records, &acknowledged, round);
    }
    assert!(total > ROUNDS, "the writers were killed before they wrote: {total} commits in {ROUNDS} rounds");
    let left: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(left, ["journal.redb"]);
    println!("{total} commits acknowledged in {ROUNDS} lives, all of them found");
}

fn held(records: &Records, acknowledged: &[u64], round: u64) {
    for (thread, (found, acknowledged)) in counts(records).into_iter().zip(acknowledged).enumerate() {
        assert!(
            found >= *acknowledged,
            "round {round}: thread {thread} was told {acknowledged}, the journal says {found}"
        );
        if found == 0 {
            continue;
        }
        let key = thread.to_string();
        let attachment = String::from_utf8(records.attachments[&key].clone()).unwrap();
        assert_eq!(attachment.split(' ').next(), Some(found.to_string().as_str()), "round {round}: half a commit");
        let network = records.networks.get(&key).map(|value| String::from_utf8(value.clone()).unwrap());
        assert_eq!(network, (found % 2 == 0).then(|| found.to_string()), "round {round}: half a commit");
    }
}

//! A daemon that is killed at any moment, or whose disk is full: what was acknowledged is there, and what was not is there whole or
//! not at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use podlane_journal::{Change, CommitError, Journal, Records, Table};

const ROUNDS: u64 = 200;
const THREADS: usize = 4;

/// A test's name, and it.
type Test = (&'static str, fn());

const TESTS: [Test; 2] = [
    ("what_was_acknowledged_survives_a_kill", what_was_acknowledged_survives_a_kill),
    (
        "a_full_disk_is_told_and_written_again_when_there_is_room",
        a_full_disk_is_told_and_written_again_when_there_is_room,
    ),
];

/// As the test runner of the others: `cargo test NAME` runs what has the name, `--list` lists.
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", path] => write(Path::new(path)),
        ["fill", path] => fill(Path::new(path)),
        _ if args.contains(&"--list") => TESTS.iter().for_each(|(name, _)| println!("{name}: test")),
        _ => {
            let filters: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
            for (name, test) in TESTS {
                if filters.is_empty() || filters.iter().any(|filter| name.contains(**filter)) {
                    test();
                    println!("test {name} ... ok");
                }
            }
        }
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
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("write")
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Every eighth while it opens the file, or makes it; the others while they write.
        let first = (round % 8 != 0).then(|| lines.next().unwrap());
        std::thread::sleep(Duration::from_micros((chance >> 33) % 20_000));
        child.kill().unwrap();
        let mut acknowledged = vec![0; THREADS];
        for line in first.into_iter().chain(lines) {
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
    assert!(total >= ROUNDS / 8 * 7, "the writers were killed before they wrote: {total} commits");
    let left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    fs::remove_dir_all(&directory).unwrap();
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

/// The largest file of this process, in bytes: what the kernel refuses beyond is what it refuses on a full disk.
fn limit(bytes: u64) {
    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes.min(most), most).unwrap();
}

fn fill(path: &Path) {
    // Else the kernel kills who writes too much, instead of refusing; the journal's own thread has this mask too.
    SigSet::from_iter([Signal::SIGXFSZ]).thread_block().unwrap();
    let (journal, _) = Journal::open(path).unwrap();
    limit(fs::metadata(path).unwrap().len());
    let fat = |count: u64| vec![Change::put(Table::Attachments, count.to_string(), vec![7; 20_000])];
    let mut count = 0;
    let error = loop {
        match journal.commit(fat(count)) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
        assert!(count < 1_000, "the limit is none");
    };
    assert!(matches!(error, CommitError::Io { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("{}: cannot be written: ", path.display())), "{error}");
    assert!(journal.commit(fat(count)).is_err());
    // What is smaller may well fit: a DEL in a full disk.
    journal.commit(vec![Change::delete(Table::Attachments, "0")]).unwrap();
    limit(u64::MAX);
    journal.commit(fat(count)).unwrap();
    println!("{count}");
}

fn a_full_disk_is_told_and_written_again_when_there_is_room() {
    let directory = std::env::temp_dir().join(format!("podlane-journal-full-{}", std::process::id()));
    let path = directory.join("journal.redb");
    let output = Command::new(std::env::current_exe().unwrap()).arg("fill").arg(&path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let last: u64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let (_, records) = Journal::open(&path).unwrap();
    let keys: Vec<u64> = {
        let mut keys: Vec<u64> = records.attachments.keys().map(|key| key.parse().unwrap()).collect();
        keys.sort_unstable();
        keys
    };
    fs::remove_dir_all(&directory).unwrap();
    assert!(last > 0, "nothing fitted at all");
    assert_eq!(keys, (1..=last).collect::<Vec<_>>());
}

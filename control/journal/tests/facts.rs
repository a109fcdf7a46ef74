//! What a journal does with files that are not as it left them, and with those who share it.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Barrier;

use podlane_journal::{Change, CommitError, Journal, OpenError, Records, Table};

/// A directory of one test, removed with it.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("podlane-journal-{test}-{}", std::process::id()));
        drop(fs::remove_dir_all(&directory));
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn journal(&self) -> PathBuf {
        self.0.join("journal.redb")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn put(table: Table, key: &str, value: &str) -> Change {
    Change::put(table, key, value)
}

#[test]
fn what_was_committed_is_read_by_the_next() {
    let place = Place::new("next");
    // The directory is made, and is nobody else's.
    let path = place.0.join("podlane/blue/journal.redb");
    let (journal, records) = Journal::open(&path).unwrap();
    assert_eq!(records, Records::default());
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    journal
        .commit(vec![put(Table::Attachments, "a", "1"), put(Table::Leases, "a", "2"), put(Table::Networks, "b", "3")])
        .unwrap();
    journal
        .commit(vec![
            put(Table::Leases, "c", "4"),
            Change::delete(Table::Networks, "b"),
            Change::delete(Table::Networks, "z"),
        ])
        .unwrap();
    journal.commit(Vec::new()).unwrap();
    drop(journal);
    let (_, records) = Journal::open(&path).unwrap();
    let text = |value: &Vec<u8>| String::from_utf8(value.clone()).unwrap();
    assert_eq!(records.attachments.values().map(text).collect::<Vec<_>>(), ["1"]);
    assert_eq!(records.leases.values().map(text).collect::<Vec<_>>(), ["2", "4"]);
    assert!(records.networks.is_empty() && !records.is_rebooted);
}

#[test]
fn one_daemon_has_a_journal_until_it_lets_go() {
    let place = Place::new("held");
    let path = place.journal();
    let (first, _) = Journal::open(&path).unwrap();
    let held = Journal::open(&path).unwrap_err();
    assert!(matches!(held, OpenError::Held { .. }), "{held}");
    let pending = first.submit(vec![put(Table::Leases, "a", "1")]);
    first.close();
    pending.wait().unwrap();
    let (second, records) = Journal::open(&path).unwrap();
    assert_eq!(records.leases.len(), 1, "what was submitted before is there");
    let refused = first.commit(vec![put(Table::Leases, "b", "2")]).unwrap_err();
    assert!(matches!(refused, CommitError::Closed { .. }), "{refused}");
    first.close();
    second.commit(vec![put(Table::Leases, "c", "3")]).unwrap();
}

#[test]
fn a_file_that_is_no_journal_is_left_as_it_is() {
    let place = Place::new("foreign");
    for content in ["", "red", "a shopping list, longer than any header that there is"] {
        let path = place.journal();
        fs::write(&path, content).unwrap();
        let refused = Journal::open(&path).unwrap_err();
        assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        fs::remove_file(&path).unwrap();
    }
    let refused = Journal::open(&place.0).unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. } | OpenError::Foreign { .. }), "{refused}");
    let below_a_file = place.0.join("file/journal.redb");
    fs::write(place.0.join("file"), "").unwrap();
    let refused = Journal::open(&below_a_file).unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
}

#[test]
fn what_was_begun_by_a_killed_daemon_is_begun_anew() {
    let place = Place::new("begun");
    fs::write(place.0.join("journal.redb.new"), "half a journ").unwrap();
    let (journal, _) = Journal::open(&place.journal()).unwrap();
    journal.commit(vec![put(Table::Leases, "a", "1")]).unwrap();
    let names: Vec<_> = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["journal.redb"]);
}

#[test]
fn a_damaged_journal_is_refused_and_left_as_it_is() {
    let place = Place::new("damaged");
    let path = place.journal();
    let (journal, _) = Journal::open(&path).unwrap();
    for count in 0..40 {
        journal.commit(vec![put(Table::Attachments, &count.to_string(), &"x".repeat(500))]).unwrap();
    }
    drop(journal);
    let whole = fs::read(&path).unwrap();
    let (journal, good) = Journal::open(&path).unwrap();
    drop(journal);
    let mut refusals = 0;
    // The first page has what leads to all others; of these, nearly each at another place.
    for at in (0..512).step_by(11).chain((512..whole.len()).step_by(4_999)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        fs::write(&path, &bytes).unwrap();
        match Journal::open(&path) {
            // What is damaged held nothing, or is made up for.
            Ok((_, records)) => assert_eq!(records, good, "byte {at}"),
            Err(OpenError::Damaged { .. } | OpenError::Foreign { .. }) => refusals += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(refusals > 10, "{refusals} refusals: what is damaged here is not what is read");
}

#[test]
fn a_hundred_callers_are_all_written() {
    let place = Place::new("hundred");
    let (journal, _) = Journal::open(&place.journal()).unwrap();
    let together = Barrier::new(100);
    std::thread::scope(|scope| {
        for caller in 0..100 {
            let (journal, together) = (&journal, &together);
            scope.spawn(move || {
                together.wait();
                journal.commit(vec![put(Table::Attachments, &caller.to_string(), "up")]).unwrap();
            });
        }
    });
    drop(journal);
    let (_, records) = Journal::open(&place.journal()).unwrap();
    assert_eq!(records.attachments.len(), 100);
}

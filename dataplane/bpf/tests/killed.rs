//! Processes that are killed, or never had the right: what they leave on the device.
//!
//! The process that is killed is this test binary once more, started for the test `victim` alone
//! and told by its environment what to do.
#![allow(clippy::unwrap_used, reason = "what only tests call fails the test")]

mod bed;

use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use bed::{Bed, NEAR, attach, attach_policed, pin, request, xdp_socket};
use podlane_bpf::{AttachError, Attachment, Program};

const ROLE: &str = "PODLANE_TEST_VICTIM";
const NOBODY: u32 = 65534;

/// Not a test of its own: what a child process does, and nothing where it is not one.
#[test]
fn victim() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let pin = pin(NEAR);
    let pin = (role != "unpinned").then_some(&*pin);
    let program = if role == "policed" { Program::PolicedPod } else { Program::Pod };
    match Attachment::attach(&request(NEAR, program, pin)) {
        Ok(mut attachment) => {
            let socket = xdp_socket();
            attachment.register(0, socket.as_fd()).unwrap();
            say("attached");
            // Until it is killed, or its parent is gone.
            let _ = io::stdin().read(&mut [0]);
        }
        Err(AttachError::NotPermitted { .. }) => say("not permitted"),
        Err(error) => say(&error.to_string()),
    }
}

/// Past the test harness, which captures what is printed.
fn say(word: &str) {
    let mut stdout = io::stdout();
    writeln!(stdout, "victim: {word}").unwrap();
}

/// A running victim; killed at the end, whatever the test does.
struct Victim {
    child: Child,
    /// What it said.
    word: String,
    /// Kept open: the harness in the child writes to it until it ends.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    /// Starts one in the calling thread's namespaces and waits for its word.
    fn start(role: &str, uid: u32) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "victim", "--nocapture"])
            .env(ROLE, role)
            .uid(uid)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = |line: io::Result<String>| line.unwrap().split("victim: ").nth(1).map(str::to_owned);
        let word = stdout.find_map(said).unwrap_or_default();
        Ok(Self { child, word, _stdout: stdout })
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn a_killed_process_takes_an_unpinned_program_with_it() {
    let test = "a_killed_process_takes_an_unpinned_program_with_it";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let wire = bed.wire();
    let mut victim = Victim::start("unpinned", 0).unwrap();
    assert_eq!(victim.word, "attached");
    assert!(wire.loses(100), "its socket has the frames");
    victim.kill();
    assert!(wire.carries(100), "the kernel has the frames again");
    attach(NEAR, None).detach().unwrap();
}

#[test]
fn a_killed_process_leaves_a_pinned_program_that_passes_and_is_adopted() {
    let test = "a_killed_process_leaves_a_pinned_program_that_passes_and_is_adopted";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let wire = bed.wire();
    let mut victim = Victim::start("pinned", 0).unwrap();
    assert_eq!(victim.word, "attached");
    assert!(wire.loses(100), "its socket has the frames");
    victim.kill();
    assert!(wire.carries(100), "the kernel has the frames again");
    let adopted = attach(NEAR, Some(&pin(NEAR)));
    assert!(adopted.adopted());
    adopted.detach().unwrap();
}

#[test]
fn a_killed_process_leaves_a_policed_pod_closed_and_its_heir_may_open_it_and_close_it_again() {
    let test = "a_killed_process_leaves_a_policed_pod_closed_and_its_heir_may_open_it_and_close_it_again";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let wire = bed.wire();
    let mut victim = Victim::start("policed", 0).unwrap();
    assert_eq!(victim.word, "attached");
    assert!(wire.loses(100), "its socket has the frames");
    victim.kill();
    assert!(wire.loses(100), "nobody has the frames");
    let pin = pin(NEAR);
    let heir = attach_policed(NEAR, Some(&pin));
    assert!(heir.adopted());
    assert!(wire.loses(100), "it has no socket yet");
    drop(heir);
    assert!(wire.loses(100), "nor any more");
    let opened = attach(NEAR, Some(&pin));
    assert!(opened.adopted());
    assert!(wire.carries(100), "without policy the kernel has the frames");
    drop(opened);
    let closed = attach_policed(NEAR, Some(&pin));
    assert!(closed.adopted());
    assert!(wire.loses(100), "under policy again");
    closed.detach().unwrap();
    assert!(wire.carries(100));
}

#[test]
fn without_the_right_the_error_says_so() {
    let test = "without_the_right_the_error_says_so";
    let Some(_bed) = Bed::with_veth(test) else {
        return;
    };
    match Victim::start("unpinned", NOBODY) {
        Ok(victim) => assert_eq!(victim.word, "not permitted"),
        Err(error) => bed::skipped(test, &format!("nobody may not run this binary ({error})")),
    }
}

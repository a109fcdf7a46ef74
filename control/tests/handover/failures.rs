//! Hand-overs that do not come about: the running daemon goes on as if nothing had happened.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::stream::Live;
use crate::support::{BLUE, Daemon, Node, SOON, port};

/// An heir that says what a test has it say, and knows the words only as bytes.
pub(crate) struct Odd(UnixStream);

impl Odd {
    fn knock(node: &Node) -> Self {
        let stream = UnixStream::connect(node.path("podlane.sock.handover")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self(stream)
    }

    fn say(&mut self, word: &str) {
        let mut message = (word.len() as u32).to_le_bytes().to_vec();
        message.extend([0; 8]);
        message.extend(word.as_bytes());
        self.0.write_all(&message).unwrap();
    }

    fn hello(&mut self, node: &Node, format: u32) {
        let config = std::fs::read_to_string(node.path("podlane.toml")).unwrap();
        let instance = config.split("instance = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let pid = std::process::id();
        self.say(&format!(
            "{{\"Hello\":{{\"format\":{format},\"version\":\"9.9.9\",\"instance\":\"{instance}\",\"pid\":{pid}}}}}"
        ));
    }

    /// One that has been told the estate: as soon as the daemon has done with the one before.
    pub(crate) fn claimed(node: &Node) -> Self {
        let began = Instant::now();
        loop {
            let mut heir = Self::knock(node);
            heir.hello(node, 1);
            let mut word = heir.hear();
            while word == "\"Waits\"" {
                word = heir.hear();
            }
            if word.starts_with("{\"Estate\"") {
                return heir;
            }
            assert!(word.contains("another one is just taking over") && began.elapsed() < SOON, "{word}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The next word, with what comes behind it thrown away.
    fn hear(&mut self) -> String {
        let mut head = [[0; 4]; 3];
        self.0.read_exact(head.as_flattened_mut()).unwrap();
        let [word, bytes, descriptors] = head.map(|length| u32::from_le_bytes(length) as usize);
        let mut text = vec![0; word];
        self.0.read_exact(&mut text).unwrap();
        let mut rest = vec![0; bytes + descriptors.div_ceil(200)];
        self.0.read_exact(&mut rest).unwrap();
        String::from_utf8(text).unwrap()
    }
}

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A node with a stream over it.
fn busy(test: &str) -> Option<(Node, Daemon, Live, [podlane_host::lab::Pod; 2])> {
    let mut node = Node::new(test)?;
    let pods = [node.pod("red", 2), node.pod("green", 3)];
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Live::start(&pods[0].netns, &pods[1].netns, [10, 1, 0, 3]);
    stream.flows();
    Some((node, daemon, stream, pods))
}

fn end((node, daemon, stream): (Node, Daemon, Live)) {
    stream.flows();
    stream.end();
    daemon.counters();
    assert!(daemon.status().took_over.is_none());
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn an_heir_that_dies_at_any_step_leaves_the_running_daemon_as_it_was() {
    let Some((node, daemon, stream, _pods)) = busy("an_heir_that_dies_at_any_step") else { return };
    for _ in 0..2 {
        drop(Odd::knock(&node));
        let greeted = Odd::claimed(&node);
        stream.flows();
        drop(greeted);
        stream.flows();
        let mut halted = Odd::claimed(&node);
        halted.say("\"Go\"");
        assert!(halted.hear().starts_with("{\"Remains\""), "{}", daemon.log());
        drop(halted);
        stream.flows();
    }
    assert!(daemon.logged(&["not handed over, and going on"]), "{}", daemon.log());
    end((node, daemon, stream));
}

#[test]
fn an_heir_that_is_silent_when_nothing_turns_is_not_waited_for_long_and_can_not_take_what_it_let_lie() {
    let Some((node, daemon, stream, _pods)) = busy("an_heir_that_is_silent") else { return };
    let mut heir = Odd::claimed(&node);
    heir.say("\"Go\"");
    heir.hear();
    let began = Instant::now();
    stream.settles();
    stream.flows();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    // Too late: the former daemon closed its ear before it turned again.
    let word = b"\"Taken\"";
    let mut message = (word.len() as u32).to_le_bytes().to_vec();
    message.extend([0; 8]);
    message.extend(word);
    assert!(heir.0.write_all(&message).is_err());
    end((node, daemon, stream));
}

#[test]
fn who_is_not_understood_or_of_another_format_is_told_why() {
    let Some((node, daemon, stream, _pods)) = busy("who_is_not_understood") else { return };
    let mut other = Odd::knock(&node);
    other.hello(&node, 999);
    let why = other.hear();
    assert!(why.contains("takes over in format 999; stop it, then start the other"), "{why}");
    let mut noise = Odd::knock(&node);
    noise.say("what?");
    assert!(noise.hear().contains("not understood"));
    let mut early = Odd::knock(&node);
    early.say("\"Taken\"");
    assert!(early.hear().contains("something else than was to be said"));
    stream.flows();
    end((node, daemon, stream));
}

#[test]
fn of_two_heirs_the_second_is_told_to_come_again() {
    let Some((node, daemon, stream, _pods)) = busy("of_two_heirs") else { return };
    let first = Odd::claimed(&node);
    let why = said(&node.refused(&node.path("podlane.toml")));
    assert!(why.contains("another one is just taking over from it; try again"), "{why}");
    drop(first);
    end((node, daemon, stream));
}

#[test]
fn another_number_of_frames_is_refused_with_what_to_do() {
    let Some((node, daemon, stream, _pods)) = busy("another_number_of_frames") else { return };
    let config = std::fs::read_to_string(node.path("podlane.toml")).unwrap();
    let other = node.path("other.toml");
    std::fs::write(&other, config.replace("frames = 8192", "frames = 4096")).unwrap();
    let why = said(&node.refused(&other));
    assert!(why.contains("has 8192 frames a worker, and this configuration asks for 4096; stop it"), "{why}");
    end((node, daemon, stream));
}

#[test]
fn a_running_daemon_that_hangs_is_named_and_goes_on_when_it_can() {
    let Some((node, daemon, stream, _pods)) = busy("a_running_daemon_that_hangs") else { return };
    kill(daemon.pid(), Signal::SIGSTOP).unwrap();
    let why = said(&node.refused(&node.path("podlane.toml")));
    kill(daemon.pid(), Signal::SIGCONT).unwrap();
    assert!(why.contains("the other daemon does not answer") && why.contains("stop the running daemon"), "{why}");
    end((node, daemon, stream));
}

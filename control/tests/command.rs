//! The command line as a user meets it: verbs, messages, exit statuses, and what is left behind.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A directory of one test's own, gone after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("podlane-{}-{test}", std::process::id()));
        fs::create_dir_all(&directory).expect("a scratch directory");
        Self(directory)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("podlane.sock")
    }

    /// A configuration that runs anywhere and for anybody: its port is a file.
    fn config(&self) -> PathBuf {
        let core = core_affinity::get_core_ids().and_then(|cores| cores.first().copied()).map_or(0, |core| core.id);
        let text = format!(
            "[daemon]\nsocket = \"{}\"\npin = false\n[workers]\ncores = [{core}]\n[[network]]\nname = \"blue\"\n\
             [[port]]\nname = \"red\"\nkind = \"replay\"\noutput = \"{}\"\nnetwork = \"blue\"\n",
            self.socket().display(),
            self.0.join("out.pcap").display()
        );
        let path = self.0.join("podlane.toml");
        fs::write(&path, text).expect("the configuration");
        path
    }

    fn podlane(&self, arguments: &[&str]) -> Output {
        podlane().args(arguments).arg("--socket").arg(self.socket()).output().expect("podlane runs")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn podlane() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podlane"));
    command.env_remove("PODLANE_SOCKET").env_remove("PODLANE_LOG");
    command
}

/// A daemon, killed if the test forgets it.
struct Daemon(Child);

impl Daemon {
    /// Starts one and waits until it says that it is ready.
    fn start(scratch: &Scratch) -> Self {
        let mut child = podlane()
            .args(["run", "--log-format", "json", "--config"])
            .arg(scratch.config())
            .stderr(Stdio::piped())
            .spawn()
            .expect("podlane runs");
        let mut log = BufReader::new(child.stderr.take().expect("its log"));
        let mut lines = String::new();
        while !lines.contains("\"message\":\"ready\"") {
            assert!(log.read_line(&mut lines).expect("its log") > 0, "the daemon ended: {lines}");
        }
        std::thread::spawn(move || log.read_to_string(&mut lines));
        Self(child)
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.0.id().try_into().expect("a pid")), signal).expect("the daemon is there");
        self.0.wait().expect("the daemon ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_daemon_answers_each_question_for_people_and_for_programs() {
    let scratch = Scratch::new("answers");
    let mut daemon = Daemon::start(&scratch);
    for (verb, in_text, in_json) in [
        ("status", "NETWORK", "\"pid\":"),
        ("ports", "replay", "\"kind\":\"replay\""),
        ("flows", "ACTION", "\"flows\":"),
        ("counters", "all received is sent + dropped + held", "\"balanced\":true"),
        ("tunnels", "no tunnels: the configuration has no [underlay]", "\"tunnels\":[]"),
        ("neighbours", "WHERE", "\"stations\":"),
        ("endpoint list", "no endpoints are stated", "\"endpoints\":[]"),
    ] {
        let verb: Vec<&str> = verb.split(' ').collect();
        let people = scratch.podlane(&verb);
        assert_eq!(people.status.code(), Some(0), "{}", stderr(&people));
        assert!(stdout(&people).contains(in_text), "{}", stdout(&people));
        assert!(!stdout(&people).contains('\u{1b}'), "no colour in a pipe");
        let json = stdout(&scratch.podlane(&[verb.as_slice(), &["--json"]].concat()));
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok_and(|value| value.is_object()), "{json}");
        assert!(json.contains(in_json), "{json}");
    }
    assert_eq!(daemon.signal(Signal::SIGTERM), Some(0));
    assert!(!scratch.socket().exists(), "SIGTERM takes the socket away");
}

#[test]
fn an_unknown_name_is_refused_with_a_guess() {
    let scratch = Scratch::new("unknown");
    let _daemon = Daemon::start(&scratch);
    let output = scratch.podlane(&["flows", "--network", "bleu"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "podlane: no network is named \"bleu\" (did you mean \"blue\"?)\n");
}

#[test]
fn an_endpoint_that_does_not_fit_is_refused_with_what_to_do() {
    let scratch = Scratch::new("endpoint");
    let _daemon = Daemon::start(&scratch);
    let set = |network, peer| {
        let which = ["endpoint", "set", "--network", network, "--mac", "02:00:00:00:00:0b", "--generation", "1"];
        scratch.podlane(&[&which[..], &["--peer", peer]].concat())
    };
    for (output, told) in [
        (set("bleu", "node2"), "no network is named \"bleu\" (did you mean \"blue\"?)"),
        (
            set("blue", "node2"),
            "no peer is named \"node2\" (the configuration has no [[peer]]: write one and restart the daemon)",
        ),
        (
            scratch.podlane(&[
                "endpoint",
                "remove",
                "--network",
                "blue",
                "--mac",
                "02:00:00:00:00:0b",
                "--generation",
                "1",
            ]),
            "network \"blue\" has no endpoint 02:00:00:00:00:0b (podlane endpoint list has them all)",
        ),
        (
            scratch.podlane(&["neighbours", "--peer", "x"]),
            "no peer is named \"x\" (the configuration has no [[peer]]: write one and restart the daemon)",
        ),
    ] {
        assert_eq!((output.status.code(), stderr(&output)), (Some(1), format!("podlane: {told}\n")));
    }
    let mac = ["endpoint", "remove", "--network", "blue", "--mac", "02:00", "--generation", "1"];
    assert_eq!(scratch.podlane(&mac).status.code(), Some(2));
}

#[test]
fn a_second_daemon_on_the_socket_is_told_why_it_cannot_take_over() {
    let scratch = Scratch::new("second");
    let daemon = Daemon::start(&scratch);
    let second = podlane().args(["run", "--config"]).arg(scratch.config()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    // It would be taken over, but has ports that cannot be.
    assert!(daemon.0.id() > 0 && stderr(&second).contains("does not hand over: "), "{}", stderr(&second));
    assert_eq!(scratch.podlane(&["status"]).status.code(), Some(0), "the first one goes on");
}

#[test]
fn after_a_kill_the_next_daemon_starts_at_once() {
    let scratch = Scratch::new("killed");
    Daemon::start(&scratch).signal(Signal::SIGKILL);
    assert!(scratch.socket().exists());
    let output = scratch.podlane(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no daemon listens on"), "{}", stderr(&output));
    let mut next = Daemon::start(&scratch);
    assert_eq!(scratch.podlane(&["status"]).status.code(), Some(0));
    assert_eq!(next.signal(Signal::SIGINT), Some(0));
    assert!(!scratch.socket().exists());
}

#[test]
fn an_idle_client_does_not_hold_the_daemon_up() {
    let scratch = Scratch::new("idle");
    let mut daemon = Daemon::start(&scratch);
    let mut idle = UnixStream::connect(scratch.socket()).unwrap();
    idle.write_all(b"{\"version\":1,").unwrap();
    let began = Instant::now();
    assert_eq!(daemon.signal(Signal::SIGTERM), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn more_clients_than_the_daemon_serves_are_told_so_and_the_rest_are_served() {
    let scratch = Scratch::new("busy");
    let _daemon = Daemon::start(&scratch);
    let idle: Vec<UnixStream> = (0..256).map(|_| UnixStream::connect(scratch.socket()).unwrap()).collect();
    let output = scratch.podlane(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("serving 256 clients"), "{}", stderr(&output));
    drop(idle);
    let deadline = Instant::now() + Duration::from_secs(5);
    while scratch.podlane(&["status"]).status.code() != Some(0) {
        assert!(Instant::now() < deadline, "the places are free again");
    }
}

#[test]
fn without_a_daemon_every_question_says_how_to_start_one() {
    let scratch = Scratch::new("absent");
    for verb in ["status", "ports", "flows", "counters", "tunnels", "neighbours"] {
        let output = scratch.podlane(&[verb, "--json"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("podlane run --config FILE"), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn check_tells_good_from_bad_by_its_exit_status() {
    let scratch = Scratch::new("check");
    let config = scratch.config();
    let good = podlane().arg("check").arg(&config).output().unwrap();
    assert_eq!(good.status.code(), Some(0), "{}", stderr(&good));
    assert!(stdout(&good).contains("good: 1 network, 1 port, 0 routes"), "{}", stdout(&good));

    let text = fs::read_to_string(&config).unwrap();
    let underlay = "[underlay]\nvteps = [\"192.0.2.1/24\"]\nuplinks = [\"up0\"]\n[[port]]\nname = \"up0\"\nkind = \"uplink\"\n\
        device = \"eth9\"\n[[peer]]\nname = \"node2\"\nvtep = \"192.0.2.2\"\n";
    fs::write(&config, format!("{text}{underlay}")).unwrap();
    let good = podlane().arg("check").arg(&config).output().unwrap();
    let counted = "good: 1 network, 2 ports, 0 routes, 1 peer, 0 endpoints, 0 underlay routes";
    assert!(stdout(&good).contains(counted), "{}", stdout(&good));
    fs::write(
        &config,
        text.replace("kind = \"replay\"\noutput", "devise").replace("\"blue\"\n[[", "\"bleu\"\nmtu = 1\n[["),
    )
    .unwrap();
    let bad = podlane().arg("check").arg(&config).output().unwrap();
    assert_eq!(bad.status.code(), Some(2));
    let lines = stderr(&bad);
    assert!(lines.contains(&format!("{}:8:7: network \"bleu\": \"mtu\" must be", config.display())), "{lines}");
    assert!(lines.contains("unknown key \"devise\" (did you mean \"device\"?)"), "{lines}");
    assert!(lines.ends_with("3 mistakes\n"), "{lines}");

    let run = podlane().args(["run", "--config"]).arg(&config).output().unwrap();
    assert_eq!((run.status.code(), stderr(&run)), (Some(2), lines), "run refuses what check refuses");
}

#[test]
fn bad_usage_is_status_2() {
    for arguments in [&["fly"][..], &[], &["run"], &["flows", "--limit", "0"], &["status", "--jason"]] {
        assert_eq!(podlane().args(arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
    let scratch = Scratch::new("usage");
    let output = podlane().args(["run", "--log", "=x=", "--config"]).arg(scratch.config()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let scratch = Scratch::new("pipe");
    let _daemon = Daemon::start(&scratch);
    let mut child = podlane()
        .args(["status", "--socket"])
        .arg(scratch.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

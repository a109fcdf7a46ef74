//! The real binary, running: what it logs, what it answers, how it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podlane_api::{Client, Counters, Port, PortState, Ports, Status};
use podlane_host::Netns;

use super::{SOON, podlane};

/// A daemon; killed if the test forgets it.
pub(crate) struct Daemon {
    child: Child,
    socket: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
    /// Set when the next line of the log shall be the last that is read.
    deaf: Arc<AtomicBool>,
    reading: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts one in a network namespace, and waits until it says that it is ready.
    pub(crate) fn start(netns: &Netns, config: &Path, socket: &Path) -> Self {
        let mut command = podlane();
        command.args(["run", "--log-format", "json", "--config"]).arg(config).stderr(Stdio::piped());
        let mut child = netns.run(|| command.spawn()).unwrap().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, written) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        let deaf = Arc::new(AtomicBool::new(false));
        let is_deaf = Arc::clone(&deaf);
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).take_while(|_| !is_deaf.load(Ordering::Relaxed)) {
                written.lock().unwrap().push(line);
            }
        });
        let mut daemon = Self { child, socket: socket.to_owned(), log, deaf, reading: Some(reading) };
        let began = Instant::now();
        while !daemon.logged(&["\"message\":\"ready\""]) {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < SOON, "not ready ({ended:?}): {}", daemon.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        daemon
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Whether some line of the log has all of these in it.
    pub(crate) fn logged(&self, words: &[&str]) -> bool {
        self.log.lock().unwrap().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Closes its standard error, at the next line.
    pub(crate) fn stop_reading(&mut self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    fn client(&self) -> Client {
        Client::connect(&self.socket, Duration::from_secs(5)).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    pub(crate) fn status(&self) -> Status {
        self.client().status().unwrap()
    }

    /// What it warns of, but for other processes on its core: a test cannot keep those away.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let own = |warning: &String| !warning.contains("of the last second for core");
        self.status().warnings.into_iter().filter(own).collect()
    }

    pub(crate) fn ports(&self) -> Ports {
        self.client().ports().unwrap()
    }

    pub(crate) fn port(&self, name: &str) -> Port {
        self.ports().ports.into_iter().find(|port| port.name == name).unwrap()
    }

    /// The ledger, which is balanced.
    pub(crate) fn counters(&self) -> Counters {
        let counters = self.client().counters().unwrap();
        assert!(counters.balanced && counters.total.balances(), "{counters:?}");
        counters
    }

    /// Waits until a port is in a state, and returns it.
    pub(crate) fn wait_for(&self, name: &str, state: PortState) -> Port {
        let began = Instant::now();
        loop {
            let port = self.port(name);
            if port.state == state {
                return port;
            }
            assert!(began.elapsed() < SOON, "{name} is not {state} within {SOON:?}: {port:#?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until all ports are up; returns how long that took.
    pub(crate) fn wait_all_up(&self, bound: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let ports = self.ports().ports;
            let down: Vec<_> = ports.iter().filter(|port| port.state != PortState::Up).collect();
            if down.is_empty() {
                return began.elapsed();
            }
            assert!(began.elapsed() < bound, "{} ports not up within {bound:?}: {:#?}", down.len(), down[0]);
            // Each answer asks the kernel about each socket.
            std::thread::sleep(Duration::from_millis(5 + ports.len() as u64));
        }
    }

    /// Ends it as an operator would; returns how long it took. It has said nothing but what it should.
    pub(crate) fn terminate(self) -> Duration {
        self.end_by(Signal::SIGTERM)
    }

    /// Ends it by a signal that should end it well.
    pub(crate) fn end_by(mut self, signal: Signal) -> Duration {
        kill(self.pid(), signal).unwrap();
        self.wait_well()
    }

    fn wait_well(&mut self) -> Duration {
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(30), "the daemon does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
        let took = began.elapsed();
        let status = self.child.wait().unwrap();
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        assert!(status.success(), "{status}: {}", self.log());
        assert!(!self.logged(&["\"level\":\"ERROR\""]), "{}", self.log());
        took
    }

    /// Waits until it has ended by itself, well.
    #[allow(dead_code, reason = "only who is succeeded ends by itself")]
    pub(crate) fn ended(mut self) {
        self.wait_well();
    }

    /// Ends it as nobody should, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The processor time its threads have had. A clock's tick is longer than what an idle daemon takes in a second.
    pub(crate) fn cpu_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().flatten();
        // The first number of Documentation/scheduler/sched-stats.rst; a thread may have ended meanwhile.
        let schedstats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
        Duration::from_nanos(schedstats.map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap()).sum())
    }

    /// Asserts that it takes this share of a core at most while nothing happens: in one of a few seconds, since a busy machine makes what it
    /// does longer, and what it should not do is done in each of them.
    pub(crate) fn assert_rests(&self, what: &str, most: f64) {
        let share = || {
            let (before, began) = (self.cpu_time(), Instant::now());
            std::thread::sleep(Duration::from_secs(1));
            self.cpu_time().saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64()
        };
        let mut shares = Vec::new();
        while shares.len() < 6 && shares.last().is_none_or(|share| *share > most) {
            shares.push(share());
        }
        let said: Vec<_> = shares.iter().map(|share| format!("{:.2} %", share * 100.0)).collect();
        let _ = writeln!(std::io::stderr(), "{what}: {} of a core", said.join(", "));
        assert!(shares.last().is_some_and(|share| *share <= most), "{what}: {said:?} of a core\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

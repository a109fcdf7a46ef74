//! One socket, one daemon; every question ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use podlane_api::{
    BindError, Client, ClientError, Connection, Counters, EndpointRemoval, FlowQuery, LineError, Listener, MacAddr,
    Refusal, Reply, Request,
};

const TIMEOUT: Duration = Duration::from_secs(2);

/// A directory of one test's own, gone after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("podlane-api-{}-{test}", std::process::id()));
        fs::create_dir_all(&directory).expect("a scratch directory");
        Self(directory)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("podlane.sock")
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.0).expect("the scratch directory").count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Serves connections, each with one answer, in the background.
fn serve(listener: Listener, answers: Vec<Result<Reply, Refusal>>) -> std::thread::JoinHandle<Listener> {
    std::thread::spawn(move || {
        for answer in answers {
            let mut connection = accept(&listener);
            connection.hear().expect("a line").expect("a request");
            connection.answer(answer).expect("the answer leaves");
        }
        listener
    })
}

fn accept(listener: &Listener) -> Connection {
    loop {
        match listener.accept(TIMEOUT) {
            Ok(connection) => break connection,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[test]
fn two_daemons_on_one_socket_are_refused_by_pid() {
    let scratch = Scratch::new("two");
    let first = Listener::bind(&scratch.socket()).unwrap();
    match Listener::bind(&scratch.socket()) {
        Err(BindError::Held { socket, pid }) => {
            assert_eq!(socket, scratch.socket());
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    assert_eq!(scratch.files(), 0, "a daemon that ends takes both its files away");
    Listener::bind(&scratch.socket()).unwrap();
}

#[test]
fn what_a_killed_daemon_left_is_replaced() {
    let scratch = Scratch::new("stale");
    drop(UnixListener::bind(scratch.socket()).unwrap());
    fs::write(scratch.0.join("podlane.sock.lock"), "4000000\n").unwrap();
    let listener = Listener::bind(&scratch.socket()).unwrap();
    let daemon = serve(listener, vec![Ok(Reply::Counters(Counters::default()))]);
    let mut client = Client::connect(&scratch.socket(), TIMEOUT).unwrap();
    assert_eq!(client.counters().unwrap(), Counters::default());
    drop(daemon.join().unwrap());
    assert_eq!(scratch.files(), 0);
}

#[test]
fn what_is_not_podlanes_stays() {
    let scratch = Scratch::new("foreign");
    fs::write(scratch.socket(), "dear diary").unwrap();
    assert!(matches!(Listener::bind(&scratch.socket()), Err(BindError::NotASocket { .. })));
    assert_eq!(fs::read(scratch.socket()).unwrap(), b"dear diary");

    fs::remove_file(scratch.socket()).unwrap();
    let _foreign = UnixListener::bind(scratch.socket()).unwrap();
    assert!(matches!(Listener::bind(&scratch.socket()), Err(BindError::Occupied { .. })));
    assert!(scratch.socket().exists());
}

#[test]
fn only_the_owner_may_connect_and_the_directory_is_made() {
    let scratch = Scratch::new("mode");
    let socket = scratch.0.join("run/podlane/podlane.sock");
    let _listener = Listener::bind(&socket).unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_before_anything_is_made() {
    let scratch = Scratch::new("long");
    let socket = scratch.0.join("x".repeat(120));
    assert!(matches!(Listener::bind(&socket), Err(BindError::PathTooLong { .. })));
    assert_eq!(scratch.files(), 0);
}

#[test]
fn however_many_race_for_the_socket_one_has_it() {
    let scratch = Scratch::new("race");
    let holders = AtomicUsize::new(0);
    let wins = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let Ok(listener) = Listener::bind(&scratch.socket()) else {
                        continue;
                    };
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                    wins.fetch_add(1, Ordering::SeqCst);
                    assert!(scratch.socket().exists());
                    holders.fetch_sub(1, Ordering::SeqCst);
                    drop(listener);
                }
            });
        }
    });
    assert!(wins.load(Ordering::SeqCst) > 0);
    assert_eq!(scratch.files(), 0);
}

#[test]
fn a_missing_or_dead_daemon_is_named_with_its_remedy() {
    let scratch = Scratch::new("absent");
    let error = Client::connect(&scratch.socket(), TIMEOUT).unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }));
    assert!(error.to_string().contains("podlane run --config"), "{error}");
    drop(UnixListener::bind(scratch.socket()).unwrap());
    assert!(matches!(Client::connect(&scratch.socket(), TIMEOUT), Err(ClientError::NotRunning { .. })));
}

#[test]
fn a_silent_daemon_costs_a_client_its_timeout_and_no_more() {
    let scratch = Scratch::new("silent");
    let _listener = Listener::bind(&scratch.socket()).unwrap();
    let began = Instant::now();
    let mut client = Client::connect(&scratch.socket(), Duration::from_millis(80)).unwrap();
    match client.status() {
        Err(ClientError::NoAnswer { source: LineError::TimedOut { waited_ms: 80 }, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_full_backlog_costs_a_client_its_timeout_and_no_more() {
    let scratch = Scratch::new("backlog");
    let _listener = Listener::bind(&scratch.socket()).unwrap();
    let timeout = Duration::from_millis(80);
    let waiting: Vec<_> = (0..1_000).map_while(|_| Client::connect(&scratch.socket(), timeout).ok()).collect();
    assert!(waiting.len() < 1_000, "the backlog is bounded");
    let began = Instant::now();
    assert!(matches!(Client::connect(&scratch.socket(), timeout), Err(ClientError::Connect { .. })));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_refusal_and_a_wrong_reply_reach_the_caller_as_themselves() {
    let scratch = Scratch::new("refusal");
    let refusal = Refusal::UnknownNetwork { name: "blu".to_owned(), nearest: Some("blue".to_owned()) };
    let answers = vec![Err(refusal.clone()), Ok(Reply::Counters(Counters::default()))];
    let daemon = serve(Listener::bind(&scratch.socket()).unwrap(), answers);

    let mut client = Client::connect(&scratch.socket(), TIMEOUT).unwrap();
    match client.flows(FlowQuery::default()) {
        Err(ClientError::Refused(got)) => assert_eq!(got, refusal),
        other => panic!("{other:?}"),
    }
    let mut client = Client::connect(&scratch.socket(), TIMEOUT).unwrap();
    let got = client.ports();
    assert!(matches!(got, Err(ClientError::OtherReply { expected: "ports", got: "counters", .. })), "{got:?}");
    daemon.join().unwrap();
}

#[test]
fn a_question_that_changes_nothing_is_asked_again_of_the_heir_of_who_hung_up() {
    let scratch = Scratch::new("heir");
    let listener = Listener::bind(&scratch.socket()).unwrap();
    let daemon = std::thread::spawn(move || {
        // The former ends with the question unanswered; who listens now is another.
        drop(accept(&listener));
        let mut heirs = accept(&listener);
        assert!(matches!(heirs.hear().unwrap(), Ok(Request::Counters)));
        heirs.answer(Ok(Reply::Counters(Counters::default()))).unwrap();
        drop(accept(&listener));
    });
    let mut client = Client::connect(&scratch.socket(), TIMEOUT).unwrap();
    assert_eq!(client.counters().unwrap(), Counters::default());

    let mut client = Client::connect(&scratch.socket(), TIMEOUT).unwrap();
    let removal = EndpointRemoval { network: "blue".to_owned(), mac: MacAddr([2, 0, 0, 0, 0, 1]), generation: 1 };
    let removed = client.remove_endpoint(removal);
    assert!(matches!(removed, Err(ClientError::NoAnswer { source: LineError::Closed, .. })), "{removed:?}");
    daemon.join().unwrap();
}

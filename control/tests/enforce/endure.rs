//! Connections as kernels use them, under policy that lets one side open and nobody the other: ended by halves, opened again with the same
//! ports, and older than the daemon.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use podlane_host::Netns;
use socket2::{Domain, Socket, Type};

use crate::attempt::{Denied, LongUdp, Tcp, Through, Udp};
use crate::cluster::{Cluster, Member, ONE_WAY, PAIR, Plan};
use crate::ground::{V4, V6};
use crate::stream::TcpFlow;
use crate::support::{SOON, eventually, within};

/// A connection from a port that may have been used before, as soon as the kernel lets it be used again.
fn connect(from: &Netns, source: SocketAddr, target: SocketAddr) -> TcpStream {
    let open = || {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&source.into()).unwrap();
        let mut connected = Err(ErrorKind::AddrNotAvailable);
        while connected == Err(ErrorKind::AddrNotAvailable) {
            connected = socket.connect_timeout(&target.into(), SOON).map_err(|error| error.kind());
        }
        connected.map(|()| socket)
    };
    let stream: TcpStream = from.run(open).unwrap().unwrap().into();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

#[test]
fn a_connection_closed_by_one_side_goes_on_the_other_way() {
    let Some(cluster) = Cluster::start("half_closed", &Plan::new(&PAIR, ONE_WAY)) else { return };
    for family in [V4, V6] {
        let [client, web] = ["client", "web"].map(|name| cluster.member(name).address(family));
        let listener = cluster.pod("web").run(|| TcpListener::bind((web, 80))).unwrap().unwrap();
        let mut asks = connect(cluster.pod("client"), (client, 0).into(), (web, 80).into());
        let mut answers = accept(&listener);
        asks.write_all(b"everything, please").unwrap();
        asks.shutdown(Shutdown::Write).unwrap();
        assert_eq!(answers.read_to_end(&mut Vec::new()).unwrap(), 18);
        std::thread::scope(|scope| {
            let heard = scope.spawn(|| std::io::copy(&mut asks, &mut std::io::sink()).unwrap());
            std::io::copy(&mut std::io::repeat(7).take(4 << 20), &mut answers).unwrap();
            answers.shutdown(Shutdown::Write).unwrap();
            assert_eq!(heard.join().unwrap(), 4 << 20, "{family:?}");
        });
    }
    assert_eq!(cluster.denied("web") + cluster.denied("client"), 0);
    cluster.end();
}

#[test]
fn the_same_ports_are_used_again_as_soon_as_kernels_do() {
    let Some(cluster) = Cluster::start("again", &Plan::new(&PAIR, ONE_WAY)) else { return };
    let [client, web] = ["client", "web"].map(|name| cluster.member(name).address(V4));
    let listener = cluster.pod("web").run(|| TcpListener::bind((web, 80))).unwrap().unwrap();
    for round in 0..20 {
        let mut asks = connect(cluster.pod("client"), (client, 4_000).into(), (web, 80).into());
        let mut answers = accept(&listener);
        asks.write_all(&[round]).unwrap();
        let mut heard = [0];
        answers.read_exact(&mut heard).unwrap();
        assert_eq!(heard, [round]);
        if round % 2 == 0 {
            // Reset by the one who opened.
            socket2::SockRef::from(&asks).set_linger(Some(Duration::ZERO)).unwrap();
            drop(asks);
            assert!(answers.read(&mut heard).is_err());
        } else {
            // Closed first by the other, who is then the one to wait for what is still on the way.
            drop(answers);
            assert_eq!(asks.read(&mut heard).unwrap(), 0);
            drop(asks);
        }
    }
    assert_eq!(cluster.denied("web") + cluster.denied("client"), 0);
    cluster.end();
}

#[test]
fn a_connection_outlives_the_daemon_and_is_followed_by_the_next_in_its_direction() {
    let Some(mut cluster) = Cluster::start("outlives", &Plan::new(&PAIR, ONE_WAY)) else { return };
    let web: [IpAddr; 2] = [V4, V6].map(|family| cluster.member("web").address(family));
    // Data flows from the client in one, and to it in the other.
    let ahead = web.map(|web| TcpFlow::start(cluster.pod("client"), cluster.pod("web"), (web, 80)));
    let back = web.map(|web| TcpFlow::back(cluster.pod("client"), cluster.pod("web"), (web, 81)));
    let all = || ahead.iter().chain(&back).for_each(TcpFlow::flows);
    for _ in 0..2 {
        all();
        cluster.switch().kill();
        cluster.switch_on();
        all();
    }
    cluster.assert(&[("web", "client", Tcp(80), Denied)]);
    all();
    drop((ahead, back));
    cluster.end();
}

#[test]
fn without_pick_up_a_connection_older_than_the_daemon_is_over() {
    let plan = Plan { keys: "pick_up = false\n", ..Plan::new(&PAIR, ONE_WAY) };
    let Some(mut cluster) = Cluster::start("no_pick_up", &plan) else { return };
    let web = cluster.member("web").address(V4);
    let flow = TcpFlow::start(cluster.pod("client"), cluster.pod("web"), (web, 80));
    flow.flows();
    cluster.switch().kill();
    // What was in the kernels when the daemon ended is heard by the time the next one begins.
    let mut heard = flow.heard();
    eventually("nothing arrives", || std::mem::replace(&mut heard, flow.heard()) == flow.heard());
    cluster.switch_on();
    eventually("its segments are refused", || cluster.dropped("client", "no_connection") > 0);
    assert_eq!((flow.heard(), cluster.denied("client")), (heard, 0));
    drop(flow);
    cluster.end();
}

#[test]
fn the_directions_of_a_connection_may_be_two_workers() {
    if core_affinity::get_core_ids().unwrap().len() < 2 {
        let _ = writeln!(std::io::stderr(), "skipped: the_directions_of_a_connection_may_be_two_workers: one core");
        return;
    }
    let plan = Plan { shared: true, ..Plan::new(&PAIR, ONE_WAY) };
    let Some(cluster) = Cluster::start("two_workers", &plan) else { return };
    let web = [V4, V6].map(|family| cluster.member("web").address(family));
    let (client, server) = (cluster.pod("client"), cluster.pod("web"));
    let ahead = web.map(|web| TcpFlow::start(client, server, (web, 80)));
    let back = web.map(|web| TcpFlow::back(client, server, (web, 81)));
    let all = || ahead.iter().chain(&back).for_each(TcpFlow::flows);
    for port in 90..100 {
        all();
        // Each worker's ledger is of another moment, and they fit together all the same.
        (0..20).for_each(|_| drop(cluster.daemon().counters()));
        cluster.assert(&[
            ("client", "web", Tcp(port), Through),
            ("client", "web", Udp(port), Through),
            ("client", "web", LongUdp(port), Through),
            ("web", "client", Tcp(port), Denied),
            ("web", "client", LongUdp(port), Denied),
        ]);
    }
    all();
    drop((ahead, back));
    cluster.end();
}

/// Opens and ends connections, each with a word each way.
fn churn(from: &Netns, to: &Netns, at: SocketAddr, times: usize) {
    let listener = to.run(|| TcpListener::bind(at)).unwrap().unwrap();
    for _ in 0..times {
        let mut asks = from.run(|| TcpStream::connect_timeout(&at, SOON)).unwrap().unwrap();
        asks.set_read_timeout(Some(SOON)).unwrap();
        let mut answers = accept(&listener);
        asks.write_all(b"?").unwrap();
        answers.read_exact(&mut [0]).unwrap();
        answers.write_all(b"!").unwrap();
        drop(answers);
        assert_eq!(asks.read_to_end(&mut Vec::new()).unwrap(), 1);
    }
}

#[test]
fn a_thousand_connections_come_and_go_while_labels_change_and_leave_nothing() {
    let members = [PAIR[0], PAIR[1], Member::new("lab/other", 4, "version: v0")];
    let keys = "[policy.timeouts]\ntcp_closed = \"1s\"\n";
    // As few flows as may be configured, so that their places are used again and again.
    let tables = "[flows]\ncapacity = 1_024\nidle = \"1s\"\n";
    let shared = core_affinity::get_core_ids().unwrap().len() > 1;
    let plan = Plan { keys, tables, shared, ..Plan::new(&members, ONE_WAY) };
    let Some(cluster) = Cluster::start("churn", &plan) else { return };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let relabelling = scope.spawn(|| {
            for number in 0.. {
                cluster.policy("apply", &members[2].yaml().replace("v0", &format!("v{number}")));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let churning: Vec<_> = [(V4, 80), (V6, 80), (V4, 81), (V6, 81)]
            .map(|(family, port)| {
                let (cluster, at) = (&cluster, (cluster.member("web").address(family), port).into());
                scope.spawn(move || churn(cluster.pod("client"), cluster.pod("web"), at, 250))
            })
            .into();
        let failed = churning.into_iter().filter_map(|thread| thread.join().err()).count();
        done.store(true, Ordering::Relaxed);
        relabelling.join().unwrap();
        assert_eq!(failed, 0, "{}", cluster.daemon().log());
    });
    assert_eq!(cluster.denied("web") + cluster.denied("client"), 0);
    let table = || cluster.daemon().status().connection_table.unwrap();
    // Workers with nothing else to do take their time: each entry is looked at once in about ten seconds.
    within(4 * SOON, "all connections are over", || table().used == 0);
    within(4 * SOON, "all flows are forgotten", || cluster.daemon().status().flow_table.used == 0);
    assert_eq!(table().opening, 0);
    cluster.end();
}

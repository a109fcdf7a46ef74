//! The meters over a plain veth between two namespaces without names: what a cable carries, and what
//! they say when there is no cable.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use podlane_host::{Links, Netns, Veth, VethPeer, sysctl};

use super::*;
use crate::demo::tests::skipped;

const LENGTH: Duration = Duration::from_millis(300);
const NEAR: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const FAR: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

/// Two namespaces and the cable between them.
struct Cable {
    near: Arc<Netns>,
    far: Arc<Netns>,
}

impl Cable {
    fn lay() -> Self {
        let [near, far] = [(); 2].map(|()| Arc::new(Netns::anonymous().unwrap()));
        for end in [&near, &far] {
            end.run(|| sysctl("net/ipv6/conf/default/accept_dad", 0)).unwrap().unwrap();
        }
        let peer = VethPeer { name: "end", netns: Some(far.as_fd()), mac: None };
        let veth = Veth { name: "end", mtu: 1500, mac: None, queues: 1, peer };
        Links::open_in(&near).unwrap().veth(&veth).unwrap();
        for (end, addresses) in [(&near, NEAR), (&far, FAR)] {
            let mut links = Links::open_in(end).unwrap();
            for (address, prefix) in addresses.into_iter().zip([24, 64]) {
                links.add_address("end", address.parse().unwrap(), prefix).unwrap();
            }
            links.set_up("end").unwrap();
        }
        let mut links = Links::open_in(&near).unwrap();
        links.wait_until("end", "to have a carrier", PATIENCE, |link| link.carrier).unwrap();
        Self { near, far }
    }

    fn pair(&self, target: &str) -> Pair {
        let place = |namespace: &Arc<Netns>| Place { namespace: Arc::clone(namespace), core: None };
        Pair { from: place(&self.near), to: place(&self.far), target: target.parse().unwrap() }
    }

    fn cut(&self) {
        Links::open_in(&self.far).unwrap().set_down("end").unwrap();
    }
}

/// Runs a meter for [`LENGTH`]; returns what it says and what it showed on the way.
fn within_bounds<T>(meter: impl FnOnce(Bounds<'_>) -> Result<T, MeterError>) -> (Result<T, MeterError>, u64) {
    let (stop, arrived) = (AtomicBool::new(false), AtomicU64::new(0));
    let outcome = meter(Bounds { length: LENGTH, stop: &stop, arrived: &arrived });
    (outcome, arrived.into_inner())
}

#[test]
fn tcp_is_measured_over_both_families() {
    if skipped("tcp_is_measured_over_both_families") {
        return;
    }
    let cable = Cable::lay();
    for target in FAR {
        let tcp = Tcp { streams: 2, both: false };
        let (measured, shown) = within_bounds(|bounds| tcp.measure(&cable.pair(target), bounds));
        let measured = measured.unwrap();
        assert!(measured.bits_per_second > 1e6, "{measured:?}");
        assert_eq!((shown, measured.bits_per_second_back), (measured.bytes, None));
    }
}

#[test]
fn tcp_is_measured_in_both_directions_at_once() {
    if skipped("tcp_is_measured_in_both_directions_at_once") {
        return;
    }
    let cable = Cable::lay();
    let tcp = Tcp { streams: 1, both: true };
    let (measured, shown) = within_bounds(|bounds| tcp.measure(&cable.pair(FAR[0]), bounds));
    let measured = measured.unwrap();
    assert!(measured.bits_per_second > 1e6 && measured.bits_per_second_back > Some(1e6), "{measured:?}");
    assert!(shown > measured.bytes, "what came back is shown as well");
}

#[test]
fn udp_is_measured_small_and_large_over_both_families() {
    if skipped("udp_is_measured_small_and_large_over_both_families") {
        return;
    }
    let cable = Cable::lay();
    for (target, payload) in FAR.into_iter().flat_map(|target| [(target, 18), (target, 1400)]) {
        let udp = Udp { payload };
        let (measured, shown) = within_bounds(|bounds| udp.measure(&cable.pair(target), bounds));
        let measured = measured.unwrap();
        assert!(measured.packets_per_second > 1000.0, "{measured:?}");
        assert!(measured.received <= measured.sent, "{measured:?}");
        assert_eq!(shown, measured.received);
    }
}

#[test]
fn echo_is_measured_over_both_families() {
    if skipped("echo_is_measured_over_both_families") {
        return;
    }
    let cable = Cable::lay();
    for target in FAR {
        let echo = Echo { pause: Duration::ZERO };
        let (measured, shown) = within_bounds(|bounds| echo.measure(&cable.pair(target), bounds));
        let round_trips = measured.unwrap().round_trips;
        assert!(round_trips.len() > 10 && shown == round_trips.len());
        assert!(round_trips.max() < 1_000_000_000, "a round trip of more than a second is a lost one");
    }
}

#[test]
fn an_echo_that_pauses_asks_no_faster_than_that() {
    if skipped("an_echo_that_pauses_asks_no_faster_than_that") {
        return;
    }
    let cable = Cable::lay();
    let echo = Echo { pause: Duration::from_millis(50) };
    let (measured, _) = within_bounds(|bounds| echo.measure(&cable.pair(FAR[0]), bounds));
    assert!((1..=7).contains(&measured.unwrap().round_trips.len()));
}

#[test]
fn over_a_cut_cable_each_meter_names_its_failure_in_bounded_time() {
    if skipped("over_a_cut_cable_each_meter_names_its_failure_in_bounded_time") {
        return;
    }
    let cable = Cable::lay();
    cable.cut();
    let start = Instant::now();
    for target in FAR {
        let pair = cable.pair(target);
        let echo = Echo { pause: Duration::ZERO };
        let (echo, _) = within_bounds(|bounds| echo.measure(&pair, bounds));
        assert!(matches!(echo, Err(MeterError::Unanswered { .. } | MeterError::Socket { .. })), "{echo:?}");
        let (tcp, _) = within_bounds(|bounds| Tcp { streams: 1, both: false }.measure(&pair, bounds));
        // IPv6 addresses of a link that is down cannot even be listened at
        assert!(matches!(tcp, Err(MeterError::Unconnected { .. } | MeterError::Socket { .. })), "{tcp:?}");
        let (udp, _) = within_bounds(|bounds| Udp { payload: 18 }.measure(&pair, bounds));
        assert!(matches!(udp, Err(MeterError::Silent { .. } | MeterError::Socket { .. })), "{udp:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_meter_that_is_told_to_stop_ends_long_before_its_time() {
    if skipped("a_meter_that_is_told_to_stop_ends_long_before_its_time") {
        return;
    }
    let cable = Cable::lay();
    let pair = cable.pair(FAR[0]);
    let (stop, arrived) = (AtomicBool::new(false), AtomicU64::new(0));
    let bounds = Bounds { length: Duration::from_secs(60), stop: &stop, arrived: &arrived };
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while arrived.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(Tcp { streams: 1, both: true }.measure(&pair, bounds).is_ok());
    });
    // once told, the others do not even begin
    let echo = Echo { pause: Duration::ZERO }.measure(&pair, bounds);
    let udp = Udp { payload: 18 }.measure(&pair, bounds);
    assert!(matches!(echo, Err(MeterError::Interrupted)));
    assert!(matches!(udp, Err(MeterError::Interrupted)));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_panic_in_a_thread_of_a_meter_is_its_failure() {
    if skipped("a_panic_in_a_thread_of_a_meter_is_its_failure") {
        return;
    }
    let place = Place { namespace: Arc::new(Netns::current().unwrap()), core: None };
    let outcome: Result<(), MeterError> =
        std::thread::scope(|scope| finish(place.start(scope, || panic!("told to")), "thread"));
    let said = outcome.unwrap_err().to_string();
    assert_eq!(said, "the thread panicked: told to; please report this as a defect of podlane");
}

#[test]
fn a_corrupt_byte_fails_the_stream_that_carried_it() {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    let pattern = pattern::Pattern::new(3);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let mut bytes = pattern.from(0)[..3000].to_vec();
    bytes[2900] ^= 1;
    client.write_all(&bytes).unwrap();
    let to: IpAddr = "127.0.0.1".parse().unwrap();
    let (received, _) = within_bounds(|bounds| tcp::receive(&server, &pattern, to, bounds).map(|_| ()));
    assert!(matches!(received, Err(MeterError::Corrupt { offset: 2900, .. })), "{received:?}");
}

//! An uplink that is shared with the host: the host's own connections go on while tunnel packets are claimed.
#![allow(clippy::unwrap_used, reason = "what only tests call fails the test")]

mod bed;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bed::{Bed, FAR, FAR_ADDRESS, NEAR, NEAR_ADDRESS, WIRE_PORT, index, request, xdp_socket};
use podlane_bpf::{AttachError, Attachment, Claim, Program, Vtep};

const PATIENCE: Duration = Duration::from_secs(10);

/// The host's own address, at which tunnel packets arrive as well.
fn shared() -> Vtep {
    Vtep { address: NEAR_ADDRESS.into(), own: false }
}

/// Addresses in the same subnet and on the same link that only the switch has.
fn own() -> [Vtep; 2] {
    ["10.9.8.7", "fe80::51"].map(|address| Vtep { address: address.parse().unwrap(), own: true })
}

/// The uplink program with a socket that takes what it claims.
fn uplink() -> (Attachment, OwnedFd) {
    let mut attachment = Attachment::attach(&request(NEAR, Program::Uplink, None)).unwrap();
    let socket = xdp_socket();
    attachment.register(0, socket.as_fd()).unwrap();
    (attachment, socket)
}

/// A server of the near namespace that sends back what it gets, for one client.
fn serve(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..length]).unwrap();
        }
    });
    at
}

fn connect(bed: &Bed, to: SocketAddr) -> TcpStream {
    let stream = bed.in_far(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn answers(stream: &mut TcpStream) -> bool {
    let said = [7; 2000];
    let mut heard = [0; 2000];
    stream.write_all(&said).is_ok() && stream.read_exact(&mut heard).is_ok() && heard == said
}

/// Whether frames go on being claimed: a change proves something only with some on both sides of it.
fn claims_more(uplink: &Attachment) -> bool {
    let claimed = || uplink.counters().unwrap().claimed;
    let (before, until) = (claimed(), Instant::now() + PATIENCE);
    while claimed() == before && Instant::now() < until {
        std::thread::yield_now();
    }
    claimed() > before
}

/// The link-local address of a device of the calling thread's namespace, once it may be used.
fn link_local(device: &str) -> Ipv6Addr {
    let until = Instant::now() + PATIENCE;
    let tentative = 0x40; // IFA_F_TENTATIVE
    while Instant::now() < until {
        let table = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        for line in table.lines() {
            let [address, _, _, scope, flags, name] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            if name == device && scope == "20" && u32::from_str_radix(flags, 16).unwrap() & tentative == 0 {
                return Ipv6Addr::from(u128::from_str_radix(address, 16).unwrap());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{device} has no link-local address");
}

#[test]
fn a_server_of_the_host_goes_on_answering_while_its_address_is_a_vtep() {
    let test = "a_server_of_the_host_goes_on_answering_while_its_address_is_a_vtep";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let (mut uplink, _socket) = uplink();
    let [own4, own6] = own();
    let vteps = [shared(), own4, own6];
    let next_hops = [FAR_ADDRESS.into()];
    let claim = Claim { vteps: &vteps, tunnel_ports: &[4789, WIRE_PORT], next_hops: &next_hops, ..Claim::default() };
    uplink.claim(&claim).unwrap();
    // From here on: the kernels find each other by ARP past the program, in both directions.
    let wire = bed.wire();
    let mut stream = connect(&bed, serve((NEAR_ADDRESS, 0).into()));
    assert!(answers(&mut stream));
    let before = uplink.counters().unwrap();
    assert!(wire.loses(100), "tunnel packets are the switch's");
    assert!(answers(&mut stream));
    let after = uplink.counters().unwrap();
    assert_eq!((after.claimed, after.fragments), (before.claimed + 1, 0));
    assert!(after.passed > before.passed);
}

#[test]
fn a_server_of_the_host_is_found_by_neighbour_discovery_beside_our_link_local_address() {
    let test = "a_server_of_the_host_is_found_by_neighbour_discovery_beside_our_link_local_address";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let (mut uplink, _socket) = uplink();
    uplink.claim(&Claim { vteps: &own(), tunnel_ports: &[4789], ..Claim::default() }).unwrap();
    let address = link_local(NEAR);
    let far = bed.in_far(|| {
        link_local(FAR);
        index(FAR)
    });
    let port = serve(SocketAddrV6::new(address, 0, 0, index(NEAR)).into()).port();
    let mut stream = connect(&bed, SocketAddrV6::new(address, port, 0, far).into());
    assert!(answers(&mut stream));
    assert_eq!(uplink.counters().unwrap().claimed, 0);
}

#[test]
fn tunnel_packets_sent_in_fragments_are_the_kernels_and_counted() {
    let test = "tunnel_packets_sent_in_fragments_are_the_kernels_and_counted";
    let Some(bed) = Bed::with_veth(test) else {
        return;
    };
    let (mut uplink, _socket) = uplink();
    uplink.claim(&Claim { vteps: &[shared()], tunnel_ports: &[WIRE_PORT], ..Claim::default() }).unwrap();
    let wire = bed.wire();
    assert!(wire.carries(4000), "the host puts them together for whom they reach");
    let counters = uplink.counters().unwrap();
    assert_eq!((counters.claimed, counters.fragments), (0, 3));
}

#[test]
fn what_two_claims_both_name_is_never_missed_between_them() {
    let Some(bed) = Bed::with_veth("what_two_claims_both_name_is_never_missed_between_them") else {
        return;
    };
    let (mut uplink, _socket) = uplink();
    let [own4, own6] = own();
    let next_hops = [FAR_ADDRESS.into()];
    let claims = [
        Claim { vteps: &[own4, shared()], tunnel_ports: &[4789, WIRE_PORT], ..Claim::default() },
        Claim {
            vteps: &[shared(), own6],
            tunnel_ports: &[WIRE_PORT, 6081, 4789],
            next_hops: &next_hops,
            ..Claim::default()
        },
        Claim { vteps: &[shared()], tunnel_ports: &[WIRE_PORT], ..Claim::default() },
    ];
    uplink.claim(&claims[0]).unwrap();
    let wire = bed.wire();
    let mut stream = connect(&bed, serve((NEAR_ADDRESS, 0).into()));
    let stop = AtomicBool::new(false);
    let undisturbed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                wire.send();
            }
        });
        let undisturbed = (0..300).all(|round| {
            let changed = uplink.claim(&claims[round % claims.len()]).is_ok();
            changed && claims_more(&uplink) && (round % 30 != 0 || answers(&mut stream))
        });
        stop.store(true, Ordering::Relaxed);
        undisturbed
    });
    assert!(undisturbed, "a change was refused, nothing was claimed after it, or the host's connection fell silent");
    assert!(wire.is_empty(), "a tunnel packet reached the host");
}

#[test]
fn a_claim_that_does_not_fit_changes_nothing() {
    let Some(bed) = Bed::with_veth("a_claim_that_does_not_fit_changes_nothing") else {
        return;
    };
    let (mut uplink, _socket) = uplink();
    uplink.claim(&Claim { vteps: &[shared()], tunnel_ports: &[WIRE_PORT], ..Claim::default() }).unwrap();
    let wire = bed.wire();
    let error = uplink.claim(&Claim { tunnel_ports: &[1, 2, 3, 4, 5], ..Claim::default() }).unwrap_err();
    assert!(matches!(error, AttachError::TooManyTunnelPorts { count: 5, .. }), "{error}");
    assert!(wire.loses(100), "what was claimed before still is");
}

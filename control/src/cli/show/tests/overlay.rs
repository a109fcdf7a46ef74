//! What people see of other nodes, line by line.

use std::net::IpAddr;

use podlane_api::{
    AttachMode, Encapsulation, Endpoint, EndpointRemoval, Endpoints, Judged, MacAddr, Neighbours, NextHop,
    NextHopState, Origin, PathMtu, PortState, Station, Traffic, Tunnel, Tunnels, Uplink,
};

use super::shown;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hop(uplink: &str, address: &str, state: NextHopState) -> NextHop {
    let known = state != NextHopState::Silent;
    let (mac, age_ms) = (known.then_some(MAC), known.then_some(1_200));
    NextHop { uplink: uplink.to_owned(), address: ip(address), mac, state, age_ms }
}

fn uplink(name: &str) -> Uplink {
    Uplink {
        name: name.to_owned(),
        state: PortState::Up,
        mode: Some(AttachMode::ZeroCopy),
        mac: Some(MacAddr([2, 0, 0, 0, 1, 1])),
        mtu: Some(1500),
        vlan: Some(30),
        received: Traffic { packets: 900, bytes: 120_000 },
        sent: Traffic { packets: 1_100, bytes: 130_000 },
        judged: Some(Judged { claimed: 905, passed: 70_000, fragments: 2 }),
    }
}

fn tunnel(peer: &str, network: &str, vni: u32) -> Tunnel {
    Tunnel {
        peer: peer.to_owned(),
        vtep: ip("192.0.2.2"),
        network: network.to_owned(),
        vni,
        encapsulation: Encapsulation::Vxlan,
        local_vtep: ip("192.0.2.1"),
        local_vtep_shared: true,
        next_hops: vec![hop("up0", "192.0.2.2", NextHopState::Reachable)],
        mtu: Some(1500),
        inner_mtu: Some(1450),
        path_mtu: None,
        received: Traffic { packets: 400, bytes: 50_000 },
        sent: Traffic { packets: 1_234, bytes: 60_000 },
        stated: 3,
        learned: 1,
    }
}

#[test]
fn tunnels_show_their_ways_their_sizes_and_their_uplinks() {
    let far = Tunnel {
        vtep: ip("198.51.100.9"),
        local_vtep_shared: false,
        encapsulation: Encapsulation::Geneve,
        next_hops: vec![
            hop("up0", "192.0.2.254", NextHopState::Silent),
            hop("up0", "192.0.2.253", NextHopState::Reachable),
        ],
        mtu: Some(1400),
        inner_mtu: Some(1350),
        path_mtu: Some(PathMtu { mtu: 1400, age_ms: 182_000 }),
        ..tunnel("far", "blue", 7)
    };
    let (total_in, total_out) =
        (Traffic { packets: 1_200, bytes: 150_000 }, Traffic { packets: 3_702, bytes: 180_000 });
    let answer = Tunnels {
        uplinks: vec![uplink("up0")],
        tunnels: vec![tunnel("node2", "blue", 7), far, tunnel("node2", "green", 8)],
        received: total_in,
        sent: total_out,
    };
    insta::assert_snapshot!(shown(&answer));
}

#[test]
fn tunnels_without_an_uplink_show_what_is_missing() {
    let gone = Uplink { state: PortState::Waiting, mode: None, mac: None, mtu: None, ..uplink("up0") };
    let gone = Uplink { vlan: None, judged: None, ..gone };
    let cut = Tunnel { next_hops: Vec::new(), mtu: None, inner_mtu: None, ..tunnel("node2", "blue", 7) };
    insta::assert_snapshot!(shown(&Tunnels { uplinks: vec![gone], tunnels: vec![cut], ..Tunnels::default() }));
    assert_eq!(shown(&Tunnels::default()), "no tunnels: the configuration has no [underlay]\n");
}

#[test]
fn neighbours_show_who_is_where_and_how_that_is_known() {
    let stated = Station {
        network: "blue".to_owned(),
        address: Some(ip("10.0.0.11")),
        mac: MAC,
        port: None,
        peer: Some("node2".to_owned()),
        origin: Origin::Stated,
        generation: Some(3),
        age_ms: None,
    };
    let learned = Station {
        address: None,
        port: Some("red".to_owned()),
        peer: None,
        origin: Origin::Learned,
        generation: None,
        age_ms: Some(42_000),
        ..stated.clone()
    };
    let nowhere = Station { address: Some(ip("fd00::7")), port: None, ..learned.clone() };
    let next_hops =
        vec![hop("up0", "192.0.2.2", NextHopState::Asking), hop("up0", "2001:db8::2", NextHopState::Silent)];
    insta::assert_snapshot!(shown(&Neighbours { matched: 7, stations: vec![stated, learned, nowhere], next_hops }));
}

#[test]
fn endpoints_show_what_is_stated_and_what_was_changed() {
    let endpoint = Endpoint {
        network: "blue".to_owned(),
        mac: MAC,
        addresses: vec![ip("10.0.0.11"), ip("fd00::11")],
        peer: "node2".to_owned(),
        generation: 3,
    };
    let bare = Endpoint { addresses: Vec::new(), network: "green".to_owned(), ..endpoint.clone() };
    insta::assert_snapshot!(shown(&Endpoints { endpoints: vec![endpoint.clone(), bare] }));
    let none = "no endpoints are stated: [[endpoint]] or podlane endpoint set\n";
    assert_eq!(shown(&Endpoints { endpoints: Vec::new() }), none);
    assert_eq!(shown(&endpoint), "endpoint 02:00:00:00:00:0b of network blue is on node2, in generation 3\n");
    let removal = EndpointRemoval { network: "blue".to_owned(), mac: MAC, generation: 4 };
    assert_eq!(shown(&removal), "endpoint 02:00:00:00:00:0b of network blue is removed, up to generation 4\n");
}

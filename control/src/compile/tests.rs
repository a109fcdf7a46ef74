#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

use std::net::Ipv4Addr;

use podlane_dataplane::ids::{PathId, Vni};
use podlane_dataplane::tables::underlay::{Hop, Vtep, link_local};
use podlane_dataplane::{NetworkId, PortId};
use proptest::prelude::*;

use super::*;
use crate::config::{Machine, parse};
use crate::desired::{Prefix, UnderlayRoute};

const UPLINK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0xee, 1]);

/// Two networks with the same subnet, two peers (one of them behind routers), two uplinks and four pods in `blue`.
fn desired() -> Desired {
    let mut text = String::from(
        "[workers]\ncores = [0]\n\
         [underlay]\nvteps = [\"192.0.2.1/24\", \"2001:db8::1/64\"]\nuplinks = [\"up0\", \"up1\"]\nvlan = 30\n\
         routes = [{ prefix = \"198.51.100.0/24\", via = [\"192.0.2.254\", \"192.0.2.253\"] }]\n\
         [[peer]]\nname = \"far\"\nvtep = \"198.51.100.9\"\n[[peer]]\nname = \"near\"\nvtep = \"2001:db8::2\"\n\
         [[network]]\nname = \"blue\"\nvni = 7\ngateways = [\"10.1.0.1/24\"]\n\
         [[network]]\nname = \"green\"\nvni = 8\npeers = [\"far\"]\nflood = true\nreplication_limit = 5\nmtu = 1400\n\
         gateways = [\"10.1.0.1/24\"]\n",
    );
    for port in ["up0", "up1"] {
        text += &format!("[[port]]\nname = \"{port}\"\ndevice = \"{port}\"\nkind = \"uplink\"\n");
    }
    for port in 0..4 {
        text += &format!("[[port]]\nname = \"pod{port}\"\ndevice = \"pod{port}\"\nnetwork = \"blue\"\n");
    }
    parse(&text, &Machine { cores: [0].into() }).unwrap_or_else(|findings| panic!("{}", findings[0]))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn seen(uplinks: &[&str]) -> Seen {
    let facts = Attached { mtu: 1500, mac: UPLINK_MAC, unfinished_checksums: false };
    Seen { attached: uplinks.iter().map(|uplink| (name(uplink), facts)).collect(), ..Seen::default() }
}

fn tables(desired: &Desired, seen: &Seen) -> Tables {
    compile(desired, &Numbers::of(desired), seen, Generation(1)).unwrap()
}

fn endpoint(mac: u8, addresses: &[IpAddr], peer: &str, generation: u64) -> Endpoint {
    let mac = desired::MacAddr([2, 0, 0, 0, 0, mac]);
    Endpoint { network: name("blue"), mac, addresses: addresses.to_vec(), peer: name(peer), generation }
}

#[test]
fn every_peer_of_every_network_has_a_path_by_every_uplink() {
    let desired = desired();
    let seen = Seen { hosts: [IpAddr::from([192, 0, 2, 1])].into(), ..seen(&["up0", "up1"]) };
    let Tables { underlay, networks, ports, .. } = tables(&desired, &seen);
    let [v4, v6] = ["192.0.2.1", "2001:db8::1"].map(|vtep| vtep.parse::<IpAddr>().unwrap());
    assert_eq!(underlay.vteps, [Vtep { address: v4, shared: true }, Vtep { address: v6, shared: false }]);
    let numbers = Numbers::of(&desired);
    let [up0, up1] = ["up0", "up1"].map(|uplink| numbers.port(&name(uplink)));
    let uplinks: Vec<_> = underlay.uplinks.iter().map(|uplink| (uplink.port, uplink.vlan, uplink.mtu)).collect();
    assert_eq!(uplinks, [(up0, Some(30), 1500), (up1, Some(30), 1500)]);
    assert!(underlay.uplinks.iter().all(|uplink| uplink.link_local == link_local(UPLINK_MAC)));
    let paths: Vec<_> =
        underlay.paths.iter().map(|path| (path.network.0, path.peer, path.vni.0, path.egress)).collect();
    assert_eq!(paths, [(0, 0, 7, up0), (0, 0, 7, up1), (0, 1, 7, up0), (0, 1, 7, up1), (1, 0, 8, up0), (1, 0, 8, up1)]);
    assert_eq!(underlay.first_path(NetworkId(0), 1), Some(PathId(2)));
    assert_eq!(numbers.peer_name(1), Some(&name("near")));
    assert_eq!(underlay.paths[0].gateway_mac, networks[0].gateway.as_ref().unwrap().mac);
    // Only `green` floods, and has one peer; nobody learns of a tunnel that it is unknown.
    assert_eq!((&networks[0].replicate_to[..], &networks[1].replicate_to[..]), (&[][..], &[PathId(4)][..]));
    assert_eq!(networks[1].replication_limit, 5);
    assert!(networks.iter().all(|network| network.snooping && network.learning && network.flood_unknown));
    assert!(ports[up0.index()].as_ref().is_some_and(|port| port.underlay && port.native.is_none()));
    assert_eq!(underlay.paths[0].vni, Vni(7));
}

#[test]
fn what_is_stated_elsewhere_keeps_its_place_while_no_uplink_is_there() {
    let desired = desired();
    let far = endpoint(9, &[[10, 1, 0, 9].into()], "far", 0);
    let without = tables(&desired, &Seen { endpoints: vec![far.clone()], ..Seen::default() });
    let with = tables(&desired, &Seen { endpoints: vec![far], ..seen(&["up0", "up1"]) });
    assert_eq!(without.networks[0].stations, with.networks[0].stations);
    assert_eq!(with.networks[0].stations[&MacAddr([2, 0, 0, 0, 0, 9])], PathId(0).port());
    assert!(without.underlay.peers.iter().all(|peer| peer.hops.is_empty()));
}

#[test]
fn a_network_takes_what_the_largest_overhead_leaves_of_the_smallest_uplink() {
    let desired = desired();
    let mut seen = seen(&["up0", "up1"]);
    let mtu = |seen: &Seen| -> Vec<u16> {
        let networks = tables(&desired, seen).networks;
        networks.iter().filter_map(|network| network.gateway.as_ref()).map(|gateway| gateway.mtu).collect()
    };
    // An IPv6 peer costs 70 bytes; `green` states its own.
    assert_eq!(mtu(&seen), [1430, 1400]);
    seen.attached.get_mut("up1").unwrap().mtu = 9000;
    assert_eq!(mtu(&seen), [1430, 1400]);
    seen.attached.get_mut("up0").unwrap().mtu = 8000;
    assert_eq!(mtu(&seen), [7930, 1400]);
    let proposed = |network| proposed_mtu(&desired, &desired.networks[network], &seen.attached);
    assert_eq!([proposed("blue"), proposed("green")], [Some(7930), Some(7950)]);
}

/// One statement, as the oracle sees it: where, what, and how new.
#[derive(Clone, Debug)]
struct Said {
    mac: u8,
    addresses: Vec<IpAddr>,
    place: PortId,
    generation: u64,
    here: bool,
}

/// Whether nothing else that was said outdoes it.
fn counts(said: &Said, others: &[&Said]) -> bool {
    others.iter().all(|other| (other.generation, other.here) <= (said.generation, said.here))
}

fn addresses(bits: u8) -> Vec<IpAddr> {
    (0..3).filter(|bit| bits & (1 << bit) != 0).map(|bit| [10, 1, 0, 20 + bit].into()).collect()
}

proptest! {
    #[test]
    fn the_newest_statement_of_a_station_counts_and_of_two_as_new_the_ports(
        ports in prop::collection::vec((any::<bool>(), 0u64..4, 0u8..8), 4),
        endpoints in prop::collection::btree_map(0u64..8, (0u8..6, 0u8..8, any::<bool>()), 0..8),
    ) {
        let mut desired = desired();
        let numbers = Numbers::of(&desired);
        let mut said = Vec::new();
        for (number, (stated, generation, bits)) in ports.into_iter().enumerate() {
            let port = std::sync::Arc::make_mut(desired.ports.get_mut(&name(&format!("pod{number}"))).unwrap());
            port.generation = generation;
            if stated {
                port.mac = Some(desired::MacAddr([2, 0, 0, 0, 0, number as u8]));
                // Addresses that two ports state alike are refused.
                port.addresses = addresses(bits & (1 << number));
                let place = numbers.port(&port.name);
                said.push(Said { mac: number as u8, addresses: port.addresses.clone(), place, generation, here: true });
            }
        }
        let mut seen = seen(&["up0"]);
        for (generation, (mac, bits, far)) in endpoints {
            let (peer, place) = if far { ("far", PathId(0).port()) } else { ("near", PathId(2).port()) };
            seen.endpoints.push(endpoint(mac, &addresses(bits), peer, generation));
            said.push(Said { mac, addresses: addresses(bits), place, generation, here: false });
        }
        let network = &tables(&desired, &seen).networks[0];
        let mut places = 0;
        let mut standing = Vec::new();
        for mac in 0..6 {
            let of_mac: Vec<&Said> = said.iter().filter(|said| said.mac == mac).collect();
            let best = of_mac.iter().copied().find(|said| counts(said, &of_mac));
            let found = network.stations.get(&MacAddr([2, 0, 0, 0, 0, mac])).copied();
            prop_assert_eq!(found, best.map(|best| best.place));
            places += usize::from(best.is_some());
            standing.extend(best);
        }
        prop_assert_eq!(network.stations.len(), places);
        for address in addresses(7) {
            let with: Vec<&Said> = standing.iter().copied().filter(|said| said.addresses.contains(&address)).collect();
            let best = with.iter().find(|said| counts(said, &with)).map(|best| MacAddr([2, 0, 0, 0, 0, best.mac]));
            prop_assert_eq!(network.neighbours.get(&address).copied(), best);
        }
    }

    #[test]
    fn a_peer_is_reached_as_its_bits_say(
        peer in 0u32..64,
        link in 26u8..=32,
        routes in prop::collection::btree_map((26u8..=32, 0u32..64), 0u8..4, 0..6),
        attached in (any::<bool>(), any::<bool>()),
    ) {
        let mut desired = desired();
        // 10.0.0.0 to 10.0.0.63: six bits tell all addresses apart; ours is 10.0.0.1.
        let address = |bits: u32| Ipv4Addr::from_bits(0x0a00_0000 | bits);
        let prefix = |bits: u32, len: u8| -> Prefix { Prefix::of(format!("{}/{len}", address(bits)).parse().unwrap()) };
        let underlay = desired.underlay.as_mut().unwrap();
        underlay.vteps = vec![desired::Vtep::new(format!("10.0.0.1/{link}").parse().unwrap())];
        let via = |router: u8| vec![IpAddr::from([10, 9, 0, router])];
        let masked: BTreeMap<Prefix, u8> = routes.iter().map(|((len, bits), to)| (prefix(*bits, *len), *to)).collect();
        underlay.routes = masked.iter().map(|(prefix, to)| UnderlayRoute { prefix: *prefix, via: via(*to) }).collect();
        desired.peers.get_mut(&name("far")).unwrap().vtep = address(peer).into();
        desired.peers.remove(&name("near"));
        for network in desired.networks.values_mut() {
            network.peers = vec![name("far")];
        }
        let same = |a: u32, b: u32, len: u8| (0..len.saturating_sub(26)).all(|bit| (a ^ b) & (32 >> bit) == 0);
        let routed = (26..=32u8).rev().find_map(|len| {
            let fits = |(route, _): &(&Prefix, &u8)| {
                let IpAddr::V4(network) = route.network() else { return false };
                route.len() == len && same(network.to_bits() & 63, peer, len)
            };
            masked.iter().find(fits).map(|(_, to)| via(*to))
        });
        let next_hops = if same(1, peer, link) { vec![address(peer).into()] } else { routed.unwrap_or_default() };
        let up: Vec<&str> = [("up0", attached.0), ("up1", attached.1)].into_iter().filter(|up| up.1).map(|up| up.0).collect();
        let tables = tables(&desired, &seen(&up));
        let hop = |uplink: u16| next_hops.iter().map(move |address| Hop { uplink, address: *address });
        let expected: Vec<Hop> =
            [attached.0, attached.1].into_iter().zip(0..).filter(|up| up.0).flat_map(|up| hop(up.1)).collect();
        prop_assert_eq!(&tables.underlay.peers[0].hops, &expected);
    }
}

#[test]
fn a_port_is_policed_if_policies_are_enforced_and_a_pod_is_behind_it() {
    let ports = "[workers]\ncores = [0]\n[[network]]\nname = \"blue\"\n\
        [[port]]\nname = \"a\"\ndevice = \"a\"\nnetwork = \"blue\"\npod = \"blue/a\"\n\
        [[port]]\nname = \"b\"\ndevice = \"b\"\nnetwork = \"blue\"\n\
        [[port]]\nname = \"c\"\ndevice = \"c\"\nnetwork = \"blue\"\nnode = true\n";
    for (policy, policed) in [("", [false; 3]), ("[policy]\n", [true, false, false])] {
        let desired = parse(&format!("{ports}{policy}"), &Machine { cores: [0].into() }).unwrap();
        let tables = tables(&desired, &seen(&["a", "b", "c"]));
        assert_eq!([1, 2, 3].map(|port| tables.port(PortId(port)).unwrap().policed), policed, "{policy}");
    }
}

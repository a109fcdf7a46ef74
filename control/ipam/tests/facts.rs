//! What an operator and a pod can rely on, one by one.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::net::IpAddr;
use std::time::Duration;

use podlane_ipam::{Change, Family, Ipam, Lease, LeaseError, NetworkError, Plan, Span, Subnet, Use, Wish};

const QUARANTINE: u64 = 30;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn span(text: &str) -> Span {
    text.parse().unwrap()
}

fn subnet(gateway: &str, prefix_len: u8) -> Subnet {
    Subnet::of_gateway(ip(gateway), prefix_len).unwrap()
}

fn ipam(plan: Plan) -> Ipam {
    let mut ipam = Ipam::new(Duration::from_secs(QUARANTINE));
    ipam.add_network("blue", plan).unwrap();
    ipam
}

/// 10.1.0.0/29 with its gateway at .1: .2 to .6 are to be had.
fn small() -> Ipam {
    ipam(Plan { subnets: vec![subnet("10.1.0.1", 29)], ..Plan::default() })
}

fn addresses(ipam: &mut Ipam, owner: &str, now: u64) -> Result<Vec<String>, LeaseError> {
    wished(ipam, owner, &[], now)
}

fn wished(ipam: &mut Ipam, owner: &str, wished: &[&str], now: u64) -> Result<Vec<String>, LeaseError> {
    let wished: Vec<_> = wished.iter().copied().map(ip).collect();
    let granted = ipam.lease("blue", owner, &wished, now)?;
    Ok(granted.addresses.iter().map(|(address, _)| address.to_string()).collect())
}

fn refusal(outcome: Result<Vec<String>, LeaseError>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn addresses_go_round_and_spare_the_ends_and_the_gateway() {
    let mut ipam = small();
    for (owner, address) in [("a", "10.1.0.2"), ("b", "10.1.0.3")] {
        assert_eq!(addresses(&mut ipam, owner, 0).unwrap(), [address]);
    }
    ipam.release("blue", "a", 0);
    // Long after the quarantine: still not the one that was released last.
    for (owner, address) in [("c", "10.1.0.4"), ("d", "10.1.0.5"), ("e", "10.1.0.6"), ("f", "10.1.0.2")] {
        assert_eq!(addresses(&mut ipam, owner, 1000).unwrap(), [address]);
    }
}

#[test]
fn each_family_the_network_has_gives_an_address() {
    let subnets = vec![subnet("10.1.0.1", 24), subnet("fd00:1::1", 64)];
    let ranges = vec![span("10.1.0.40-10.1.0.49"), span("10.1.0.20-10.1.0.21"), span("fd00:1::/64")];
    let mut ipam = ipam(Plan { subnets: subnets.clone(), ranges, ..Plan::default() });
    let granted = ipam.lease("blue", "a", &[], 0).unwrap();
    assert_eq!(granted.addresses, [(ip("10.1.0.20"), subnets[0]), (ip("fd00:1::2"), subnets[1])]);
    assert_eq!(granted.changes.len(), 2);
    assert_eq!(addresses(&mut ipam, "b", 0).unwrap(), ["10.1.0.21", "fd00:1::3"]);
    assert_eq!(addresses(&mut ipam, "c", 0).unwrap(), ["10.1.0.40", "fd00:1::4"]);
}

#[test]
fn the_same_owner_has_the_same_addresses() {
    let mut ipam = small();
    assert_eq!(addresses(&mut ipam, "a", 0).unwrap(), ["10.1.0.2"]);
    let again = ipam.lease("blue", "a", &[ip("10.1.0.2")], 1).unwrap();
    assert_eq!((again.addresses[0].0, again.changes), (ip("10.1.0.2"), vec![]));
    let other = refusal(wished(&mut ipam, "a", &["10.1.0.3"], 1));
    assert_eq!(other, "network \"blue\": a holds 10.1.0.2 and wishes for 10.1.0.3 (release what it has first)");
}

#[test]
fn a_former_owner_gets_its_address_back_in_quarantine_and_after() {
    let mut ipam = small();
    assert_eq!(addresses(&mut ipam, "a", 0).unwrap(), ["10.1.0.2"]);
    ipam.release("blue", "a", 10);
    assert_eq!(addresses(&mut ipam, "a", 11).unwrap(), ["10.1.0.2"]);
    ipam.release("blue", "a", 20);
    assert_eq!(addresses(&mut ipam, "a", 2000).unwrap(), ["10.1.0.2"]);
}

#[test]
fn what_was_released_goes_to_no_other_owner_before_its_time() {
    let mut ipam = small();
    for owner in ["a", "b", "c", "d", "e"] {
        addresses(&mut ipam, owner, 0).unwrap();
    }
    let full = refusal(addresses(&mut ipam, "f", 0));
    assert_eq!(
        full,
        "network \"blue\": no IPv4 address is free in 10.1.0.0/29: 5 held, 0 in quarantine \
         (end pods, or widen the network's `ranges`)"
    );
    ipam.release("blue", "c", 100);
    let waiting = addresses(&mut ipam, "f", 112).unwrap_err();
    assert!(waiting.passes());
    assert_eq!(
        waiting.to_string(),
        "network \"blue\": no IPv4 address is free in 10.1.0.0/29: 4 held, 1 in quarantine, the next is free in 18s \
         (end pods, or widen the network's `ranges`)"
    );
    let named = wished(&mut ipam, "f", &["10.1.0.4"], 112).unwrap_err();
    assert!(named.passes());
    assert_eq!(
        named.to_string(),
        "network \"blue\": 10.1.0.4 was c's and is in quarantine for another 18s (try again then, or wish for another)"
    );
    assert_eq!(addresses(&mut ipam, "f", 130).unwrap(), ["10.1.0.4"]);
}

#[test]
fn a_wish_is_granted_or_refused_by_name() {
    let mut ipam = ipam(Plan {
        subnets: vec![subnet("10.1.0.1", 24)],
        ranges: vec![span("10.1.0.0-10.1.0.99")],
        reserved: vec![span("10.1.0.8-10.1.0.15")],
        stated: vec![(ip("10.1.0.7"), "port \"db\"".to_owned())],
    });
    assert_eq!(wished(&mut ipam, "a", &["10.1.0.50"], 0).unwrap(), ["10.1.0.50"]);
    let refused = |address: &str, ipam: &mut Ipam| refusal(wished(ipam, "b", &[address], 0));
    let blue = "network \"blue\": ";
    for (address, why) in [
        ("10.1.0.50", "10.1.0.50 is held by a (release it there, or wish for another)"),
        ("10.1.0.9", "10.1.0.9 is reserved (wish for another)"),
        ("10.1.0.7", "10.1.0.7 is stated to be port \"db\"'s (wish for another)"),
        ("10.1.0.1", "10.1.0.1 is the gateway (wish for another)"),
        ("10.1.0.0", "10.1.0.0 is an end of its subnet, which is no station's (wish for another)"),
        (
            "10.1.0.100",
            "10.1.0.100 is in none of its ranges, 10.1.0.0-10.1.0.99 (wish for one in there, or widen `ranges`)",
        ),
    ] {
        assert_eq!(refused(address, &mut ipam), format!("{blue}{why}"));
    }
    assert_eq!(
        refused("fd00::7", &mut ipam),
        "network \"blue\" has no IPv6 addresses to give (state a gateway and `ranges` for it, or let the caller bring the addresses)"
    );
    assert_eq!(addresses(&mut ipam, "b", 0).unwrap(), ["10.1.0.51"]);
}

#[test]
fn a_refusal_gives_nothing_of_the_other_family() {
    let mut ipam = ipam(Plan { subnets: vec![subnet("10.1.0.1", 24), subnet("fd00::1", 127)], ..Plan::default() });
    assert_eq!(addresses(&mut ipam, "a", 0).unwrap(), ["10.1.0.2", "fd00::"]);
    assert!(matches!(addresses(&mut ipam, "b", 0), Err(LeaseError::Exhausted { family: Family::V6, .. })));
    assert_eq!(ipam.leases().filter(|lease| lease.owner == "b").count(), 0);
}

#[test]
fn what_another_gave_is_not_given_out() {
    let mut ipam = small();
    ipam.claim("blue", "a", &[ip("10.1.0.2"), ip("192.0.2.7")], 0).unwrap();
    assert_eq!(addresses(&mut ipam, "b", 0).unwrap(), ["10.1.0.3"]);
    let taken = ipam.claim("blue", "c", &[ip("10.1.0.3")], 0).unwrap_err();
    assert_eq!(taken.to_string(), "network \"blue\": 10.1.0.3 is held by b (release it there, or wish for another)");
    let gateway = ipam.claim("blue", "c", &[ip("10.1.0.1")], 0).unwrap_err();
    assert_eq!(gateway, LeaseError::Used { network: "blue".to_owned(), address: ip("10.1.0.1"), used: Use::Gateway });
    let released = ipam.release("blue", "a", 0);
    assert_eq!(released.len(), 2);
}

#[test]
fn one_by_one_an_owner_has_many() {
    let mut ipam = small();
    let one = |ipam: &mut Ipam, wish| ipam.lease_one("blue", "docker", wish, 0).map(|granted| granted.addresses[0].0);
    assert_eq!(one(&mut ipam, Wish::Any(Family::V4)), Ok(ip("10.1.0.2")));
    assert_eq!(one(&mut ipam, Wish::Any(Family::V4)), Ok(ip("10.1.0.3")));
    assert_eq!(one(&mut ipam, Wish::Address(ip("10.1.0.6"))), Ok(ip("10.1.0.6")));
    assert!(matches!(one(&mut ipam, Wish::Address(ip("10.1.0.6"))), Err(LeaseError::Taken { .. })));
    assert_eq!(ipam.release_one("blue", ip("10.1.0.2"), 0).len(), 1);
    assert_eq!(ipam.release_one("blue", ip("10.1.0.2"), 0), []);
    // Of these callers all are one owner, so that the address just released is not given to the next of them.
    let mut one = |wish| ipam.lease_one("blue", "docker", wish, 0).map(|granted| granted.addresses[0].0);
    assert_eq!(one(Wish::Any(Family::V4)), Ok(ip("10.1.0.4")));
}

#[test]
fn what_was_never_told_needs_no_quarantine() {
    let mut ipam = small();
    addresses(&mut ipam, "a", 0).unwrap();
    assert_eq!(ipam.undo("blue", "a"), [Change::Drop { network: "blue".to_owned(), address: ip("10.1.0.2") }]);
    assert_eq!(wished(&mut ipam, "b", &["10.1.0.2"], 0).unwrap(), ["10.1.0.2"]);
}

#[test]
fn a_network_goes_when_nobody_has_addresses_of_it() {
    let mut ipam = small();
    assert_eq!(ipam.add_network("blue", Plan::default()), Err(NetworkError::Exists { network: "blue".to_owned() }));
    addresses(&mut ipam, "a", 0).unwrap();
    let held = ipam.remove_network("blue").unwrap_err().to_string();
    assert_eq!(held, "network \"blue\": 1 of its addresses are held, one by a (release them first)");
    ipam.release("blue", "a", 0);
    assert_eq!(
        ipam.remove_network("blue").unwrap(),
        [Change::Drop { network: "blue".to_owned(), address: ip("10.1.0.2") }]
    );
    assert_eq!(ipam.remove_network("blue"), Err(NetworkError::Missing { network: "blue".to_owned() }));
    assert_eq!(addresses(&mut ipam, "a", 0), Err(LeaseError::NoNetwork { network: "blue".to_owned() }));
}

#[test]
fn a_lease_of_a_former_life_is_held_though_the_configuration_changed() {
    let mut ipam = small();
    let lease =
        |address: &str, until| Lease { network: "blue".to_owned(), address: ip(address), owner: "a".to_owned(), until };
    ipam.restore(lease("10.9.9.9", None), 0).unwrap();
    // Its clock was a year ahead; its quarantine is not.
    ipam.restore(lease("10.1.0.3", Some(31_536_000)), 0).unwrap();
    assert!(wished(&mut ipam, "b", &["10.1.0.3"], QUARANTINE - 1).is_err());
    assert_eq!(wished(&mut ipam, "b", &["10.1.0.3"], QUARANTINE).unwrap(), ["10.1.0.3"]);
    ipam.release("blue", "a", 100);
    // Nobody is given it again, so that nothing is remembered of it.
    let changes = ipam.lease("blue", "c", &[], 200).unwrap().changes;
    assert_eq!(changes[0], Change::Drop { network: "blue".to_owned(), address: ip("10.9.9.9") });
}

#[test]
fn a_range_of_any_size_costs_what_is_known_of_it() {
    let subnets = vec![subnet("10.0.0.1", 8), subnet("fd00::1", 8)];
    let mut ipam = ipam(Plan { subnets, ..Plan::default() });
    for index in 0..100_000 {
        let granted = ipam.lease("blue", &index.to_string(), &[], 0).unwrap();
        assert_eq!(granted.addresses.len(), 2);
    }
    for index in 0..100_000 {
        let changes = ipam.release("blue", &index.to_string(), index);
        assert_eq!(changes.iter().filter(|change| matches!(change, Change::Put(_))).count(), 2);
    }
    let counts = ipam.counts(1_000_000);
    let [v4, v6] = &counts[0].1[..] else { panic!("{counts:?}") };
    assert_eq!((v4.free, v4.held, v4.quarantined), ((1 << 24) - 3, 0, 0));
    assert_eq!((v6.free, v6.held, v6.quarantined), ((1 << 120) - 2, 0, 0));
    // Of so many former owners only the latest are remembered.
    ipam.lease("blue", "last", &[], 1_000_000).unwrap();
    assert!(ipam.leases().count() <= 1024 + 2, "{}", ipam.leases().count());
}

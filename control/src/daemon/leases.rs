//! Who has which address, as it is asked for over the socket.

use podlane_api::{Lease, LeaseQuery, Leases, MAX_LEASES, Pool};
use podlane_ipam::Ipam;

/// Those that match, at a time of the allocator's.
pub(crate) fn listed(ipam: &Ipam, now: u64, LeaseQuery { network }: &LeaseQuery) -> Leases {
    let matches = |name: &str| network.as_ref().is_none_or(|network| network == name);
    let counts = ipam.counts(now).into_iter().filter(|(network, _)| matches(network));
    let pools = counts.flat_map(|(network, counts)| {
        counts.into_iter().map(|count| Pool {
            network: network.to_owned(),
            ranges: count.ranges.iter().map(ToString::to_string).collect(),
            free: u64::try_from(count.free).unwrap_or(u64::MAX),
            held: count.held,
            quarantined: count.quarantined,
        })
    });
    let leases = ipam.leases().filter(|lease| matches(&lease.network) && lease.until.is_none_or(|until| until > now));
    let leases = leases.take(MAX_LEASES).map(|lease| Lease {
        network: lease.network.clone(),
        address: lease.address,
        owner: lease.owner.clone(),
        free_in_s: lease.until.map(|until| until - now),
    });
    Leases { pools: pools.collect(), leases: leases.collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use podlane_ipam::{Plan, Subnet};

    use super::*;

    #[test]
    fn leases_say_who_has_what_and_until_when() {
        let mut ipam = Ipam::new(Duration::from_secs(30));
        for (network, gateway) in [("blue", "10.1.0.1"), ("green", "fd00::1")] {
            let prefix_len = if network == "blue" { 24 } else { 32 };
            let subnets = vec![Subnet::of_gateway(gateway.parse().unwrap(), prefix_len).unwrap()];
            ipam.add_network(network, Plan { subnets, ..Plan::default() }).unwrap();
        }
        for owner in ["a", "b", "c"] {
            ipam.lease("blue", owner, &[], 100).unwrap();
        }
        ipam.release("blue", "a", 100);
        ipam.release("blue", "b", 110);
        let Leases { pools, leases } = listed(&ipam, 130, &LeaseQuery::default());
        let pool = |network: &str, range: &str, free, held, quarantined| Pool {
            network: network.to_owned(),
            ranges: vec![range.to_owned()],
            free,
            held,
            quarantined,
        };
        // One of the two that were released is free again.
        assert_eq!(pools, [pool("blue", "10.1.0.0/24", 251, 1, 1), pool("green", "fd00::/32", u64::MAX, 0, 0)]);
        let told: Vec<_> = leases.iter().map(|lease| (lease.owner.as_str(), lease.free_in_s)).collect();
        assert_eq!(told, [("b", Some(10)), ("c", None)]);
        let green = listed(&ipam, 130, &LeaseQuery { network: Some("green".to_owned()) });
        assert_eq!((green.pools.len(), green.leases), (1, vec![]));
    }
}

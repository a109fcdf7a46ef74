//! What an attachment's parts are called: drawn from its key, so that they are the same whenever it is made.

use podlane_api::MacAddr;

use super::Key;

/// What the names of our ports, and of the host ends of our veths, begin with.
pub(super) const PREFIX: &str = "pl";

/// What the pod end of a veth is called while it waits in the daemon's namespace for its caller to fetch it.
const WAITING_PREFIX: &str = "pw";

/// Hexadecimal digits of a name: with the prefix 13 bytes, of the 15 that a netdev's name may have.
const DIGITS: usize = 11;

/// The name of a key's port. `attempt` counts from 0 and tells the names apart that one key may get, should another key have the first.
pub(super) fn port_name(key: &Key, attempt: u32) -> String {
    format!("{PREFIX}{}", digits(key, attempt))
}

/// The name of the pod end that goes with a port, while it has none of its own.
pub(super) fn waiting_name(port: &str) -> String {
    format!("{WAITING_PREFIX}{}", port.strip_prefix(PREFIX).unwrap_or(port))
}

/// The pod end's MAC address: locally administered, one station's, and the same for the same key.
pub(super) fn pod_mac(key: &Key) -> MacAddr {
    let [_, _, _, a, b, c, d, e] = hash(key, u32::MAX).to_be_bytes();
    MacAddr([0x02, a, b, c, d, e])
}

/// The host end's, of which the switch knows nothing.
pub(super) fn host_mac(key: &Key) -> MacAddr {
    let [_, _, _, a, b, c, d, e] = hash(key, u32::MAX - 1).to_be_bytes();
    MacAddr([0x02, a, b, c, d, e])
}

fn digits(key: &Key, attempt: u32) -> String {
    let mut digits = format!("{:016x}", hash(key, attempt));
    digits.truncate(DIGITS);
    digits
}

/// FNV-1a, as for gateways' MAC addresses, and stirred so that near keys lie far apart: stable across releases, which the standard library's
/// hash does not promise.
fn hash(key: &Key, attempt: u32) -> u64 {
    let words = [format!("{:?}", key.origin), key.list.clone(), key.container.clone(), key.interface.clone()];
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    let hash = bytes
        .chain(attempt.to_be_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // The finish of SplitMix64.
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::attach::Origin;

    fn key(container: &str) -> Key {
        let [list, interface] = ["blue", "eth0"].map(str::to_owned);
        Key { origin: Origin::Cni, list, container: container.to_owned(), interface }
    }

    #[test]
    fn names_and_addresses_are_the_same_in_every_release() {
        assert_eq!(port_name(&key("c1"), 0), PORT_OF_C1);
        assert_eq!(pod_mac(&key("c1")).to_string(), MAC_OF_C1);
    }

    const PORT_OF_C1: &str = "pl969ea48e0bb";
    const MAC_OF_C1: &str = "02:4b:4a:e4:d6:d1";

    #[test]
    fn a_name_fits_a_netdev_and_is_told_apart_by_container_and_attempt() {
        let names: BTreeSet<_> = (0..1000).map(|n| port_name(&key(&format!("c{}", n / 2)), n % 2)).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == 13 && name.starts_with(PREFIX)));
        assert_eq!(waiting_name("pl0123456789a"), "pw0123456789a");
    }

    #[test]
    fn a_pods_mac_address_is_one_stations_and_locally_administered() {
        let macs: BTreeSet<_> = (0..1000).map(|n| pod_mac(&key(&n.to_string()))).collect();
        assert_eq!(macs.len(), 1000);
        assert!(macs.iter().all(|mac| mac.is_unicast() && mac.0[0] == 0x02));
    }
}

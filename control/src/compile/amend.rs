//! The tables in force, but for the ports that came and went: what a pod costs the switch when it comes is not to depend on how many are there.
//!
//! [`amend`] says what [`compile`](super::compile) would say, of the same desires, numbers and attachments: a property of the tests. It is for
//! pods' ports alone. Uplinks bear on paths and MTUs, and where stations of other nodes are stated too, the one that goes may have outdone
//! another; there all is compiled anew ([`is_amendable`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use podlane_dataplane::tables::Tables;
use podlane_dataplane::{Generation, PortId};
use podlane_wire::MacAddr;

use super::{Attached, Numbers, Seen, open};
use crate::desired::{Behind, Desired, Name, Port, Role, Sharing};

/// A port that came, went or was stated otherwise: its number, and what it states, or did.
pub type Changed = (PortId, Arc<Port>);

/// Whether tables for these can be amended when pods come and go.
#[must_use]
pub fn is_amendable(desired: &Desired, seen: &Seen) -> bool {
    seen.endpoints.is_empty() && !desired.ports.values().any(|port| port.sharing() == Some(Sharing::Ip))
}

/// The tables of the next generation: the former ones, but for what changed since they were compiled. None where that takes a [`compile`](super::compile).
#[must_use]
pub fn amend(
    former: &Tables,
    changed: &[Changed],
    (desired, numbers): (&Desired, &Numbers),
    attached: impl Fn(&Name) -> Option<Attached>,
    generation: Generation,
) -> Option<Tables> {
    if !changed.iter().all(|(_, port)| is_pods(port)) {
        return None;
    }
    let mut tables = Tables { generation, ..former.clone() };
    tables.ports.resize(numbers.ports_end(), None);
    for (id, port) in changed {
        take_out(&mut tables, *id, port, numbers);
    }
    for id in changed.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>() {
        let Some(port) = numbers.port_name(id).and_then(|name| desired.ports.get(name)) else { continue };
        if let Some(facts) = attached(&port.name) {
            open(&mut tables, port, facts, (desired, numbers));
        }
        state(&mut tables, id, port, numbers);
    }
    Some(tables)
}

fn is_pods(port: &Port) -> bool {
    matches!(&port.behind, Behind::Device(device) if device.role == Role::Pod)
}

/// Takes a port out of every table, with what it states. A station has one port: what is another's is not taken.
fn take_out(tables: &mut Tables, id: PortId, port: &Port, numbers: &Numbers) {
    if let Some(place) = tables.ports.get_mut(id.index()) {
        *place = None;
    }
    for name in port.membership.networks() {
        let network = &mut tables.networks[numbers.network(name).index()];
        network.members.retain(|member| member.port != id);
        let Some(mac) = port.mac.map(|mac| MacAddr(mac.0)) else { continue };
        if network.stations.get(&mac) == Some(&id) {
            network.stations.remove(&mac);
            for address in &port.addresses {
                if network.neighbours.get(address) == Some(&mac) {
                    network.neighbours.remove(address);
                }
            }
        }
    }
}

/// Enters what a port states.
fn state(tables: &mut Tables, id: PortId, port: &Port, numbers: &Numbers) {
    let Some(mac) = port.mac.map(|mac| MacAddr(mac.0)) else { return };
    for name in port.membership.networks() {
        let network = &mut tables.networks[numbers.network(name).index()];
        network.stations.insert(mac, id);
        network.neighbours.extend(port.addresses.iter().map(|address| (*address, mac)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its ground has failed")]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::compile::compile;
    use crate::config::{Machine, parse};
    use crate::desired::{Dhcp, Network};

    const PODS: u8 = 6;

    /// Two networks in which a few pods may be, one of them tagged, and a pod and an uplink that stay.
    fn ground() -> Desired {
        let text = "[workers]\ncores = [0]\n[underlay]\nvteps = [\"192.0.2.1/24\"]\nuplinks = [\"up\"]\n\
             [[peer]]\nname = \"far\"\nvtep = \"192.0.2.9\"\n\
             [[network]]\nname = \"blue\"\nvni = 7\nflood = true\ngateways = [\"10.1.0.1/24\"]\n\
             [[network]]\nname = \"green\"\ngateways = [\"10.2.0.1/24\"]\n\
             [[port]]\nname = \"m\"\ndevice = \"m\"\nnetwork = \"blue\"\nvlans = { 5 = \"green\" }\nmac = \"02:00:00:00:00:77\"\n\
             [[port]]\nname = \"up\"\ndevice = \"up\"\nkind = \"uplink\"\n";
        parse(text, &Machine { cores: [0].into() }).unwrap_or_else(|findings| panic!("{}", findings[0]))
    }

    fn pod(like: &Port, number: u8, network: &Network, addresses: &[IpAddr]) -> Port {
        let mut port = like.clone();
        // Before and behind the name of the one that stays.
        port.name = Name::new(&format!("{}{number}", if number.is_multiple_of(2) { 'a' } else { 'z' })).unwrap();
        port.membership.untagged = Some(network.name.clone());
        port.membership.tagged.clear();
        port.mac = Some(podlane_api::MacAddr([2, 0, 0, 0, 1, number]));
        port.addresses = addresses.to_vec();
        port
    }

    /// What is done to one of the pods.
    #[derive(Clone, Copy, Debug)]
    enum Done {
        Comes {
            green: bool,
            addresses: u8,
        },
        Goes,
        /// It is told its addresses.
        States(u8),
        /// What changed so far is put in force.
        Publish,
    }

    fn done() -> impl Strategy<Value = (u8, Done)> {
        let what = prop_oneof![
            3 => (any::<bool>(), 0u8..3).prop_map(|(green, addresses)| Done::Comes { green, addresses }),
            2 => Just(Done::Goes),
            1 => (0u8..3).prop_map(Done::States),
            2 => Just(Done::Publish),
        ];
        (0..PODS, what)
    }

    fn addresses(pod: u8, count: u8) -> Vec<IpAddr> {
        (0..count).map(|at| IpAddr::from([10, 1, at, 10 + pod])).collect()
    }

    fn assert_same(amended: &Tables, compiled: &Tables) {
        assert_eq!(amended.generation, compiled.generation);
        assert_eq!(format!("{:?}", amended.ports), format!("{:?}", compiled.ports));
        assert_eq!(amended.networks.len(), compiled.networks.len());
        for (one, other) in amended.networks.iter().zip(&compiled.networks) {
            assert_eq!((&one.stations, &one.neighbours), (&other.stations, &other.neighbours));
            let rest = |network: &podlane_dataplane::tables::Network| {
                let (stations, neighbours) = Default::default();
                format!("{:?}", podlane_dataplane::tables::Network { stations, neighbours, ..network.clone() })
            };
            assert_eq!(rest(one), rest(other));
        }
    }

    proptest! {
        #[test]
        fn amended_tables_are_those_that_would_have_been_compiled(deeds in prop::collection::vec(done(), 0..60)) {
            let mut desired = ground();
            let mut numbers = Numbers::of(&desired);
            let like = Port::clone(&desired.ports["m"]);
            let facts = Attached { mtu: 1500, mac: MacAddr([2; 6]), unfinished_checksums: true };
            // One that stays is not attached yet.
            let mut seen = Seen { attached: [(Name::new("up").unwrap(), facts)].into(), ..Seen::default() };
            prop_assert!(is_amendable(&desired, &seen));
            let (mut generation, mut changed) = (Generation(1), Vec::new());
            let mut in_force = compile(&desired, &numbers, &seen, generation).unwrap();
            for (number, deed) in deeds.into_iter().chain([(0, Done::Publish)]) {
                let name = pod(&like, number, &desired.networks["blue"], &[]).name;
                let known = desired.ports.get(&name).cloned();
                match (deed, known) {
                    (Done::Comes { green, addresses: count }, None) => {
                        let network = &desired.networks[if green { "green" } else { "blue" }];
                        let port = Arc::new(pod(&like, number, network, &addresses(number, count)));
                        let (id, _) = numbers.add_port(&name).unwrap();
                        changed.push((id, Arc::clone(&port)));
                        desired.ports.insert(name.clone(), port);
                        // A port of the configuration may be stated and away.
                        if number > 0 {
                            seen.attached.insert(name, facts);
                        }
                    }
                    (Done::Goes, Some(port)) => {
                        let id = numbers.release_port(&name).unwrap();
                        numbers.free_port(id);
                        changed.push((id, port));
                        desired.ports.remove(&name);
                        seen.attached.remove(&name);
                    }
                    (Done::States(count), Some(former)) => {
                        let port = Port { addresses: addresses(number, count), dhcp: Dhcp::Leased, ..Port::clone(&former) };
                        changed.push((numbers.port(&name), former));
                        desired.ports.insert(name, Arc::new(port));
                    }
                    (Done::Publish, _) => {
                        generation = Generation(generation.0 + 1);
                        let attached = |name: &Name| seen.attached.get(name).copied();
                        let amended = amend(&in_force, &changed, (&desired, &numbers), attached, generation).unwrap();
                        assert_same(&amended, &compile(&desired, &numbers, &seen, generation).unwrap());
                        in_force = amended;
                        changed.clear();
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn an_uplink_or_a_station_elsewhere_takes_a_compilation() {
        let desired = ground();
        let numbers = Numbers::of(&desired);
        let up = (numbers.port(&Name::new("up").unwrap()), Arc::clone(&desired.ports["up"]));
        let tables = compile(&desired, &numbers, &Seen::default(), Generation(1)).unwrap();
        assert!(amend(&tables, &[up], (&desired, &numbers), |_| None, Generation(2)).is_none());
        let (network, peer) = (Name::new("blue").unwrap(), Name::new("far").unwrap());
        let mac = podlane_api::MacAddr([2, 0, 0, 0, 0, 9]);
        let far = crate::desired::Endpoint { network, mac, addresses: Vec::new(), peer, generation: 1 };
        assert!(!is_amendable(&desired, &Seen { endpoints: vec![far], ..Seen::default() }));
    }
}

//! Networks never meet but by routing: the same MAC addresses, the same subnets, one trunk for many, any packets.

use std::collections::BTreeMap;

use podlane_dataplane::{
    PortId,
    tables::PortTable,
    testbed::{Plan, TestBed},
};
use podlane_wire::{EtherType, IpProtocol};
use proptest::prelude::*;

use crate::packets::{BROADCAST, Field, Host, arp_request, frame, gateway, host, tagged, transport};

const NETWORKS: u16 = 4;
const PORTS: u16 = 8;

/// A port's places: its untagged network, and those by VLAN id.
#[derive(Clone, Debug)]
struct Place {
    native: Option<u16>,
    vlans: BTreeMap<u16, u16>,
}

impl Place {
    /// The network of a frame with this tag.
    fn network(&self, vlan: Option<u16>) -> Option<u16> {
        vlan.map_or(self.native, |id| self.vlans.get(&id).copied())
    }
}

/// Which frame goes where: a port, a tag, and who speaks to whom about what.
#[derive(Clone, Debug)]
struct Step {
    port: u16,
    vlan: Option<u16>,
    from: u8,
    to: u8,
    kind: u8,
}

fn places() -> impl Strategy<Value = Vec<Place>> {
    let network = || 0..NETWORKS;
    let place = (prop::option::of(network()), prop::collection::btree_map(1_u16..4, network(), 0..3))
        .prop_map(|(native, vlans)| Place { native, vlans });
    prop::collection::vec(place, usize::from(PORTS))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..PORTS, prop::option::of(1_u16..4), 0_u8..4, 0_u8..6, 0_u8..6)
        .prop_map(|(port, vlan, from, to, kind)| Step { port, vlan, from, to, kind });
    prop::collection::vec(step, 0..120)
}

/// Every network has the same subnet and the same gateway, in a VRF of its own. Ports are open: any station anywhere.
fn plan(places: &[Place]) -> Plan {
    let addresses = [(gateway(0).v4.into(), 24), (gateway(0).v6.into(), 64)];
    let mut plan = Plan::new(NETWORKS);
    for network in 0..NETWORKS {
        plan = plan.gateway(network, gateway(0).mac, &addresses);
    }
    for (number, place) in places.iter().enumerate() {
        let port = PortId(number as u16 + 1);
        if let Some(network) = place.native {
            plan = plan.port(port, network, PortTable::default());
        }
        for (vlan, network) in &place.vlans {
            plan = plan.tagged(port, *vlan, *network);
        }
    }
    plan
}

/// What every packet of a network bears, so that it is known wherever it turns up, quoted or whole.
fn mark(network: Option<u16>) -> [u8; 12] {
    let mut mark = *b"of network ?";
    mark[11] = network.map_or(b'?', |network| b'0' + network as u8);
    mark
}

fn packet(step: &Step, network: Option<u16>) -> Vec<u8> {
    let station = |number: u8| match number {
        4 => gateway(0),
        5 => host(0, 1).at(BROADCAST),
        number => host(0, number + 1),
    };
    let (from, to): (Host, Host) = (station(step.from), station(step.to));
    let payload = mark(network);
    let bare = match step.kind {
        0 => transport(IpProtocol::UDP, (from, to), false, &payload, Field::Finished),
        1 => transport(IpProtocol::TCP, (from, to), true, &payload, Field::Finished),
        // By the gateway, to a station that may be anywhere or nowhere.
        2 => transport(IpProtocol::UDP, (from, to.at(gateway(0).mac)), false, &payload, Field::Finished),
        3 => transport(IpProtocol::UDP, (from, host(9, 9).at(gateway(0).mac)), true, &payload, Field::Finished),
        4 => frame(from.mac, to.mac, EtherType(0x88b5), &payload),
        _ => {
            let mut arp = arp_request(from, to.v4);
            arp.extend(payload);
            arp
        }
    };
    step.vlan.map_or(bare.clone(), |id| tagged(id, &bare))
}

/// The tag of a frame that left the switch.
fn vlan_of(frame: &[u8]) -> Option<u16> {
    (frame[12..14] == [0x81, 0]).then(|| u16::from_be_bytes([frame[14], frame[15]]) & 0xfff)
}

proptest! {
    #[test]
    fn nothing_leaves_by_a_port_of_another_network(places in places(), steps in steps()) {
        let mut bed = TestBed::new(plan(&places));
        for step in &steps {
            let place = &places[usize::from(step.port)];
            if place.native.is_none() && place.vlans.is_empty() {
                continue;
            }
            let network = place.network(step.vlan);
            bed.receive(PortId(step.port + 1), packet(step, network));
            bed.turn();
            bed.moved();
            for (number, place) in places.iter().enumerate() {
                if place.native.is_none() && place.vlans.is_empty() {
                    continue;
                }
                for out in bed.sent_by(PortId(number as u16 + 1)) {
                    let here = place.network(vlan_of(&out));
                    prop_assert_eq!(here, network, "{:x?} left by port {}", out, number + 1);
                    for other in (0..NETWORKS).map(Some).filter(|other| *other != network) {
                        prop_assert!(!out.windows(12).any(|window| window == mark(other)));
                    }
                }
            }
        }
    }
}

//! Pods on the wire beside the host: what is for one of them by name is claimed, and what is for the host or for everyone is not.

use super::speech::{
    BROADCAST, REPLY as ARP_REPLY, REQUEST as ARP_REQUEST, arp, ethernet, packet4, packet6, solicitation,
    solicited_node,
};
use super::*;

const POD: [u8; 6] = [2, 0, 0, 0, 7, 1];
const HOST: [u8; 6] = [2, 0, 0, 0, 0, 0x51];
const POD4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
const HOST4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const POD6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 11);
/// In the same solicited-node group as the pod.
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 11);
const PEER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const TCP: u8 = 6;

fn ipv4(mac: [u8; 6], to: Ipv4Addr) -> Vec<u8> {
    ethernet(mac, 0x0800, &packet4(TCP, PEER4, to, &[0; 20]))
}

fn ipv6(mac: [u8; 6], to: Ipv6Addr) -> Vec<u8> {
    ethernet(mac, 0x86dd, &packet6(TCP, PEER6, to, &[0; 20]))
}

fn tagged(vlan: u16, frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0], &vlan.to_be_bytes(), &frame[12..]].concat()
}

fn by_mac_or_skip(test: &str) -> Option<Loaded> {
    let mut loaded = Loaded::or_skip(test)?;
    loaded.maps.set(&Claim { macs: &[POD], ..Claim::default() }).unwrap();
    Some(loaded)
}

fn by_address_or_skip(test: &str, vlan: Option<u16>) -> Option<Loaded> {
    let mut loaded = Loaded::or_skip(test)?;
    let stations = [POD4.into(), POD6.into()].map(|address| Station { vlan, address });
    loaded.maps.set(&Claim { stations: &stations, ..Claim::default() }).unwrap();
    Some(loaded)
}

#[test]
fn by_mac_a_pods_unicast_is_claimed_whatever_is_in_it_and_nothing_else() {
    let test = "by_mac_a_pods_unicast_is_claimed_whatever_is_in_it_and_nothing_else";
    let Some(mut loaded) = by_mac_or_skip(test) else { return };
    for frame in [ipv4(POD, HOST4), ipv6(POD, HOST6), arp(POD, ARP_REPLY, PEER4, HOST4), ethernet(POD, 0x88b5, &[])] {
        assert!(loaded.claims(&frame), "{frame:?}");
        assert!(loaded.claims(&tagged(7, &frame)), "tagged {frame:?}");
    }
    let group = [POD[0] | 1, POD[1], POD[2], POD[3], POD[4], POD[5]];
    for frame in [ipv4(HOST, POD4), ipv4(BROADCAST, POD4), arp(BROADCAST, ARP_REQUEST, PEER4, POD4), ipv4(group, POD4)]
    {
        assert!(!loaded.claims(&frame), "{frame:?}");
    }
}

#[test]
fn by_address_what_is_sent_to_a_pod_is_claimed_and_what_is_sent_to_the_host_is_not() {
    let test = "by_address_what_is_sent_to_a_pod_is_claimed_and_what_is_sent_to_the_host_is_not";
    let Some(mut loaded) = by_address_or_skip(test, None) else { return };
    let header = 14 + 20;
    for (frame, shortest) in [(ipv4(HOST, POD4), header), (ipv6(HOST, POD6), header + 20)] {
        assert!(loaded.claims(&frame), "{frame:?}");
        for short in 14..shortest {
            assert!(!loaded.claims(&frame[..short]), "cut to {short}: {frame:?}");
        }
        assert!(!loaded.claims(&tagged(7, &frame)), "of a VLAN in which the pod is not: {frame:?}");
        assert!(loaded.claims(&tagged(0, &frame)), "only a priority: {frame:?}");
    }
    for frame in [ipv4(HOST, HOST4), ipv6(HOST, HOST6), ipv4(BROADCAST, POD4), ipv6(BROADCAST, POD6)] {
        assert!(!loaded.claims(&frame), "{frame:?}");
    }
}

#[test]
fn by_address_who_asks_for_a_pod_is_heard_and_who_asks_for_the_host_is_the_hosts() {
    let test = "by_address_who_asks_for_a_pod_is_heard_and_who_asks_for_the_host_is_the_hosts";
    let Some(mut loaded) = by_address_or_skip(test, None) else { return };
    let asks6 = |target| solicitation(solicited_node(target), target);
    for frame in [
        arp(BROADCAST, ARP_REQUEST, PEER4, POD4),
        arp(BROADCAST, ARP_REQUEST, Ipv4Addr::UNSPECIFIED, POD4),
        arp(HOST, ARP_REPLY, PEER4, POD4),
        asks6(POD6),
    ] {
        assert!(loaded.claims(&frame), "{frame:?}");
        for short in 14..frame.len() {
            assert!(!loaded.claims(&frame[..short]), "cut to {short}: {frame:?}");
        }
    }
    for frame in [
        arp(BROADCAST, ARP_REQUEST, PEER4, HOST4),
        arp(HOST, ARP_REPLY, PEER4, HOST4),
        asks6(HOST6),
        ipv6([0x33, 0x33, 0, 0, 0, 1], ALL_NODES),
        ethernet([0x33, 0x33, 0, 0, 0, 1], 0x86dd, &packet6(58, PEER6, ALL_NODES, &[134; 40])),
    ] {
        assert!(!loaded.claims(&frame), "{frame:?}");
    }
}

#[test]
fn a_pod_is_known_by_its_address_in_its_own_vlan() {
    let Some(mut loaded) = by_address_or_skip("a_pod_is_known_by_its_address_in_its_own_vlan", Some(7)) else { return };
    for frame in [ipv4(HOST, POD4), ipv6(HOST, POD6), arp(BROADCAST, ARP_REQUEST, PEER4, POD4)] {
        // The priority bits are not the VLAN's.
        assert!(loaded.claims(&tagged(7, &frame)) && loaded.claims(&tagged(0xa007, &frame)), "{frame:?}");
        assert!(!loaded.claims(&frame) && !loaded.claims(&tagged(8, &frame)), "{frame:?}");
        assert!(!loaded.claims(&tagged(7, &tagged(7, &frame))), "in a tunnel of VLANs: {frame:?}");
    }
}

#[test]
fn pods_come_and_go_beside_the_tunnels() {
    let Some(mut loaded) = Loaded::claiming("pods_come_and_go_beside_the_tunnels") else { return };
    let (vxlan, to_pod) = (Frame::default().bytes(), ipv4(POD, HOST4));
    let (vteps, tunnel_ports) = ([shared(VTEP4)], [VXLAN]);
    let tunnels = Claim { vteps: &vteps, tunnel_ports: &tunnel_ports, ..Claim::default() };
    assert!(loaded.claims(&vxlan) && !loaded.claims(&to_pod));
    loaded.maps.set(&Claim { macs: &[POD], ..tunnels }).unwrap();
    assert!(loaded.claims(&vxlan) && loaded.claims(&to_pod));
    loaded.maps.set(&tunnels).unwrap();
    assert!(loaded.claims(&vxlan) && !loaded.claims(&to_pod));
}

#[test]
fn as_many_pods_as_fit_are_all_claimed_and_one_more_is_refused_by_name() {
    let test = "as_many_pods_as_fit_are_all_claimed_and_one_more_is_refused_by_name";
    let macs: Vec<[u8; 6]> = (0..=MAX_MACS as u16).map(|n| [2, 0, 0, 1, (n >> 8) as u8, n as u8]).collect();
    let stations: Vec<Station> = (0..=MAX_STATIONS as u32)
        .map(|n| Station { vlan: None, address: Ipv4Addr::from(0x0a00_0000 + n).into() })
        .collect();
    let error = Claim { macs: &macs, ..Claim::default() }.check("eth7").unwrap_err();
    assert!(error.to_string().starts_with("eth7 was given 4097 MAC addresses of pods"), "{error}");
    let error = Claim { stations: &stations, ..Claim::default() }.check("eth7").unwrap_err();
    assert!(error.to_string().starts_with("eth7 was given 8193 IP addresses of pods"), "{error}");
    let Some(mut loaded) = Loaded::or_skip(test) else { return };
    let (macs, stations) = (&macs[1..], &stations[1..]);
    loaded.maps.set(&Claim { macs, stations, ..Claim::default() }).unwrap();
    assert!(loaded.claims(&ipv4(macs[MAX_MACS - 1], HOST4)));
    assert!(loaded.claims(&ipv4(HOST, Ipv4Addr::from(0x0a00_0000 + MAX_STATIONS as u32))));
}

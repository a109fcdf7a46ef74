use std::{collections::HashSet, net::IpAddr};

use podlane_wire::{IpProtocol, Network, Packet, Sum, Transport, Vxlan, checksum};

use super::*;
use crate::{
    generator::clock::Nanos,
    traffic::stamp::{Finder, Found, RunId},
};

/// The first packets of a template.
fn packets(template: &Template, count: u64) -> Vec<Vec<u8>> {
    let traffic = Traffic::of(template).unwrap();
    let mut writer = traffic.writer();
    let mut buffer = vec![0xee; traffic.longest()];
    (0..count)
        .map(|number| {
            let stamp = Stamp { run: RunId(7), number, intended: Nanos(number * 1_000) };
            let len = writer.write(stamp, &mut buffer);
            buffer[..len].to_vec()
        })
        .collect()
}

/// What lies in the outermost VXLAN, if anything does.
fn inner(frame: &[u8]) -> &[u8] {
    let packet = Packet::parse(frame).unwrap();
    match packet.transport {
        Transport::Udp(udp) if udp.destination_port() == Vxlan::PORT => Vxlan::parse(&frame[packet.payload]).unwrap().1,
        _ => frame,
    }
}

/// What tells a frame's flow; all its checksums are right.
fn flow_of(frame: &[u8]) -> (IpAddr, IpAddr, u16, u16) {
    let frame = inner(frame);
    let packet = Packet::parse(frame).unwrap();
    let segment = &frame[packet.transport_at..];
    let (protocol, ports) = match packet.transport {
        Transport::Udp(udp) => (IpProtocol::UDP, (udp.source_port(), udp.destination_port())),
        Transport::Tcp(tcp) => (IpProtocol::TCP, (tcp.source_port(), tcp.destination_port())),
        other => panic!("neither UDP nor TCP: {other:?}"),
    };
    let (from, to, pseudo): (IpAddr, IpAddr, Sum) = match packet.network {
        Network::Ipv4(ip) => {
            assert_eq!(ip.verify_checksum(), Ok(()));
            let pseudo = checksum::pseudo_v4(ip.source(), ip.destination(), protocol, segment.len() as u16);
            (ip.source().into(), ip.destination().into(), pseudo)
        }
        Network::Ipv6(ip, _) => {
            (ip.source().into(), ip.destination().into(), ip.pseudo(protocol, segment.len() as u32))
        }
        other => panic!("not IP: {other:?}"),
    };
    let verdict = match protocol {
        IpProtocol::UDP => checksum::verify_udp_v6(pseudo, segment),
        _ => checksum::verify_tcp(pseudo, segment),
    };
    assert_eq!(verdict, Ok(()));
    (from, to, ports.0, ports.1)
}

/// Templates of every kind, with ranges.
fn every_kind() -> Vec<Template> {
    let mut templates = Vec::new();
    for base in [Template::default(), Template::over_ipv6()] {
        for carried in [Carried::Udp, Carried::TcpSyn] {
            for vlan in [None, Some(Range { first: 100, last: 101 })] {
                for tunnel in [None, Some(Tunnel { vni: Range { first: 7, last: 8 }, ..Tunnel::default() })] {
                    let network = if base.source.first.is_ipv4() {
                        ["10.0.0.254-10.0.1.1", "10.9.0.1-10.9.0.3"]
                    } else {
                        ["fd00::fffe-fd00::1:1", "fd01::1-fd01::3"]
                    };
                    let [source, destination] = network.map(|range| range.parse().unwrap());
                    templates.push(Template {
                        carried,
                        vlan,
                        tunnel,
                        source,
                        destination,
                        sizes: Sizes::One(201),
                        source_port: Range { first: 65_530, last: 65_535 },
                        destination_port: Range { first: 53, last: 54 },
                        ..base.clone()
                    });
                }
            }
        }
    }
    templates
}

#[test]
fn every_packet_of_every_kind_is_whole_and_its_checksums_are_right() {
    for template in every_kind() {
        let flows = Traffic::of(&template).unwrap().flows();
        let packets = packets(&template, flows + 1);
        let mut finder = Finder::new(Some(RunId(7)));
        let mut met = HashSet::new();
        for (number, frame) in packets.iter().enumerate() {
            assert_eq!(frame.len(), 197);
            let stamp = Stamp { run: RunId(7), number: number as u64, intended: Nanos(number as u64 * 1_000) };
            assert_eq!(finder.find(frame), Found::Whole(stamp), "{template:?}");
            met.insert(flow_of(frame));
        }
        assert_eq!(met.len(), 6 * 2 * 4 * 3, "every pair of addresses and ports comes: {template:?}");
        assert_eq!(flow_of(&packets[0]), flow_of(&packets[flows as usize]), "after the last flow comes the first");
    }
}

#[test]
fn tags_networks_and_stations_count_too() {
    let stations: Range<MacAddr> = "02:00:00:00:00:fe-02:00:00:00:01:01".parse().unwrap();
    let template = Template {
        source_mac: stations,
        vlan: Some(Range { first: 100, last: 102 }),
        tunnel: Some(Tunnel { vni: Range { first: 0xfffffe, last: 0xffffff }, ..Tunnel::default() }),
        sizes: Sizes::One(128),
        ..Template::default()
    };
    let mut met = HashSet::new();
    for frame in packets(&template, 24) {
        let packet = Packet::parse(&frame).unwrap();
        let (vxlan, carried) = Vxlan::parse(&frame[packet.payload]).unwrap();
        met.insert((packet.tags.outer.unwrap().id, vxlan.network(), carried[6..12].to_vec()));
    }
    assert_eq!(met.len(), 3 * 2 * 4);
}

#[test]
fn the_flows_of_a_tunnel_leave_by_many_outer_ports() {
    let template = Template {
        source_port: Range { first: 0, last: 999 },
        tunnel: Some(Tunnel::default()),
        sizes: Sizes::One(128),
        ..Template::default()
    };
    let port = |frame: &Vec<u8>| u16::from_be_bytes([frame[34], frame[35]]);
    let ports: HashSet<u16> = packets(&template, 1_000).iter().map(port).collect();
    assert!(ports.len() > 900, "{} of 1,000", ports.len());
    assert!(ports.iter().all(|port| *port >= 49_152));
}

#[test]
fn imix_is_seven_short_four_middling_and_one_long() {
    let template = Template { sizes: Sizes::Imix, ..Template::default() };
    let mut lengths: Vec<usize> = packets(&template, 12).iter().map(Vec::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [[60; 7].as_slice(), &[590; 4], &[1514]].concat());
    let mean = Traffic::of(&template).unwrap().mean();
    assert!((mean - lengths.iter().sum::<usize>() as f64 / 12.0).abs() < 1e-9);
    let over_ipv6 = Template { sizes: Sizes::Imix, ..Template::over_ipv6() };
    assert_eq!(packets(&over_ipv6, 1)[0].len(), 80, "what does not fit into 64 bytes is longer");
}

#[test]
fn standard_sizes_can_be_had_and_others_are_refused_with_the_least() {
    for size in STANDARD_SIZES.map(usize::from) {
        assert_eq!(packets(&Template::default().of_size(size), 1)[0].len(), size - 4);
    }
    let refused = |template: Template| Traffic::of(&template).err();
    assert_eq!(refused(Template::over_ipv6().of_size(64)), Some(TemplateError::TooShort { size: 64, least: 84 }));
    let syn = Template { carried: Carried::TcpSyn, ..Template::default() };
    assert_eq!(refused(syn), Some(TemplateError::TooShort { size: 64, least: 76 }));
    assert_eq!(refused(Template::default().of_size(9000)), Some(TemplateError::TooLong { size: 9000 }));
    let vlan = Template { vlan: Some(Range::of(4095)), ..Template::default().of_size(68) };
    assert_eq!(refused(vlan), Some(TemplateError::Vlan { found: 4095 }));
    let mixed = Template { source: Template::over_ipv6().source, ..Template::default() };
    assert!(matches!(refused(mixed), Some(TemplateError::Families { .. })));
}

#[test]
fn a_traffic_says_what_it_is() {
    let text = |template: &Template| Traffic::of(template).unwrap().to_string();
    assert_eq!(text(&Template::default()), "64-byte UDP over IPv4, 1 flow");
    let many = Template { source_port: Range { first: 1, last: 500 }, sizes: Sizes::Imix, ..Template::over_ipv6() };
    assert_eq!(text(&many), "IMIX of UDP over IPv6, 500 flows");
}

#[test]
fn stations_are_named_once_each() {
    let range: Range<MacAddr> = "02:00:00:00:00:01-02:00:00:00:00:03".parse().unwrap();
    let template = Template { source_mac: range, ..Template::default() };
    let stations = Traffic::of(&template).unwrap().stations(100);
    let [from, to]: [Vec<u8>; 2] =
        [0, 1].map(|end| stations.iter().map(|pair: &[MacAddr; 2]| pair[end].0[5]).collect());
    assert_eq!((from, to), (vec![1, 2, 3], vec![2, 2, 2]));
}

/// A capture file: a packet of so many bytes at each of these microseconds.
pub(crate) fn capture(name: &str, packets: &[(u32, usize)]) -> std::path::PathBuf {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (number, (microseconds, length)) in packets.iter().enumerate() {
        for word in [7, *microseconds, *length as u32, *length as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(std::iter::repeat_n(number as u8, *length));
    }
    let path = std::env::temp_dir().join(format!("podlane-capture-{name}-{}.pcap", std::process::id()));
    std::fs::write(&path, file).unwrap();
    path
}

#[test]
fn a_capture_is_played_at_its_own_times_again_and_again() {
    let path = capture("played", &[(0, 60), (100, 1514), (400, 64)]);
    let recording = Recording::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let at: Vec<_> = (0..7).map(|number| recording.at(number).as_micros()).collect();
    assert_eq!(at, [0, 100, 400, 600, 700, 1_000, 1_200], "a play begins one mean gap of 200 us behind the former");
    assert_eq!((recording.packets(), recording.longest(), recording.packet(4)), (3, 1514, [1; 1514].as_slice()));
    let traffic = Traffic::Recorded(recording);
    assert_eq!((traffic.is_stamped(), traffic.flows(), traffic.longest()), (false, 3, 1514));
    assert_eq!(traffic.to_string(), "a capture of 3 packets, 546 bytes on average");
}

#[test]
fn a_capture_that_cannot_be_sent_says_why() {
    let said = |name: &str, packets: &[(u32, usize)]| {
        let path = capture(name, packets);
        let error = Recording::read(&path).err().map(|error| error.to_string());
        std::fs::remove_file(&path).unwrap();
        error.unwrap().replace(&path.display().to_string(), "FILE")
    };
    assert_eq!(said("empty", &[]), "capture FILE has no packets; capture some");
    assert_eq!(
        said("long", &[(0, 60), (1, 9000)]),
        "capture FILE: its packet 2 is of 9000 bytes, and only 14 to 3840 can be sent; take it out (editcap)"
    );
}

//! Which packets are sent, and how: what `send` and `loop` have in common.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use podlane_wire::MacAddr;

use super::told::GenerateError;
use crate::{
    generator::{Rate, Until},
    traffic::{Carried, Range, Recording, Sizes, Template, Traffic, Tunnel},
};

/// What frames are made from.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Kind {
    /// UDP datagrams.
    Udp,
    /// TCP segments that ask for a connection each.
    TcpSyn,
    /// UDP in the simple Internet mix: seven frames of 64 bytes, four of 594, one of 1518.
    Imix,
    /// UDP in VXLAN.
    Vxlan,
}

/// A range is one value, or two with a hyphen: 1024-65535. All ranges together make the flows: source ports count fastest, then
/// destination ports, sources, destinations, MAC addresses, tags, VNIs.
#[derive(Args, Debug)]
pub(super) struct Packets {
    /// What the frames carry.
    #[arg(long, value_enum, default_value_t = Kind::Udp, help_heading = "Packets")]
    template: Kind,
    /// Bytes of a frame as RFC 2544 counts, with its check sequence [default: the smallest that fits].
    #[arg(long, value_name = "BYTES", help_heading = "Packets")]
    size: Option<usize>,
    /// IPv6 addresses where none are given.
    #[arg(long, help_heading = "Packets")]
    ipv6: bool,
    /// Source addresses [default: 198.18.0.1, or 2001:2::1].
    #[arg(long, value_name = "RANGE", help_heading = "Packets")]
    src: Option<Range<IpAddr>>,
    /// Destination addresses [default: 198.19.0.1, or 2001:2:0:8000::1].
    #[arg(long, value_name = "RANGE", help_heading = "Packets")]
    dst: Option<Range<IpAddr>>,
    /// Source ports [default: 49184].
    #[arg(long, value_name = "RANGE", help_heading = "Packets")]
    sport: Option<Range<u16>>,
    /// Destination ports [default: 9].
    #[arg(long, value_name = "RANGE", help_heading = "Packets")]
    dport: Option<Range<u16>>,
    /// Source MAC addresses [default: 02:00:00:00:00:01].
    #[arg(long, value_name = "RANGE", help_heading = "Packets")]
    src_mac: Option<Range<MacAddr>>,
    /// Destination MAC addresses [default: 02:00:00:00:00:02].
    #[arg(long, value_name = "RANGE", help_heading = "Packets")]
    dst_mac: Option<Range<MacAddr>>,
    /// VLAN tags of the outermost header.
    #[arg(long, value_name = "RANGE", help_heading = "Packets")]
    vlan: Option<Range<u16>>,
    /// VXLAN networks around any template.
    #[arg(long, value_name = "RANGE", help_heading = "Packets")]
    vni: Option<Range<u32>>,
    /// Outer source address of VXLAN, IPv4 or IPv6 [default: 192.0.2.1].
    #[arg(long, value_name = "ADDRESS", requires = "outer_dst", help_heading = "Packets")]
    outer_src: Option<IpAddr>,
    /// Outer destination address of VXLAN [default: 192.0.2.2].
    #[arg(long, value_name = "ADDRESS", requires = "outer_src", help_heading = "Packets")]
    outer_dst: Option<IpAddr>,
    /// Outer source MAC address of VXLAN.
    #[arg(long, value_name = "MAC", help_heading = "Packets")]
    outer_src_mac: Option<MacAddr>,
    /// Outer destination MAC address of VXLAN.
    #[arg(long, value_name = "MAC", help_heading = "Packets")]
    outer_dst_mac: Option<MacAddr>,
    /// The first so many flows of all ranges.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Packets")]
    flows: Option<u64>,
    /// Send a capture instead: classic pcap of Ethernet, as often as it takes. Of its packets only the number can be told.
    #[arg(long, value_name = "FILE", help_heading = "Packets", conflicts_with_all = [
        "template", "size", "ipv6", "src", "dst", "sport", "dport", "src_mac", "dst_mac", "vlan", "vni", "outer_src", "outer_dst",
        "outer_src_mac", "outer_dst_mac", "flows",
    ])]
    pcap: Option<PathBuf>,
    /// Packets a second: 1000, 100k, 1.5M, or `max` [default: max; of a capture, as recorded].
    #[arg(long)]
    rate: Option<Rate>,
    /// For how long.
    #[arg(long, default_value_t = 10.0, value_parser = length)]
    seconds: f64,
    /// So many packets, instead of for so long.
    #[arg(long, value_name = "PACKETS", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Reads how long a run is to be.
pub(super) fn length(text: &str) -> Result<f64, LengthError> {
    text.parse().ok().filter(|seconds| (0.01..=1e6).contains(seconds)).ok_or(LengthError)
}

/// Why a length of time was refused.
#[derive(Debug, thiserror::Error)]
#[error("give a number of seconds between 0.01 and 1000000")]
pub(super) struct LengthError;

impl Packets {
    /// What is to be sent.
    pub(super) fn traffic(&self) -> Result<Traffic, GenerateError> {
        if self.template == Kind::Imix && self.size.is_some() {
            return Err(GenerateError::ImixSize);
        }
        match &self.pcap {
            Some(path) => Ok(Traffic::Recorded(Recording::read(path)?)),
            None => Ok(Traffic::of(&self.template())?),
        }
    }

    /// How fast.
    pub(super) fn rate(&self) -> Rate {
        let usual = if self.pcap.is_some() { Rate::Recorded } else { Rate::Maximum };
        self.rate.unwrap_or(usual)
    }

    /// How much.
    pub(super) fn until(&self) -> Until {
        match self.count {
            Some(packets) => Until::Packets(packets),
            None => Until::Time(Duration::from_secs_f64(self.seconds)),
        }
    }

    fn template(&self) -> Template {
        let ipv6 = self.ipv6 || [self.src, self.dst].iter().flatten().any(|range| range.first.is_ipv6());
        let usual = if ipv6 { Template::over_ipv6() } else { Template::default() };
        let template = Template {
            carried: if self.template == Kind::TcpSyn { Carried::TcpSyn } else { Carried::Udp },
            sizes: if self.template == Kind::Imix { Sizes::Imix } else { Sizes::One(0) },
            source: self.src.unwrap_or(usual.source),
            destination: self.dst.unwrap_or(usual.destination),
            source_port: self.sport.unwrap_or(usual.source_port),
            destination_port: self.dport.unwrap_or(usual.destination_port),
            source_mac: self.src_mac.unwrap_or(usual.source_mac),
            destination_mac: self.dst_mac.unwrap_or(usual.destination_mac),
            vlan: self.vlan,
            tunnel: self.tunnel(),
            flows: self.flows,
        };
        let sizes = match (template.sizes, self.size) {
            (Sizes::Imix, None) => Sizes::Imix,
            (_, size) => Sizes::One(size.unwrap_or_else(|| template.smallest())),
        };
        Template { sizes, ..template }
    }

    fn tunnel(&self) -> Option<Tunnel> {
        let usual = Tunnel::default();
        let asked = self.template == Kind::Vxlan
            || self.vni.is_some()
            || self.outer_src.is_some()
            || self.outer_src_mac.is_some()
            || self.outer_dst_mac.is_some();
        let ([from_mac, to_mac], [from, to]) = (usual.macs, usual.addresses);
        asked.then(|| Tunnel {
            vni: self.vni.unwrap_or(usual.vni),
            macs: [self.outer_src_mac.unwrap_or(from_mac), self.outer_dst_mac.unwrap_or(to_mac)],
            addresses: [self.outer_src.unwrap_or(from), self.outer_dst.unwrap_or(to)],
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        packets: Packets,
    }

    fn packets(line: &str) -> Packets {
        Line::try_parse_from(std::iter::once("line").chain(line.split_whitespace())).map(|line| line.packets).unwrap()
    }

    fn said(line: &str) -> String {
        packets(line).traffic().map_or_else(|error| error.to_string(), |traffic| traffic.to_string())
    }

    #[test]
    fn a_command_line_is_the_packets_it_names() {
        assert_eq!(said(""), "64-byte UDP over IPv4, 1 flow");
        assert_eq!(said("--ipv6"), "84-byte UDP over IPv6, 1 flow");
        assert_eq!(said("--template tcp-syn --sport 1024-65535"), "76-byte TCP SYN over IPv4, 64512 flows");
        assert_eq!(said("--template imix"), "IMIX of UDP over IPv4, 1 flow");
        assert_eq!(said("--template vxlan --vlan 7"), "118-byte UDP over IPv4 in VXLAN, tagged, 1 flow");
        assert_eq!(
            said("--template tcp-syn --vni 1-4 --outer-src fd00::1 --outer-dst fd00::2 --size 512"),
            "512-byte TCP SYN over IPv4 in VXLAN, 4 flows"
        );
        assert_eq!(
            said("--src 10.0.0.1-10.0.3.255 --sport 1024-65535 --flows 1000000"),
            "64-byte UDP over IPv4, 1000000 flows"
        );
    }

    #[test]
    fn a_command_line_that_makes_no_packets_says_why() {
        assert_eq!(
            said("--size 60"),
            "frames of 60 bytes are too short: headers, stamp and check sequence of this template take 64; ask for at least that"
        );
        assert_eq!(
            said("--src 10.0.0.1 --dst fd00::1"),
            "10.0.0.1 and fd00::1 are of two families; give two addresses of one"
        );
        assert_eq!(
            said("--template imix --size 512"),
            "--template imix has sizes of its own; leave --size out, or take another template"
        );
        assert!(said("--pcap /nowhere.pcap").starts_with("capture /nowhere.pcap: No such file or directory"));
    }

    #[test]
    fn a_capture_goes_as_recorded_and_packets_as_fast_as_they_can_unless_asked() {
        assert_eq!(packets("--pcap a.pcap").rate(), Rate::Recorded);
        assert_eq!(packets("--pcap a.pcap --rate max").rate(), Rate::Maximum);
        assert_eq!(packets("").rate(), Rate::Maximum);
        assert_eq!(packets("--rate 1.5M --count 7").until(), Until::Packets(7));
        assert_eq!(packets("").until(), Until::Time(Duration::from_secs(10)));
    }
}

//! What can be wrong with a configuration, where, and what to do about it.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;

use podlane_api::PortKind;

use super::value::Found;
use podlane_ipam::Span;
use podlane_policy::model::PodName;

use crate::desired::{Burst, DeviceName, FrameCount, Gateway, MacAddr, Mtu, Name, Prefix, VlanId, Vni};

/// A place in the file, counted from 1; columns are characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong. Displayed: `LINE:COLUMN: SUBJECT: what (remedy)`.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// In which object, such as `port "red"`; empty at the top of the file.
    pub subject: String,
    /// What.
    pub mistake: Mistake,
}

/// What is wrong. Each sentence ends with a remedy.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence beside each variant says what it and its fields are")]
pub enum Mistake {
    #[error("{message} (the file must be TOML)")]
    Syntax { message: String },
    #[error("unknown key \"{key}\" ({})", known(*nearest, keys))]
    UnknownKey { key: String, nearest: Option<&'static str>, keys: Vec<&'static str> },
    #[error("\"{key}\" is missing (it must be {must_be})")]
    Missing { key: &'static str, must_be: String },
    #[error("\"{key}\" must be {must_be}, not {found}{}", meant(*nearest))]
    Value { key: String, must_be: String, found: Found, nearest: Option<&'static str> },
    #[error("{what} named \"{name}\" is there already, on line {first} (give each its own name)")]
    DuplicateName { what: &'static str, name: Name, first: usize },

    #[error("no core is given (list the cores Podlane may have to itself, such as cores = [1])")]
    NoCores,
    #[error("core {core} is listed already, on line {first} (one worker runs on a core)")]
    DuplicateCore { core: usize, first: usize },
    #[error("this process may not run on core {core} (it has {})", cores(had))]
    NoSuchCore { core: usize, had: Vec<usize> },
    #[error(
        "{frames} frames are too few for {ports} ports, whose queues take {needed} at least (raise frames, or lower the ports' queues)"
    )]
    TooFewFrames { frames: FrameCount, ports: u32, needed: u64 },
    #[error(
        "there are {count} {what}s, more than a switch can have (at most {most}: give the rest to a second instance)"
    )]
    TooMany { what: &'static str, count: usize, most: usize },

    #[error("gateway {gateway} is not a station's address in {subnet} (choose another, such as {instead})")]
    GatewayNotHost { gateway: Gateway, subnet: Prefix, instead: IpAddr },
    #[error("{address} is {class}, which no station may have here (use a unicast address of the subnet)")]
    NotUnicast { address: IpAddr, class: &'static str },
    #[error(
        "{subnet} overlaps {other} of network \"{network}\" in VRF \"{vrf}\" (choose another subnet, or another vrf)"
    )]
    SubnetOverlap { subnet: Prefix, other: Prefix, network: Name, vrf: Name },
    #[error("an mtu of {mtu} is too small for IPv6 (its least is 1280: raise mtu, or remove the IPv6 gateway)")]
    MtuBelowIpv6 { mtu: Mtu },
    #[error("\"{mac}\" is no unicast MAC address (clear the lowest bit of its first octet)")]
    GroupMac { mac: MacAddr },
    #[error(
        "VRF \"{vrf}\" is network \"{vrf}\"'s own, as that one names no vrf (write vrf = \"{vrf}\" there too, or choose another name)"
    )]
    VrfTaken { vrf: Name },

    #[error("\"{key}\" means nothing to a port of kind \"{kind}\" (remove it)")]
    NotForKind { key: &'static str, kind: PortKind },
    #[error(
        "the port is in no network (name one in \"network\" or in \"vlans\"; an uplink of tunnels stands in \"uplinks\" under [underlay])"
    )]
    NoNetwork,
    #[error("a replay port reads or writes a file (name one in \"input\" or \"output\")")]
    NoCapture,
    #[error("no network is named \"{name}\" ({})", defined(nearest.as_ref(), names, "network"))]
    UnknownNetwork { name: Name, nearest: Option<Name>, names: Vec<Name> },
    #[error("VLAN {vlan} is listed already, on line {first} (a VLAN carries one network)")]
    DuplicateVlan { vlan: VlanId, first: usize },
    #[error(
        "the port is in network \"{network}\" already, on line {first} (once is enough: twice would return every flood)"
    )]
    NetworkTwice { network: Name, first: usize },
    #[error("device \"{device}\" is {port}'s already, on line {first} (a device carries one port)")]
    DeviceTwice { device: DeviceName, port: String, first: usize },
    #[error("\"{}\" is written by {port} already, on line {first} (give each port its own file)", file.display())]
    OutputTwice { file: std::path::PathBuf, port: String, first: usize },
    #[error("{mac} is the gateway's MAC address in network \"{network}\" (give the port another)")]
    GatewayMac { mac: MacAddr, network: Name },
    #[error("{mac} is {port}'s already, on line {first} (a MAC address is one station's in network \"{network}\")")]
    MacTwice { mac: MacAddr, port: String, network: Name, first: usize },
    #[error(
        "{address} is in no subnet of {}, which {} {} (choose one of them, or add a gateway)",
        these(networks),
        if networks.len() == 1 { "has" } else { "have" },
        list(subnets)
    )]
    OutsideSubnets { address: IpAddr, networks: Vec<Name>, subnets: Vec<Prefix> },
    #[error("{address} is no station's address in {subnet} (choose another)")]
    AddressNotHost { address: IpAddr, subnet: Prefix },
    #[error("{address} is the gateway of network \"{network}\" (choose another)")]
    GatewayAddress { address: IpAddr, network: Name },
    #[error("{address} is listed already, on line {first} (once is enough)")]
    AddressRepeated { address: IpAddr, first: usize },
    #[error("{address} is {port}'s already, on line {first} (an address is one station's in VRF \"{vrf}\")")]
    AddressTwice { address: IpAddr, port: String, vrf: Name, first: usize },
    #[error("the generic XDP path has no zero-copy (ask for xdp = \"native\", or mode = \"copy\")")]
    GenericZeroCopy,

    #[error("\"{key}\" says something of a pod, and the port has none (name it in \"pod\", or remove this)")]
    NeedsPod { key: &'static str },
    #[error("the port by which the node reaches its pods is no pod's (remove \"pod\", or \"node\")")]
    PodAndNode,
    #[error(
        "pod {pod} is described by {port} already, on line {first} (write its \"labels\" and \"ports\" there alone)"
    )]
    DescribedTwice { pod: PodName, port: String, first: usize },

    #[error("\"{key}\" counts what policy follows, and none is enforced (write [policy], or remove this)")]
    NeedsPolicy { key: &'static str },
    #[error(
        "\"{burst}\" is how much of \"{rate}\" may come at once, and there is no such rate (add it, or remove this)"
    )]
    BurstWithoutRate { burst: &'static str, rate: &'static str },
    #[error(
        "a burst of {burst} bits is too small to keep this rate (write {key} = {least} or more, which is room for one packet at an mtu of {mtu} and for two milliseconds of the rate, or remove it)"
    )]
    SmallBurst { key: &'static str, burst: Burst, least: Burst, mtu: Mtu },

    #[error(
        "the host keeps what comes by uplink \"{uplink}\" of network \"{network}\", but for what is sent to stated stations (state \"{key}\", or remove \"sharing\" from the uplink)"
    )]
    UnknownOnUplink { network: Name, uplink: Name, key: &'static str },
    #[error(
        "uplink \"{uplink}\" of the network is shared by ip, and so the network is one with the wire behind it (remove this: the wire has its own routers; or share the uplink by mac)"
    )]
    RoutedOnUplink { uplink: Name },

    #[error(
        "\"{key}\" is about pods that are attached while the daemon runs, and none are (write [attachments], or remove this)"
    )]
    NeedsAttachments { key: &'static str },
    #[error(
        "{range} is in no subnet of the network, which has {} (choose addresses of one of them, or add a gateway)",
        list(subnets)
    )]
    RangeOutside { range: Span, subnets: Vec<Prefix> },
    #[error("{range} overlaps {other}, on line {first} (let an address be in one of them)")]
    RangeTwice { range: Span, other: Span, first: usize },
    #[error(
        "{reserved} is in no range that pods get addresses from, which are {} (remove it, or widen \"ranges\")",
        list(ranges)
    )]
    ReservedOutside { reserved: Span, ranges: Vec<Span> },

    #[error("exactly one of {keys} must be given ({})", if *given { "remove the other" } else { "add one" })]
    OneOf { keys: &'static str, given: bool },
    #[error("no network is in VRF \"{name}\" ({})", defined(nearest.as_ref(), names, "VRF"))]
    UnknownVrf { name: Name, nearest: Option<Name>, names: Vec<Name> },
    #[error("{written} has bits set past its prefix (write {prefix})")]
    HostBits { written: Gateway, prefix: Prefix },
    #[error("{prefix} is routed already in VRF \"{vrf}\", on line {first} (keep one)")]
    RouteTwice { prefix: Prefix, vrf: Name, first: usize },
    #[error("{prefix} is the subnet of network \"{network}\" itself (remove the route: the VRF knows its subnets)")]
    RouteToSubnet { prefix: Prefix, network: Name },
    #[error("next hop {next_hop} is of another address family than {prefix} (name one of the same)")]
    OtherFamily { next_hop: IpAddr, prefix: Prefix },
    #[error(
        "next hop {next_hop} is in no connected subnet, which are {} (name a station in one of them)",
        list(subnets)
    )]
    NotConnected { next_hop: IpAddr, subnets: Vec<Prefix> },

    #[error("there is no underlay to carry it (write [underlay] with \"vteps\" and \"uplinks\", or remove this)")]
    NoUnderlay,
    #[error("\"{key}\" is empty (name at least one {what})")]
    Empty { key: &'static str, what: &'static str },
    #[error("{address} is a second VTEP address of its family, beside {other} (keep one of each family)")]
    FamilyTwice { address: IpAddr, other: IpAddr },
    #[error("no port is named \"{name}\" ({})", defined(nearest.as_ref(), names, "port"))]
    UnknownPort { name: Name, nearest: Option<Name>, names: Vec<Name> },
    #[error("no peer is named \"{name}\" ({})", defined(nearest.as_ref(), names, "peer"))]
    UnknownPeer { name: Name, nearest: Option<Name>, names: Vec<Name> },
    #[error("port \"{port}\" is of kind \"{kind}\" (tunnelled packets go by a port of kind \"uplink\")")]
    NotAnUplink { port: Name, kind: PortKind },
    #[error(
        "port \"{port}\" is in a network, and an uplink of the underlay is in none (remove its network and vlans, or name another port)"
    )]
    UplinkInNetwork { port: Name },
    #[error("\"{key}\" means nothing to an uplink of the underlay, by which other nodes' pods come (remove it)")]
    NotForUnderlay { key: &'static str },
    #[error("\"{name}\" is listed already, on line {first} (once is enough)")]
    NameRepeated { name: Name, first: usize },
    #[error("{prefix} is routed already, on line {first} (write all its next hops into one \"via\")")]
    UnderlayRouteTwice { prefix: Prefix, first: usize },
    #[error("{address} is this node's own VTEP address (name another node's)")]
    OwnVtep { address: IpAddr },
    #[error("{address} is {peer}'s already, on line {first} (a VTEP address is one node's)")]
    PeerTwice { address: IpAddr, peer: String, first: usize },
    #[error("{address} is of a family in which this node has no VTEP address (add one to \"vteps\" under [underlay])")]
    NoVtepOfFamily { address: IpAddr },
    #[error(
        "{address} is on no link of this node, which are {}, and no route leads to it (add one to \"routes\" under [underlay])",
        list(links)
    )]
    Unreachable { address: IpAddr, links: Vec<Prefix> },
    #[error("VNI {vni} is network \"{network}\"'s already, on line {first} (give each network its own)")]
    VniTwice { vni: Vni, network: Name, first: usize },
    #[error("\"{key}\" means nothing to a network without a VNI (give it a vni, or remove this)")]
    NeedsVni { key: &'static str },
    #[error("network \"{network}\" has no VNI, so that nothing of it is on another node (give it a vni)")]
    NoVni { network: Name },
    #[error("peer \"{peer}\" does not have network \"{network}\" (add it to the network's peers)")]
    PeerWithoutNetwork { peer: Name, network: Name },
    #[error(
        "{address} is the VTEP address of {owner} (choose another: what is in a tunnel may not be called as its ends are)"
    )]
    VtepAddress { address: IpAddr, owner: String },
    #[error(
        "{mac} is stated by {other} too, on line {first}, in the same generation {generation} (raise the generation of the one that counts)"
    )]
    MacInGeneration { mac: MacAddr, other: String, generation: u64, first: usize },
    #[error(
        "{address} is stated by {other} too, on line {first}, in the same generation {generation} (raise the generation of the one that counts)"
    )]
    AddressInGeneration { address: IpAddr, other: String, generation: u64, first: usize },
    #[error(
        "the networks' peers by {uplinks} uplinks are {paths} paths, more than a switch can have (at most {most}: name the \"peers\" of each network, or take fewer uplinks)"
    )]
    TooManyPaths { paths: usize, uplinks: usize, most: usize },
    #[error(
        "the peers are reached by {count} IPv4 next hops, more than an uplink can ask for (at most {most}: reach peers through a router, by a longer prefix in \"vteps\" and \"routes\" under [underlay])"
    )]
    TooManyNextHops { count: usize, most: usize },
}

fn known(nearest: Option<&str>, keys: &[&str]) -> String {
    nearest.map_or_else(|| format!("the keys here are {}", keys.join(", ")), |key| format!("did you mean \"{key}\"?"))
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|word| format!(" (did you mean \"{word}\"?)")).unwrap_or_default()
}

fn defined(nearest: Option<&Name>, names: &[Name], what: &str) -> String {
    match nearest {
        Some(name) => format!("did you mean \"{name}\"?"),
        None if names.is_empty() => format!("the file defines no {what}"),
        None => format!("defined are {}", list(names)),
    }
}

fn these(networks: &[Name]) -> String {
    match networks {
        [network] => format!("network \"{network}\""),
        _ => "the port's networks".to_owned(),
    }
}

fn cores(had: &[usize]) -> String {
    if had.is_empty() { "none that it can name".to_owned() } else { list(had) }
}

fn list(items: &[impl ToString]) -> String {
    match items {
        [] => "none".to_owned(),
        items => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place: Place { line, column }, subject, mistake } = self;
        let colon = if subject.is_empty() { "" } else { ": " };
        write!(f, "{line}:{column}: {subject}{colon}{mistake}")
    }
}

/// The findings so far. Shared by everything that reads, so that no reader has to stop for its own.
pub(super) struct Findings<'t> {
    text: &'t str,
    list: RefCell<Vec<Finding>>,
    /// Lines that are no TOML: what else is found on them follows from that.
    broken: RefCell<Vec<usize>>,
}

impl<'t> Findings<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, list: RefCell::default(), broken: RefCell::default() }
    }

    /// Adds a mistake of `subject` at a byte of the text.
    pub(super) fn add(&self, at: usize, subject: &str, mistake: Mistake) {
        let place = self.place(at);
        if !self.broken.borrow().contains(&place.line) {
            self.list.borrow_mut().push(Finding { place, subject: subject.to_owned(), mistake });
        }
    }

    /// Adds what the TOML parser found.
    pub(super) fn add_syntax(&self, at: usize, mistake: Mistake) {
        self.add(at, "", mistake);
        self.broken.borrow_mut().push(self.place(at).line);
    }

    /// Whether a line that is no TOML opens a table.
    pub(super) fn has_broken_header(&self) -> bool {
        let opens_table =
            |line: &usize| self.text.lines().nth(line - 1).is_some_and(|line| line.trim_start().starts_with('['));
        self.broken.borrow().iter().any(opens_table)
    }

    /// The line of a byte of the text, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.place(at).line
    }

    pub(super) fn into_sorted(self) -> Vec<Finding> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|finding| finding.place);
        list
    }

    fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

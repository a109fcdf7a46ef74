//! What is compared: each workload is a [duty](Duty) for whoever is measured, and a load on it.
//!
//! A family is what can be asked for by name; it is one workload or a few, or a sweep, which is one for each place on its axis.

use clap::ValueEnum;

use crate::{
    load::traffic::PACKET,
    series::{At, Axis, Target},
    subject::{Duty, Way},
    traffic::{STANDARD_SIZES, template::CHECK_SEQUENCE},
};

/// The places on each axis; of frame sizes they are RFC 2544's.
const FLOWS: [u32; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const POLICIES: [u16; 4] = [10, 100, 1_000, 10_000];
const PORTS: [u16; 5] = [2, 10, 50, 100, 200];
/// Packets a second: as far as one core sends and receives by AF_XDP.
const OFFERED: [u32; 5] = [10_000, 50_000, 100_000, 200_000, 400_000];
const WORKERS: [u16; 2] = [1, 2];

/// Flows where their number is not what is looked at: enough that none is the next packet's, few enough for every switch's cache.
const SOME: u32 = 1000;

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum Family {
    /// 64-byte UDP within a network, by number of flows (`--flows`).
    Udp,
    /// 64-byte UDP from one network to another.
    Routed,
    /// TCP, 1 and 4 streams at MTU 1500.
    Tcp,
    /// TCP, 1 and 4 streams at MTU 9000.
    Tcp9000,
    /// A question and its answer, one at a time.
    RoundTrip,
    /// 64-byte UDP of established connections under stateful rules (`--rules`).
    Policy,
    /// 64-byte UDP into VXLAN and out of it.
    Vxlan,
    /// One TCP stream from node to node through VXLAN.
    VxlanTcp,
    /// Sweep: rate against frame size.
    FrameSize,
    /// Sweep: rate against flows.
    Flows,
    /// Sweep: rate against policies.
    Policies,
    /// Sweep: rate against attached ports.
    Ports,
    /// Sweep: one-way latency against offered load.
    Latency,
    /// Sweep: TCP against workers, of which the second shares the load's core.
    Workers,
}

/// What is asked of a family.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Flows of [`Family::Udp`].
    pub flows: Vec<u32>,
    /// Rules of [`Family::Policy`].
    pub rules: u16,
}

/// What is sent, and what is told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Load {
    /// UDP at full rate: so many flows, packets of so many bytes.
    Flood { flows: u32, bytes: usize, answered: bool },
    /// TCP streams between the pods' kernels.
    Streams(u16),
    /// UDP at so many packets a second.
    Paced(u32),
    /// UDP questions between the pods' kernels.
    Echo,
    /// One TCP stream from node to node.
    Span,
}

/// One number of a workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Figure {
    /// Which; empty where it is the only one.
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    /// Whether it is compared.
    pub(super) compared: bool,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) family: Family,
    /// What it is called in tables; empty in a sweep, whose points say where they are.
    pub(super) name: String,
    pub(super) at: Option<At>,
    pub(super) duty: Duty,
    pub(super) load: Load,
    /// The workload that Podlane's figure is held against, by its name, and what of it is to be kept.
    pub(super) base: Option<(&'static str, Option<Target>)>,
    /// Whether it is Podlane's alone, as the base of another one.
    pub(super) alone: bool,
}

const fn figure(what: &'static str, unit: &'static str) -> Figure {
    Figure { what, unit, compared: true }
}

impl Load {
    const fn minimal(flows: u32) -> Self {
        Self::Flood { flows, bytes: PACKET, answered: false }
    }

    const fn answered(flows: u32) -> Self {
        Self::Flood { flows, bytes: PACKET, answered: true }
    }
}

impl Workload {
    fn new(family: Family, name: impl Into<String>, duty: Duty, load: Load) -> Self {
        Self { family, name: name.into(), at: None, duty, load, base: None, alone: false }
    }

    fn point(family: Family, (axis, x): (Axis, f64), duty: Duty, load: Load) -> Self {
        Self { at: Some(At { axis, x }), ..Self::new(family, "", duty, load) }
    }

    /// What is told of it, in this order. That packets of one size are so many bits goes without saying.
    pub(super) fn figures(&self) -> &'static [Figure] {
        const PACKETS: Figure = figure("", "Mpps");
        const BITS: Figure = figure("", "Gbit/s");
        const BESIDE: Figure = Figure { compared: false, ..PACKETS };
        match self.load {
            Load::Flood { .. } if self.family == Family::FrameSize => &[PACKETS, BITS],
            Load::Flood { .. } => &[PACKETS],
            Load::Streams(_) => &[BITS],
            Load::Echo => &const { [figure("p50", "us"), figure("p99", "us")] },
            Load::Paced(_) => &const { [figure("p50", "us"), figure("p99", "us"), figure("p99.9", "us")] },
            Load::Span => &[
                BITS,
                Figure { what: "packet on the underlay", unit: "bytes", ..BESIDE },
                Figure { what: "segments sent again", unit: "1/s", ..BESIDE },
            ],
        }
    }

    /// Where it is measured, for people: its name, or the place on the sweep.
    pub(super) fn label(&self) -> String {
        self.at.map_or_else(|| self.name.clone(), |at| at.to_string())
    }
}

impl Family {
    /// Its workloads.
    pub(super) fn workloads(self, scale: &Scale) -> Vec<Workload> {
        let one = |name: &str, duty, load| Workload::new(self, name, duty, load);
        match self {
            Self::Udp => {
                scale.flows.iter().map(|flows| one(&udp(*flows), Duty::BRIDGED, Load::minimal(*flows))).collect()
            }
            Self::Routed => vec![one("64-byte UDP routed, 1,000 flows", Duty::of(Way::Routed), Load::minimal(SOME))],
            Self::Tcp => streams(self, 1500),
            Self::Tcp9000 => streams(self, 9000),
            Self::RoundTrip => vec![one("UDP round trip", Duty::PEOPLED, Load::Echo)],
            Self::Policy => policy(scale.rules),
            Self::Vxlan => vxlan(),
            Self::VxlanTcp => vec![one("TCP through VXLAN, 1 stream, node to node", Duty::PEOPLED, Load::Span)],
            Self::FrameSize => sweep(self, Axis::FrameSize, STANDARD_SIZES, |size| {
                (Duty::BRIDGED, Load::Flood { flows: SOME, bytes: usize::from(size) - CHECK_SEQUENCE, answered: false })
            }),
            Self::Flows => sweep(self, Axis::Flows, FLOWS, |flows| (Duty::BRIDGED, Load::minimal(flows))),
            Self::Policies => sweep(self, Axis::Policies, POLICIES, |rules| {
                (Duty { rules: Some(rules), ..Duty::BRIDGED }, Load::answered(SOME))
            }),
            Self::Ports => sweep(self, Axis::Ports, PORTS, |ports| {
                (Duty { silent: ports - PORTS[0], ..Duty::BRIDGED }, Load::minimal(SOME))
            }),
            Self::Latency => OFFERED.into_iter().map(|rate| latency(self, rate)).collect(),
            Self::Workers => {
                sweep(self, Axis::Workers, WORKERS, |workers| (Duty { workers, ..Duty::PEOPLED }, Load::Streams(4)))
            }
        }
    }
}

fn sweep<X: TryInto<u32> + Copy, const N: usize>(
    family: Family,
    axis: Axis,
    places: [X; N],
    workload: impl Fn(X) -> (Duty, Load),
) -> Vec<Workload> {
    let point = |place: X| {
        let (duty, load) = workload(place);
        Workload::point(family, (axis, place.try_into().unwrap_or_default().into()), duty, load)
    };
    places.into_iter().map(point).collect()
}

fn latency(family: Family, rate: u32) -> Workload {
    Workload::point(family, (Axis::Offered, f64::from(rate) / 1e6), Duty::PEOPLED, Load::Paced(rate))
}

fn udp(flows: u32) -> String {
    format!("64-byte UDP, {} flow{}", grouped(flows), if flows == 1 { "" } else { "s" })
}

fn streams(family: Family, mtu: u16) -> Vec<Workload> {
    let workload = |(count, streams)| {
        let name = format!("TCP, {streams}, MTU {mtu}");
        Workload::new(family, name, Duty { mtu, ..Duty::PEOPLED }, Load::Streams(count))
    };
    [(1, "1 stream"), (4, "4 streams")].map(workload).into()
}

/// Connections in which both sides have spoken, under rules of which the last one allows them; and the same without any rules.
fn policy(rules: u16) -> Vec<Workload> {
    const WITHOUT: &str = "answered UDP, no policy";
    let name = format!("answered UDP, {} stateful rules", grouped(rules.into()));
    let under = Duty { rules: Some(rules), ..Duty::BRIDGED };
    let without = Workload::new(Family::Policy, WITHOUT, Duty::BRIDGED, Load::answered(SOME));
    let policed = Workload::new(Family::Policy, name, under, Load::answered(SOME));
    vec![Workload { alone: true, ..without }, Workload { base: Some((WITHOUT, None)), ..policed }]
}

/// Both ways through one end of a tunnel, and plain routing, of which a tunnel is to keep nine tenths.
fn vxlan() -> Vec<Workload> {
    const ROUTED: &str = "routed without a tunnel";
    let one = |name: &str, way| Workload::new(Family::Vxlan, name, Duty::of(way), Load::minimal(SOME));
    let base = Some((ROUTED, Some(Target::AtLeast(0.9))));
    vec![
        Workload { alone: true, ..one(ROUTED, Way::Routed) },
        Workload { base, ..one("VXLAN encapsulation", Way::Encapsulated) },
        Workload { base, ..one("VXLAN decapsulation", Way::Decapsulated) },
    ]
}

/// A number with its thousands apart.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::subject::{Subject, podlane::Podlane};

    #[test]
    fn podlane_does_all_of_them_and_no_two_are_called_alike() {
        let scale = Scale { flows: vec![1, 1_000_000], rules: 1000 };
        let all: Vec<Workload> = Family::value_variants().iter().flat_map(|family| family.workloads(&scale)).collect();
        for workload in &all {
            assert!(Podlane.takes(&workload.duty), "{workload:?}");
        }
        let labels: HashSet<(Option<Axis>, String)> =
            all.iter().map(|workload| (workload.at.map(|at| at.axis), workload.label())).collect();
        assert_eq!(labels.len(), all.len());
    }

    #[test]
    fn a_base_is_measured_before_what_is_held_against_it() {
        for family in Family::value_variants() {
            let workloads = family.workloads(&Scale { flows: vec![1], rules: 10 });
            for (number, workload) in workloads.iter().enumerate() {
                let Some((base, _)) = workload.base else { continue };
                assert!(workloads[..number].iter().any(|earlier| earlier.name == base && earlier.alone), "{base}");
            }
        }
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([1, 999, 1_000, 1_234_567].map(grouped), ["1", "999", "1,000", "1,234,567"]);
    }
}

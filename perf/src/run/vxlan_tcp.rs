//! `podlane-perf vxlan-tcp`: a TCP stream from a pod on one node to a pod on another, through two Podlanes and through two of the
//! kernel's `vxlan` devices and bridges, in turns.
//!
//! Nobody has a core of its own here: on two cores there are two workers, a sender, a receiver and the kernel's work for all of them. So
//! the workers sleep when there is nothing to do, as they do by default, and the ratio tells what an overlay costs a small machine.

use podlane_dataplane::worker::idle::Poll;
use podlane_host::{LinkId, Links};

use crate::{
    load::{
        stream::{Streamed, stream},
        underlay::{PEER, VTEP},
    },
    machine::Origin,
    nodes::Nodes,
    report::Report,
    run::{RunError, Terms},
    series::Series,
    subject::{SubjectError, kernel, overlay::Node, switch::Switch},
};

const NOTES: &[&str] = &[
    "Two workers share two cores with sender and receiver.",
    "Why they differ: AF_XDP carries no GSO segments, so every packet of 1,450 bytes is made, copied and received by itself on each of \
     three links; the kernel passes segments of up to 64 KiB through its vxlan device and cuts them nowhere, as the packets on the \
     underlay show.",
];

/// What carries the stream.
#[derive(Clone, Copy)]
enum Carrier {
    Podlane,
    Kernel,
}

/// The rounds of one carrier, or why there are none.
type Rounds = Result<Vec<Round>, String>;

/// What one round found of one carrier.
struct Round {
    streamed: Streamed,
    /// Bytes of a packet that the sender's node put on the underlay, on average.
    packet: f64,
}

/// Measures and compares.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>) -> Result<Report, RunError> {
    let origin = Origin::here();
    let carriers = [(Carrier::Podlane, "podlane"), (Carrier::Kernel, "kernel vxlan")];
    let mut found: [Rounds; 2] = [Ok(Vec::new()), Ok(Vec::new())];
    for round in 1..=terms.rounds {
        for ((carrier, name), rounds) in carriers.into_iter().zip(&mut found) {
            let Ok(samples) = rounds else { continue };
            (terms.progress)(&format!("round {round} of {}: {name}", terms.rounds));
            match measure(carrier, terms) {
                Ok(found) => samples.push(found),
                Err(RunError::Switch(source)) if source.is_a_reason_to_skip() => *rounds = Err(source.to_string()),
                Err(error) => return Err(error),
            }
        }
    }
    let told = |what: &str, unit, number: fn(&Round) -> f64| {
        let series = carriers.iter().zip(&found).map(|((_, name), rounds)| {
            let name = format!("{name}, {what}");
            match rounds {
                Ok(rounds) => Series::new(name, unit, rounds.iter().map(number).collect()),
                Err(why) => Series::skipped(name, unit, why.clone()),
            }
        });
        series.collect::<Vec<_>>()
    };
    let mut series = told("one TCP stream", "Gbit/s", |round| round.streamed.rate / 1e9);
    let ratio = match &found[1] {
        Ok(_) => Series::new("podlane / kernel vxlan", "", series[0].over(&series[1])),
        Err(why) => Series::skipped("podlane / kernel vxlan", "", why.clone()),
    };
    series.push(ratio);
    series.extend(told("packet on the underlay", "bytes", |round| round.packet));
    series.extend(told("segments sent again", "1/s", |round| round.streamed.retransmits));
    let title = "TCP from node to node through VXLAN, one stream, underlay MTU 1500";
    Ok(Report { series, ..Report::new(title, origin, terms.rounds) }.noted(NOTES))
}

/// One round of one carrier, on nodes of its own.
fn measure(carrier: Carrier, terms: &Terms<'_>) -> Result<Round, RunError> {
    let nodes = Nodes::lay()?;
    match carrier {
        Carrier::Podlane => {
            let cores = [nodes.cores.load, nodes.cores.switch];
            let start = |number: usize, node: Node| {
                node.start((cores[number], Poll::Adaptive), nodes.node(number), &nodes.ends(number))
            };
            let switches = [start(0, Node::NEAR)?, start(1, Node::FAR)?];
            let round = cross(&nodes, terms);
            let stopped: Result<(), SubjectError> = switches.into_iter().try_for_each(Switch::stop);
            let round = round?;
            stopped?;
            Ok(round)
        }
        Carrier::Kernel => {
            for (number, vteps) in [[VTEP, PEER], [PEER, VTEP]].into_iter().enumerate() {
                kernel::join(nodes.node(number), &nodes.ends(number), vteps)?;
            }
            cross(&nodes, terms)
        }
    }
}

/// Streams, and looks at what crosses the underlay.
fn cross(nodes: &Nodes, terms: &Terms<'_>) -> Result<Round, RunError> {
    let mut links = Links::open_in(nodes.node(1))?;
    let mut arrived = || links.counters(LinkId::Index(nodes.ends(1).uplink.ifindex));
    let before = arrived()?;
    let streamed = stream(nodes.from(), nodes.to(), terms.length, terms.stop)?;
    let after = arrived()?;
    let (packets, bytes) = (after.rx_packets - before.rx_packets, after.rx_bytes - before.rx_bytes);
    Ok(Round { streamed, packet: bytes as f64 / packets.max(1) as f64 })
}

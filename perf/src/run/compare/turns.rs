//! One after the other, round by round, so that a machine that is slow for a while is slow for all of them.
//!
//! Who cannot be measured, whatever the reason, drops out with that reason and the others go on. Only Ctrl-C and a machine on which nobody can
//! be measured end the run.

use podlane_host::{LinkId, Links};
use thiserror::Error;

use super::{
    roster::Contender,
    workload::{Load, Workload},
};
use crate::{
    bed::{Bed, Shape},
    load::{LoadError, echo::Echo, flood::Flood, paced::Paced, stream::Streams},
    nodes::Nodes,
    run::{RunError, Terms, allow_ports},
    subject::{Running, Subject},
    traffic::template::bits_on_a_wire,
};

/// One contender under one workload.
pub(super) struct Cell<'a> {
    pub(super) workload: &'a Workload,
    pub(super) contender: Contender,
    pub(super) subject: &'static dyn Subject,
    /// Each round's figures, or why there are none.
    pub(super) outcome: Result<Vec<Figures>, Missing>,
}

/// The figures of one turn, in the order of [`Workload::figures`]; `None` for one that so few packets do not tell.
pub(super) type Figures = Vec<Option<f64>>;

/// Why somebody has no figures.
#[derive(Debug, Error)]
pub(super) enum Missing {
    /// It was asked for by name, and is not made for it.
    #[error("it does not do this")]
    NotItsWork,
    /// It, or the load, failed.
    #[error("{}{error}", if *.round == 1 { String::new() } else { format!("in round {round}: ") })]
    Failed {
        /// In which round.
        round: u32,
        /// How.
        error: RunError,
    },
}

impl Missing {
    /// Whether it was the load that could not do what was asked, or who asked, and nobody's behind it.
    pub(super) const fn is_excused(&self) -> bool {
        matches!(self, Self::NotItsWork | Self::Failed { error: RunError::Load(LoadError::Slow { .. }), .. })
    }
}

/// Measures each cell once a round.
///
/// # Errors
/// [`RunError`]: Ctrl-C, or nobody can be measured here.
pub(super) fn in_turns(cells: &mut [Cell<'_>], terms: &Terms<'_>) -> Result<(), RunError> {
    for round in 1..=terms.rounds {
        for cell in &mut *cells {
            let Ok(rounds) = &mut cell.outcome else { continue };
            let (name, label) = (cell.subject.name(), cell.workload.label());
            (terms.progress)(&format!("round {round} of {}: {name}, {label}", terms.rounds));
            match measure(cell.workload, cell.subject, terms) {
                Ok(figures) => rounds.push(figures),
                Err(error) if error.is_interruption() || error.is_everybodys() => return Err(error),
                Err(error) => {
                    (terms.progress)(&format!("  not measured: {error}"));
                    cell.outcome = Err(Missing::Failed { round, error });
                }
            }
        }
    }
    Ok(())
}

/// The figures of one turn, on a bed of its own: a program that was killed may have left something on its links, and a queue that was
/// just closed is busy for a while.
fn measure(workload: &Workload, subject: &dyn Subject, terms: &Terms<'_>) -> Result<Figures, RunError> {
    if terms.stop.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(LoadError::Interrupted.into());
    }
    let duty = &workload.duty;
    if workload.load == Load::Span {
        let nodes = &Nodes::lay()?;
        let running = subject.span(nodes)?;
        return settle(running, span(nodes, terms));
    }
    allow_ports(duty.silent)?;
    let (joined, finished) = (subject.joins_pods(), duty.peopled && !subject.finishes_checksums());
    let bed = &Bed::lay(&Shape { joined, finished, ..duty.shape() })?;
    let running = subject.start(bed, duty)?;
    let patience = subject.patience();
    let (from, to, core, length, stop) = (bed.from(), bed.to(), bed.cores.load, terms.length, terms.stop);
    let figures = match workload.load {
        Load::Flood { flows, bytes, answered } => {
            let traffic = duty.traffic(flows, bytes);
            // Where nothing arrives nobody answers.
            let traffic = if answered && running.taken().is_none() { traffic.answered() } else { traffic };
            let (taken, arriving) = (running.taken(), duty.arriving(bytes));
            let flood = Flood { bed, traffic, length, patience, taken, arriving, stop };
            flood
                .run()
                .map(|sample| vec![Some(sample.rate() / 1e6), Some(sample.rate() * bits_on_a_wire(bytes as f64) / 1e9)])
        }
        Load::Streams(count) => {
            let streams = Streams { from, to, count, core: Some(core), length, patience, stop };
            streams.run().map(|streamed| vec![Some(streamed.rate / 1e9)])
        }
        Load::Echo => {
            let echo = Echo { from, to, core, length, patience, stop };
            echo.run().map(|trips| vec![trips.p50, trips.p99])
        }
        Load::Paced(offered) => {
            let paced = Paced { bed, offered, length, patience, stop };
            paced.run().map(|latencies| vec![latencies.p50, latencies.p99, latencies.p999])
        }
        Load::Span => Ok(Vec::new()),
    };
    settle(running, figures.map_err(RunError::from))
}

/// Stops what was measured. If it ended before, that is why nothing came through.
fn settle(mut running: Box<dyn Running>, figures: Result<Figures, RunError>) -> Result<Figures, RunError> {
    match figures {
        Ok(figures) => {
            running.stop()?;
            Ok(figures)
        }
        Err(error) if error.is_interruption() => Err(error),
        Err(error) => Err(running.check().err().map_or(error, RunError::from)),
    }
}

/// Streams from node to node, and looks at what crosses the underlay. Nobody has a core of its own there.
fn span(nodes: &Nodes, terms: &Terms<'_>) -> Result<Figures, RunError> {
    let mut links = Links::open_in(nodes.node(1))?;
    let mut arrived = || links.counters(LinkId::Index(nodes.ends(1).uplink.ifindex));
    let before = arrived()?;
    let streams = Streams {
        from: nodes.from(),
        to: nodes.to(),
        count: 1,
        core: None,
        length: terms.length,
        patience: std::time::Duration::from_secs(5),
        stop: terms.stop,
    };
    let streamed = streams.run()?;
    let after = arrived()?;
    let (packets, bytes) = (after.rx_packets - before.rx_packets, after.rx_bytes - before.rx_bytes);
    Ok([streamed.rate / 1e9, bytes as f64 / packets.max(1) as f64, streamed.retransmits].map(Some).into())
}

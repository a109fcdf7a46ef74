//! What `send`, `receive` and `loop` say: a few lines for people, or one JSON object. And where their netdevs are.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use hdrhistogram::CreationError;
use podlane_host::{Netns, NetnsError};
use podlane_rings::AskMode;
use serde::Serialize;
use thiserror::Error;

use super::CliError;
use crate::{
    generator::{
        Outcome, Summary, Threads, Verdict,
        latency::Latency,
        limit::{Limit, LimitError},
        pace::Packets,
        threads::usable,
        wire::{
            WireError,
            af_xdp::{AfXdpWire, Ask, Use},
        },
    },
    machine::Origin,
    traffic::{PcapError, TemplateError},
};

/// Where `ip netns` keeps its names.
const NAMES: &str = "/run/netns";

/// Why nothing was sent or received.
#[derive(Debug, Error)]
pub(super) enum GenerateError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Pcap(#[from] PcapError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Netns(#[from] NetnsError),
    #[error("cannot collect latencies: {0}; free some memory")]
    Histogram(#[from] CreationError),
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error(
        "--cores: this process may not run on core {core}, only on {usable:?}; name one of those, or widen its cpuset (taskset -p)"
    )]
    NoCore { core: usize, usable: Vec<usize> },
    #[error(
        "--cores: {asked:?} are too many, or one twice; name one core, or two different ones for a loop between two devices"
    )]
    Cores { asked: Vec<usize> },
    #[error("--template imix has sizes of its own; leave --size out, or take another template")]
    ImixSize,
    #[error(transparent)]
    Pktgen(#[from] crate::generator::pktgen::PktgenError),
}

/// How netdevs are used.
#[derive(Args, Debug)]
pub(super) struct Netdevs {
    /// The network namespace of the device: a name of `ip netns`, or a file such as /proc/PID/ns/net.
    #[arg(long, value_name = "NAME|FILE")]
    netns: Option<PathBuf>,
    /// Have the kernel copy packets, also where the device could read and write their memory itself.
    #[arg(long)]
    copy: bool,
    /// The core to run on; of `loop` also two with a comma, for a thread that sends and one that receives.
    #[arg(long, value_name = "CORE[,CORE]", value_delimiter = ',', num_args = 1)]
    cores: Vec<usize>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

impl Netdevs {
    /// The namespace.
    pub(super) fn namespace(&self) -> Result<Netns, GenerateError> {
        namespace(self.netns.as_deref())
    }

    /// Opens a netdev.
    pub(super) fn open(
        &self,
        netns: &Netns,
        device: &str,
        used: Use,
        longest: usize,
    ) -> Result<AfXdpWire, GenerateError> {
        let mode = if self.copy { AskMode::Copy } else { AskMode::Auto };
        Ok(AfXdpWire::open(&Ask { device, netns, used, longest, mode })?)
    }

    /// Where to run: as was asked, or as is usual. `both` says that there are two ends to run.
    pub(super) fn threads(&self, both: bool) -> Result<Threads, GenerateError> {
        threads(&usable(), &self.cores, both)
    }
}

fn threads(usable: &[usize], asked: &[usize], both: bool) -> Result<Threads, GenerateError> {
    // Where the kernel does not tell, nothing can be refused.
    if let Some(core) = asked.iter().copied().find(|core| !usable.is_empty() && !usable.contains(core)) {
        return Err(GenerateError::NoCore { core, usable: usable.to_vec() });
    }
    match asked {
        [] => Ok(Threads::among(usable, both)),
        [core] => Ok(Threads::One(*core)),
        [first, second] if both && first != second => Ok(Threads::Two([*first, *second])),
        _ => Err(GenerateError::Cores { asked: asked.to_vec() }),
    }
}

/// A namespace by name or file; without one the caller's own.
pub(super) fn namespace(asked: Option<&Path>) -> Result<Netns, GenerateError> {
    let Some(asked) = asked else { return Ok(Netns::current()?) };
    let is_name = asked.components().count() == 1;
    let path = if is_name { Path::new(NAMES).join(asked) } else { asked.to_owned() };
    Ok(Netns::open(path)?)
}

/// What is told of a run.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    /// Where and of what.
    pub(super) origin: &'a Origin,
    /// The netdevs, and how packets reached them.
    pub(super) wires: String,
    /// What was sent; unknown to a receiver.
    pub(super) packets: Option<String>,
    /// The run's number, for a receiver elsewhere.
    pub(super) run: Option<u16>,
    /// What the generator itself can do with these packets, where it makes them.
    pub(super) limit: Option<Limit>,
    /// The verdict in a sentence.
    pub(super) says: String,
    /// What came out of it.
    pub(super) outcome: Summary<'a>,
}

/// Which halves of an outcome there are to tell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Halves {
    Sent,
    Arrived,
    Both,
}

impl Told<'_> {
    /// Tells it, and leaves the verdict as the exit status.
    pub(super) fn tell(&self, halves: Halves, json: bool, verdict: Verdict) -> Result<(), CliError> {
        self.write(&mut io::stdout().lock(), halves, json).map_err(CliError::Output)?;
        if verdict == Verdict::Clean { Ok(()) } else { Err(CliError::Verdict(verdict)) }
    }

    fn write(&self, out: &mut impl Write, halves: Halves, json: bool) -> io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self)?;
            writeln!(out)?;
            return out.flush();
        }
        match &self.packets {
            Some(packets) => writeln!(out, "{}: {packets}", self.wires)?,
            None => writeln!(out, "{}", self.wires)?,
        }
        if let Some(limit) = &self.limit {
            writeln!(out, "own limit     {limit}: near it a rate is the generator's and not the device's")?;
        }
        if halves != Halves::Arrived {
            sent(out, self.outcome.outcome)?;
        }
        if halves != Halves::Sent {
            arrived(out, self.outcome.outcome)?;
        }
        writeln!(out, "{}", self.says)?;
        out.flush()
    }
}

fn sent(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let Outcome { sent, took, reached, late, .. } = outcome;
    write!(out, "sent     {sent:>12}  ")?;
    if *reached > 0.0 {
        write!(out, "{}, {:.3} Gbit/s on a wire, ", Packets(*reached), outcome.bits() / 1e9)?;
    }
    writeln!(out, "{:.2} s, {late} late", took.as_secs_f64())
}

fn arrived(out: &mut impl Write, outcome: &Outcome) -> io::Result<()> {
    let Outcome { received, lost, reordered, duplicated, corrupted, stale, foreign, returned, .. } = outcome;
    write!(
        out,
        "arrived  {received:>12}  lost {lost}, reordered {reordered}, duplicated {duplicated}, corrupted {corrupted}"
    )?;
    let rare = [("stale", stale), ("of others", foreign), ("came back", returned)];
    rare.into_iter()
        .filter(|(_, packets)| **packets > 0)
        .try_for_each(|(name, packets)| write!(out, ", {name} {packets}"))?;
    writeln!(out)?;
    match outcome.latency.as_ref().and_then(Latency::of) {
        Some(latency) => writeln!(out, "latency, us  {latency}"),
        None => Ok(()),
    }
}

/// What stands in for the sentence of a trial where a half is missing.
pub(super) fn summary<'a>(outcome: &'a Outcome, verdict: Verdict, says: &str) -> Summary<'a> {
    Summary { verdict, says: says.to_owned(), outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_that_cannot_be_had_are_refused_by_name() {
        let said = |asked: &[usize], both| match threads(&[0, 1, 2], asked, both) {
            Ok(threads) => format!("{threads:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!((said(&[], true), said(&[], false)), ("Two([0, 1])".to_owned(), "One(0)".to_owned()));
        assert_eq!((said(&[2], true), said(&[2, 0], true)), ("One(2)".to_owned(), "Two([2, 0])".to_owned()));
        let gone = "--cores: this process may not run on core 99, only on [0, 1, 2]; name one of those, or widen its cpuset (taskset -p)";
        assert_eq!(said(&[0, 99], true), gone);
        for (asked, both) in [(&[0, 1, 2][..], true), (&[1, 1], true), (&[0, 1], false)] {
            let text = said(asked, both);
            assert!(text.starts_with(&format!("--cores: {asked:?} are too many, or one twice; ")), "{text}");
        }
        assert!(matches!(threads(&[0, 1], &[], true), Ok(Threads::One(0))), "the other is the device's");
    }

    #[test]
    fn bits_are_of_the_same_time_as_packets_and_a_single_packet_has_no_rate() {
        let line = |sent, took: u64, length: Option<u64>| {
            let departures = crate::generator::send::Departures {
                sent,
                bytes: 60 * sent,
                late: 0,
                took: crate::generator::clock::Nanos(took),
            };
            let length = length.map(crate::generator::clock::Nanos);
            let outcome = Outcome::new(crate::generator::Rate::Maximum, length, departures, Default::default());
            let mut out = Vec::new();
            super::sent(&mut out, &outcome).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(1, 0, None), "sent                1  0.00 s, 0 late\n");
        let second = Some(1_000_000_000);
        assert_eq!(
            line(1_000, 500_000_000, second),
            "sent             1000  1.000 kpps, 0.001 Gbit/s on a wire, 0.50 s, 0 late\n"
        );
    }
}

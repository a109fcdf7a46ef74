//! `podlane-perf rfc2544`.

use std::{fmt, net::Ipv4Addr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use podlane_wire::MacAddr;
use thiserror::Error;

use super::{
    CliError, Surroundings,
    terms::{Delivery, seconds},
    told::{GenerateError, namespace},
};
use crate::{
    machine::Origin,
    report::Report,
    rfc2544::{
        between::{self, Between, Side},
        device::{Device, Size, TrialError},
        plan::{Measurement, Plan},
        rig::{self, Rig},
        run::{Findings, run},
        wires::Ends,
    },
    run::compare::roster::{Contender, Rival},
    subject::{Duty, Subject, learner::Learner, podlane::Podlane},
    traffic::template::LONGEST,
};

/// The length of a trial that RFC 2544 (section 24) asks for.
const STANDARD: Duration = Duration::from_secs(60);

/// The MTU of the pods of a subject.
const POD_MTU: u32 = 1500;

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("device").required(true).args(["against", "from"]))]
pub(super) struct Arguments {
    /// A switch to be set up and measured: `podlane`, or one of those that `compare --against` takes.
    #[arg(long, value_name = "SWITCH")]
    against: Option<Against>,
    /// The netdev by which frames go into the device under test, which somebody else set up.
    #[arg(long, value_name = "DEVICE", requires = "to")]
    from: Option<String>,
    /// The netdev by which they come out of it.
    #[arg(long, value_name = "DEVICE", requires = "from")]
    to: Option<String>,
    /// The network namespace of both netdevs: a name of `ip netns`, or a path.
    #[arg(long, value_name = "NETNS", requires = "from")]
    netns: Option<PathBuf>,
    /// The network namespace of the second one, where it is another.
    #[arg(long, value_name = "NETNS", requires = "from")]
    to_netns: Option<PathBuf>,
    /// The MAC address frames come from.
    #[arg(long, value_name = "MAC", default_value_t = Ends::default().macs[0], requires = "from")]
    from_mac: MacAddr,
    /// The MAC address they are for: the gateway's, if the device routes.
    #[arg(long, value_name = "MAC", default_value_t = Ends::default().macs[1], requires = "from")]
    to_mac: MacAddr,
    /// The IP address they come from.
    #[arg(long, value_name = "ADDRESS", default_value_t = Ends::default().addresses[0], requires = "from")]
    from_ip: Ipv4Addr,
    /// The IP address they are for.
    #[arg(long, value_name = "ADDRESS", default_value_t = Ends::default().addresses[1], requires = "from")]
    to_ip: Ipv4Addr,
    /// How long the device remembers MAC addresses, seconds; without it the rate of learning is not measured.
    #[arg(long, value_name = "SECONDS", requires = "from")]
    ageing: Option<u32>,
    /// How long the device may take until it forwards, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds, requires = "from")]
    patience: f64,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Measurement::Throughput, Measurement::Latency, Measurement::Loss, Measurement::Burst])]
    measure: Vec<Measurement>,
    /// Frame sizes: bytes with the check sequence, or `imix` [default: those of RFC 2544 that the links carry, the MTU's, and IMIX].
    #[arg(long, value_delimiter = ',')]
    size: Vec<Size>,
    /// How long a trial is, seconds.
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    seconds: f64,
    /// As RFC 2544 has it: trials of 60 s, and latency and loss for every size.
    #[arg(long, conflicts_with = "seconds")]
    standard: bool,
    /// What may be lost at the partial-drop rate, per cent.
    #[arg(long, default_value_t = 0.1, value_parser = percent)]
    partial: f64,
    /// The most flows of the ramp.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    flows: u32,
    /// The most MAC addresses that are taught.
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    addresses: u32,
    /// How often everything is measured.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[command(flatten)]
    delivery: Delivery,
}

/// A switch that can be set up here, by the name that `compare` knows it by.
#[derive(Clone, Copy)]
struct Against {
    subject: &'static dyn Subject,
    /// What stands for it where addresses are learned.
    learner: &'static dyn Subject,
}

impl fmt::Debug for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.subject.name())
    }
}

/// Why a switch was refused.
#[derive(Debug, Error)]
#[error("give podlane, or one of those that `podlane-perf compare --against` takes and that forward between two links")]
struct AgainstError;

impl FromStr for Against {
    type Err = AgainstError;

    fn from_str(text: &str) -> Result<Self, AgainstError> {
        if text == "podlane" {
            return Ok(Self { subject: &Podlane, learner: &Learner });
        }
        let rival = Rival::from_str(text, false).map_err(|_| AgainstError)?;
        let subject =
            Contender::Rival(rival).subject().filter(|subject| subject.takes(&Duty::BRIDGED) && !subject.joins_pods());
        subject.map(|subject| Self { subject, learner: subject }).ok_or(AgainstError)
    }
}

/// A length of time as one says it beforehand.
fn rough(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..=119 => format!("{seconds} seconds"),
        seconds @ 120..=7_199 => format!("{} minutes", (seconds + 30) / 60),
        seconds => format!("{} hours", (seconds + 1_800) / 3_600),
    }
}

/// Why a share was refused.
#[derive(Debug, Error)]
#[error("give per cent above 0 and below 100")]
struct PercentError;

fn percent(text: &str) -> Result<f64, PercentError> {
    text.parse().ok().filter(|percent| *percent > 0.0 && *percent < 100.0).ok_or(PercentError)
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let origin = Origin::here();
        let (title, findings) = match self.against {
            Some(Against { subject, learner }) => {
                let mut rig = Rig::new(subject, learner, around.stop)?;
                let (name, patience) = (subject.name(), rig.patience());
                let mut findings = self.measure(&mut rig, POD_MTU, patience, around)?;
                findings.notes.push(rig::NOTE.into());
                (format!("RFC 2544, {name} between two veths"), findings)
            }
            None => {
                let sides = self.sides()?;
                let mtu = between::mtu(&sides).map_err(|error| TrialError::Failed(Box::new(error)))?;
                let ends = Ends {
                    macs: [self.from_mac, self.to_mac],
                    addresses: [self.from_ip, self.to_ip],
                    ..Ends::default()
                };
                let ageing = self.ageing.map(|seconds| Duration::from_secs(seconds.into()));
                let mut device = Between::new(&sides, ends, ageing, around.stop)?;
                let [from, to] = sides.each_ref().map(|side| &side.device);
                (
                    format!("RFC 2544, from {from} to {to}"),
                    self.measure(&mut device, mtu, Duration::from_secs_f64(self.patience), around)?,
                )
            }
        };
        let Findings { series, notes, verdict } = findings;
        let report = Report { series, notes, ..Report::new(title, origin, self.rounds) };
        self.delivery.deliver(&report)?;
        verdict.map_or(Ok(()), |verdict| Err(verdict.into()))
    }

    fn measure(
        &self,
        device: &mut dyn Device,
        mtu: u32,
        patience: Duration,
        around: &Surroundings<'_>,
    ) -> Result<Findings, CliError> {
        let plan = self.plan(mtu);
        (around.progress)(&format!("this will take about {}", rough(plan.estimate(device.forgetting()))));
        Ok(run(device, &plan, patience, around.progress)?)
    }

    fn plan(&self, mtu: u32) -> Plan {
        let mut measurements = self.measure.clone();
        measurements.sort_unstable();
        measurements.dedup();
        let sizes = if self.size.is_empty() { Plan::standard_sizes(mtu, LONGEST as u16) } else { self.size.clone() };
        let length = if self.standard { STANDARD } else { Duration::from_secs_f64(self.seconds) };
        Plan {
            measurements,
            sizes,
            // Who names sizes wants all of each.
            thorough: self.standard || !self.size.is_empty(),
            length,
            partial: self.partial / 100.0,
            flows: self.flows,
            addresses: self.addresses,
            rounds: self.rounds,
        }
    }

    fn sides(&self) -> Result<[Side; 2], GenerateError> {
        let far = self.to_netns.as_ref().or(self.netns.as_ref());
        let device = |name: &Option<String>| name.clone().unwrap_or_default();
        Ok([
            Side { device: device(&self.from), netns: namespace(self.netns.as_deref())? },
            Side { device: device(&self.to), netns: namespace(far.map(PathBuf::as_path))? },
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_called_what_compare_calls_it() {
        let name = |text: &str| text.parse::<Against>().map(|against| against.subject.name());
        assert_eq!(name("podlane").ok(), Some("podlane"));
        assert_eq!(name("bridge").ok(), Some("kernel bridge"));
        // A link is no switch, and a tunnel's end hands out other packets than it takes.
        for other in ["veth", "kernel-vxlan", "nothing", "cisco"] {
            assert!(name(other).is_err(), "{other}");
        }
    }

    #[test]
    fn how_long_it_will_take_is_said_roughly() {
        let said = [9, 119, 120, 200, 7_199, 7_200, 30_000].map(|seconds| rough(Duration::from_secs(seconds)));
        assert_eq!(said, ["9 seconds", "119 seconds", "2 minutes", "3 minutes", "120 minutes", "2 hours", "8 hours"]);
    }

    #[test]
    fn sizes_are_those_that_a_slot_holds() {
        assert_eq!(("64".parse(), "imix".parse()), (Ok(Size::Bytes(64)), Ok(Size::Imix)));
        for text in ["63", "3845", "65536", "-64", "jumbo"] {
            let refused = text.parse::<Size>().map_err(|error| error.to_string());
            assert_eq!(refused, Err("give 64 to 3844 bytes, or `imix`".to_owned()), "{text}");
        }
    }
}

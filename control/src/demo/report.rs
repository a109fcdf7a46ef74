//! What the demo found, in the shape of its JSON.
//!
//! The table is drawn from the same [`Report`], so the two never tell different stories. Rates are in
//! Gbit/s and packets per second, round trips in microseconds; what was not measured is `null`.

use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use podlane_api::{Ledger, Port, PortState};
use serde::Serialize;
use thiserror::Error;

use super::cores::Cores;
use super::policy::PolicyReport;
use super::steps::{Group, Heading, Step, What};
use super::switch::{Switch, SwitchError};
use super::traffic::{EchoMeasured, MeterError, TcpMeasured, UdpMeasured};

/// How long packets that are on their way when the last step ends may take to arrive.
const SETTLE: Duration = Duration::from_millis(100);

/// Everything the demo found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Whether nothing failed.
    pub(crate) ok: bool,
    /// The headline TCP step.
    pub(crate) tcp_gbps: Option<f64>,
    /// The headline UDP step.
    pub(crate) udp_pps: Option<f64>,
    /// The headline echo steps, taken together.
    pub(crate) rtt_us: Option<RoundTrips>,
    /// What became of every packet.
    pub(crate) ledger: Option<Ledger>,
    /// What each port turned out to be.
    pub(crate) ports: Vec<Port>,
    /// Each step that ran, in order.
    pub(crate) steps: Vec<StepReport>,
    /// What came of the policy; none when it was not tried.
    pub(crate) policy: Option<PolicyReport>,
    /// What failed, in words.
    pub(crate) failures: Vec<String>,
    /// Which cores were used.
    pub(crate) cores: Option<Cores>,
    /// How long the whole took.
    pub(crate) seconds: f64,
    /// Of how many steps it ran only some, as it was interrupted.
    #[serde(skip)]
    pub(crate) interrupted: Option<usize>,
}

/// Round trips, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct RoundTrips {
    /// The median.
    pub(crate) p50: f64,
    /// One in a hundred took longer.
    pub(crate) p99: f64,
    /// One in a thousand took longer.
    pub(crate) p999: f64,
}

/// One step and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StepReport {
    /// `echo`, `tcp` or `udp`.
    pub(crate) what: &'static str,
    /// Who began.
    pub(crate) from: &'static str,
    /// Who answered.
    pub(crate) to: &'static str,
    /// `IPv4` or `IPv6`.
    pub(crate) family: &'static str,
    /// `switched`, `routed` or `gateway`.
    pub(crate) path: &'static str,
    /// TCP connections at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streams: Option<usize>,
    /// Bytes in each datagram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<usize>,
    /// Whether it succeeded.
    pub(crate) ok: bool,
    /// Whether it was interrupted before there was anything to measure, and so tells nothing.
    #[serde(skip)]
    pub(crate) is_cut: bool,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
    /// What was measured.
    #[serde(flatten)]
    pub(crate) figures: Option<Figures>,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Figures {
    /// Of an echo.
    Echo { rtt_us: RoundTrips, echoes: u64 },
    /// Of TCP; the other direction when it was asked for.
    Tcp {
        gbps: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        gbps_back: Option<f64>,
    },
    /// Of UDP, in datagrams.
    Udp { pps: f64, sent: u64, received: u64, lost: u64, reordered: u64 },
}

/// What a meter brought back.
#[derive(Clone, Debug)]
pub(crate) enum Measured {
    Echo(EchoMeasured),
    Tcp(TcpMeasured),
    Udp(UdpMeasured),
}

/// A step that ran.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) step: Step,
    pub(crate) outcome: Result<Measured, MeterError>,
}

/// What can fail in a demo that got as far as running steps.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The switch did not give account, or did not stop.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// A port does not carry frames.
    #[error("port {name} carries nothing, it is {state}{}; `dmesg` may say why", because(.reason.as_deref()))]
    Port { name: String, state: PortState, reason: Option<String> },
    /// Packets are missing.
    #[error(
        "the ledger does not balance: received {} is not sent {} + dropped {} + held {}; \
         please report this as a defect of podlane",
        .0.received, .0.sent, dropped(.0), .0.held
    )]
    Unbalanced(Ledger),
    /// The user, or the system, ended it.
    #[error("interrupted before every step had run")]
    Interrupted,
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

/// Packets dropped for whatever reason.
pub(crate) fn dropped(ledger: &Ledger) -> u64 {
    ledger.dropped.values().sum()
}

/// What a switch says of itself when the last step is over, and what failed besides the steps.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) ports: Vec<Port>,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) failures: Vec<Failure>,
}

impl Account {
    /// Asks the switch.
    pub(crate) fn of(switch: &dyn Switch) -> Self {
        thread::sleep(SETTLE);
        let mut account = Self::default();
        match switch.ports() {
            Ok(ports) => account.ports = ports,
            Err(error) => account.failures.push(error.into()),
        }
        match switch.ledger() {
            Ok(ledger) => account.ledger = Some(ledger),
            Err(error) => account.failures.push(error.into()),
        }
        account.judge();
        account
    }

    /// Notes what the switch itself tells to be wrong.
    pub(crate) fn judge(&mut self) {
        let down = self.ports.iter().filter(|port| port.state != PortState::Up);
        self.failures.extend(down.map(|port| Failure::Port {
            name: port.name.clone(),
            state: port.state,
            reason: port.reason.clone(),
        }));
        let unbalanced = self.ledger.iter().filter(|ledger| !ledger.balances());
        self.failures.extend(unbalanced.cloned().map(Failure::Unbalanced));
    }

    /// The report, together with what came of the steps.
    pub(crate) fn report(self, done: &[Done], policy: Option<PolicyReport>, cores: Cores) -> Report {
        let of_policy = policy.iter().flat_map(PolicyReport::failures);
        let failures: Vec<String> = of_policy.chain(self.failures.iter().map(ToString::to_string)).collect();
        Report { ports: self.ports, ledger: self.ledger, policy, cores: Some(cores), ..Report::new(done, failures) }
    }
}

impl RoundTrips {
    /// The percentiles of round trips recorded in nanoseconds.
    fn of(nanoseconds: &Histogram<u64>) -> Self {
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

impl Figures {
    /// The numbers of what a meter brought back.
    pub(crate) fn of(measured: &Measured) -> Self {
        match measured {
            Measured::Echo(echo) => {
                Self::Echo { rtt_us: RoundTrips::of(&echo.round_trips), echoes: echo.round_trips.len() }
            }
            Measured::Tcp(tcp) => Self::Tcp {
                gbps: tcp.bits_per_second / 1e9,
                gbps_back: tcp.bits_per_second_back.map(|rate| rate / 1e9),
            },
            Measured::Udp(udp) => Self::Udp {
                pps: udp.packets_per_second,
                sent: udp.sent,
                received: udp.received,
                lost: udp.lost(),
                reordered: udp.reordered,
            },
        }
    }
}

impl Figures {
    /// The rate of TCP.
    pub(crate) fn gbps(self) -> Option<f64> {
        if let Self::Tcp { gbps, .. } = self { Some(gbps) } else { None }
    }

    /// The rate of UDP.
    pub(crate) fn pps(self) -> Option<f64> {
        if let Self::Udp { pps, .. } = self { Some(pps) } else { None }
    }

    /// The round trips of echoes.
    pub(crate) fn round_trips(self) -> Option<RoundTrips> {
        if let Self::Echo { rtt_us, .. } = self { Some(rtt_us) } else { None }
    }
}

impl StepReport {
    /// What came of one step.
    pub(crate) fn of(heading: &Heading, outcome: &Result<Measured, MeterError>) -> Self {
        let Heading { from, to, family, path, what } = *heading;
        let (streams, payload) = match what {
            What::Echo { .. } => (None, None),
            What::Tcp { streams, .. } => (Some(streams), None),
            What::Udp { payload } => (None, Some(payload)),
        };
        Self {
            what: what.group().name(),
            from,
            to,
            family: family.name(),
            path,
            streams,
            payload,
            ok: outcome.is_ok(),
            is_cut: matches!(outcome, Err(MeterError::Interrupted)),
            failure: outcome.as_ref().err().map(ToString::to_string),
            figures: outcome.as_ref().ok().map(Figures::of),
        }
    }

    /// Why it failed, in one line that also says what failed. That the demo was interrupted is told once, for all of it.
    pub(crate) fn told_failure(&self) -> Option<String> {
        let why = self.failure.as_ref().filter(|_| !self.is_cut)?;
        Some(format!("{} {} to {} over {}: {why}", self.what, self.from, self.to, self.family))
    }
}

impl Report {
    /// A report of a demo that could not even begin.
    pub(crate) fn of_failure(why: &dyn std::error::Error) -> Self {
        Self::new(&[], vec![why.to_string()])
    }

    /// The same, of a demo that took so long.
    pub(crate) fn after(mut self, took: Duration) -> Self {
        self.seconds = took.as_secs_f64();
        self
    }

    /// What the steps come to; ports, ledger, cores and time are for the caller to add.
    fn new(done: &[Done], other_failures: Vec<String>) -> Self {
        let steps: Vec<StepReport> =
            done.iter().map(|done| StepReport::of(&done.step.heading(), &done.outcome)).collect();
        let failed = steps.iter().filter_map(StepReport::told_failure);
        let failures: Vec<String> = failed.chain(other_failures).collect();
        Self {
            ok: failures.is_empty(),
            tcp_gbps: headline(done, Group::Tcp),
            udp_pps: headline(done, Group::Udp),
            rtt_us: headline_round_trips(done),
            ledger: None,
            ports: Vec::new(),
            steps,
            policy: None,
            failures,
            cores: None,
            seconds: 0.0,
            interrupted: None,
        }
    }
}

/// The one number of the headline step of a group.
fn headline(done: &[Done], group: Group) -> Option<f64> {
    let mut stands_for = done.iter().filter(|done| done.step.headline && done.step.group() == group);
    match Figures::of(stands_for.next()?.outcome.as_ref().ok()?) {
        Figures::Tcp { gbps, .. } => Some(gbps),
        Figures::Udp { pps, .. } => Some(pps),
        Figures::Echo { .. } => None,
    }
}

/// The round trips of all headline echoes.
fn headline_round_trips(done: &[Done]) -> Option<RoundTrips> {
    let mut all = EchoMeasured::histogram();
    for done in done.iter().filter(|done| done.step.headline) {
        if let Ok(Measured::Echo(echo)) = &done.outcome {
            all.add(&echo.round_trips).ok()?;
        }
    }
    (!all.is_empty()).then(|| RoundTrips::of(&all))
}

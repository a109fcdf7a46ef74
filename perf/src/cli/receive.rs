//! `podlane-perf receive`.

use std::time::Duration;

use clap::Args;

use super::{
    CliError, Surroundings,
    packets::length,
    told::{GenerateError, Halves, Netdevs, Told, summary},
};
use crate::{
    cores,
    generator::{
        Ended, Gauge, Threads, Verdict,
        analyse::{Analyser, latencies},
        apart::{Patience, receive},
        clock::Monotonic,
        view::{Half, watch},
        wire::{Wire, af_xdp::Use},
    },
    machine::Origin,
    traffic::stamp::RunId,
};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The device. What else arrives there is kept from the kernel meanwhile.
    device: String,
    /// The number of the run [default: whichever comes first].
    #[arg(long, value_name = "NUMBER")]
    run: Option<u16>,
    /// The sender is on this machine, so that latencies can be told.
    #[arg(long)]
    same_machine: bool,
    /// How long at the most.
    #[arg(long, default_value_t = 60.0, value_parser = length)]
    seconds: f64,
    /// Seconds of silence behind the first packet after which it is over.
    #[arg(long, default_value_t = 2.0, value_parser = length)]
    silence: f64,
    #[command(flatten)]
    netdevs: Netdevs,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let origin = Origin::here();
        let netns = self.netdevs.namespace()?;
        let mut wire = self.netdevs.open(&netns, &self.device, Use::Receive, 0)?;
        let latency = if self.same_machine { Some(latencies().map_err(GenerateError::from)?) } else { None };
        let analyser = Analyser::new(self.run.map(RunId), latency);
        let [most, silence] = [self.seconds, self.silence].map(Duration::from_secs_f64);
        let (gauge, threads) = (Gauge::default(), self.netdevs.threads(false)?);
        (around.progress)(&format!("{}: listening", wire.describe()));
        let heard = std::thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                if let Threads::One(core) = threads {
                    cores::pin(core);
                }
                receive(&mut wire, &Monotonic, analyser, Patience { most, silence }, &gauge, around.stop)
            });
            watch(Half::Receiving, || gauge.glance(), || receiving.is_finished());
            receiving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let nothing = heard.arrivals.received == 0 && matches!(heard.ended, Ended::Whole);
        let outcome = heard.outcome();
        let (verdict, says) = if nothing {
            let says = format!("nothing arrived within {most:?}; look whether the sender's packets come this way");
            (Verdict::Silent, says)
        } else {
            (outcome.verdict(), outcome.to_string())
        };
        let told = Told {
            origin: &origin,
            wires: wire.describe(),
            packets: None,
            run: None,
            limit: None,
            outcome: summary(&outcome, verdict, &says),
            says,
        };
        told.tell(Halves::Arrived, self.netdevs.json, verdict)
    }
}

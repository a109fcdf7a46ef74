//! `podlane-perf send`.

use clap::{Args, ValueEnum};

use super::{
    CliError, Surroundings,
    packets::Packets,
    told::{GenerateError, Halves, Netdevs, Told, summary},
};
use crate::{
    cores,
    generator::{
        Gauge, Threads,
        apart::{Errand, Sent, send},
        clock::{Clock, Monotonic},
        limit::{Ends, Limit},
        pktgen::Pktgen,
        view::{Half, watch},
        wire::{self, Wire, af_xdp::Use},
    },
    machine::Origin,
    traffic::{Traffic, stamp::RunId},
};

/// What makes the packets.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Engine {
    /// This program, over AF_XDP.
    AfXdp,
    /// The kernel's own generator, a module that not every kernel has: faster, but its packets carry no stamp of ours.
    Pktgen,
}

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The device.
    device: String,
    /// What makes the packets.
    #[arg(long, value_enum, default_value_t = Engine::AfXdp)]
    engine: Engine,
    /// The number of the run, for a receiver that is told it too [default: any].
    #[arg(long, value_name = "NUMBER")]
    run: Option<u16>,
    #[command(flatten)]
    netdevs: Netdevs,
    #[command(flatten)]
    packets: Packets,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let traffic = self.packets.traffic()?;
        match self.engine {
            Engine::AfXdp => self.by_rings(&traffic, around),
            Engine::Pktgen => self.by_pktgen(&traffic, around),
        }
    }

    fn by_rings(&self, traffic: &Traffic, around: &Surroundings<'_>) -> Result<(), CliError> {
        let origin = Origin::here();
        let netns = self.netdevs.namespace()?;
        let mut wire = self.netdevs.open(&netns, &self.device, Use::Send, traffic.longest())?;
        let run = self.run.map_or_else(|| RunId::fresh(Monotonic.now()), RunId);
        let (gauge, threads) = (Gauge::default(), self.netdevs.threads(false)?);
        wire::check(&wire, traffic).map_err(GenerateError::from)?;
        let limit = Limit::measure(traffic, Ends::Sender, threads, around.stop).map_err(GenerateError::from)?;
        let errand = Errand { run, frames: traffic, offered: self.packets.rate(), until: self.packets.until() };
        let sent = std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                if let Threads::One(core) = threads {
                    cores::pin(core);
                }
                send(&mut wire, &Monotonic, &errand, &gauge, around.stop)
            });
            watch(Half::Sending, || gauge.glance(), || sending.is_finished());
            sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let says = sent.to_string();
        let told = Told {
            origin: &origin,
            wires: wire.describe(),
            packets: Some(traffic.to_string()),
            run: Some(run.0),
            limit: Some(limit),
            outcome: summary(&sent.outcome, sent.verdict(), &says),
            says,
        };
        told.tell(Halves::Sent, self.netdevs.json, sent.verdict())
    }

    fn by_pktgen(&self, traffic: &Traffic, around: &Surroundings<'_>) -> Result<(), CliError> {
        let origin = Origin::here();
        let netns = self.netdevs.namespace()?;
        let thread = match self.netdevs.threads(false)? {
            Threads::One(core) => core,
            Threads::Here | Threads::Two(_) => 0,
        };
        let pktgen = Pktgen::of_kernel(thread);
        let errand = (self.packets.rate(), self.packets.until());
        let outcome = netns
            .run(|| pktgen.send(&self.device, traffic, errand, around.stop))
            .map_err(GenerateError::from)?
            .map_err(GenerateError::from)?;
        let sent = Sent { outcome };
        let (verdict, says) = (sent.verdict(), sent.to_string());
        let told = Told {
            origin: &origin,
            wires: format!("{} (pktgen)", self.device),
            packets: Some(traffic.to_string()),
            run: None,
            limit: None,
            outcome: summary(&sent.outcome, verdict, &says),
            says,
        };
        told.tell(Halves::Sent, self.netdevs.json, verdict)
    }
}

//! `podlane-perf loop`.

use std::{path::PathBuf, sync::atomic::AtomicBool};

use clap::Args;

use super::{
    CliError, Surroundings,
    packets::Packets,
    told::{GenerateError, Halves, Netdevs, Told, namespace},
};
use crate::{
    generator::{
        Loop, Outcome, Threads, Trial,
        clock::Monotonic,
        limit::{Ends, Limit},
        view::{Half, watch},
        wire::af_xdp::Use,
    },
    machine::Origin,
};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The device that packets go out by.
    near: String,
    /// The device that they come in by; without it, the near one. What else arrives there is kept from the kernel meanwhile.
    far: Option<String>,
    /// The far device's namespace, if it is another.
    #[arg(long, value_name = "NAME|FILE", requires = "far")]
    far_netns: Option<PathBuf>,
    #[command(flatten)]
    netdevs: Netdevs,
    #[command(flatten)]
    packets: Packets,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let origin = Origin::here();
        let traffic = self.packets.traffic()?;
        let threads = self.netdevs.threads(self.far.is_some())?;
        let mut around_device = self.open(traffic.longest(), threads, around.stop)?;
        around_device.check(&traffic).map_err(GenerateError::from)?;
        let limit = Limit::measure(&traffic, Ends::Both, threads, around.stop).map_err(GenerateError::from)?;
        let wires = around_device.describe();
        around_device.introduce(&traffic).map_err(GenerateError::from)?;
        let gauge = around_device.gauge();
        let outcome: Outcome = std::thread::scope(|scope| {
            let trial = scope.spawn(|| around_device.trial(self.packets.rate(), &traffic, self.packets.until()));
            watch(Half::Both, || gauge.glance(), || trial.is_finished());
            trial.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let told = Told {
            origin: &origin,
            wires,
            packets: Some(traffic.to_string()),
            run: None,
            limit: Some(limit),
            says: outcome.to_string(),
            outcome: outcome.summary(),
        };
        told.tell(Halves::Both, self.netdevs.json, outcome.verdict())
    }

    fn open<'a>(
        &self,
        longest: usize,
        threads: Threads,
        stop: &'a AtomicBool,
    ) -> Result<Loop<'a, crate::generator::wire::af_xdp::AfXdpWire, Monotonic>, GenerateError> {
        let netns = self.netdevs.namespace()?;
        let near = self.netdevs.open(&netns, &self.near, Use::Both, longest)?;
        let far = match &self.far {
            Some(far) => {
                let netns = if self.far_netns.is_some() { namespace(self.far_netns.as_deref())? } else { netns };
                Some(self.netdevs.open(&netns, far, Use::Both, longest)?)
            }
            None => None,
        };
        Ok(Loop::new(near, far, Monotonic, threads, stop)?)
    }
}

//! Any device between two netdevs of this machine, whoever set it up.

use std::{sync::atomic::AtomicBool, thread, time::Duration};

use podlane_host::{Links, Netns};
use podlane_rings::AskMode;

use crate::{
    generator::{
        Loop, Threads,
        clock::Monotonic,
        threads::usable,
        wire::{
            WireError,
            af_xdp::{self, AfXdpWire, Use},
        },
    },
    rfc2544::{
        device::{Ask, Device, Outcome, TrialError, failed},
        wires::{Ends, Wires},
    },
    traffic::template::LONGEST,
};

/// One of the two netdevs.
#[derive(Debug)]
pub struct Side {
    /// Its name.
    pub device: String,
    /// Where it is.
    pub netns: Netns,
}

/// A device under test between two netdevs.
pub struct Between<'a> {
    wires: Wires<Loop<'a, AfXdpWire, Monotonic>>,
    /// How long it remembers addresses, if that is known.
    ageing: Option<Duration>,
    stop: &'a AtomicBool,
}

/// How often Ctrl-C is looked for while a device ages.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl<'a> Between<'a> {
    /// A device that takes frames of these ends by the first netdev and hands them out by the second.
    ///
    /// # Errors
    /// [`TrialError::Failed`], naming the netdev.
    pub fn new(
        sides: &[Side; 2],
        ends: Ends,
        ageing: Option<Duration>,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrialError> {
        let wire = |side: &Side, used| {
            let Side { device, netns } = side;
            AfXdpWire::open(&af_xdp::Ask { device, netns, used, longest: LONGEST, mode: AskMode::Auto })
        };
        // What comes back by the near end is a loop, and only an end that receives too sees it.
        let near = wire(&sides[0], Use::Both).map_err(failed)?;
        let far = wire(&sides[1], Use::Receive).map_err(failed)?;
        let around = Loop::new(near, Some(far), Monotonic, Threads::among(&usable(), true), stop).map_err(failed)?;
        Ok(Self { wires: Wires::new(around, ends), ageing, stop })
    }
}

impl Device for Between<'_> {
    fn trial(&mut self, ask: &Ask) -> Result<Outcome, TrialError> {
        self.wires.trial(ask)
    }

    fn forgetting(&self) -> Option<Duration> {
        // Whoever ages looks now and then.
        Some(self.ageing? + Duration::from_millis(500))
    }

    fn forget(&mut self) -> Result<bool, TrialError> {
        let Some(forgetting) = self.forgetting() else { return Ok(false) };
        let until = std::time::Instant::now() + forgetting;
        while std::time::Instant::now() < until {
            if self.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(TrialError::Interrupted);
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(true)
    }
}

/// The smaller MTU of two netdevs.
///
/// # Errors
/// One of them is not there.
pub fn mtu(sides: &[Side; 2]) -> Result<u32, WireError> {
    let of = |side: &Side| Ok::<_, WireError>(Links::open_in(&side.netns)?.by_name(&side.device)?.mtu);
    Ok(of(&sides[0])?.min(of(&sides[1])?))
}

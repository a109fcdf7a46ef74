//! The reconciler's loop: one pass brings the world as near to what is desired as it can be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, TryRecvError};
use podlane_api::PortState;
use podlane_dataplane::Generation;
use podlane_dataplane::port::af_xdp::Device;
use podlane_dataplane::worker::command::Event;
use podlane_host::LinkEvents;

use super::board::{Board, Fate};
use super::crew::Workers;
use super::open::{OpenError, Opener};
use super::pins::Pins;
use crate::compile::{Attached, Numbers, compile};
use crate::desired::{Desired, Name};

/// A pass at least this often: devices in other network namespaces send no events here.
const PULSE: Duration = Duration::from_millis(250);

/// A port that failed is tried again after this; one whose device is absent, with the next pass.
const RETRY: Duration = Duration::from_secs(2);

/// A port that is up.
pub(super) struct Up {
    device: Option<Device>,
    attached: Attached,
}

/// The reconciler, on its own thread.
pub(super) struct Reconciler {
    pub(super) desired: Arc<Desired>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) board: Arc<Board>,
    pub(super) workers: Workers,
    pub(super) pins: Option<Pins>,
    pub(super) happened: Receiver<Event>,
    pub(super) stopped: Receiver<()>,
    pub(super) up: BTreeMap<Name, Up>,
    /// Not before.
    pub(super) retry: BTreeMap<Name, Instant>,
    pub(super) generation: u32,
}

impl Reconciler {
    /// Passes until stopped, then takes everything away.
    pub(super) fn run(mut self) {
        let mut events = LinkEvents::open()
            .inspect_err(|error| tracing::warn!(%error, "no link events; devices are looked for every quarter second"))
            .ok();
        self.publish();
        while matches!(self.stopped.try_recv(), Err(TryRecvError::Empty)) {
            self.pass();
            self.wait(events.as_mut());
        }
        for name in self.up.keys().cloned().collect::<Vec<_>>() {
            self.take_away(&name);
        }
        if let Some(pins) = self.pins.take() {
            pins.remove();
        }
    }

    /// Waits for a link to change, a port to die, the end, or the next pulse.
    fn wait(&self, events: Option<&mut LinkEvents>) {
        let deadline = Instant::now() + PULSE;
        let Some(events) = events else {
            std::thread::sleep(PULSE.min(Duration::from_millis(50)));
            return;
        };
        // Short waits, so that the end and a port's death are noticed soon as well.
        while Instant::now() < deadline {
            let ended = !matches!(self.stopped.try_recv(), Err(TryRecvError::Empty));
            if ended || !self.happened.is_empty() || !matches!(events.next(Duration::from_millis(20)), Ok(None)) {
                return;
            }
        }
    }

    fn pass(&mut self) {
        let mut changed = false;
        while let Ok(event) = self.happened.try_recv() {
            changed |= self.heed(event);
        }
        for name in self.missing() {
            changed |= self.bring_up(&name);
        }
        if changed {
            self.publish();
        }
    }

    /// Ports that should be up, are not, and are due for another try.
    fn missing(&self) -> Vec<Name> {
        let now = Instant::now();
        let due = |name: &&Name| self.retry.get(*name).is_none_or(|at| *at <= now);
        self.desired.ports.keys().filter(|name| !self.up.contains_key(*name)).filter(due).cloned().collect()
    }

    fn heed(&mut self, event: Event) -> bool {
        match event {
            Event::PortDied { port, error, .. } => {
                let Some(name) = self.numbers.port_name(port).cloned() else { return false };
                if !self.up.contains_key(&name) {
                    return false;
                }
                tracing::warn!(port = %name, %error, "port died");
                self.take_away(&name);
                self.board.write(|facts| {
                    facts.ports.insert(name.clone(), Fate::not_up(PortState::Gone, error.to_string()));
                });
                self.retry.insert(name, Instant::now() + PULSE);
                true
            }
            Event::WorkerEnded { worker } => {
                let what =
                    format!("worker {worker} ended by a defect; restart the daemon and report what the log says");
                tracing::error!("{what}");
                self.board.write(|facts| facts.fatal = Some(what));
                // The daemon's main thread waits for signals; without this worker it should not go on.
                if let Err(error) = signal_hook::low_level::raise(signal_hook::consts::SIGTERM) {
                    tracing::error!(%error, "the daemon cannot end itself");
                }
                false
            }
        }
    }

    fn bring_up(&mut self, name: &Name) -> bool {
        let Some(port) = self.desired.ports.get(name) else { return false };
        let opener =
            Opener { desired: &self.desired, workers: &self.workers, pins: self.pins.as_ref().map(Pins::directory) };
        let attached = opener.open(port).and_then(|opened| {
            self.workers.attach(self.numbers.port(name), opened.ends)?;
            Ok((opened.device, opened.attached, opened.fate))
        });
        match attached {
            Ok((device, attached, fate)) => {
                let adopted = device.as_ref().is_some_and(Device::adopted);
                tracing::info!(port = %name, mtu = attached.mtu, adopted, "port attached");
                self.up.insert(name.clone(), Up { device, attached });
                self.retry.remove(name);
                self.board.write(|facts| drop(facts.ports.insert(name.clone(), fate)));
                true
            }
            Err(error) => {
                self.note_failure(name, &error);
                false
            }
        }
    }

    fn note_failure(&mut self, name: &Name, error: &OpenError) {
        let fate = error.fate();
        if fate.state == PortState::Failed {
            self.retry.insert(name.clone(), Instant::now() + RETRY);
        }
        self.board.write(|facts| {
            let known = facts.ports.get(name).and_then(|known| known.reason.as_ref()) == fate.reason.as_ref();
            if !known {
                tracing::warn!(port = %name, state = %fate.state, "{error}");
            }
            facts.ports.insert(name.clone(), fate);
        });
    }

    fn take_away(&mut self, name: &Name) {
        if let Err(error) = self.workers.detach(self.numbers.port(name)) {
            tracing::error!(port = %name, %error, "port not detached cleanly");
        }
        let Some(up) = self.up.remove(name) else { return };
        if let Some(device) = up.device
            && let Err(error) = device.close()
        {
            tracing::warn!(port = %name, %error, "device not left cleanly");
        }
    }

    /// Compiles and puts in force what is desired and attached now.
    fn publish(&mut self) {
        self.generation += 1;
        let attached = self.up.iter().map(|(name, up)| (name.clone(), up.attached)).collect();
        let generation = Generation(self.generation);
        let outcome = compile(&self.desired, &self.numbers, &attached, generation)
            .map_err(|error| error.to_string())
            .and_then(|tables| self.workers.publish(&Arc::new(tables)).map_err(|error| error.to_string()));
        self.board.write(|facts| match outcome {
            Ok(()) => {
                facts.generation = self.generation;
                facts.warnings.remove("tables");
            }
            Err(error) => {
                tracing::error!(%error, "tables not in force");
                facts.warnings.insert("tables".to_owned(), error);
            }
        });
    }
}

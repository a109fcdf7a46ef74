//! The callers' half of a change: a port is opened in the thread that asks for it, many at once, and then handed to the reconciler.
//!
//! ```text
//! caller: name claimed -> device found -> opened, frames lent --+                    +--> answered
//! caller: ...                                                   +--> Birth, ... -----+
//! caller: ...                                                   +    reconciler: policy -> tables -> ends to the workers, for all at once
//! ```
//!
//! What is open and not handed over is nobody's to reach: its rings are filled and no worker polls them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use podlane_dataplane::worker::handoff::Bell;

use super::change::{ChangeError, fits};
use super::close::abandon;
use super::crew::{PATIENCE, Workers};
use super::frames::Frames;
use super::open::{Opened, Opener};
use super::plan::Plans;
use super::world::seek;
use crate::desired::{Behind, Desired, Name, Network, Port};

/// How long an answer is waited for: the reconciler may be opening a dozen ports of the configuration first, and wait for silent workers
/// in between. Who asks is to learn of it rather than hang.
const ANSWER: Duration = Duration::from_secs(30);

/// How a request is answered.
pub(super) type Back = Sender<Result<(), ChangeError>>;

/// A port that is open, and not a port yet.
pub(super) struct Birth {
    pub(super) port: Arc<Port>,
    pub(super) opened: Opened,
}

/// What the reconciler is asked.
pub(super) enum Request {
    AddPort(Box<Birth>, Back),
    RemovePort(Name, Back),
    StateAddresses(Name, Vec<IpAddr>, Back),
    AddNetwork(Box<Network>, Back),
    RemoveNetwork(Name, Back),
}

fn answered(answer: &Receiver<Result<(), ChangeError>>) -> Result<(), ChangeError> {
    answer.recv_timeout(ANSWER).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(ChangeError::Unanswered { waited: ANSWER }),
        RecvTimeoutError::Disconnected => Err(ChangeError::Ending),
    })
}

/// The names that no port can be opened under at this moment.
#[derive(Default)]
pub(super) struct Claims {
    /// Those being opened, and those being closed.
    names: Mutex<(BTreeSet<Name>, BTreeSet<Name>)>,
    changed: Condvar,
}

/// A name, for as long as a port is opened under it.
struct Claim<'a> {
    claims: &'a Claims,
    name: Name,
}

impl Claims {
    /// Has a name wait until what was open under it is closed.
    pub(super) fn begin_closing(&self, name: &Name) {
        self.lock().1.insert(name.clone());
    }

    /// What was open under a name is closed.
    pub(super) fn closed(&self, name: &Name) {
        self.lock().1.remove(name);
        self.changed.notify_all();
    }

    /// Whether something is being closed under a name.
    pub(super) fn is_closing(&self, name: &Name) -> bool {
        self.lock().1.contains(name)
    }

    fn claim(&self, name: &Name) -> Result<Claim<'_>, ChangeError> {
        let mut names = self.lock();
        if !names.0.insert(name.clone()) {
            return Err(ChangeError::Taken { what: "port", name: name.clone() });
        }
        drop(names);
        Ok(Claim { claims: self, name: name.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, (BTreeSet<Name>, BTreeSet<Name>)> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// Waits until nothing is being closed under the name.
    fn settle(&self) -> Result<(), ChangeError> {
        let deadline = Instant::now() + PATIENCE;
        let mut names = self.claims.lock();
        while names.1.contains(&self.name) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ChangeError::Closing { name: self.name.clone() });
            }
            names = self.claims.changed.wait_timeout(names, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.lock().0.remove(&self.name);
    }
}

/// What a caller needs to open a port and to ask for a change.
pub(super) struct Requests {
    pub(super) plans: Arc<Plans>,
    pub(super) workers: Workers,
    /// Where pins go, if there are any.
    pub(super) pins: Option<PathBuf>,
    pub(super) claims: Arc<Claims>,
    pub(super) bell: Bell,
    /// Shared while a port is opened.
    turnstile: Arc<RwLock<()>>,
    pub(super) frames: Frames,
    /// The ports that were known from the start.
    pub(super) written: Arc<BTreeSet<Name>>,
    /// None once the switch ends.
    ask: Mutex<Option<Sender<Request>>>,
}

impl Requests {
    /// None asked yet; the reconciler hears the bell when there are.
    pub(super) fn new(
        (plans, turnstile): (Arc<Plans>, Arc<RwLock<()>>),
        workers: Workers,
        pins: Option<PathBuf>,
        bell: Bell,
    ) -> (Self, Receiver<Request>) {
        let (ask, asked) = unbounded();
        let Desired { workers: settings, ports, .. } = &*plans.read().desired;
        let frames = Frames::new(settings.frames, workers.count());
        let (claims, written) = (Arc::default(), Arc::new(ports.keys().cloned().collect()));
        (Self { plans, workers, pins, claims, bell, turnstile, frames, written, ask: Mutex::new(Some(ask)) }, asked)
    }

    /// Opens a port and has it in force, or nothing.
    pub(super) fn add_port(&self, port: Port) -> Result<(), ChangeError> {
        let claim = self.claims.claim(&port.name)?;
        fits(&port, &self.plans.read().desired)?;
        claim.settle()?;
        let opened = self.open(&port)?;
        let (back, answer) = bounded(1);
        let birth = Birth { port: Arc::new(port), opened };
        if let Err(Request::AddPort(birth, _)) = self.send(Request::AddPort(Box::new(birth), back)) {
            abandon(&self.workers, &birth.port.name, birth.opened);
            return Err(ChangeError::Ending);
        }
        answered(&answer)
    }

    /// Asks for a change that takes no device.
    pub(super) fn ask(&self, request: impl FnOnce(Back) -> Request) -> Result<(), ChangeError> {
        let (back, answer) = bounded(1);
        self.send(request(back)).map_err(|_| ChangeError::Ending)?;
        answered(&answer)
    }

    /// Takes no more requests: those that were sent before are all there are.
    pub(super) fn end(&self) {
        drop(self.lock().take());
    }

    fn open(&self, port: &Port) -> Result<Opened, ChangeError> {
        let _turn = self.turnstile.read().unwrap_or_else(PoisonError::into_inner);
        let desired = self.plans.read().desired;
        // A pod has none of the host's addresses; what an uplink claims is looked at in the next pass.
        let hosts = BTreeSet::new();
        let opener = Opener {
            desired: &desired,
            workers: &self.workers,
            pins: self.pins.as_deref(),
            hosts: &hosts,
            frames: &self.frames,
            written: &self.written,
        };
        let refused = |error| ChangeError::open(&port.name, error);
        match &port.behind {
            Behind::Device(device) => {
                let sought = seek(device).map_err(|missing| refused(missing.into()))?;
                opener.open_at(port, device, sought.found()).map_err(refused)
            }
            Behind::Replay(replay) => opener.play(port, replay).map_err(refused),
        }
    }

    fn send(&self, request: Request) -> Result<(), Request> {
        let ask = self.lock();
        match ask.as_ref() {
            Some(ask) => ask.send(request).map_err(|unsent| unsent.0)?,
            None => return Err(request),
        }
        drop(ask);
        self.bell.ring();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sender<Request>>> {
        self.ask.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The reconciler's loop: one pass brings the world as near to what is desired as it can be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TryRecvError};
use podlane_api::PortState;
use podlane_dataplane::port::PortError;
use podlane_dataplane::port::af_xdp::Device;
use podlane_dataplane::tables::Tables;
use podlane_dataplane::worker::command::Event;
use podlane_wire::MacAddr;
use thiserror::Error;

use super::board::{Board, Fate};
use super::chain;
use super::cores::Cores;
use super::crew::{Ends, Silent, Workers};
use super::endpoints::Endpoints;
use super::fill::Fill;
use super::open::{OpenDevice, OpenError, Opened, Opener, spans_frames};
use super::pins::Pins;
use super::publisher::Publisher;
use super::underlay::{self, Claimed};
use super::world::{Missing, World};
use crate::compile::{Attached, Numbers, Seen, Unsatisfied, compile};
use crate::desired::{Behind, Desired, Name};

/// A pass at least this often: paths of network namespaces announce nothing.
const PULSE: Duration = Duration::from_millis(250);

/// How soon the end and a port's death are noticed.
const GLANCE: Duration = Duration::from_millis(20);

/// A port that failed is tried again after this; one whose device is absent, as soon as it appears.
const RETRY: Duration = Duration::from_secs(2);

/// Ports that come up together get their tables together, at least this often. Each publication costs every flow a miss.
const BATCH: Duration = Duration::from_millis(50);

/// Threads that take ports away at the end.
const HANDS: usize = 16;

/// A port that is up.
pub(super) struct Up {
    device: Option<OpenDevice>,
    /// Until its tables are in force; then the workers have them.
    ends: Ends,
    attached: Attached,
    fate: Fate,
}

impl Up {
    /// A port that was opened.
    pub(super) fn of(Opened { device, ends, attached, fate, .. }: Opened) -> Self {
        Self { device, ends, attached, fate }
    }
}

/// Why the tables in force are not those that should be.
#[derive(Debug, Error)]
enum Unpublished {
    #[error(transparent)]
    Compile(#[from] Unsatisfied),
    #[error(transparent)]
    Workers(#[from] Silent),
}

/// How a device is left: for good, or to be opened again.
type Leave = fn(Device) -> Result<(), PortError>;

/// When a port that is not up is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retry {
    NotBefore(Instant),
    Never,
}

/// The reconciler, on its own thread.
pub(super) struct Reconciler {
    pub(super) desired: Arc<Desired>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) board: Arc<Board>,
    pub(super) workers: Workers,
    pub(super) pins: Option<Pins>,
    /// Held during each pass.
    pub(super) turnstile: Arc<Mutex<()>>,
    pub(super) happened: Receiver<Event>,
    /// What happened and was set aside while a port was taken away.
    pub(super) set_aside: VecDeque<Event>,
    pub(super) stopped: Receiver<()>,
    pub(super) endpoints: Arc<Endpoints>,
    /// Endpoints have changed; who changed them waits.
    pub(super) moved: Receiver<Sender<()>>,
    /// Those whose change is not in force yet.
    pub(super) waiting: Vec<Sender<()>>,
    /// The VTEP addresses that the host has as well.
    pub(super) hosts: BTreeSet<IpAddr>,
    pub(super) world: World,
    pub(super) cores: Cores,
    pub(super) fill: Fill,
    pub(super) up: BTreeMap<Name, Up>,
    /// Ports that have been up: what is missing now is gone.
    pub(super) been_up: BTreeSet<Name>,
    pub(super) retry: BTreeMap<Name, Retry>,
    pub(super) publisher: Publisher,
    /// Whether what is open is not in force yet, because a worker did not answer.
    pub(super) behind: bool,
}

impl Reconciler {
    /// Passes until stopped, then takes everything away.
    pub(super) fn run(mut self) {
        self.publish();
        while !self.is_stopped() {
            let turnstile = Arc::clone(&self.turnstile);
            let pass = turnstile.lock().unwrap_or_else(PoisonError::into_inner);
            self.pass();
            drop(pass);
            self.wait();
        }
        // A pod under policy stays closed over a defect, until the next daemon; over an end that somebody asked for it does not.
        let failed = self.board.read().fatal.is_some();
        self.take_all_away(if failed { Device::give_up } else { Device::close });
        match self.pins.take() {
            Some(pins) if failed => pins.leave(),
            Some(pins) => pins.remove(),
            None => {}
        }
    }

    fn is_stopped(&self) -> bool {
        !matches!(self.stopped.try_recv(), Err(TryRecvError::Empty))
    }

    /// Waits for a link to change, a port to die, an endpoint to move, the end, or the next pulse.
    fn wait(&self) {
        let deadline = Instant::now() + PULSE;
        let quiet = || !self.is_stopped() && self.happened.is_empty() && self.moved.is_empty();
        while Instant::now() < deadline && quiet() {
            if self.world.wait(GLANCE) {
                return;
            }
        }
    }

    fn pass(&mut self) {
        let mut changed = self.behind;
        while let Some(event) = self.set_aside.pop_front().or_else(|| self.happened.try_recv().ok()) {
            changed |= self.heed(event);
        }
        self.waiting.extend(self.moved.try_iter());
        changed |= !self.waiting.is_empty();
        self.world.look();
        changed |= self.follow_hosts();
        changed |= self.follow();
        self.reclaim();
        let mut published = Instant::now();
        for name in self.missing() {
            if self.is_stopped() {
                return;
            }
            changed |= self.bring_up(&name);
            if changed && published.elapsed() > BATCH {
                self.publish();
                (changed, published) = (false, Instant::now());
            }
        }
        if changed {
            self.publish();
        }
        self.count_uplinks();
        self.cores.look(&self.board);
        self.fill.look(&self.board);
    }

    /// Writes down what the uplinks' programs have judged. It is three look-ups an uplink.
    fn count_uplinks(&self) {
        let judged = |(name, up): (&Name, &Up)| {
            let device = up.device.as_ref().filter(|device| device.claimed.is_some())?;
            let counters = device.half.counters();
            let counters = counters.inspect_err(|error| tracing::debug!(port = %name, %error, "uplink not counted"));
            Some((name.clone(), counters.ok()?))
        };
        let uplinks = self.up.iter().filter_map(judged).collect();
        self.board.write(|facts| facts.uplinks = uplinks);
    }

    /// Ports that should be up, are not, and are due for another try.
    fn missing(&self) -> Vec<Name> {
        let now = Instant::now();
        let due = |name: &&Name| match self.retry.get(*name) {
            None => true,
            Some(Retry::NotBefore(at)) => *at <= now,
            Some(Retry::Never) => false,
        };
        self.desired.ports.keys().filter(|name| !self.up.contains_key(*name)).filter(due).cloned().collect()
    }

    /// Follows the devices of the ports that are up: one that is gone, renamed or another takes its port down; a new MTU is
    /// taken over.
    fn follow(&mut self) -> bool {
        let mut changed = false;
        for name in self.up.keys().cloned().collect::<Vec<_>>() {
            let Some(Up { device: Some(open), fate, attached, .. }) = self.up.get(&name) else { continue };
            let Some(Behind::Device(device)) = self.desired.ports.get(&name).map(|port| &port.behind) else {
                continue;
            };
            let (mtu, mac) = match self.world.find(device) {
                Ok(found) if found.spot == open.spot => (found.link.mtu, MacAddr(found.link.mac.unwrap_or_default())),
                // Another device has the name now: it is attached in this very pass.
                Ok(_) => {
                    self.take_away(&name, Device::close);
                    changed = true;
                    continue;
                }
                Err(Missing::Unreadable(_)) => continue,
                Err(missing) => {
                    tracing::warn!(port = %name, "{missing}");
                    self.take_away(&name, Device::close);
                    self.tell(&name, Fate::not_up(PortState::Gone, missing.to_string()));
                    changed = true;
                    continue;
                }
            };
            // Only an uplink's is of interest: it is in the outer headers.
            if open.claimed.is_some() && attached.mac != mac {
                tracing::info!(port = %name, %mac, "MAC address changed");
                if let Some(up) = self.up.get_mut(&name) {
                    up.attached.mac = mac;
                }
                changed = true;
            } else if fate.mtu != Some(mtu) {
                let reopen = spans_frames(mtu, self.desired.workers.frame_bytes) && !open.spans_frames;
                self.take_mtu(&name, mtu, reopen);
                changed = true;
            }
        }
        changed
    }

    /// Looks which of our VTEP addresses are the host's too.
    fn follow_hosts(&mut self) -> bool {
        let hosts = underlay::hosts(&self.desired, &mut self.world);
        let changed = hosts != self.hosts;
        if changed {
            tracing::info!(shared = ?hosts, "VTEP addresses that the host has too");
        }
        self.hosts = hosts;
        changed
    }

    /// Has every uplink claim what is ours by now.
    fn reclaim(&mut self) {
        for (name, up) in &mut self.up {
            let Some(OpenDevice { half, claimed: Some(claimed), .. }) = &mut up.device else { continue };
            let wanted = Claimed::of(&self.desired, name, up.attached.mac, &self.hosts);
            if *claimed == wanted {
                continue;
            }
            match half.claim(&wanted.claim()) {
                Ok(()) => *claimed = wanted,
                // Tried again in the next pass.
                Err(error) => tracing::error!(port = %name, %error, "claim not changed"),
            }
        }
    }

    /// Takes over a device's new MTU. Sockets that cannot carry it are opened anew, in this very pass.
    fn take_mtu(&mut self, name: &Name, mtu: u32, reopen: bool) {
        tracing::info!(port = %name, mtu, reopen, "MTU changed");
        if reopen {
            return self.take_away(name, Device::give_up);
        }
        if let Some(up) = self.up.get_mut(name) {
            up.attached.mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
            up.fate.mtu = Some(mtu);
        }
    }

    fn heed(&mut self, event: Event) -> bool {
        match event {
            Event::PortDied { port, error, .. } => {
                let Some(name) = self.numbers.port_name(port).cloned() else { return false };
                // Each of its workers tells of it.
                if !self.up.contains_key(&name) {
                    return false;
                }
                tracing::warn!(port = %name, %error, "port died");
                let gone = matches!(error, PortError::Gone { .. });
                self.take_away(&name, if gone { Device::close } else { Device::give_up });
                let state = if gone { PortState::Gone } else { PortState::Failed };
                self.tell(&name, Fate::not_up(state, error.to_string()));
                let again = match error {
                    // Its input would be played, and its output overwritten, a second time.
                    PortError::Capture { .. } => Retry::Never,
                    PortError::Gone { .. } => Retry::NotBefore(Instant::now()),
                    _ => Retry::NotBefore(Instant::now() + RETRY),
                };
                self.retry.insert(name, again);
                true
            }
            Event::Unpinned { worker, core } => {
                let what = format!(
                    "worker {worker} could not be pinned to core {core}; see what holds it off (cpuset, taskset)"
                );
                tracing::warn!("{what}");
                self.board.warn(&format!("core of worker {worker}"), Some(what));
                false
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
        let opener = Opener {
            desired: &self.desired,
            workers: &self.workers,
            pins: self.pins.as_ref().map(Pins::directory),
            world: &self.world,
            hosts: &self.hosts,
        };
        match opener.open(port) {
            Ok(Opened { device, ends, attached, fate, warning }) => {
                self.warn(&format!("tags of port {name}"), warning);
                let adopted = device.as_ref().is_some_and(|device| device.half.adopted());
                tracing::info!(port = %name, mtu = attached.mtu, adopted, "port attached");
                self.up.insert(name.clone(), Up { device, ends, attached, fate });
                self.been_up.insert(name.clone());
                self.retry.remove(name);
                true
            }
            Err(error) => {
                self.note_failure(name, &error);
                false
            }
        }
    }

    /// Has a warning stand about a subject, or none, and the log say so too.
    fn warn(&self, subject: &str, warning: Option<String>) {
        if let Some(warning) = &warning {
            tracing::warn!("{warning}");
        }
        self.board.warn(subject, warning);
    }

    fn note_failure(&mut self, name: &Name, error: &OpenError) {
        let state = match (error.is_absence(), self.been_up.contains(name)) {
            (true, true) => PortState::Gone,
            (true, false) => PortState::Waiting,
            (false, _) => {
                self.retry.insert(name.clone(), Retry::NotBefore(Instant::now() + RETRY));
                PortState::Failed
            }
        };
        let reason = chain(error);
        let known = self.board.read_port(name).is_some_and(|fate| fate.reason.as_ref() == Some(&reason));
        if !known {
            tracing::warn!(port = %name, %state, "{reason}");
            self.tell(name, Fate::not_up(state, reason));
        }
    }

    fn tell(&self, name: &Name, fate: Fate) {
        self.board.write(|facts| drop(facts.ports.insert(name.clone(), fate)));
    }

    fn take_away(&mut self, name: &Name, leave: Leave) {
        let Some(up) = self.up.remove(name) else { return };
        dismantle((&self.workers, &self.numbers), name, up, leave);
        // Its workers have let go of it, so all they had to say of its end has been said. It must not reach the port that comes
        // after it under the same number.
        let gone = self.numbers.port(name);
        self.set_aside.extend(self.happened.try_iter());
        self.set_aside.retain(|event| !matches!(event, &Event::PortDied { port, .. } if port == gone));
    }

    /// Takes all ports away, many at once: each costs the kernel two grace periods, which pass for all of them together.
    fn take_all_away(&mut self, leave: Leave) {
        let left = Mutex::new(std::mem::take(&mut self.up).into_iter());
        let (workers, numbers) = (&self.workers, &*self.numbers);
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some((name, up)) = next() {
                dismantle((workers, numbers), &name, up, leave);
            }
        };
        thread::scope(|scope| {
            for _ in 1..HANDS {
                // Without another thread it takes longer, and is done all the same.
                let _ = thread::Builder::new().name("podlane-close".into()).spawn_scoped(scope, work);
            }
            work();
        });
    }

    /// Gives the workers the ends of ports that are in their tables.
    fn hand_out(&mut self) {
        for (name, up) in self.up.iter_mut().filter(|(_, up)| !up.ends.is_empty()) {
            let ends = std::mem::take(&mut up.ends);
            if let Err(error) = self.workers.attach(self.numbers.port(name), ends) {
                tracing::error!(port = %name, %error, "port not attached");
            }
        }
    }

    /// Compiles and puts in force what is desired and open now, and only then gives new ports to the workers: what comes in by
    /// a port that is in no table yet would be dropped.
    pub(super) fn publish(&mut self) {
        let attached = self.up.iter().map(|(name, up)| (name.clone(), up.attached)).collect();
        let seen = Seen { attached, hosts: self.hosts.clone(), endpoints: self.endpoints.list() };
        let outcome = self.put_in_force(&seen);
        self.behind = outcome.is_err();
        if outcome.is_ok() {
            self.hand_out();
            // Who does not wait any more need not be told.
            for waits in self.waiting.drain(..) {
                let _ = waits.send(());
            }
        }
        self.board.write(|facts| match outcome {
            Ok(tables) => {
                facts.generation = tables.generation.0;
                facts.tables = tables;
                underlay::tell_mtus(&self.desired, &seen, facts);
                facts.warnings.remove("tables");
                facts.ports.extend(self.up.iter().map(|(name, up)| (name.clone(), up.fate.clone())));
            }
            Err(error) => {
                tracing::error!(%error, "tables not in force");
                facts.warnings.insert("tables".to_owned(), error.to_string());
            }
        });
    }

    fn put_in_force(&self, seen: &Seen) -> Result<Arc<Tables>, Unpublished> {
        self.publisher.tables(|generation| Ok(compile(&self.desired, &self.numbers, seen, generation)?))
    }
}

/// Takes a port from the workers, closes it and leaves its device.
fn dismantle((workers, numbers): (&Workers, &Numbers), name: &Name, up: Up, leave: Leave) {
    let closed = match up.ends.is_empty() {
        true => workers.detach(numbers.port(name)),
        false => workers.close(up.ends),
    };
    if let Err(error) = closed {
        tracing::error!(port = %name, %error, "port not detached cleanly");
    }
    if let Some(device) = up.device
        && let Err(error) = leave(device.half)
    {
        tracing::warn!(port = %name, %error, "device not left cleanly");
    }
}

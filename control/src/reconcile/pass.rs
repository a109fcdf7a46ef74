//! The reconciler's loop: one pass brings the world as near to what is desired as it can be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TryRecvError};
use podlane_api::PortState;
use podlane_dataplane::port::af_xdp::Device;
use podlane_dataplane::worker::command::Event;
use podlane_dataplane::worker::handoff::Bell;
use podlane_rings::PacketRing;

use super::apply::Leaving;
use super::board::{Board, Fate};
use super::chain;
use super::close::{Closer, Leave};
use super::cores::Cores;
use super::crew::{Ends, Workers};
use super::endpoints::Endpoints;
use super::fill::Fill;
use super::founder::Founder;
use super::frames::Frames;
use super::open::{OpenDevice, OpenError, Opened, Opener};
use super::pins::Pins;
use super::plan::Plans;
use super::publish::Due;
use super::publisher::Publisher;
use super::requests::Request;
use super::world::{News, Woken, World};
use crate::compile::{Attached, Numbers};
use crate::desired::{Behind, Desired, Name};
use crate::enforce::Enforcer;

/// A pass at least this often: paths of network namespaces announce nothing.
const PULSE: Duration = Duration::from_millis(250);

/// How soon the end and a port's death are noticed.
const GLANCE: Duration = Duration::from_millis(20);

/// A port that failed is tried again after this; one whose device is absent, as soon as it appears.
pub(super) const RETRY: Duration = Duration::from_secs(2);

/// Ports that come up together get their tables together, at least this often. Each publication costs every flow a miss.
const BATCH: Duration = Duration::from_millis(50);

/// Between two looks at links that have announced changes: while they come and go by the hundred, each is not worth a pass over all ports.
const APART: Duration = Duration::from_millis(20);

/// A port that is up.
pub(super) struct Up {
    pub(super) device: Option<OpenDevice>,
    /// Until its tables are in force; then the workers have them.
    pub(super) ends: Ends,
    pub(super) attached: Attached,
    pub(super) fate: Fate,
    /// Whether the board has its fate.
    pub(super) told: bool,
}

impl Up {
    /// What was opened.
    pub(super) fn of(opened: Opened) -> Self {
        let Opened { device, ends, attached, fate, .. } = opened;
        Self { device, ends, attached, fate, told: false }
    }

    /// What its device hears for everyone, where no worker has it yet.
    pub(super) fn everyone(&mut self) -> Option<PacketRing> {
        self.device.as_mut()?.everyone.take()
    }
}

/// When a port that is not up is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retry {
    NotBefore(Instant),
    Never,
}

/// The reconciler, on its own thread.
pub(super) struct Reconciler {
    /// What others see of the next two.
    pub(super) plans: Arc<Plans>,
    pub(super) desired: Arc<Desired>,
    pub(super) numbers: Arc<Numbers>,
    pub(super) board: Arc<Board>,
    pub(super) workers: Workers,
    pub(super) pins: Option<Pins>,
    /// Held during each pass.
    pub(super) turnstile: Arc<RwLock<()>>,
    pub(super) happened: Receiver<Event>,
    /// What happened and was set aside while a port was taken away.
    pub(super) set_aside: VecDeque<Event>,
    pub(super) stopped: Receiver<()>,
    /// Ports and networks that are to come or go.
    pub(super) asked: Receiver<Request>,
    /// Rung when something is asked, and when something is closed.
    pub(super) bell: Bell,
    pub(super) closer: Closer,
    /// What is not desired any more and may still be in a worker.
    pub(super) leaving: Vec<Leaving>,
    pub(super) enforcer: Option<Arc<Enforcer>>,
    pub(super) endpoints: Arc<Endpoints>,
    /// Endpoints have changed; who changed them waits.
    pub(super) moved: Receiver<Sender<()>>,
    /// Those whose change is not in force yet.
    pub(super) waiting: Vec<Sender<()>>,
    /// The VTEP addresses that the host has as well.
    pub(super) hosts: BTreeSet<IpAddr>,
    pub(super) world: World,
    pub(super) frames: Frames,
    /// The ports that were known from the start.
    pub(super) written: Arc<BTreeSet<Name>>,
    pub(super) cores: Cores,
    pub(super) fill: Fill,
    pub(super) up: BTreeMap<Name, Up>,
    /// Ports that have been up: what is missing now is gone.
    pub(super) been_up: BTreeSet<Name>,
    pub(super) retry: BTreeMap<Name, Retry>,
    pub(super) publisher: Publisher,
    /// Whether what is open is not in force yet, because a worker did not answer.
    pub(super) behind: bool,
    /// What the tables in force do not have yet.
    pub(super) due: Due,
    /// Where pods are attached.
    pub(super) founder: Option<Founder>,
    /// When all devices were last looked at.
    pub(super) looked: Option<Instant>,
    /// When the last pass ended, and whether links have changed since.
    pub(super) passed: Option<Instant>,
    pub(super) has_news: bool,
}

impl Reconciler {
    /// Serves and passes until stopped, then takes everything away.
    pub(super) fn run(mut self) {
        self.republish();
        while !self.is_stopped() {
            let turnstile = Arc::clone(&self.turnstile);
            let turn = turnstile.read().unwrap_or_else(PoisonError::into_inner);
            self.change();
            if self.is_due() {
                self.pass();
            }
            drop(turn);
            self.wait();
        }
        self.refuse_all();
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

    /// Whether there is something that a pass is for.
    fn is_due(&self) -> bool {
        let since = self.passed.map(|passed| passed.elapsed());
        since.is_none_or(|since| since >= if self.has_news { APART } else { PULSE })
            || !(self.happened.is_empty() && self.set_aside.is_empty() && self.moved.is_empty())
            || self.closer.has_room()
    }

    /// Waits for a request, a link to change, a port to die, an endpoint to move, the end, or the next pulse.
    fn wait(&mut self) {
        self.bell.arm();
        while !self.is_stopped() && self.asked.is_empty() && !self.is_due() {
            match self.world.wait(self.bell.fd(), !self.has_news, GLANCE) {
                Woken::Bell => break,
                Woken::Links => self.has_news = true,
                Woken::Time => {}
            }
        }
        self.bell.disarm();
    }

    fn pass(&mut self) {
        let mut changed = self.behind;
        while let Some(event) = self.set_aside.pop_front().or_else(|| self.happened.try_recv().ok()) {
            changed |= self.heed(event);
        }
        self.waiting.extend(self.moved.try_iter());
        changed |= !self.waiting.is_empty();
        self.closer.take_room();
        self.has_news = false;
        self.world.look();
        let news = self.news();
        changed |= self.follow_hosts();
        changed |= self.follow(&news);
        self.reclaim();
        if changed {
            // What pods ask for meanwhile takes all of it along.
            self.due = Due::All;
        }
        let mut published = Instant::now();
        for name in self.missing() {
            if self.is_stopped() {
                return;
            }
            // Opening takes long; who asks does not wait for all of it.
            self.change();
            changed |= self.bring_up(&name);
            if changed && published.elapsed() > BATCH {
                self.republish();
                (changed, published) = (false, Instant::now());
            }
        }
        if changed {
            self.republish();
        }
        self.count_uplinks();
        self.cores.look(&self.board);
        self.fill.look(&self.board);
        self.passed = Some(Instant::now());
    }

    /// What devices are to be looked at: those that were announced, and all of them once a pulse.
    fn news(&mut self) -> News {
        let news = self.world.news();
        if self.looked.is_some_and(|looked| looked.elapsed() < PULSE) {
            return news;
        }
        self.looked = Some(Instant::now());
        News::All
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
        // Both are in the order of the names: of hundreds of ports, none is looked for among the others.
        let mut up = self.up.keys().peekable();
        let is_down = |name: &&Name| {
            while up.next_if(|other| other < name).is_some() {}
            up.next_if(|other| other == name).is_none()
        };
        // What was open under a name has to be closed before it is opened again, and rings when it is.
        let is_free = |name: &&Name| !self.closer.holds(name);
        self.desired.ports.keys().filter(is_down).filter(is_free).filter(due).cloned().collect()
    }

    fn bring_up(&mut self, name: &Name) -> bool {
        let Some(port) = self.desired.ports.get(name) else { return false };
        let pins = self.pins.as_ref().map(Pins::directory);
        let opener = Opener {
            desired: &self.desired,
            workers: &self.workers,
            pins,
            hosts: &self.hosts,
            frames: &self.frames,
            written: &self.written,
        };
        let opened = match &port.behind {
            Behind::Device(device) => {
                let found = self.world.find(device).map_err(OpenError::from);
                found.and_then(|found| opener.open_at(port, device, found))
            }
            Behind::Replay(replay) => opener.play(port, replay),
        };
        match opened {
            Ok(mut opened) => {
                self.warn(&format!("tags of port {name}"), opened.warning.take());
                let adopted = opened.device.as_ref().is_some_and(|device| device.half.adopted());
                tracing::info!(port = %name, mtu = opened.attached.mtu, adopted, "port attached");
                self.up.insert(name.clone(), Up::of(opened));
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
    pub(super) fn warn(&self, subject: &str, warning: Option<String>) {
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

    pub(super) fn tell(&self, name: &Name, fate: Fate) {
        self.board.write(|facts| drop(facts.ports.insert(name.clone(), fate)));
    }

    /// Takes all ports away, many at once.
    fn take_all_away(&mut self, leave: Leave) {
        self.let_go();
        for (name, up) in std::mem::take(&mut self.up) {
            let number = self.numbers.port(&name);
            self.close((name, None), self.taken(number, up), leave);
        }
        self.closer.finish();
    }
}

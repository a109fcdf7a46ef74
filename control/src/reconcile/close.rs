//! Closing what no packet goes by any more. Sockets and programs take the kernel a grace period or two each, tens of milliseconds that
//! pass for all of them together: so each is closed by one of a few threads, and nobody waits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use podlane_dataplane::port::PortError;
use podlane_dataplane::port::af_xdp::Device;
use podlane_dataplane::stage::shared::Shared;
use podlane_dataplane::worker::handoff::Bell;
use podlane_dataplane::{NetworkId, PortId, VrfId};

use super::crew::{Ends, Workers};
use super::open::{OpenDevice, Opened};
use super::requests::Claims;
use crate::desired::Name;

/// Threads that close at once.
const HANDS: usize = 16;

/// So many closed ports are forgotten at once: it takes a walk through all that is known, half a millisecond, whether of one port or of a hundred.
/// Until then their numbers are nobody's. Of one behind which something was learned, nobody has to wait for others.
const TOGETHER: usize = 64;

/// How a device is left: for good, or to be opened again.
pub(super) type Leave = fn(Device) -> Result<(), PortError>;

/// What is to be closed.
pub(super) struct Closing {
    pub(super) name: Name,
    /// The ends that the workers gave back.
    pub(super) ends: Ends,
    pub(super) device: Option<OpenDevice>,
    pub(super) leave: Leave,
    /// The number that is nobody's when it is done; none for a port that is still desired.
    pub(super) number: Option<PortId>,
}

/// What is nobody's any more.
#[derive(Default)]
pub(super) struct Freed {
    pub(super) ports: Vec<PortId>,
    pub(super) networks: Vec<(NetworkId, Option<VrfId>)>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Closing>,
    hands: usize,
    /// Numbers of ports that are closed, and of which something may be remembered.
    spent: Vec<PortId>,
    /// Whether the name of a port that is still desired can be opened again.
    has_room: bool,
    freed: Freed,
}

struct Inner {
    state: Mutex<State>,
    idle: Condvar,
    workers: Workers,
    shared: Arc<Shared>,
    claims: Arc<Claims>,
    turnstile: Arc<RwLock<()>>,
    bell: Bell,
}

/// Closes, beside the reconciler.
#[derive(Clone)]
pub(super) struct Closer(Arc<Inner>);

impl Closer {
    /// Nothing to close yet; whoever has the turnstile alone holds it up.
    pub(super) fn new(
        (workers, shared): (Workers, Arc<Shared>),
        claims: Arc<Claims>,
        turnstile: Arc<RwLock<()>>,
        bell: Bell,
    ) -> Self {
        let (state, idle) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Inner { state, idle, workers, shared, claims, turnstile, bell }))
    }

    /// Has something closed. Its name is nobody's to open until then.
    pub(super) fn close(&self, closing: Closing) {
        self.0.claims.begin_closing(&closing.name);
        let mut state = self.0.lock();
        state.waiting.push_back(closing);
        if state.hands >= HANDS {
            return;
        }
        state.hands += 1;
        drop(state);
        let inner = Arc::clone(&self.0);
        let hand = thread::Builder::new().name("podlane-close".into()).spawn(move || inner.work());
        if let Err(error) = hand {
            // The next one's thread, or the end, does it too.
            tracing::warn!(%error, "no thread to close a port");
            self.0.lock().hands -= 1;
        }
    }

    /// Forgets what was learned in a network that is gone, and then has its numbers be nobody's.
    pub(super) fn forget(&self, network: NetworkId, vrf: Option<VrfId>) {
        self.0.shared.forget_network(network);
        self.0.lock().freed.networks.push((network, vrf));
    }

    /// What has become nobody's since it was last asked.
    pub(super) fn freed(&self) -> Freed {
        std::mem::take(&mut self.0.lock().freed)
    }

    /// Whether something is being closed under a name.
    pub(super) fn holds(&self, name: &Name) -> bool {
        self.0.claims.is_closing(name)
    }

    /// Whether a port that is still desired can be opened again.
    pub(super) fn has_room(&self) -> bool {
        self.0.lock().has_room
    }

    /// Those that can be opened again are about to be.
    pub(super) fn take_room(&self) {
        self.0.lock().has_room = false;
    }

    /// Waits until everything is closed.
    pub(super) fn finish(&self) {
        self.0.lock().hands += 1;
        self.0.work();
        let mut state = self.0.lock();
        while state.hands > 0 {
            state = self.0.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Inner {
    fn work(&self) {
        while let Some(closing) = self.next() {
            let Closing { name, ends, device, leave, number } = closing;
            let turn = self.turnstile.read().unwrap_or_else(PoisonError::into_inner);
            dismantle(&self.workers, &name, (ends, device), leave);
            drop(turn);
            self.claims.closed(&name);
            let mut state = self.lock();
            state.spent.extend(number);
            state.has_room |= number.is_none();
            drop(state);
            // A port that is still desired may be opened again now.
            self.bell.ring();
        }
    }

    /// The next to be closed; none ends the thread. The last one forgets what was learned of all that were closed.
    fn next(&self) -> Option<Closing> {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.waiting.pop_front() {
                return Some(next);
            }
            let is_known = |port: &PortId| self.shared.has_learned_at(*port);
            let are_due = |spent: &[PortId]| spent.len() >= TOGETHER || spent.iter().any(is_known);
            let is_last = state.hands == 1 && are_due(&state.spent);
            let spent = if is_last { std::mem::take(&mut state.spent) } else { Vec::new() };
            if spent.is_empty() {
                state.hands -= 1;
                self.idle.notify_all();
                return None;
            }
            drop(state);
            self.shared.forget_ports(&spent);
            state = self.lock();
            state.freed.ports.extend(spent);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what was opened and never became a port.
pub(super) fn abandon(workers: &Workers, name: &Name, opened: Opened) {
    dismantle(workers, name, (opened.ends, opened.device), Device::close);
}

fn dismantle(workers: &Workers, name: &Name, (ends, device): (Ends, Option<OpenDevice>), leave: Leave) {
    if let Err(error) = workers.close(ends) {
        tracing::error!(port = %name, %error, "port not closed cleanly");
    }
    if let Some(device) = device
        && let Err(error) = leave(device.half)
    {
        tracing::warn!(port = %name, %error, "device not left cleanly");
    }
}

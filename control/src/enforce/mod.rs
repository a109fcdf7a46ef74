//! Policy in force: the live cluster, what workers decide by, and every change of either on its way to them.
//!
//! ```text
//! files, apply, delete --> Live (compiler, under a lock) --+   podlane-policy thread: at once, and then once a 100 ms
//!                                                          +--> Judge --> Publisher --> every worker, between two turns
//! ```
//!
//! A change is taken in by whoever brings it, which is cheap, and published by one thread. A storm of changes is therefore a change a
//! tenth of a second to the workers, each of which costs every flow a miss; and who waits for an answer waits for the workers,
//! never they for anybody. The first policy is in force before a port is opened.

mod error;
mod files;
mod judge;
mod live;
mod places;
mod stated;

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use podlane_dataplane::PortId;
use podlane_dataplane::policy::{Opening, Policy, Verdict};
use podlane_policy::yaml::Documents;

pub use error::{Doubt, EnforceError, Misfit, Unfit};
pub use judge::Judge;
pub use live::{Changed, Live};
pub use places::{Place, Places};

use crate::desired::Port;
use crate::reconcile::{PATIENCE, Publisher, Silent};

/// Between two publications at least. The first after a pause does not wait.
const PACE: Duration = Duration::from_millis(100);

/// Told of every verdict, on the workers' own time: it neither allocates, locks nor waits. It decides nothing.
pub trait Onlooker: Send + Sync + Debug {
    /// What was asked and what the live policy said.
    fn saw(&self, opening: &Opening, verdict: Verdict);
}

/// What workers hold.
#[derive(Debug)]
struct Bench {
    judge: Arc<Judge>,
    onlooker: Option<Arc<dyn Onlooker>>,
}

impl Policy for Bench {
    fn verdict(&self, opening: &Opening) -> Verdict {
        let verdict = self.judge.verdict(opening);
        if let Some(onlooker) = &self.onlooker {
            onlooker.saw(opening, verdict);
        }
        verdict
    }
}

/// Called with each new judge before it is published; what it returns looks on beside it.
pub type Beside = Arc<dyn Fn(&Arc<Judge>, &Live) -> Option<Arc<dyn Onlooker>> + Send + Sync>;

/// What changes under the lock.
struct State {
    live: Live,
    in_force: Arc<Judge>,
    beside: Option<Beside>,
    /// Whether something is not in force yet.
    behind: bool,
    /// Who waits for what was changed so far to be in force.
    waiting: Vec<Sender<()>>,
}

/// The policy in force, and the way to change it. Dropped, it changes no more, and what is in force stays.
pub struct Enforcer {
    state: Arc<Mutex<State>>,
    publisher: Publisher,
    /// Held while a judge is made and published, so that none that is older comes in force after it.
    turn: Arc<Mutex<()>>,
    /// Something changed; one that is full says so already.
    nudge: Mutex<Option<Sender<()>>>,
    publishing: Mutex<Option<JoinHandle<()>>>,
}

impl Enforcer {
    /// Puts a cluster in force with every worker, and only then returns.
    ///
    /// # Errors
    /// [`EnforceError::Silent`] or [`EnforceError::Thread`].
    pub fn start(mut live: Live, publisher: &Publisher) -> Result<Self, EnforceError> {
        let judge = Arc::new(live.judge());
        publisher.policy(Box::new(Bench { judge: Arc::clone(&judge), onlooker: None }))?;
        let (pods, namespaces) = live.compiler().population();
        let policies = live.compiler().policies().count();
        tracing::info!(pods, namespaces, policies, "policy in force");
        let state = State { live, in_force: judge, beside: None, behind: false, waiting: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let (nudge, nudged) = bounded(1);
        let turn = Arc::new(Mutex::new(()));
        let publishing =
            Publishing { state: Arc::clone(&state), publisher: publisher.clone(), turn: Arc::clone(&turn), nudged };
        let publishing = std::thread::Builder::new()
            .name("podlane-policy".into())
            .spawn(move || publishing.run())
            .map_err(EnforceError::Thread)?;
        let (nudge, publishing) = (Mutex::new(Some(nudge)), Mutex::new(Some(publishing)));
        Ok(Self { state, publisher: publisher.clone(), turn, nudge, publishing })
    }

    /// Applies objects; with `wait`, returns once they decide about every packet that arrives from then on.
    ///
    /// # Errors
    /// [`EnforceError`]; but for [`EnforceError::Late`], nothing is changed then.
    pub fn apply(&self, documents: Documents, wait: bool) -> Result<Changed, EnforceError> {
        self.change(wait, |live| live.apply(documents).map_err(EnforceError::Unfit))
    }

    /// Deletes objects by kind and name; with `wait`, returns once they decide about no packet that arrives from then on.
    ///
    /// # Errors
    /// [`EnforceError`]; but for [`EnforceError::Late`], nothing is changed then.
    pub fn delete(&self, documents: Documents, wait: bool) -> Result<Changed, EnforceError> {
        self.change(wait, |live| live.delete(documents).map_err(EnforceError::Unfit))
    }

    /// What the workers decide by; one that does not answer, as soon as it does.
    #[must_use]
    pub fn in_force(&self) -> Arc<Judge> {
        Arc::clone(&lock(&self.state).in_force)
    }

    /// Looks at the live cluster, which changes no more meanwhile: be short.
    pub fn look<T>(&self, at: impl FnOnce(&Live) -> T) -> T {
        at(&lock(&self.state).live)
    }

    /// Has something look on beside the judge, or nothing, from the next publication on, which comes at once; returns when it is in
    /// force. It is made anew for each judge, so that it sees the pods that the judge sees.
    ///
    /// # Errors
    /// [`EnforceError::Late`].
    pub fn set_beside(&self, beside: Option<Beside>) -> Result<(), EnforceError> {
        let mut state = lock(&self.state);
        state.beside = beside;
        self.published(state, true)
    }

    /// Puts a pod behind a port that no table has yet. Returns whether policies are about it: then it is to be [published](Self::publish)
    /// before any table has the port.
    ///
    /// # Errors
    /// What the pod, or another with its address, is to policies already.
    pub fn house(&self, id: PortId, port: &Port) -> Result<bool, Misfit> {
        lock(&self.state).live.house_port(id, port)
    }

    /// Takes a pod from behind a port that goes: nothing passes it from the next change that is published on, or after a [nudge](Self::nudge).
    pub fn unhouse(&self, id: PortId, port: &Port) {
        let mut state = lock(&self.state);
        state.behind |= state.live.unhouse_port(id, port);
    }

    /// Has what changed so far published in its own time.
    pub fn nudge(&self) {
        if lock(&self.state).behind {
            // Full: whoever nudged before is not heard yet. None: nothing is published any more.
            let _ = lock(&self.nudge).as_ref().map(|nudge| nudge.try_send(()));
        }
    }

    /// Puts everything that changed so far in force, at once: a pod that is born waits for it. The pace does not hold for births, since the
    /// tables with them cost every flow a miss too, and those that come together are published together.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn publish(&self) -> Result<(), Silent> {
        lock(&self.state).behind = true;
        publish(&self.state, &self.publisher, &self.turn)
    }

    /// Publishes nothing any more. To be called before the workers end, which could not be told from workers that do not answer.
    pub fn stop(&self) {
        drop(lock(&self.nudge).take());
        let publishing = lock(&self.publishing).take();
        if publishing.is_some_and(|publishing| publishing.join().is_err()) {
            tracing::error!("the thread that publishes policies panicked");
        }
        lock(&self.state).waiting.clear();
    }

    fn change<T>(
        &self,
        wait: bool,
        change: impl FnOnce(&mut Live) -> Result<T, EnforceError>,
    ) -> Result<T, EnforceError> {
        let mut state = lock(&self.state);
        let changed = change(&mut state.live)?;
        self.published(state, wait)?;
        Ok(changed)
    }

    /// Has the present state published.
    fn published(&self, mut state: MutexGuard<'_, State>, wait: bool) -> Result<(), EnforceError> {
        state.behind = true;
        let (done, in_force) = bounded(1);
        if wait {
            state.waiting.push(done);
        }
        drop(state);
        // Full: whoever nudged before is not heard yet, and this change will be seen with theirs.
        let nudged = lock(&self.nudge).as_ref().map(|nudge| nudge.try_send(()));
        if matches!(nudged, None | Some(Err(TrySendError::Disconnected(())))) {
            return Err(EnforceError::Late);
        }
        if wait { in_force.recv_timeout(PATIENCE).map_err(|_| EnforceError::Late) } else { Ok(()) }
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread that publishes.
struct Publishing {
    state: Arc<Mutex<State>>,
    publisher: Publisher,
    turn: Arc<Mutex<()>>,
    nudged: Receiver<()>,
}

impl Publishing {
    fn run(self) {
        let mut last = None;
        while self.nudged.recv().is_ok() {
            if !pause(last, &self.nudged) {
                return;
            }
            while publish(&self.state, &self.publisher, &self.turn).is_err() {
                if self.nudged.recv_timeout(PACE) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
            last = Some(Instant::now());
        }
    }
}

/// Puts the present state in force, unless it is; what fails is to be tried again.
fn publish(state: &Mutex<State>, publisher: &Publisher, turn: &Mutex<()>) -> Result<(), Silent> {
    let turn = lock(turn);
    let mut now = lock(state);
    // What this was for went with the one before.
    if !std::mem::take(&mut now.behind) {
        return Ok(());
    }
    let waiting = std::mem::take(&mut now.waiting);
    let judge = Arc::new(now.live.judge());
    let onlooker = now.beside.as_ref().and_then(|beside| beside(&judge, &now.live));
    drop(now);
    let outcome = publisher.policy(Box::new(Bench { judge: Arc::clone(&judge), onlooker }));
    let mut now = lock(state);
    // Also where a worker is silent: the others decide by it, and that one will before it looks at another packet.
    let former = std::mem::replace(&mut now.in_force, judge);
    if let Err(error) = outcome {
        tracing::error!(%error, "policy not in force");
        now.waiting.extend(waiting);
        now.behind = true;
        return Err(error);
    }
    drop((now, turn));
    // Who does not wait any more need not be told.
    for waits in waiting {
        let _ = waits.send(());
    }
    drop(former);
    Ok(())
}

/// Lets the pace pass since the last publication; false when it is over for good.
fn pause(last: Option<Instant>, nudged: &Receiver<()>) -> bool {
    let Some(due) = last.map(|last| last + PACE) else { return true };
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        match nudged.recv_timeout(left) {
            Err(RecvTimeoutError::Disconnected) => return false,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
    true
}

fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

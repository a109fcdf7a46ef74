//! Candidate policies: tried against the pods there are, or judged beside the live ones for a while.
//!
//! A shadow costs the workers a second verdict a connection, so it lasts no longer than somebody asks for it: who began it and is gone
//! leaves it to its lease.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};
use podlane_api::{
    Manifest, Opening, PolicyChange, PolicyFinding, Refusal, Shadow as Told, ShadowDifference, ShadowQuery,
    ShadowVerdict,
};
use podlane_policy::yaml::{self, Documents, unmatched_among};
use podlane_policy::{Cluster, Compiler};

use super::flows::{has_ports, protocol};
use super::moment::Moment;
use super::policies::{doubtful, refusal};
use crate::enforce::{Doubt, Enforcer, Live};
use crate::shadow::tally::Sample;
use crate::shadow::{Named, Seen, Shadow};
use crate::told::change::{Room, Trial, texts};

/// How much of a change is listed: it keeps the answer within what a client reads.
const ROOM: Room = Room { differences: 1_000, ends: 256 };

/// How long a shadow lives without being asked about.
const LEASE: Duration = Duration::from_secs(5);

/// How often that is looked at.
const PULSE: Duration = Duration::from_millis(500);

/// A shadow that is in force.
struct Running {
    number: u64,
    shadow: Arc<Shadow>,
    warnings: Vec<PolicyFinding>,
    began: Instant,
    asked: Instant,
}

/// The shadow there is, and who sees to its end.
pub(super) struct Shadows {
    running: Arc<Mutex<(u64, Option<Running>)>>,
    watch: Mutex<Option<Watch>>,
}

/// The thread that ends a shadow nobody asks about. Dropped, it ends.
struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that ends shadows panicked");
        }
    }
}

impl Shadows {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { running: Arc::default(), watch: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Option<Running>)> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the lease of this shadow kept.
    fn watch(&self, number: u64, enforcer: &Arc<Enforcer>) {
        let (stop, stopped) = bounded::<()>(0);
        let (running, enforcer) = (Arc::clone(&self.running), Arc::clone(enforcer));
        let keep = move || {
            while stopped.recv_timeout(PULSE) == Err(RecvTimeoutError::Timeout) {
                let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(own) = running.1.as_ref().filter(|own| own.number == number) else { return };
                if own.asked.elapsed() < LEASE {
                    continue;
                }
                running.1 = None;
                drop(running);
                tracing::info!(shadow = number, "nobody asks about the shadow any more: ended");
                leave(&enforcer);
                return;
            }
        };
        let thread = std::thread::Builder::new().name("podlane-shadow".into()).spawn(keep);
        let thread = thread.inspect_err(|error| tracing::error!(%error, "nobody sees to the end of a shadow"));
        let watch = Watch { stop: Some(stop), thread: thread.ok() };
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }
}

/// Takes the candidate away from the workers.
fn leave(enforcer: &Enforcer) {
    if let Err(error) = enforcer.set_beside(None) {
        tracing::error!(%error, "a shadow is still looking on");
    }
}

impl Moment<'_> {
    /// What a candidate would change.
    pub(super) fn test_policy(&self, candidate: &Manifest) -> Result<PolicyChange, Refusal> {
        let enforcer = self.enforcer()?;
        let documents = read(candidate)?;
        let (judge, cluster) = (enforcer.in_force(), enforcer.look(|live| live.compiler().cluster()));
        let known = cluster.policies.iter().map(|policy| policy.name.clone()).collect::<BTreeSet<_>>();
        let compiler = Compiler::of(cluster);
        let warnings = doubts(&compiler, &documents);
        let change = Trial::beside(compiler, &known, documents.cluster.policies).change(judge.compiled(), ROOM);
        Ok(PolicyChange { warnings, ..change })
    }

    /// Has a candidate judged beside the live policy.
    pub(super) fn start_shadow(&self, candidate: &Manifest) -> Result<Told, Refusal> {
        let enforcer = self.enforcer()?;
        let documents = read(candidate)?;
        let busy = |running: &Running| Refusal::ShadowBusy { age_ms: running.began.elapsed().as_millis() as u64 };
        if let Some(running) = &self.shadows().lock().1 {
            return Err(busy(running));
        }
        let (cluster, warnings) =
            enforcer.look(|live| (live.compiler().cluster(), doubts(live.compiler(), &documents)));
        let shadow = Arc::new(Shadow::of(documents.cluster.policies, cluster));
        let number = {
            let mut running = self.shadows().lock();
            if let Some(running) = &running.1 {
                return Err(busy(running));
            }
            running.0 += 1;
            let (number, began) = (running.0, Instant::now());
            let (shadow, warnings) = (Arc::clone(&shadow), warnings);
            running.1 = Some(Running { number, shadow, warnings, began, asked: began });
            number
        };
        tracing::info!(shadow = number, from = candidate.from, "a candidate is judged beside the live policy");
        let beside = move |judge: &_, live: &Live| Some(shadow.beside(judge, live));
        if enforcer.set_beside(Some(Arc::new(beside))).is_err() {
            self.shadows().lock().1 = None;
            leave(enforcer);
            return Err(Refusal::PolicyLate);
        }
        self.shadows().watch(number, enforcer);
        self.shadow(ShadowQuery { shadow: number })
    }

    /// What a shadow has seen so far.
    pub(super) fn shadow(&self, ShadowQuery { shadow: number }: ShadowQuery) -> Result<Told, Refusal> {
        let enforcer = self.enforcer()?;
        let (told, shadow) = {
            let mut running = self.shadows().lock();
            let own = running.1.as_mut().filter(|own| own.number == number);
            let own = own.ok_or(Refusal::UnknownShadow { shadow: number })?;
            own.asked = Instant::now();
            (told(own), Arc::clone(&own.shadow))
        };
        Ok(fill(told, enforcer.look(|live| shadow.seen(live))))
    }

    /// Ends a shadow.
    pub(super) fn end_shadow(&self, ShadowQuery { shadow: number }: ShadowQuery) -> Result<Told, Refusal> {
        let enforcer = self.enforcer()?;
        let own = {
            let mut running = self.shadows().lock();
            let own = running.1.take_if(|own| own.number == number);
            own.ok_or(Refusal::UnknownShadow { shadow: number })?
        };
        leave(enforcer);
        tracing::info!(shadow = number, "the shadow has ended");
        Ok(fill(told(&own), enforcer.look(|live| own.shadow.seen(live))))
    }
}

fn read(candidate: &Manifest) -> Result<Documents, Refusal> {
    let documents = yaml::read([(candidate.from.as_str(), candidate.yaml.as_str())]);
    let documents = documents.map_err(|refused| refusal(refused.into()))?;
    if documents.cluster.policies.is_empty() {
        let detail = format!("{}: has no policies (send those to be tried)", candidate.from);
        return Err(Refusal::Unanswerable { detail });
    }
    Ok(documents)
}

/// What the candidate probably does not mean, among the pods there are.
fn doubts(compiler: &Compiler, documents: &Documents) -> Vec<PolicyFinding> {
    let Documents { cluster: Cluster { policies, .. }, sources, .. } = documents;
    unmatched_among(compiler, policies, sources).into_iter().map(|warning| doubtful(Doubt::Object(warning))).collect()
}

/// What is told of a shadow before anything it has seen.
fn told(running: &Running) -> Told {
    Told {
        shadow: running.number,
        age_ms: running.began.elapsed().as_millis() as u64,
        lease_ms: LEASE.as_millis() as u64,
        added: texts(&running.shadow.added),
        replaced: texts(&running.shadow.replaced),
        judged: 0,
        different: 0,
        unlisted: 0,
        differences: Vec::new(),
        warnings: running.warnings.clone(),
    }
}

fn fill(told: Told, seen: Seen) -> Told {
    let Seen { judged, different, unlisted, differences } = seen;
    let verdict = |allowed, rule| ShadowVerdict { allowed, rule };
    let difference = |((live, candidate, allowed), (count, last)): ((String, String, bool), (u64, Option<Named>))| {
        let (live, candidate) = (verdict(allowed, live), verdict(!allowed, candidate));
        ShadowDifference { count, live, candidate, last: last.map(opening) }
    };
    let mut differences: Vec<ShadowDifference> = differences.into_iter().map(difference).collect();
    differences.sort_by_key(|difference| std::cmp::Reverse(difference.count));
    Told { judged, different, unlisted, differences, ..told }
}

fn opening(Named { sample, from_pod, to_pod }: Named) -> Opening {
    let Sample { from, to, protocol: number, port } = sample;
    let port = has_ports(number).then_some(port);
    Opening { from, from_pod, to, to_pod, protocol: protocol(number), port }
}

//! The workers as the reconciler speaks to them: ask all, wait a bounded time, go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use podlane_dataplane::policy::Enforcement;
use podlane_dataplane::port::Port;
use podlane_dataplane::tables::Tables;
use podlane_dataplane::worker::command::{Command, Described, Line, Report};
use podlane_dataplane::worker::legacy::{Inheritance, Legacy};
use podlane_dataplane::{PortId, WorkerId};
use podlane_rings::FramePool;
use thiserror::Error;

/// How long a worker may take to notice a command. A turn is microseconds and the longest sleep is woken by the
/// command itself; this is for a machine that gives the worker no core.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A port's ends, with the workers they are for.
pub type Ends = Vec<(WorkerId, Box<dyn Port>)>;

/// A worker did not do as asked.
#[derive(Clone, Copy, Debug, Error)]
#[error("worker {worker} does not answer; its core is taken by something else, or the worker has ended (see the log)")]
pub struct Silent {
    /// Which.
    pub worker: WorkerId,
}

/// Lines to all workers, in the order of their numbers.
#[derive(Clone)]
pub struct Workers {
    lines: Vec<Line>,
}

impl Workers {
    /// From the lines of a crew.
    #[must_use]
    pub const fn new(lines: Vec<Line>) -> Self {
        Self { lines }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// Puts tables in force with every worker, and frees the former ones here.
    ///
    /// # Errors
    /// A worker does not answer; the others have the new tables.
    pub fn publish(&self, tables: &Arc<Tables>) -> Result<(), Silent> {
        let former = self.ask_all(|back| Command::Tables(Arc::clone(tables), back));
        former.into_iter().try_for_each(|former| former.map(drop))
    }

    /// Puts a policy in force with every worker, and frees the former one here.
    ///
    /// # Errors
    /// A worker does not answer; the others have the new policy.
    pub fn enforce(&self, enforcement: &Arc<Enforcement>) -> Result<(), Silent> {
        let former = self.ask_all(|back| Command::Policy(Arc::clone(enforcement), back));
        former.into_iter().try_for_each(|former| former.map(drop))
    }

    /// Copies of all ledgers.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn reports(&self) -> Result<Vec<Report>, Silent> {
        self.ask_all(Command::Report).into_iter().collect()
    }

    /// What sockets each worker has.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn describe(&self) -> Result<Vec<Vec<Described>>, Silent> {
        self.ask_all(Command::Describe).into_iter().collect()
    }

    /// Has all workers obey and not turn, and write down what they leave.
    ///
    /// # Errors
    /// A worker does not answer; the others are halted.
    pub fn halt(&self) -> Result<Vec<Legacy>, Silent> {
        self.ask_all(Command::Halt).into_iter().map(|legacy| legacy.map(|legacy| *legacy)).collect()
    }

    /// Has a halted worker go on with what another process's left.
    ///
    /// # Errors
    /// It does not answer.
    pub fn inherit(&self, worker: WorkerId, inheritance: Inheritance) -> Result<(), Silent> {
        self.tell(worker, Command::Inherit(Box::new(inheritance)))
    }

    /// Has all workers turn. Returns since when all do.
    ///
    /// # Errors
    /// A worker does not answer; the others turn.
    pub fn resume(&self) -> Result<Instant, Silent> {
        let since = self.ask_all(Command::Resume).into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(since.into_iter().max().unwrap_or_else(Instant::now))
    }

    /// Borrows up to `frames` frames of each worker.
    ///
    /// # Errors
    /// A worker does not answer; what others lent is given back.
    pub fn lend(&self, frames: usize) -> Result<Vec<FramePool>, Silent> {
        let mut silent = None;
        // In the place of one that does not answer, none: then what the others lent goes home.
        let mut pools: Vec<Option<FramePool>> = Vec::new();
        for lent in self.ask_all(|back| Command::Lend(frames, back)) {
            pools.push(lent.map_err(|error| silent = Some(error)).ok());
        }
        let Some(silent) = silent else { return Ok(pools.into_iter().flatten().collect()) };
        for (line, pool) in self.lines.iter().zip(pools) {
            // A worker that has ended needs no frames.
            let _ = pool.map(|pool| line.leave(Command::Absorb(pool)));
        }
        Err(silent)
    }

    /// Returns what [`Self::lend`] gave.
    pub fn give_back(&self, pools: Vec<FramePool>) {
        for (line, pool) in self.lines.iter().zip(pools) {
            // A worker that has ended needs no frames.
            let _ = line.leave(Command::Absorb(pool));
        }
    }

    /// Gives a port's ends to their workers, and tells the others where to send.
    ///
    /// # Errors
    /// A worker does not answer; the others have their ends.
    pub fn attach(&self, id: PortId, ends: Ends) -> Result<(), Silent> {
        // Workers without an end of their own send by the first one that has.
        let first = ends.first().map(|(worker, _)| *worker);
        let mut ends = ends;
        let mut outcome = Ok(());
        for worker in self.numbers() {
            let own = ends.iter().position(|(owner, _)| *owner == worker).map(|at| ends.swap_remove(at).1);
            let told = match (own, first) {
                (Some(end), _) => self.tell(worker, Command::Attach(id, end)),
                (None, Some(first)) => self.tell(worker, Command::AttachRemote(id, first)),
                (None, None) => Ok(()),
            };
            outcome = outcome.and(told);
        }
        outcome
    }

    /// Takes a port away from every worker; its ends come back, to be closed. First all stop sending to it.
    ///
    /// The error is that a worker does not answer: its end of the port is lost with it.
    pub fn take(&self, id: PortId) -> (Ends, Result<(), Silent>) {
        let mut outcome = Ok(());
        let mut ends = Ends::new();
        for (worker, end) in self.numbers().zip(self.ask_all(|back| Command::Detach(id, back))) {
            match end {
                Ok(end) => ends.extend(end.map(|end| (worker, end))),
                Err(silent) => outcome = outcome.and(Err(silent)),
            }
        }
        (ends, outcome)
    }

    /// Has what was counted at a port count for ports that are gone: its number is another's from now on.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn retire(&self, id: PortId) -> Result<(), Silent> {
        self.numbers().try_for_each(|worker| self.leave(worker, Command::Retire(id)))
    }

    /// Closes ends that no worker serves.
    ///
    /// # Errors
    /// A worker does not answer; its end is lost with it.
    pub fn close(&self, ends: Ends) -> Result<(), Silent> {
        let mut outcome = Ok(());
        for (worker, end) in ends {
            let closed = self.ask(worker, |back| Command::Lend(0, back)).and_then(|mut pool| {
                end.close(&mut pool);
                self.leave(worker, Command::Absorb(pool))
            });
            outcome = outcome.and(closed);
        }
        outcome
    }

    fn numbers(&self) -> impl Iterator<Item = WorkerId> + use<> {
        (0..self.lines.len()).map(|number| WorkerId(number as u16))
    }

    fn tell(&self, worker: WorkerId, command: Command) -> Result<(), Silent> {
        self.lines[worker.index()].send(command).map_err(|_| Silent { worker })
    }

    /// As [`Self::tell`], of what nobody waits for.
    fn leave(&self, worker: WorkerId, command: Command) -> Result<(), Silent> {
        self.lines[worker.index()].leave(command).map_err(|_| Silent { worker })
    }

    fn ask<T>(&self, worker: WorkerId, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, Silent> {
        let (send, back) = bounded(1);
        self.tell(worker, command(send))?;
        back.recv_timeout(PATIENCE).map_err(|_| Silent { worker })
    }

    /// Asks all at once, then waits for all together: one that fails keeps nothing from the others.
    fn ask_all<T>(&self, command: impl Fn(Sender<T>) -> Command) -> Vec<Result<T, Silent>> {
        let ask = |worker| {
            let (send, back) = bounded(1);
            (worker, self.tell(worker, command(send)).map(|()| back))
        };
        let asked: Vec<_> = self.numbers().map(ask).collect();
        let deadline = Instant::now() + PATIENCE;
        let answer = |(worker, back): (WorkerId, Result<Receiver<T>, Silent>)| {
            back.and_then(|back| back.recv_deadline(deadline).map_err(|_| Silent { worker }))
        };
        asked.into_iter().map(answer).collect()
    }
}

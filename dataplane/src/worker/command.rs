//! What the control side may ask of a worker, between two of its turns, and what a worker reports by itself.
//!
//! The only way in: one bounded channel a worker, looked at once a turn. What takes long (opening and closing sockets,
//! freeing tables) is done on the control side, before a command is sent or with what a reply brings back.

use std::{
    io,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, bounded};

use podlane_rings::{FramePool, SocketFacts};

use crate::{
    counters::Counters,
    denials::Denials,
    ids::{PortId, WorkerId},
    policy::Enforcement,
    port::{Port, PortError, PortFacts, PortStatistics},
    tables::Tables,
    worker::{
        handoff::Bell,
        legacy::{Inheritance, Legacy},
    },
};

/// Commands that may wait for a worker.
const DEPTH: usize = 64;

/// How long a full channel is waited for: a worker that takes no command for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thing to do between two turns.
pub enum Command {
    /// Switch by these tables from now on; the former ones come back, for the control side to free.
    Tables(Arc<Tables>, Sender<Arc<Tables>>),
    /// Decide by this policy from now on; the former one comes back, for the control side to free.
    Policy(Arc<Enforcement>, Sender<Option<Arc<Enforcement>>>),
    /// Serve this port.
    Attach(PortId, Box<dyn Port>),
    /// Send what is for this port to that worker.
    AttachRemote(PortId, WorkerId),
    /// Stop serving this port, or sending to it; what waits for it is dropped. A port of this worker comes back, to be
    /// closed.
    Detach(PortId, Sender<Option<Box<dyn Port>>>),
    /// Count what this port has counted among the ports that are gone: its number is another's from now on.
    Retire(PortId),
    /// Lend up to so many frames, for opening or closing a port.
    Lend(usize, Sender<FramePool>),
    /// Take lent frames home.
    Absorb(FramePool),
    /// Copy the ledger and the state of the ports.
    Report(Sender<Report>),
    /// Say what sockets there are, with descriptors of them.
    Describe(Sender<Vec<Described>>),
    /// Obey, and do not turn; when all workers are so, let go of every frame and write down what is left. See
    /// [`legacy`](crate::worker::legacy).
    Halt(Sender<Box<Legacy>>),
    /// Halted: go on with what another process's worker left.
    Inherit(Box<Inheritance>),
    /// Turn again, or for the first time; tells since when.
    Resume(Sender<Instant>),
    /// Close everything and end.
    Stop,
}

/// One worker's end of a port, for another process.
#[derive(Debug)]
pub struct Described {
    /// Which port.
    pub port: PortId,
    /// Whether its sockets are all there is to it.
    pub can_be_handed_over: bool,
    /// Its sockets, or why there is no descriptor of one to be had.
    pub sockets: io::Result<Vec<(SocketFacts, Vec<OwnedFd>)>>,
}

/// A worker, as it is between two turns.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which worker.
    pub worker: WorkerId,
    /// Its ledger.
    pub counters: Counters,
    /// What policy refused on it.
    pub denials: Denials,
    /// Its ports.
    pub ports: Vec<PortReport>,
    /// How it spends its time.
    pub pace: Pace,
    /// Frames in all, and free now.
    pub frames: (usize, usize),
    /// Flows it owns.
    pub flows: usize,
    /// Connections it opened that are not over.
    pub connections: usize,
}

/// One worker's end of a port.
#[derive(Clone, Copy, Debug)]
pub struct PortReport {
    /// Which port.
    pub id: PortId,
    /// How it works.
    pub facts: PortFacts,
    /// What the kernel lost.
    pub statistics: PortStatistics,
    /// Packets waiting to leave by it.
    pub held: u64,
    /// Frames lent to the other side: for what may arrive, and for what is being sent.
    pub lent: (u64, u64),
    /// Whether the device is gone.
    pub dead: bool,
}

/// How a worker spends its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pace {
    /// Loops so far.
    pub turns: u64,
    /// Loops that moved a packet.
    pub busy_turns: u64,
    /// Times it slept.
    pub sleeps: u64,
    /// Times the kernel took the core away from it: another process runs there.
    pub preempted: u64,
    /// Since it started, milliseconds.
    pub uptime_ms: u64,
}

/// Something a worker noticed.
#[derive(Debug)]
pub enum Event {
    /// A port died; it waits to be detached.
    PortDied {
        /// The worker that noticed.
        worker: WorkerId,
        /// The port.
        port: PortId,
        /// Why.
        error: PortError,
    },
    /// The worker runs, but the kernel did not let it have its core.
    Unpinned {
        /// Which.
        worker: WorkerId,
        /// The core it should be on.
        core: usize,
    },
    /// The worker's thread ended without being told to.
    WorkerEnded {
        /// Which.
        worker: WorkerId,
    },
}

/// The control side's handle on one worker.
#[derive(Clone)]
pub struct Line {
    sender: Sender<Command>,
    bell: Bell,
}

impl Line {
    /// A line, and the worker's end of it.
    #[must_use]
    pub fn new(bell: Bell) -> (Self, Receiver<Command>) {
        let (sender, receiver) = bounded(DEPTH);
        (Self { sender, bell }, receiver)
    }

    /// Sends a command and wakes the worker. Waits while the channel is full, which a turning worker never lets
    /// last, for two seconds at most.
    ///
    /// # Errors
    /// The command comes back: the worker has ended, or turns no more.
    pub fn send(&self, command: Command) -> Result<(), Box<Command>> {
        let sent = self.sender.send_timeout(command, PATIENCE);
        self.bell.ring();
        sent.map_err(|unsent| Box::new(unsent.into_inner()))
    }

    /// Leaves a command for when the worker is awake, which is within [`LONGEST`](super::idle::LONGEST); the next one that is sent finds it
    /// carried out. To wake a worker that sleeps on hundreds of ports costs it a fifth of a millisecond.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn leave(&self, command: Command) -> Result<(), Box<Command>> {
        // Whoever sends the next one is to find room.
        if self.sender.len() >= DEPTH / 2 {
            return self.send(command);
        }
        self.sender.try_send(command).or_else(|unsent| self.send(unsent.into_inner()))
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_left_for_a_worker_wakes_it_when_there_is_much_of_it() {
        let bell = Bell::new().unwrap();
        let (line, commands) = Line::new(bell.clone());
        bell.arm();
        let rings = || {
            let mut fds = [PollFd::new(bell.fd().as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
        };
        for _ in 0..DEPTH / 2 {
            assert!(line.leave(Command::Retire(PortId(1))).is_ok());
        }
        assert!(!rings());
        assert!(line.leave(Command::Retire(PortId(2))).is_ok());
        assert!(rings());
        assert_eq!(commands.len(), DEPTH / 2 + 1);
        drop(commands);
        assert!(line.leave(Command::Stop).is_err(), "to one that has ended nothing can be left");
    }
}

//! What a worker does when there is nothing to do: spin for a while, then sleep until a ring or a bell wakes it.
//!
//! Sleeping is an `epoll_wait` on every socket and on the worker's bell, so a packet ends it at once: the first packet after
//! idleness is late by one wake-up (about 30 us across cores in a guest), not by a timer. Refused: napping with a growing
//! timeout, which is either late or busy.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::handoff::Bell;

/// How a worker waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Poll {
    /// Spin for [`SPIN`], then sleep.
    #[default]
    Adaptive,
    /// Never sleep: for a core that is the worker's alone.
    Busy,
}

/// How long a worker looks for more before it sleeps. Longer than a wake-up, so that a request and its reply meet an awake worker.
pub const SPIN: Duration = Duration::from_micros(60);

/// The longest sleep: ageing and health checks go on.
pub const LONGEST: Duration = Duration::from_millis(100);

/// When nothing has arrived for so long and a port still does not take what it was given, it is stuck: its device is switched
/// off, or its link partner paused it. Spinning would not move it.
pub const STALL: Duration = Duration::from_millis(2);

/// The longest sleep while a port is stuck: nothing wakes us when it has room again.
pub const STALLED: Duration = Duration::from_millis(5);

/// The nap where a port can only be polled (a replay, a port in memory).
const NAP: Duration = Duration::from_micros(50);

/// What a worker sleeps on.
pub struct Sleeper {
    epoll: Epoll,
    bell: Bell,
    /// Ports that cannot wake us.
    silent: usize,
}

impl Sleeper {
    /// Sleeps on the bell, for now.
    ///
    /// # Errors
    /// The kernel refuses an epoll instance.
    pub fn new(bell: Bell) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(bell.fd().as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Self { epoll, bell, silent: 0 })
    }

    /// Also wakes for these; a port without any must be polled.
    ///
    /// # Errors
    /// The kernel refuses one of them.
    pub fn watch(&mut self, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if fds.is_empty() {
            self.silent += 1;
        }
        for fd in fds {
            self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 1))?;
        }
        Ok(())
    }

    /// No longer wakes for these.
    pub fn forget(&mut self, fds: &[BorrowedFd<'_>]) {
        if fds.is_empty() {
            self.silent = self.silent.saturating_sub(1);
        }
        for fd in fds {
            // A socket of a vanished device may be gone from the set already.
            let _ = self.epoll.delete(fd);
        }
    }

    /// Sleeps until something is there to do, at most so long. `work` looks once more after the bell is armed.
    pub fn sleep(&self, longest: Duration, work: impl FnOnce() -> bool) {
        self.bell.arm();
        if !work() {
            if self.silent > 0 {
                std::thread::sleep(NAP);
            } else {
                let longest = EpollTimeout::try_from(longest).unwrap_or(EpollTimeout::ZERO);
                // An interrupted sleep is a short sleep.
                let _ = self.epoll.wait(&mut [EpollEvent::empty(); 4], longest);
            }
        }
        self.bell.disarm();
    }
}

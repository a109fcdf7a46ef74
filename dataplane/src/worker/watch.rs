//! The sockets of ports that are silent, waited on by one standing set, so that a sleep costs what the few that speak cost and not what all do.
//!
//! ```text
//!   port moved nothing for QUIET --(the worker goes to sleep)--> in the set: one descriptor to sleep on, for any number of them
//!   it receives or is sent to    --(the end of that turn)------> out of it: slept on by itself, while the worker sleeps
//! ```
//!
//! A `poll` of 250 sockets takes 0.2 ms, twice: the kernel asks each of them, and has a copy-mode socket look whether there is something to
//! send. A set is asked for what rang. But a socket in it takes a lock with each packet it sends, 8 % of a busy worker's core (decision 11); so
//! only those are in it that send none.

use std::{io, os::fd::BorrowedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::port::Port;

/// After so many milliseconds without a packet a port is silent. To take one in and out is two system calls, as much as half a dozen sleeps on it.
pub(crate) const QUIET: u32 = 100;

/// One worker's set; none before it is [made](Self::new), and then every port is slept on by itself.
#[derive(Debug, Default)]
pub struct Watch {
    set: Option<Epoll>,
}

impl Watch {
    /// An empty set, there from the start: what a worker has open is then the same before and after its ports.
    ///
    /// # Errors
    /// The kernel has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { set: Some(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?) })
    }

    /// What to sleep on for all that are in it.
    pub(crate) const fn set(&self) -> Option<&Epoll> {
        self.set.as_ref()
    }

    /// Takes in a port's sockets, all of them or none. Returns whether it has: one that can only be polled has no socket.
    pub(crate) fn join(&self, port: &dyn Port) -> bool {
        let (Some(set), fds) = (&self.set, port.wake_fds()) else { return false };
        let joins = |fd: &&BorrowedFd<'_>| set.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0)).is_ok();
        let joined = fds.iter().take_while(joins).count();
        let is_in = joined > 0 && joined == fds.len();
        if !is_in {
            fds.iter().take(joined).for_each(|fd| let_go(set, fd));
        }
        is_in
    }

    /// Lets go of a port's sockets.
    pub(crate) fn leave(&self, port: &dyn Port) {
        if let Some(set) = &self.set {
            port.wake_fds().iter().for_each(|fd| let_go(set, fd));
        }
    }
}

fn let_go(set: &Epoll, fd: &BorrowedFd<'_>) {
    // What the kernel does not have in the set is as good as out of it.
    let _ = set.delete(fd);
}

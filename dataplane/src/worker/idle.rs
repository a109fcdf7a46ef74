//! What a worker does when there is nothing to do: spin for a while, then sleep until a ring or a bell wakes it.
//!
//! Sleeping is one `poll` on the worker's bell, on every socket that moved a packet lately and on the standing set of all others
//! ([`watch`](super::watch)), so a packet ends it at once: the first packet after idleness is late by one wake-up, not by a timer. What a wake-up costs is the core's affair: little where the core
//! stayed awake, several times that where it was halted (`podlane-perf idle` measures both, beside a thread that does
//! nothing but sleep; docs/decisions/0015-wake-latency.md).
//!
//! Refused: napping with a growing timeout, which is either late or busy; and a standing epoll set of all sockets, because one that
//! somebody waits on takes a lock and looks for sleepers with every packet it sends: that was 8 % of a busy worker's
//! core (podlane-perf compare --workload udp). A `poll` puts the worker on the sockets' lists only while it sleeps.

use std::{os::fd::AsFd, time::Duration};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{handoff::Bell, watch::Watch};
use crate::stage::dispatch::Attached;

/// How a worker waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Poll {
    /// Spin for [`SPIN`], then sleep.
    #[default]
    Adaptive,
    /// Never sleep: for a core that is the worker's alone.
    Busy,
}

/// How long a worker looks for more before it sleeps. Longer than the wake-up of a core that is not halted, so that a
/// request and its reply meet an awake worker.
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

/// Sleeps until something is there to do, at most so long. `work` looks once more after the bell is armed.
pub fn sleep(bell: &Bell, (ports, watch): (&[Attached], &Watch), longest: Duration, work: impl FnOnce() -> bool) {
    bell.arm();
    if !work() {
        let mut fds = vec![PollFd::new(bell.fd().as_fd(), PollFlags::POLLIN)];
        fds.extend(watch.set().map(|set| PollFd::new(set.0.as_fd(), PollFlags::POLLIN)));
        let mut is_mute = false;
        for attached in ports.iter().filter(|attached| !attached.dead && !attached.is_watched) {
            let wakes = attached.port.wake_fds();
            is_mute |= wakes.is_empty();
            fds.extend(wakes.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        }
        if is_mute {
            std::thread::sleep(NAP);
        } else {
            // An interrupted sleep is a short sleep.
            let _ = poll(&mut fds, PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO));
        }
    }
    bell.disarm();
}

//! Time, as both ends of a measurement read it.
//!
//! The clock is the kernel's monotonic one and not a counter of this process: two processes of one machine, in whatever namespaces, read the same,
//! so that `send` and `receive` apart can tell a latency. Tests have a clock of their own, which moves when it is told to or looked at.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// A point in time, or a distance between two, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// From another point to this; zero if that is later.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// This much later.
    #[inline]
    #[must_use]
    pub const fn plus(self, distance: Self) -> Self {
        Self(self.0.saturating_add(distance.0))
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0)
    }
}

/// What tells the time.
pub trait Clock: Clone + Send {
    /// Now.
    fn now(&self) -> Nanos;
}

/// The kernel's monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Monotonic;

impl Clock for Monotonic {
    /// Some 25 ns; read once a burst, not once a packet.
    #[inline]
    fn now(&self) -> Nanos {
        let time = clock_gettime(ClockId::Monotonic);
        Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }
}

/// A clock for tests and models: each look takes a little time, and nothing else does.
#[derive(Clone, Debug)]
pub struct Stepped {
    now: Arc<AtomicU64>,
    look: Nanos,
}

impl Stepped {
    /// A clock that each look moves by so much.
    #[must_use]
    pub fn new(look: Nanos) -> Self {
        Self { now: Arc::default(), look }
    }

    /// Moves it.
    pub fn advance(&self, by: Nanos) {
        self.now.fetch_add(by.0, Ordering::Relaxed);
    }
}

impl Clock for Stepped {
    fn now(&self) -> Nanos {
        Nanos(self.now.fetch_add(self.look.0, Ordering::Relaxed))
    }
}

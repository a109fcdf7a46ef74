//! A thread that does nothing but sleep until it is woken: what any switch that sleeps must pay on this machine.
//!
//! It blocks in `poll` on an event descriptor, as a worker does on its sockets, and notes the time as soon as it returns. How
//! late that is after the waker's write is the kernel's and the core's doing alone.

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use crate::{cores, subject::SubjectError};

/// A waking that takes longer has failed.
const PATIENCE: Duration = Duration::from_millis(500);

/// As in error messages and `top`.
const NAME: &str = "perf-sleeper";

/// What the sleeper and its waker share.
struct Bed {
    bell: EventFd,
    over: AtomicBool,
    /// What times are counted from.
    epoch: Instant,
    /// When the sleeper last woke, nanoseconds after the epoch; 0 until it has.
    woke: AtomicU64,
}

/// A sleeping thread. Dropping it ends it.
pub struct Sleeper {
    bed: Arc<Bed>,
    thread: Option<JoinHandle<()>>,
}

impl Sleeper {
    /// Starts one on a core.
    ///
    /// # Errors
    /// [`SubjectError::Start`]: no descriptor or thread.
    pub fn start(core: usize) -> Result<Self, SubjectError> {
        let failed = |source| SubjectError::Start { name: NAME, source };
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let bed = Arc::new(Bed { bell, over: AtomicBool::new(false), epoch: Instant::now(), woke: AtomicU64::new(0) });
        let own = Arc::clone(&bed);
        let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            cores::pin(core);
            own.sleep();
        });
        Ok(Self { bed, thread: Some(thread.map_err(failed)?) })
    }

    /// Wakes it, spins until it is awake, and tells how long after the waking began that was; `None` if it stays asleep.
    #[must_use]
    pub fn wake(&self) -> Option<Duration> {
        let Bed { bell, epoch, woke, .. } = &*self.bed;
        woke.store(0, Ordering::Release);
        let began = epoch.elapsed();
        bell.write(1).ok()?;
        while epoch.elapsed() < began + PATIENCE {
            let woken = woke.load(Ordering::Acquire);
            if woken != 0 {
                return Some(Duration::from_nanos(woken).saturating_sub(began));
            }
        }
        None
    }
}

impl Bed {
    fn sleep(&self) {
        while !self.over.load(Ordering::Acquire) {
            let mut bell = [PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
            let Ok(1..) = poll(&mut bell, PollTimeout::NONE) else { continue };
            self.woke.store(self.epoch.elapsed().as_nanos() as u64, Ordering::Release);
            // It was rung, so this does not block.
            let _ = self.bell.read();
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.bed.over.store(true, Ordering::Release);
        let _ = self.bed.bell.write(1);
        // A panic of the thread was printed when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_tells_when_it_woke_each_time_and_ends() {
        let core = core_affinity::get_core_ids().and_then(|cores| cores.last().copied()).map_or(0, |core| core.id);
        let sleeper = Sleeper::start(core).unwrap();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(2));
            let late = sleeper.wake().unwrap();
            assert!(!late.is_zero() && late < PATIENCE, "{late:?}");
        }
    }
}

//! A thread that polls on the switch's core until it is told to stop: what the subjects of our own rings run on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crate::{cores, subject::SubjectError};

/// A polling thread. Dropping it stops it.
pub(crate) struct Poller {
    name: &'static str,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a thread looks at to know when it is over.
pub(crate) struct Until(Arc<AtomicBool>);

impl Until {
    /// Whether to stop now.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Poller {
    /// Starts `work` on a core. It is to return soon after [`Until::is_over`].
    pub(crate) fn start(
        name: &'static str,
        core: usize,
        work: impl FnOnce(&Until) + Send + 'static,
    ) -> Result<Self, SubjectError> {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Until(Arc::clone(&stop));
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            cores::pin(core);
            work(&until);
        });
        let thread = thread.map_err(|source| SubjectError::Start { name, source })?;
        Ok(Self { name, stop, thread: Some(thread) })
    }

    /// Stops it and waits for it.
    pub(crate) fn stop(mut self) -> Result<(), SubjectError> {
        self.end().map_err(|_| SubjectError::Ended { name: self.name })
    }

    fn end(&mut self) -> std::thread::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // A panic of the thread was printed when it happened.
        let _ = self.end();
    }
}

//! No switch at all: packets are taken from the first link and thrown away. What this reaches is the generator's own limit, which
//! no switch behind it can be seen to pass.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use podlane_rings::{Umem, UmemConfig};

use crate::{
    bed::Bed,
    subject::{Duty, Running, Subject, SubjectError, end::End, poller::Poller},
};

/// Frames taken at once.
const BATCH: usize = 64;

/// The subject.
pub struct Drain;

impl Subject for Drain {
    fn name(&self) -> &'static str {
        "generator's own limit"
    }

    fn takes(&self, duty: &Duty) -> bool {
        !duty.peopled
    }

    fn start(&self, bed: &Bed, _: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        let [from, _] = bed.host_ends();
        let (_, mut pool) = Umem::create(&UmemConfig::default())?;
        let mut end = End::open(bed.switch(), &from, &mut pool)?;
        let taken = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&taken);
        let poller = Poller::start("drain", bed.cores.switch, move |until| {
            let mut frames = Vec::with_capacity(BATCH);
            while !until.is_over() {
                let received = end.socket.receive(&mut pool, BATCH, |frame| frames.push(frame));
                if received == 0 {
                    continue;
                }
                frames.drain(..).for_each(|frame| pool.give(frame));
                count.fetch_add(received as u64, Ordering::Relaxed);
                if end.socket.settle(&mut pool).is_err() {
                    break;
                }
            }
            end.close(&mut pool);
        })?;
        Ok(Box::new(Draining { poller, taken }))
    }
}

struct Draining {
    poller: Poller,
    taken: Arc<AtomicU64>,
}

impl Running for Draining {
    fn taken(&self) -> Option<Arc<AtomicU64>> {
        Some(Arc::clone(&self.taken))
    }

    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        self.poller.stop()
    }
}

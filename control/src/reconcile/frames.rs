//! Which share of a worker's frames each port keeps lent to the kernel, for what may arrive.
//!
//! A frame that is lent is nobody else's until a packet comes in it, and of how many ports there will be only the configuration's are known.
//! So ports that come while the switch runs are lent the less, the more is lent already: the first few get deep rings, as a node with a few
//! busy pods wants them, and the five hundredth still has as many as a pod's kernel delivers at a time. A quarter of the frames is never lent:
//! it is for packets under way.
//!
//! ```text
//! lent to ports that came, of three quarters:  0 -- 1/16 -- 1/8 -- 5/16 ---------- 1
//! frames for each queue of the next one:        512     128    64          32        refused by name
//! ```
//!
//! With the default of 16,384 frames this makes 309 ports of one queue a worker, 45 of them with a whole poll of the kernel's (64) or more. Refused: equal shares of the most ports there may be, which
//! leave each with 6 of 32,768; and taking frames back from rings, which the kernel does not give.

use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use crate::desired::FrameCount;

/// Up to which sixteenth of what may be lent each queue gets how many.
const TIERS: [(u32, u32); 4] = [(1, 512), (2, 128), (5, 64), (16, 32)];

/// No frames are left to lend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "worker {worker} has lent {lent} of its {frames} frames to ports, and the rest is for packets under way; raise `frames` under [workers], \
     or remove ports"
)]
pub(super) struct NoFrames {
    worker: usize,
    lent: u32,
    frames: u32,
}

/// What of each worker's frames is lent to ports.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    of_each: FrameCount,
    lent: Arc<Mutex<Vec<u32>>>,
}

/// A port's frames, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    lent: Arc<Mutex<Vec<u32>>>,
    /// By worker.
    taken: Vec<u32>,
}

impl Frames {
    /// Nothing is lent of these.
    pub(super) fn new(of_each: FrameCount, workers: usize) -> Self {
        Self { of_each, lent: Arc::new(Mutex::new(vec![0; workers])) }
    }

    /// A share for a port that has so many queues with each worker: how many frames each queue gets, at most `ring`.
    ///
    /// # Errors
    /// [`NoFrames`].
    pub(super) fn take(&self, queues: &[u32], ring: u32) -> Result<(u32, Share), NoFrames> {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = self.of_each.share(1);
        let fits = |fill: u32, sixteenths: u32| {
            let of_workers = lent.iter().zip(queues).filter(|(_, queues)| **queues > 0);
            of_workers.into_iter().all(|(lent, queues)| lent + fill * queues <= pool / 16 * sixteenths)
        };
        let found =
            TIERS.iter().map(|(sixteenths, fill)| (*sixteenths, (*fill).min(ring))).find(|(to, fill)| fits(*fill, *to));
        let Some((_, fill)) = found else {
            let fullest =
                lent.iter().copied().zip(0..).filter(|(_, worker)| queues.get(*worker).is_some_and(|n| *n > 0));
            let (lent, worker) = fullest.max().unwrap_or_default();
            return Err(NoFrames { worker, lent, frames: self.of_each.get() });
        };
        let taken: Vec<u32> = queues.iter().map(|queues| queues * fill).collect();
        lent.iter_mut().zip(&taken).for_each(|(lent, taken)| *lent += taken);
        Ok((fill, Share { lent: Arc::clone(&self.lent), taken }))
    }

    /// The share of a port that has its frames by other rules, by worker.
    pub(super) fn note(&self, taken: Vec<u32>) -> Share {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.iter_mut().zip(&taken).for_each(|(lent, taken)| *lent += taken);
        Share { lent: Arc::clone(&self.lent), taken }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.iter_mut().zip(&self.taken).for_each(|(lent, taken)| *lent -= taken);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its ground has failed")]
mod tests {
    use super::*;

    #[test]
    fn three_hundred_ports_share_the_default_and_the_first_have_more() {
        let frames = Frames::new(FrameCount::new(16_384).unwrap(), 1);
        let mut shares = Vec::new();
        let refused = loop {
            match frames.take(&[1], 2_048) {
                Ok(share) => shares.push(share),
                Err(refused) => break refused,
            }
        };
        let with = |fill| shares.iter().filter(|(each, _)| *each == fill).count();
        assert_eq!(([512, 128, 64, 32].map(with), shares.len()), ([1, 8, 36, 264], 309));
        assert_eq!(refused, NoFrames { worker: 0, lent: 12_288, frames: 16_384 });
        // What is given back is there for the next.
        shares.drain(..8);
        let (fill, _share) = frames.take(&[1], 2_048).unwrap();
        assert_eq!(fill, 32);
        shares.clear();
        assert_eq!(frames.take(&[1], 256).map(|(fill, _)| fill), Ok(256));
    }

    #[test]
    fn a_port_takes_of_each_worker_for_its_queues_there() {
        let frames = Frames::new(FrameCount::new(4_096).unwrap(), 2);
        let _other = frames.note(vec![3_000, 0]);
        assert_eq!(frames.take(&[0, 1], 64).map(|(fill, _)| fill), Ok(64));
        assert_eq!(frames.take(&[2, 1], 64).map(|(fill, _)| fill), Ok(32));
        assert_eq!(frames.take(&[3, 0], 64).unwrap_err().worker, 0);
    }
}

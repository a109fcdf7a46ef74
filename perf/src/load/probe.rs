//! A probe: one packet from one pod, and how long until it is in the other's hands.
//!
//! Sender and receiver are one thread with AF_XDP sockets on both pods' ends, so both times are of one clock and nobody has to be
//! woken to see the packet arrive.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use podlane_rings::{Frame, FramePool, Umem, UmemConfig};

use crate::{
    bed::Bed,
    load::{LoadError, pod_end},
    subject::{SubjectError, end::End},
};

/// A packet that takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(500);

/// Both pods' ends.
pub struct Probe {
    pool: FramePool,
    from: Option<End>,
    to: Option<End>,
    queue: VecDeque<Frame>,
    frames: Vec<Frame>,
}

impl Probe {
    /// Opens the pods' ends of a bed.
    ///
    /// # Errors
    /// [`LoadError`]; nothing is left open.
    pub fn open(bed: &Bed) -> Result<Self, LoadError> {
        let (_, pool) = Umem::create(&UmemConfig::default()).map_err(SubjectError::from)?;
        let mut probe = Self { pool, from: None, to: None, queue: VecDeque::new(), frames: Vec::with_capacity(64) };
        let (from, to) = (bed.from(), bed.to());
        probe.from = Some(End::open_to_send(from, &pod_end(from)?, &mut probe.pool)?);
        probe.to = Some(End::open(to, &pod_end(to)?, &mut probe.pool)?);
        Ok(probe)
    }

    /// Sends one packet and spins until it arrives; `None` if it does not.
    ///
    /// # Errors
    /// [`LoadError`] when a pod's end failed.
    pub fn cross(&mut self, packet: &[u8]) -> Result<Option<Duration>, LoadError> {
        let Self { pool, from: Some(from), to: Some(to), queue, frames } = self else { return Ok(None) };
        // What arrived late belongs to no one.
        take(to, pool, frames)?;
        if let Some(mut frame) = pool.take() {
            if frame.set_len(packet.len()).is_ok() {
                frame.bytes_mut().copy_from_slice(packet);
            }
            queue.push_back(frame);
        }
        let sent = Instant::now();
        from.socket.transmit(pool, queue);
        from.socket.settle(pool)?;
        while sent.elapsed() < PATIENCE {
            if to.socket.receive(pool, 64, |frame| frames.push(frame)) > 0 {
                let arrived = sent.elapsed();
                frames.drain(..).for_each(|frame| pool.give(frame));
                return Ok(Some(arrived));
            }
        }
        Ok(None)
    }
}

fn take(end: &mut End, pool: &mut FramePool, frames: &mut Vec<Frame>) -> Result<(), LoadError> {
    end.socket.receive(pool, 64, |frame| frames.push(frame));
    frames.drain(..).for_each(|frame| pool.give(frame));
    Ok(end.socket.settle(pool)?)
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.queue.drain(..).for_each(|frame| self.pool.give(frame));
        for end in self.from.take().into_iter().chain(self.to.take()) {
            end.close(&mut self.pool);
        }
    }
}

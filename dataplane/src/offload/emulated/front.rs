//! The card in front of one worker's end of a port.
//!
//! Packets that the card carries lie in the leaving port's lane, and go before what the worker queued. A lane belongs to one worker, as
//! its frames do; the lock around it is there for the offloader, which asks whether it is there, and for whoever closes the port.

use core::sync::atomic::Ordering;
use std::{os::fd::BorrowedFd, sync::Arc};

use podlane_rings::{Frame, FramePool, Socket, Umem};

use crate::{
    burst::{Burst, OutQueue},
    ids::{PortId, WorkerId},
    offload::emulated::{Card, Lane, Lanes, table::Table},
    port::{Port, PortError, PortFacts, PortStatistics},
    stage::{carry::carry, classify::key_of, dispatch::QUEUE_BOUND},
};

/// One worker's end of a port, behind the card.
pub(super) struct Front {
    card: Arc<Card>,
    id: PortId,
    worker: WorkerId,
    inner: Box<dyn Port>,
}

impl Front {
    pub(super) fn new(card: Arc<Card>, id: PortId, worker: WorkerId, inner: Box<dyn Port>) -> Self {
        let finishes_checksums = inner.facts().finishes_checksums;
        if let Some(mut lanes) = card.lanes(worker) {
            lanes.insert(id, Lane { queue: OutQueue::new(QUEUE_BOUND), finishes_checksums });
        }
        Self { card, id, worker, inner }
    }

    /// Gives back what waits in this port's lane. Nothing is carried any more when it is called, so that waiting costs nobody.
    fn give_back(&mut self, pool: &mut FramePool) {
        if let Some(mut lanes) = self.card.lanes(self.worker)
            && let Some(lane) = lanes.get_mut(&self.id)
        {
            lane.queue.frames().drain(..).for_each(|frame| pool.give(frame));
        }
    }
}

impl Port for Front {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        self.inner.receive(pool, burst);
        if burst.is_empty() {
            return;
        }
        // If the offloader has either, the burst is the worker's, which does not wait.
        let Some(mut table) = self.card.table_now() else { return };
        let Some(mut lanes) = self.card.lanes_now(self.worker) else { return };
        let (mut hits, packets) = (0, burst.frames().len() as u64);
        burst.sift(|_, frame| {
            let left = self.card.take(frame, self.id, (&mut table, &mut lanes), pool.umem());
            hits += u64::from(left.is_none());
            left
        });
        self.card.looked_up.fetch_add(packets, Ordering::Relaxed);
        self.card.hits.fetch_add(hits, Ordering::Relaxed);
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        // If the offloader looks at it, the lane is sent in the next turn.
        if let Some(mut lanes) = self.card.lanes_now(self.worker)
            && let Some(lane) = lanes.get_mut(&self.id)
            && !lane.queue.is_empty()
        {
            self.inner.transmit(pool, &mut lane.queue);
            lane.queue.recount(pool.umem());
        }
        if !queue.is_empty() {
            self.inner.transmit(pool, queue);
        }
    }

    fn settle(&mut self, pool: &mut FramePool) -> Result<(), PortError> {
        self.inner.settle(pool)
    }

    /// Always: what other ports' packets put into the lane is sent when this one is settled.
    fn outstanding(&self) -> bool {
        true
    }

    fn lent(&self) -> (u64, u64) {
        self.inner.lent()
    }

    fn health(&mut self) -> Result<(), PortError> {
        self.inner.health()
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.inner.wake_fds()
    }

    fn sockets(&self) -> &[Socket] {
        self.inner.sockets()
    }

    fn can_be_handed_over(&self) -> bool {
        self.inner.can_be_handed_over()
    }

    fn pause(&mut self, pool: &mut FramePool) {
        self.give_back(pool);
        self.inner.pause(pool);
    }

    fn facts(&self) -> PortFacts {
        self.inner.facts()
    }

    fn statistics(&self) -> PortStatistics {
        self.inner.statistics()
    }

    fn close(mut self: Box<Self>, pool: &mut FramePool) {
        self.give_back(pool);
        if let Some(mut lanes) = self.card.lanes(self.worker) {
            lanes.remove(&self.id);
        }
        self.inner.close(pool);
    }
}

impl Card {
    /// Carries a packet that came in by `port`, or gives it back.
    fn take(&self, frame: Frame, port: PortId, (table, lanes): (&mut Table, &mut Lanes), umem: &Umem) -> Option<Frame> {
        let Ok((key, layout)) = key_of(port, frame.bytes()) else { return Some(frame) };
        let told = self.matches.of(&key);
        let Some(rule) = table.find(&told) else { return Some(frame) };
        let offer = &rule.offer;
        let allowed = self.register.load(Ordering::Acquire) == offer.generation.0
            && self.flows.permits().is_some_and(|permits| permits.stands(offer.permit));
        let lane = lanes.get_mut(&offer.program.egress()).filter(|lane| lane.queue.room() > 0);
        let Some(lane) = lane.filter(|_| allowed) else { return Some(frame) };
        let bytes = frame.len() as u64;
        let sent = match carry(frame, (&key, layout), offer, (umem, lane.finishes_checksums)) {
            Ok(sent) => sent,
            Err(frame) => return Some(frame),
        };
        if let (Some(said), Some(permits)) = (sent.acknowledged, self.flows.permits()) {
            permits.acknowledge(offer.permit, said);
        }
        table.count(&told, bytes, self.now.load(Ordering::Relaxed));
        let length = sent.frame.len();
        // There is room: it was looked for.
        lane.queue.push(sent.frame, length).err()
    }
}

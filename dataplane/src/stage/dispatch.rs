//! dispatch: every way out of the switch. A frame ends here, in one port's queue, in another worker's ring, or in a drop counter.

use std::sync::Arc;

use podlane_rings::{Frame, FramePool};

use crate::{
    burst::{OutQueue, length_of},
    counters::Counters,
    denials::Denials,
    drops::DropReason,
    ids::{MAX_PORTS, PortId, WorkerId},
    port::{Port, PortError},
    stage::meter::Meters,
    tables::{Tables, rates::Rate},
    worker::{
        handoff::Peers,
        limits::Limits,
        watch::{QUIET, Watch},
    },
};

/// Frames that may wait for one port, beyond what its ring took: so that a slow port delays its own packets and keeps a bounded share of
/// the worker's frames. Chosen, not measured.
pub const QUEUE_BOUND: usize = 1024;

/// Where a port's exit is, seen from one worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Exit {
    /// Nowhere: the port is not attached.
    #[default]
    None,
    /// Here, in this slot.
    Here { slot: u16, finishes_checksums: bool },
    /// With another worker.
    There(WorkerId),
}

/// A port this worker serves.
pub struct Attached {
    /// Which.
    pub id: PortId,
    /// Its rings.
    pub port: Box<dyn Port>,
    /// What waits to leave by it.
    pub queue: OutQueue,
    /// Whether it died and waits to be detached.
    pub dead: bool,
    /// What the pod behind it may receive, where that is limited.
    rate: Option<Rate>,
    /// Set while the port is on [`Exits::busy`].
    marked: bool,
    /// Whether its sockets are in [`Exits::watch`].
    pub is_watched: bool,
    /// When it last moved a packet, worker-clock milliseconds.
    moved: u32,
}

impl Attached {
    fn unwatch(&mut self, watch: &Watch) {
        if core::mem::take(&mut self.is_watched) {
            watch.leave(&*self.port);
        }
    }
}

/// Every way out: the ports of this worker, the rings to the others, and the pool and ledger they need.
pub struct Exits {
    /// The worker's packet memory.
    pub pool: FramePool,
    /// The worker's ledger.
    pub counters: Counters,
    /// What policy refused.
    pub denials: Denials,
    /// The ports this worker serves, by slot.
    pub slots: Vec<Attached>,
    /// The rings to and from the other workers.
    pub peers: Peers,
    /// Caps on what the switch sends by itself.
    pub limits: Limits,
    /// Worker-clock milliseconds, of this turn.
    pub now: u32,
    meters: Arc<Meters>,
    exits: Box<[Exit]>,
    /// Slots with frames to send or to bring home.
    busy: Vec<u16>,
    /// What is slept on for ports that are silent.
    pub watch: Watch,
}

impl Exits {
    /// No way out yet.
    #[must_use]
    pub fn new(pool: FramePool, peers: Peers, meters: Arc<Meters>) -> Self {
        let mut counters = Counters::default();
        counters.make_room(crate::counters::SWITCH);
        counters.make_room_for_paths(0);
        Self {
            pool,
            counters,
            denials: Denials::default(),
            slots: Vec::new(),
            peers,
            limits: Limits::default(),
            now: 0,
            meters,
            exits: vec![Exit::None; MAX_PORTS].into(),
            busy: Vec::new(),
            watch: Watch::default(),
        }
    }

    /// Opens the way out by a port of this worker.
    pub fn attach(&mut self, id: PortId, port: Box<dyn Port>) {
        self.counters.make_room(id);
        let finishes_checksums = port.facts().finishes_checksums;
        self.set(id, Exit::Here { slot: self.slots.len() as u16, finishes_checksums });
        let queue = OutQueue::new(QUEUE_BOUND);
        let (marked, is_watched, moved) = (false, false, self.now);
        self.slots.push(Attached { id, port, queue, dead: false, rate: None, marked, is_watched, moved });
        self.busy.reserve(self.slots.len());
        // Its rings want frames before anything can arrive.
        self.mark(self.slots.len() - 1);
    }

    /// Opens the way to a port of another worker.
    pub fn attach_remote(&mut self, id: PortId, worker: WorkerId) {
        self.counters.make_room(id);
        self.set(id, Exit::There(worker));
    }

    /// Holds what leaves by this worker's ports against the rates of these tables from now on.
    pub fn limit(&mut self, tables: &Tables) {
        for attached in &mut self.slots {
            attached.rate = tables.port(attached.id).and_then(|table| table.rates.ingress);
        }
    }

    /// Has a port settled at the end of the turn: it received, or was sent to.
    #[inline]
    pub fn mark(&mut self, slot: usize) {
        let attached = &mut self.slots[slot];
        if !attached.marked {
            attached.marked = true;
            self.busy.push(slot as u16);
        }
    }

    /// A port received something: it is settled at the end of the turn, and not silent.
    #[inline]
    pub fn hear(&mut self, slot: usize) {
        self.slots[slot].moved = self.now;
        self.mark(slot);
    }

    /// Has the set watch the ports that have become silent.
    pub fn hush(&mut self) {
        let now = self.now;
        let is_silent = |port: &&mut Attached| !port.dead && !port.is_watched && now.wrapping_sub(port.moved) >= QUIET;
        for attached in self.slots.iter_mut().filter(is_silent) {
            attached.is_watched = self.watch.join(&*attached.port);
            if !attached.is_watched {
                // One that can only be polled; asked again when it has been silent for as long again.
                attached.moved = now;
            }
        }
    }

    /// Closes the way to a port; what waits for it is dropped by name. Returns the port, if it was this worker's.
    pub fn detach(&mut self, id: PortId) -> Option<Box<dyn Port>> {
        self.set(id, Exit::None);
        let slot = self.slots.iter().position(|attached| attached.id == id)?;
        let mut attached = self.slots.swap_remove(slot);
        self.discard(&mut attached);
        attached.unwatch(&self.watch);
        if let Some(moved) = self.slots.get(slot).filter(|moved| !moved.dead) {
            let (id, finishes_checksums) = (moved.id, moved.port.facts().finishes_checksums);
            self.set(id, Exit::Here { slot: slot as u16, finishes_checksums });
        }
        // The last slot is this one now.
        let (slot, last) = (slot as u16, self.slots.len() as u16);
        self.busy.retain_mut(|busy| {
            let is_gone = *busy == slot;
            if *busy == last {
                *busy = slot;
            }
            !is_gone
        });
        Some(attached.port)
    }

    /// The port died: its frames are dropped by name, and it is not polled until it is detached.
    pub fn kill(&mut self, slot: usize) {
        let Some(attached) = self.slots.get_mut(slot) else { return };
        attached.dead = true;
        attached.unwatch(&self.watch);
        let id = attached.id;
        let mut frames = core::mem::take(attached.queue.frames());
        for frame in frames.drain(..) {
            self.drop(id, frame, DropReason::PortRemoved);
        }
        self.set(id, Exit::None);
    }

    /// Sends a packet out of `egress`; `ingress` is where it came from, for the ledger.
    #[inline]
    pub fn send(&mut self, ingress: PortId, egress: PortId, frame: Frame) {
        match self.exit(egress) {
            Exit::Here { slot, .. } => {
                let attached = &mut self.slots[usize::from(slot)];
                let length = length_of(&frame, self.pool.umem());
                // What the queue has no room for takes nothing.
                if let Some(rate) = attached.rate
                    && attached.queue.room() > 0
                    && !self.meters.receives(egress, &rate, length as u64, self.now)
                {
                    return self.drop(ingress, frame, DropReason::IngressRate);
                }
                if let Err(frame) = attached.queue.push(frame, length) {
                    return self.drop(ingress, frame, DropReason::EgressFull);
                }
                if !attached.marked {
                    self.mark(usize::from(slot));
                }
            }
            Exit::There(worker) => self.hand_over(ingress, egress, worker, frame),
            Exit::None => self.drop(ingress, frame, DropReason::EgressGone),
        }
    }

    /// Sends a run of packets of `bytes` together out of `egress`, in order: as [`Self::send`] for each, but the way is looked up
    /// once.
    #[inline]
    pub fn send_run(
        &mut self,
        ingress: PortId,
        egress: PortId,
        frames: impl ExactSizeIterator<Item = Frame>,
        bytes: u64,
    ) {
        if let Exit::Here { slot, .. } = self.exit(egress)
            && let Some(attached) = self.slots.get_mut(usize::from(slot))
            && attached.queue.room() >= frames.len()
            && attached.rate.is_none_or(|rate| self.meters.receives(egress, &rate, bytes, self.now))
        {
            attached.queue.extend(frames, bytes);
            if !attached.marked {
                self.mark(usize::from(slot));
            }
            return;
        }
        for frame in frames {
            self.send(ingress, egress, frame);
        }
    }

    /// Whether there is a way out by this port.
    #[must_use]
    pub fn leads_to(&self, egress: PortId) -> bool {
        self.exit(egress) != Exit::None
    }

    /// Whether a checksum may be left unfinished toward this port.
    #[inline]
    #[must_use]
    pub fn finishes_checksums(&self, egress: PortId) -> bool {
        matches!(self.exit(egress), Exit::Here { finishes_checksums: true, .. })
    }

    /// Ends a packet that came in by `ingress`.
    #[inline]
    pub fn drop(&mut self, ingress: PortId, frame: Frame, reason: DropReason) {
        self.counters.dropped(ingress, reason);
        self.pool.give(frame);
    }

    /// A copy of a packet, if there are frames for it.
    pub fn copy(&mut self, frame: &Frame) -> Option<Frame> {
        let umem = self.pool.umem().clone();
        self.pool.copy_packet(&umem, frame)
    }

    /// Moves queued packets into the ports' rings, and rings. Calls `died` for each port that failed.
    pub fn flush(&mut self, mut died: impl FnMut(PortId, PortError)) {
        let mut kept = 0;
        for turn in 0..self.busy.len() {
            let slot = self.busy[turn];
            let Some(attached) = self.slots.get_mut(usize::from(slot)) else { continue };
            let before = attached.queue.waiting();
            attached.port.transmit(&mut self.pool, &mut attached.queue);
            attached.queue.recount(self.pool.umem());
            let after = attached.queue.waiting();
            let sent = &mut self.counters.port(attached.id).sent;
            sent.add(before.packets - after.packets, before.bytes - after.bytes);
            if before.packets > after.packets {
                attached.moved = self.now;
            }
            if attached.is_watched && attached.moved == self.now {
                attached.unwatch(&self.watch);
            }
            if let Err(error) = attached.port.settle(&mut self.pool) {
                died(attached.id, error);
                self.kill(usize::from(slot));
            }
            let attached = &mut self.slots[usize::from(slot)];
            attached.marked = !attached.dead && (after.packets > 0 || attached.port.outstanding());
            if attached.marked {
                self.busy[kept] = slot;
                kept += 1;
            }
        }
        self.busy.truncate(kept);
    }

    /// Takes over what other workers handed here: copied into this worker's memory, because their rings cannot send from
    /// it.
    pub fn take_over(&mut self) {
        for peer in 0..self.peers.len() {
            for _ in 0..crate::burst::BURST {
                let Some(handed) = self.peers.next(peer) else { break };
                self.counters.taken += 1;
                let copy = self.peers.umem(peer).and_then(|umem| self.pool.copy_packet(umem, &handed.frame));
                self.peers.give_back(peer, handed.frame);
                match copy {
                    Some(copy) => self.send(handed.ingress, handed.egress, copy),
                    None => self.counters.dropped(handed.ingress, DropReason::NoFrame),
                }
            }
        }
        self.peers.bring_home(&mut self.pool);
    }

    /// Packets waiting in this worker's queues.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.slots.iter().map(|attached| attached.queue.len() as u64).sum()
    }

    /// Whether a port has frames to send or to bring home.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Lets go of every frame that waits here, by a reason.
    pub fn give_up(&mut self, reason: DropReason) {
        for slot in 0..self.slots.len() {
            let attached = &mut self.slots[slot];
            let id = attached.id;
            attached.port.pause(&mut self.pool);
            let mut frames = core::mem::take(attached.queue.frames());
            attached.queue.recount(self.pool.umem());
            for frame in frames.drain(..) {
                self.drop(id, frame, reason);
            }
        }
    }

    /// Closes every port and gives back every frame.
    pub fn close(&mut self) {
        while let Some(attached) = self.slots.first() {
            let id = attached.id;
            if let Some(port) = self.detach(id) {
                port.close(&mut self.pool);
            }
        }
        self.peers.bring_home(&mut self.pool);
    }

    fn hand_over(&mut self, ingress: PortId, egress: PortId, worker: WorkerId, frame: Frame) {
        match self.peers.hand(worker, ingress, egress, frame) {
            Ok(()) => self.counters.handed += 1,
            Err(frame) => self.drop(ingress, frame, DropReason::HandoffFull),
        }
    }

    fn discard(&mut self, attached: &mut Attached) {
        for frame in attached.queue.frames().drain(..) {
            self.counters.dropped(attached.id, DropReason::PortRemoved);
            self.pool.give(frame);
        }
    }

    #[inline]
    fn exit(&self, port: PortId) -> Exit {
        self.exits.get(port.index()).copied().unwrap_or_default()
    }

    fn set(&mut self, port: PortId, exit: Exit) {
        if let Some(place) = self.exits.get_mut(port.index()) {
            *place = exit;
        }
    }
}

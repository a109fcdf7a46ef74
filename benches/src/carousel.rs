//! Ports for benches: packets stand ready in packet memory and go around, so that what is measured is the switch.
//!
//! ```text
//!   pool (a stack) --take--> Carousel::receive --> the line --> Exit::transmit --give--> pool
//! ```
//!
//! The pool keeps a slot's bytes while it is at home, so a packet that has left by [`Exit`] is the next one to arrive, and
//! only what the line changed is written again: nothing but the ports when bridged, the headers when routed. No lock, no
//! allocation, no copy of a packet. What this costs by itself is measured by [`Device`] and taken off, as VPP's
//! figures leave its packet generator out.
//!
//! Refused: `MemoryPort`, which locks and copies for every packet (three times the cost of the line); a ring of ready frames
//! with a slot each for a million flows, which would measure two gigabytes of packet memory and not the flow table.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use podlane_dataplane::{
    burst::{BURST, Burst, OutQueue},
    port::{Port, PortError, PortFacts},
};
use podlane_rings::{FramePool, FrameSize, HugePages, Umem, UmemConfig};

use crate::packets::{PACKET, SEGMENT6, TUNNELLED};

/// Slots of packet memory: a burst on its way, one waiting to leave, and some to spare.
const FRAMES: u32 = 256;

/// What of a packet the line changes, and the carousel therefore writes again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rewrite {
    /// Nothing: the packet is bridged, or what goes in front of it lies in the headroom.
    Nothing,
    /// The first 16 bytes: a tag went in front of the EtherType, or was taken away.
    Tag,
    /// The first 32 bytes: MAC addresses, time to live and header checksum of a routed packet.
    Headers,
    /// Everything: the packet memory has other packets in it.
    All,
}

/// What the packets of one run are like.
#[derive(Clone, Debug)]
pub struct Load {
    /// A packet, but for its ports; [`PACKET`] bytes, [`SEGMENT6`] or [`TUNNELLED`].
    pub template: Vec<u8>,
    /// Where its transport header starts.
    pub ports_at: usize,
    /// What is written again for each arrival.
    pub rewrite: Rewrite,
    /// Source and destination port of each packet to come, over and over.
    pub flows: Arc<[[u8; 4]]>,
}

impl Load {
    /// Packet memory with this load's packet in every slot.
    ///
    /// # Panics
    /// If the machine has no memory for 256 frames.
    #[must_use]
    pub fn ready(&self) -> FramePool {
        self.ready_with(FRAMES)
    }

    /// The same with so many slots.
    ///
    /// # Panics
    /// If the machine has no memory for them.
    #[must_use]
    pub fn ready_with(&self, frames: u32) -> FramePool {
        let config = UmemConfig { frames, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
        let (_, mut pool) = Umem::create(&config).expect("memory for a bench");
        self.fill(&mut pool);
        pool
    }

    /// Writes this load's packet into every slot that is at home.
    pub fn fill(&self, pool: &mut FramePool) {
        let mut frames = Vec::new();
        while let Some(frame) = pool.write_packet(&self.template) {
            frames.push(frame);
        }
        for frame in frames {
            pool.give(frame);
        }
    }
}

/// Where packets come from.
pub struct Carousel {
    load: Load,
    at: usize,
    open: Arc<AtomicBool>,
}

impl Carousel {
    /// A port that receives this load, a full burst a turn, while the gate is open.
    #[must_use]
    pub const fn new(load: Load, open: Arc<AtomicBool>) -> Self {
        Self { load, at: 0, open }
    }

    /// The next packet's ports.
    #[inline]
    fn next(&mut self) -> [u8; 4] {
        let ports = self.load.flows.get(self.at).copied().unwrap_or_default();
        self.at = if self.at + 1 < self.load.flows.len() { self.at + 1 } else { 0 };
        ports
    }

    /// One burst. `WRITTEN` is a constant, so that no call to a copying routine is in the loop.
    #[inline]
    fn hand_out<const WRITTEN: usize, const LENGTH: usize>(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        let ports_at = self.load.ports_at;
        while burst.room() > 0
            && let Some(mut frame) = pool.take()
        {
            let ports = self.next();
            if frame.set_len(LENGTH).is_ok()
                && let Some(bytes) = frame.bytes_mut().first_chunk_mut::<LENGTH>()
            {
                bytes[..WRITTEN].copy_from_slice(&self.load.template[..WRITTEN]);
                bytes[ports_at..ports_at + 4].copy_from_slice(&ports);
            }
            burst.push(frame);
        }
    }
}

impl Port for Carousel {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        if !self.open.load(Ordering::Relaxed) {
            return;
        }
        match (self.load.rewrite, self.load.template.len()) {
            (Rewrite::Nothing, TUNNELLED) => self.hand_out::<0, TUNNELLED>(pool, burst),
            (Rewrite::Nothing, SEGMENT6) => self.hand_out::<0, SEGMENT6>(pool, burst),
            (Rewrite::Nothing, _) => self.hand_out::<0, PACKET>(pool, burst),
            (Rewrite::Tag, _) => self.hand_out::<16, PACKET>(pool, burst),
            (Rewrite::Headers, _) => self.hand_out::<32, PACKET>(pool, burst),
            (Rewrite::All, SEGMENT6) => self.hand_out::<SEGMENT6, SEGMENT6>(pool, burst),
            (Rewrite::All, _) => self.hand_out::<PACKET, PACKET>(pool, burst),
        }
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        take_home(pool, queue);
    }

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        Ok(())
    }

    fn facts(&self) -> PortFacts {
        PortFacts { queues: 1, ..PortFacts::default() }
    }

    fn close(self: Box<Self>, _pool: &mut FramePool) {}
}

/// Where packets go to: back into the pool.
pub struct Exit;

impl Port for Exit {
    fn receive(&mut self, _pool: &mut FramePool, _burst: &mut Burst) {}

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        take_home(pool, queue);
    }

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        Ok(())
    }

    fn facts(&self) -> PortFacts {
        PortFacts { queues: 1, ..PortFacts::default() }
    }

    fn close(self: Box<Self>, _pool: &mut FramePool) {}
}

#[inline]
fn take_home(pool: &mut FramePool, queue: &mut OutQueue) {
    for frame in queue.frames().drain(..) {
        pool.give(frame);
    }
}

/// The two ports without a switch between them: what they cost by themselves.
pub struct Device {
    pool: FramePool,
    entry: Box<dyn Port>,
    exit: Box<dyn Port>,
    burst: Burst,
    queue: OutQueue,
}

impl Device {
    /// The ports of a run with this load.
    #[must_use]
    pub fn new(load: Load) -> Self {
        let pool = load.ready();
        let entry = Box::new(Carousel::new(load, Arc::new(AtomicBool::new(true))));
        Self { pool, entry, exit: Box::new(Exit), burst: Burst::new(), queue: OutQueue::new(BURST) }
    }

    /// A burst comes in and goes out. The frames are moved from one to the other as a block, which is less than a
    /// switch does: the line is charged too much rather than too little.
    ///
    /// # Panics
    /// Never: these ports do not die.
    pub fn turn(&mut self) {
        self.entry.receive(&mut self.pool, &mut self.burst);
        self.queue.frames().extend(self.burst.drain());
        self.exit.transmit(&mut self.pool, &mut self.queue);
        self.exit.settle(&mut self.pool).expect("a port in memory lives");
    }
}

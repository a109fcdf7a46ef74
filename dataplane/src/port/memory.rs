//! A port without a device: packets are put in and taken out by a test, a bench or a tool in this process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use podlane_rings::FramePool;

use crate::{
    burst::{Burst, OutQueue},
    port::{Port, PortError, PortFacts},
};

/// The outside of a [`MemoryPort`].
#[derive(Clone, Default)]
pub struct Wire {
    inner: Arc<Mutex<Packets>>,
}

#[derive(Default)]
struct Packets {
    toward_switch: VecDeque<Vec<u8>>,
    from_switch: Vec<Vec<u8>>,
    /// How many packets the port still takes; `None` is no bound.
    room: Option<usize>,
}

impl Wire {
    /// Puts a packet on the wire toward the switch.
    pub fn send(&self, packet: impl Into<Vec<u8>>) {
        self.lock().toward_switch.push_back(packet.into());
    }

    /// Takes what the switch has sent.
    #[must_use]
    pub fn receive(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.lock().from_switch)
    }

    /// Lets the port take only this many more packets: a receiver that does not keep up.
    pub fn take_at_most(&self, packets: usize) {
        self.lock().room = Some(packets);
    }

    fn lock(&self) -> MutexGuard<'_, Packets> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The switch's side of a [`Wire`]. It copies.
pub struct MemoryPort {
    wire: Wire,
}

impl MemoryPort {
    /// A port at the end of `wire`.
    #[must_use]
    pub const fn new(wire: Wire) -> Self {
        Self { wire }
    }
}

impl Port for MemoryPort {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        let mut packets = self.wire.lock();
        while burst.room() > 0
            && let Some(packet) = packets.toward_switch.front()
        {
            // Without a frame the packet stays on the wire.
            let Some(frame) = pool.write_packet(packet) else { break };
            burst.push(frame);
            packets.toward_switch.pop_front();
        }
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        let mut packets = self.wire.lock();
        while packets.room != Some(0)
            && let Some(frame) = queue.frames().pop_front()
        {
            let bytes = pool.umem().segments(&frame).flatten().copied().collect();
            packets.from_switch.push(bytes);
            packets.room = packets.room.map(|room| room - 1);
            pool.give(frame);
        }
    }

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        Ok(())
    }

    fn facts(&self) -> PortFacts {
        PortFacts { queues: 1, ..PortFacts::default() }
    }

    fn close(self: Box<Self>, _pool: &mut FramePool) {}
}

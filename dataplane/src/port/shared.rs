//! An uplink that pods share with the host: its rings, and beside them what it hears for everyone.
//!
//! The uplink's program hands over what is for a pod by name; broadcast and multicast are the kernel's, and come by a
//! [`PacketRing`]. One worker has that ring, whichever; an empty one costs it a load a turn.

use std::os::fd::{AsFd, BorrowedFd};

use podlane_rings::{FramePool, PacketRing, Socket};

use crate::{
    burst::{Burst, OutQueue},
    port::{Port, PortError, PortFacts, PortStatistics},
};

/// One worker's end of a shared uplink.
pub struct SharedPort {
    rings: Box<dyn Port>,
    everyone: PacketRing,
}

impl SharedPort {
    /// The rings of a device, and what that device hears for everyone.
    #[must_use]
    pub fn new(rings: Box<dyn Port>, everyone: PacketRing) -> Self {
        Self { rings, everyone }
    }
}

impl Port for SharedPort {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        // First, so that a flood of unicast cannot keep ARP out.
        let room = burst.room();
        self.everyone.receive(pool, room, |frame| burst.push(frame));
        self.rings.receive(pool, burst);
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        self.rings.transmit(pool, queue);
    }

    fn settle(&mut self, pool: &mut FramePool) -> Result<(), PortError> {
        self.rings.settle(pool)
    }

    fn outstanding(&self) -> bool {
        self.rings.outstanding()
    }

    fn lent(&self) -> (u64, u64) {
        self.rings.lent()
    }

    fn health(&mut self) -> Result<(), PortError> {
        self.rings.health()
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds = self.rings.wake_fds();
        fds.push(self.everyone.as_fd());
        fds
    }

    fn sockets(&self) -> &[Socket] {
        self.rings.sockets()
    }

    /// What comes for everyone is heard by whoever listens next: the kernel keeps nothing of it for this one.
    fn can_be_handed_over(&self) -> bool {
        self.rings.can_be_handed_over()
    }

    fn pause(&mut self, pool: &mut FramePool) {
        self.rings.pause(pool);
    }

    fn facts(&self) -> PortFacts {
        self.rings.facts()
    }

    fn statistics(&self) -> PortStatistics {
        let mut total = self.rings.statistics();
        total.rx_dropped += self.everyone.lost();
        total
    }

    fn close(self: Box<Self>, pool: &mut FramePool) {
        self.rings.close(pool);
    }
}

//! Frames for a port that another worker owns: bounded rings between every two workers.
//!
//! ```text
//!   worker A --- handed (frame, leaving port) ---> worker B   copies it into its own memory, sends the copy
//!            <------------- the frame ------------
//! ```
//!
//! A frame stays A's: B only reads it and gives it back. A never has more than [`RING`] frames out toward one worker, so the
//! way back cannot be full. Needed only where a device has fewer queues than there are workers; with enough queues
//! every worker has its own rings of every port, and nothing comes here.

use core::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::Arc;

use nix::sys::eventfd::EventFd;
use podlane_rings::{Frame, FramePool, Umem};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::ids::{PortId, WorkerId};

/// Frames that may be out toward one worker.
pub const RING: usize = 1024;

/// A frame and where it should go.
pub struct Handed {
    /// The frame, in the memory of the worker it came from.
    pub frame: Frame,
    /// The port it came in by.
    pub ingress: PortId,
    /// The port it should leave by.
    pub egress: PortId,
}

/// How to wake a worker that sleeps.
#[derive(Clone)]
pub struct Bell {
    inner: Arc<(AtomicBool, EventFd)>,
}

impl Bell {
    /// A bell on an event file descriptor.
    ///
    /// # Errors
    /// The kernel has no file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let fd =
            EventFd::from_flags(nix::sys::eventfd::EfdFlags::EFD_NONBLOCK | nix::sys::eventfd::EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { inner: Arc::new((AtomicBool::new(false), fd)) })
    }

    /// Wakes the worker if it sleeps or is about to.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.inner.0.swap(false, Ordering::SeqCst) {
            // A full counter is a bell that rings already.
            let _ = self.inner.1.write(1);
        }
    }

    /// Announces sleep: from here on [`Self::ring`] wakes. Look once more for work before sleeping.
    pub fn arm(&self) {
        self.inner.0.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Announces being awake, and silences the bell.
    pub fn disarm(&self) {
        if !self.inner.0.swap(false, Ordering::SeqCst) {
            let _ = self.inner.1.read();
        }
    }

    /// What to sleep on.
    #[must_use]
    pub fn fd(&self) -> &EventFd {
        &self.inner.1
    }
}

struct Peer {
    worker: WorkerId,
    umem: Umem,
    bell: Bell,
    out: Producer<Handed>,
    home: Consumer<Frame>,
    inbox: Consumer<Handed>,
    back: Producer<Frame>,
    /// Frames handed and not home yet.
    outstanding: usize,
    /// Whether frames were handed since the bell was rung.
    unannounced: bool,
}

/// One worker's rings to all the others.
#[derive(Default)]
pub struct Peers {
    peers: Vec<Peer>,
}

impl Peers {
    /// The rings between workers with these memories and bells, one `Peers` each, in the same order.
    #[must_use]
    pub fn mesh(workers: &[(Umem, Bell)]) -> Vec<Self> {
        let mut all: Vec<Self> = workers.iter().map(|_| Self::default()).collect();
        for a in 0..workers.len() {
            for b in a + 1..workers.len() {
                let (out_a, inbox_b) = RingBuffer::new(RING);
                let (back_b, home_a) = RingBuffer::new(RING);
                let (out_b, inbox_a) = RingBuffer::new(RING);
                let (back_a, home_b) = RingBuffer::new(RING);
                let peer = |n: usize, out, home, inbox, back| Peer {
                    worker: WorkerId(n as u16),
                    umem: workers[n].0.clone(),
                    bell: workers[n].1.clone(),
                    out,
                    home,
                    inbox,
                    back,
                    outstanding: 0,
                    unannounced: false,
                };
                all[a].peers.push(peer(b, out_a, home_a, inbox_a, back_a));
                all[b].peers.push(peer(a, out_b, home_b, inbox_b, back_b));
            }
        }
        all
    }

    /// How many others there are; they are numbered from 0 here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether this worker is alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Hands a frame to a worker.
    ///
    /// # Errors
    /// The frame itself: the ring is full.
    pub fn hand(&mut self, worker: WorkerId, ingress: PortId, egress: PortId, frame: Frame) -> Result<(), Frame> {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.worker == worker) else { return Err(frame) };
        if peer.outstanding >= RING {
            return Err(frame);
        }
        match peer.out.push(Handed { frame, ingress, egress }) {
            Ok(()) => {
                peer.outstanding += 1;
                peer.unannounced = true;
                Ok(())
            }
            Err(rtrb::PushError::Full(handed)) => Err(handed.frame),
        }
    }

    /// Wakes the workers that were handed frames.
    #[inline]
    pub fn announce(&mut self) {
        for peer in &mut self.peers {
            if core::mem::take(&mut peer.unannounced) {
                peer.bell.ring();
            }
        }
    }

    /// The next frame a peer handed here.
    #[inline]
    pub fn next(&mut self, peer: usize) -> Option<Handed> {
        self.peers.get_mut(peer)?.inbox.pop().ok()
    }

    /// The memory of a peer's frames.
    #[must_use]
    pub fn umem(&self, peer: usize) -> Option<&Umem> {
        self.peers.get(peer).map(|peer| &peer.umem)
    }

    /// Gives a frame back to the peer that handed it.
    pub fn give_back(&mut self, peer: usize, frame: Frame) {
        if let Some(peer) = self.peers.get_mut(peer) {
            // As many places as a peer may have frames out, so this cannot fail.
            let _ = peer.back.push(frame);
        }
    }

    /// Takes home the frames the others are done with.
    #[inline]
    pub fn bring_home(&mut self, pool: &mut FramePool) {
        for peer in &mut self.peers {
            while let Ok(frame) = peer.home.pop() {
                peer.outstanding -= 1;
                pool.give(frame);
            }
        }
    }

    /// Whether anything waits here: frames from others, or our own on their way home.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.peers.iter().any(|peer| !peer.inbox.is_empty() || !peer.home.is_empty())
    }

    /// Whether frames of ours are still out.
    #[must_use]
    pub fn outstanding(&self) -> bool {
        self.peers.iter().any(|peer| peer.outstanding > 0)
    }
}

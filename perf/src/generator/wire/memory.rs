//! A wire of this process's memory: for tests, for devices that are modelled, and to learn what the generator itself can do.
//!
//! ```text
//!   near.send -> [ device ] -> ring -> far.receive        and the same the other way, without a device
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BURST, Wire, WireError};
use crate::traffic::template::{CHECK_SEQUENCE, LONGEST};

/// Bytes of one slot: the longest frame.
const SLOT: usize = LONGEST;

/// A device that exists as a model only.
pub trait Device: Send {
    /// A packet arrives at it. What leaves it now goes to `out`.
    fn take(&mut self, packet: &[u8], out: &mut Ring);

    /// Time has passed. What leaves it now goes to `out`.
    fn turn(&mut self, out: &mut Ring) {
        let _ = out;
    }
}

/// Packets on their way, first in, first out. A packet that finds it full is lost, and counted.
pub struct Ring {
    slots: Box<[u8]>,
    lengths: Box<[u16]>,
    head: usize,
    tail: usize,
    lost: u64,
}

impl Ring {
    /// A ring of at most so many packets, a power of two.
    fn new(slots: usize) -> Self {
        let slots = slots.next_power_of_two();
        Self {
            slots: vec![0; slots * SLOT].into_boxed_slice(),
            lengths: vec![0; slots].into_boxed_slice(),
            head: 0,
            tail: 0,
            lost: 0,
        }
    }

    /// Puts a packet in.
    pub fn put(&mut self, packet: &[u8]) {
        let written = self.write(|slot| {
            slot[..packet.len()].copy_from_slice(packet);
            Some(packet.len())
        });
        self.lost += u64::from(!written);
    }

    fn waiting(&self) -> usize {
        self.tail - self.head
    }

    fn is_full(&self) -> bool {
        self.waiting() == self.lengths.len()
    }

    /// Lets a packet be written into the next slot; says whether one was.
    #[inline]
    fn write(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        if self.is_full() {
            return false;
        }
        let at = self.tail & (self.lengths.len() - 1);
        let Some(length) = write(&mut self.slots[at * SLOT..][..SLOT]) else { return false };
        self.lengths[at] = length as u16;
        self.tail += 1;
        true
    }

    #[inline]
    fn read(&mut self, read: impl FnOnce(&[u8])) -> bool {
        if self.head == self.tail {
            return false;
        }
        let at = self.head & (self.lengths.len() - 1);
        read(&self.slots[at * SLOT..][..usize::from(self.lengths[at])]);
        self.head += 1;
        true
    }
}

/// One direction: a device, if there is one, and what has come out of it.
struct Way {
    device: Option<Box<dyn Device>>,
    ring: Ring,
    gone: bool,
}

type Shared = Arc<Mutex<Way>>;

/// One end.
pub struct MemoryWire {
    toward: Shared,
    from: Shared,
}

/// Makes a wire, each direction of which holds so many packets, and a device in the way from the first end to the second.
#[must_use]
pub fn through(slots: usize, device: impl Device + 'static) -> [MemoryWire; 2] {
    ends(slots, Some(Box::new(device)))
}

/// Makes a wire that changes nothing.
#[must_use]
pub fn plain(slots: usize) -> [MemoryWire; 2] {
    ends(slots, None)
}

/// Makes one end whose packets come back to it.
#[must_use]
pub fn hairpin(slots: usize) -> MemoryWire {
    let way = Arc::new(Mutex::new(Way { device: None, ring: Ring::new(slots), gone: false }));
    MemoryWire { toward: Arc::clone(&way), from: way }
}

fn ends(slots: usize, device: Option<Box<dyn Device>>) -> [MemoryWire; 2] {
    let way = |device, slots| Arc::new(Mutex::new(Way { device, ring: Ring::new(slots), gone: false }));
    // The other way only hellos go.
    let (there, back) = (way(device, slots), way(None, BURST));
    let near = MemoryWire { toward: Arc::clone(&there), from: Arc::clone(&back) };
    [near, MemoryWire { toward: back, from: there }]
}

impl MemoryWire {
    /// Cuts the wire: both ends find their device gone.
    pub fn cut(&self) {
        lock(&self.toward).gone = true;
        lock(&self.from).gone = true;
    }

    /// Packets that this end did not receive in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        lock(&self.from).ring.lost
    }
}

fn lock(way: &Shared) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> WireError {
    WireError::Gone { device: "the wire in memory".to_owned() }
}

impl Wire for MemoryWire {
    fn send(&mut self, mut write: impl FnMut(&mut [u8]) -> Option<usize>) -> Result<usize, WireError> {
        let mut way = lock(&self.toward);
        let Way { device, ring, gone: cut } = &mut *way;
        if *cut {
            return Err(gone());
        }
        let Some(device) = device else {
            return Ok((0..BURST).take_while(|_| ring.write(&mut write)).count());
        };
        let mut slot = [0; SLOT];
        let mut sent = 0;
        while sent < BURST {
            let Some(length) = write(&mut slot) else { break };
            device.take(&slot[..length], ring);
            sent += 1;
        }
        Ok(sent)
    }

    fn receive(&mut self, mut read: impl FnMut(&[u8])) -> Result<usize, WireError> {
        let mut way = lock(&self.from);
        let Way { device, ring, gone: cut } = &mut *way;
        if *cut {
            return Err(gone());
        }
        if let Some(device) = device {
            device.turn(ring);
        }
        Ok((0..BURST).take_while(|_| ring.read(&mut read)).count())
    }

    fn waiting(&self) -> usize {
        0
    }

    fn health(&mut self) -> Result<(), WireError> {
        if lock(&self.from).gone { Err(gone()) } else { Ok(()) }
    }

    fn overrun(&self) -> u64 {
        self.lost()
    }

    fn longest(&self) -> usize {
        SLOT - CHECK_SEQUENCE
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

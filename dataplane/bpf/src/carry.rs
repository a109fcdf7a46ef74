//! The kernel carries what the workers have decided.
//!
//! A pod's port is *assisted* if its host end has no XDP but one of the programs here (`tc/carry.c`). Flows that the workers have
//! decided are put into a map; their packets go from pod to pod, to the host or into a tunnel without leaving the kernel, 64 KiB
//! segments whole. All others go to a worker over its trunk, a veth that many ports share, and come back by it.
//!
//! ```text
//!   pod a ==veth== host end --[flow known: bpf_redirect_peer]--------------> pod b
//!                     |
//!                     +--[else: tag = number of a]--> trunk near ==veth== far --AF_XDP--> worker
//!   pod b <--[tag = number of b taken off]----------- trunk near ==veth== far <-AF_XDP--- worker
//! ```
//!
//! What a [`Carrier`] promises:
//!
//! - A packet is carried only under an [`Order`] for exactly its [`Key`], in which are the device it came in by and both MAC
//!   addresses, and only if the order's generation is the one in force: [`Carrier::set_generation`] is one write.
//! - What opens or ends a connection, fragments, and whatever is not plain goes to a worker, never along a flow.
//! - A number on the trunk ([`Seat`]) is put on by the device that a packet came in by. Pods cannot forge it.
//! - What is neither decided nor of a seat is dropped, and counted ([`Event`]): from the attach on a pod is closed.
//! - With pins all of it outlives the process: decided flows go on, and the next [`Carrier::open`] finds them.
//! - Other tc programs on a device are neither removed nor put out of their order.

mod classic;
mod counts;
mod error;
mod hook;
mod maps;
mod trunk;
mod words;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aya::maps::{Array, MapData};

use crate::pins;
use hook::{Hooks, Programs};
use maps::Maps;
use words::KeyBytes;

pub use counts::{Counters, Event};
pub use error::CarryError;
pub use words::{Key, MAX_VNI, Order, Origin, Permit, Rewrite, Seat, Target};

/// How much fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Flows. Each takes about 300 bytes, and 24 more for each processor.
    pub flows: u32,
    /// Permits, as many as the workers' flow table has entries. Each takes 16 bytes.
    pub permits: u32,
}

impl Default for Room {
    fn default() -> Self {
        Self { flows: 65_536, permits: 65_536 }
    }
}

/// What a device is to the switch, and so which program it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The host end of the link of an assisted pod.
    Pod,
    /// A `vxlan` device in external mode.
    Tunnel,
    /// The near end of a worker's trunk.
    Trunk,
}

/// How a program is put before what arrives at a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// By a link in the list of tcx programs (Linux 6.6), behind those that are there.
    Tcx,
    /// By a filter of the `clsact` queueing discipline, with the last of all priorities.
    Clsact,
}

/// Which hook to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskHook {
    /// tcx; `clsact` where the kernel has no tcx, and where somebody's filters are there already: tcx programs run first, and ours
    /// ends the way of every packet, so that those filters would see none any more.
    #[default]
    Auto,
    /// tcx or an error.
    Tcx,
    /// `clsact`, also where the kernel could do better.
    Clsact,
}

/// A device that gets a program.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// Its index in the calling thread's network namespace.
    pub ifindex: u32,
    /// Its name, which has to be that of the index.
    pub name: &'a str,
    /// Its role.
    pub role: Role,
    /// The hook.
    pub hook: AskHook,
}

/// How a device got its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooked {
    /// By what.
    pub hook: Hook,
    /// Whether an earlier process's program was replaced, without a gap.
    pub adopted: bool,
}

/// The programs and maps of an instance in the kernel.
///
/// Dropped, it leaves everything where it is if it has pins, and takes everything with it if it has none.
pub struct Carrier {
    maps: Maps,
    hooks: Hooks,
    /// The slots of the flows in the map.
    flows: HashMap<KeyBytes, u32>,
    /// Slots that nobody has. Taken from the front and given back at the end: a packet that is still being counted for a removed
    /// flow is then counted for nobody.
    free: VecDeque<u32>,
    seats: BTreeMap<u16, Seat>,
    capacity: u32,
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier")
            .field("flows", &self.flows.len())
            .field("capacity", &self.capacity)
            .field("seats", &self.seats.len())
            .finish_non_exhaustive()
    }
}

impl Carrier {
    /// Loads the programs, and makes the maps with this room or finds them in the directory `pins` ([`carry_pin`]).
    /// Flows and seats found there stay in force; maps of another shape are replaced, and what was in them is forgotten. Devices
    /// keep the programs they have until they are attached again.
    ///
    /// # Errors
    /// [`CarryError::Load`], [`CarryError::NotPermitted`], [`CarryError::Map`] or [`CarryError::Pin`].
    pub fn open(pins: Option<&Path>, room: Room) -> Result<Self, CarryError> {
        if let Some(directory) = pins {
            pins::prepare(directory)?;
        }
        let mut ebpf = maps::load(pins, room)?;
        let mut maps = Maps::take(&mut ebpf)?;
        let hooks = Hooks::new(Programs::load(ebpf)?, pins.map(Path::to_owned))?;
        let flows = maps.slots()?;
        let taken: HashSet<u32> = flows.values().copied().collect();
        let free = (0..room.flows).filter(|slot| !taken.contains(slot)).collect();
        let seats = maps.seats()?;
        Ok(Self { maps, hooks, flows, free, seats, capacity: room.flows })
    }

    /// Puts the program of its role on a device, or replaces an earlier one's. A trunk is kept from leaving tags beside its packets.
    ///
    /// # Errors
    /// [`CarryError::NoDevice`], [`CarryError::NoTcx`], [`CarryError::Attach`] or [`CarryError::Pin`].
    pub fn attach(&mut self, device: &Device<'_>) -> Result<Hooked, CarryError> {
        if device.role == Role::Trunk {
            trunk::keep_tags_inside(device)?;
        }
        self.hooks.attach(device)
    }

    /// Takes the program off a device and removes its pin; a device without one is no error.
    ///
    /// # Errors
    /// [`CarryError::Pin`].
    pub fn detach(&mut self, ifindex: u32) -> Result<(), CarryError> {
        self.hooks.detach(ifindex)
    }

    /// The indices of the devices that have a program of this carrier's, those of an earlier process included.
    #[must_use]
    pub fn devices(&self) -> Vec<u32> {
        self.hooks.devices()
    }

    /// Gives a number on the trunk to where packets come from and go to, instead of what it stood for before. A place has one number:
    /// the one it had stands for nothing then.
    ///
    /// # Errors
    /// [`CarryError::Vni`] or [`CarryError::Map`].
    pub fn seat(&mut self, number: u16, seat: &Seat) -> Result<(), CarryError> {
        seat.check()?;
        // Through nothing: a target that is half the old one and half the new one would mix two pods.
        self.unseat(number)?;
        self.maps.put_seat(number, seat)?;
        let former = self.seats.iter().find(|(_, other)| other.origin == seat.origin).map(|(number, _)| *number);
        self.seats.insert(number, *seat);
        former.map_or(Ok(()), |former| self.unseat(former))
    }

    /// Makes a number stand for nothing. What its place sends is dropped from here on, decided flows apart.
    ///
    /// # Errors
    /// [`CarryError::Map`].
    pub fn unseat(&mut self, number: u16) -> Result<(), CarryError> {
        let Some(seat) = self.seats.get(&number) else { return Ok(()) };
        self.maps.take_seat(number, seat)?;
        self.seats.remove(&number);
        Ok(())
    }

    /// What each number stands for.
    pub fn seats(&self) -> impl Iterator<Item = (u16, &Seat)> {
        self.seats.iter().map(|(number, seat)| (*number, seat))
    }

    /// Has the kernel carry a flow while `generation` is in force.
    ///
    /// # Errors
    /// [`CarryError::Full`]; [`CarryError::Known`], if there is an order for these packets already;
    /// [`CarryError::Families`], [`CarryError::Vni`] and [`CarryError::NotTheirs`], for what no packet could be or no pod would
    /// take; or [`CarryError::Map`]. Each changes nothing.
    pub fn insert(&mut self, key: &Key, order: &Order, generation: u64) -> Result<(), CarryError> {
        order.check(key)?;
        let bytes = key.bytes()?;
        if self.flows.contains_key(&bytes) {
            return Err(CarryError::Known);
        }
        let Some(&slot) = self.free.front() else { return Err(CarryError::Full { capacity: self.capacity }) };
        self.maps.put_flow(&bytes, key, order, (generation, slot), self.capacity)?;
        self.free.pop_front();
        self.flows.insert(bytes, slot);
        Ok(())
    }

    /// Has the kernel carry a flow no longer, and returns what it has carried; `None` of a flow that it did not.
    ///
    /// # Errors
    /// [`CarryError::Families`] or [`CarryError::Map`].
    pub fn remove(&mut self, key: &Key) -> Result<Option<Counters>, CarryError> {
        let bytes = key.bytes()?;
        let Some(&slot) = self.flows.get(&bytes) else { return Ok(None) };
        self.maps.take_flow(&bytes)?;
        self.flows.remove(&bytes);
        self.free.push_back(slot);
        // Read afterwards, so that nothing is carried uncounted.
        self.maps.counters(slot).map(Some)
    }

    /// What was carried of a flow so far; `None` of one that is not.
    ///
    /// # Errors
    /// [`CarryError::Families`] or [`CarryError::Map`].
    pub fn counters(&self, key: &Key) -> Result<Option<Counters>, CarryError> {
        let bytes = key.bytes()?;
        self.flows.get(&bytes).map(|&slot| self.maps.counters(slot)).transpose()
    }

    /// All flows, as they are in the kernel: with their orders and generations, those of an earlier process and stale ones included.
    ///
    /// # Errors
    /// [`CarryError::Map`].
    pub fn flows(&self) -> Result<Vec<(Key, Order, u64)>, CarryError> {
        self.maps.flows()
    }

    /// How many flows the kernel has, stale ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// How many fit.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Puts a generation in force: flows of any other are misses from the next packet on.
    ///
    /// # Errors
    /// [`CarryError::Map`].
    pub fn set_generation(&mut self, generation: u64) -> Result<(), CarryError> {
        self.maps.set_generation(generation)
    }

    /// What puts a generation in force from any thread, also after the carrier itself is gone.
    ///
    /// # Errors
    /// [`CarryError::Map`], without descriptors left.
    pub fn gate(&self) -> Result<Gate, CarryError> {
        self.maps.gate().map(|generation| Gate(Mutex::new(generation)))
    }

    /// The memory of permits, to be mapped: 16 bytes each, of which the first four are the stamp, and the last eight bytes 8 to 16 of the latest TCP
    /// header that was carried under it, as they stood there. It outlives the process as the flows do.
    #[must_use]
    pub fn permits(&self) -> BorrowedFd<'_> {
        self.maps.permits()
    }

    /// The generation in force; 0 where none ever was.
    ///
    /// # Errors
    /// [`CarryError::Map`].
    pub fn generation(&self) -> Result<u64, CarryError> {
        self.maps.generation()
    }

    /// Removes the flows of other generations than the one in force. Returns how many there were.
    ///
    /// # Errors
    /// [`CarryError::Map`].
    pub fn remove_stale(&mut self) -> Result<usize, CarryError> {
        let current = self.maps.generation()?;
        let stale: Vec<_> = self.flows()?.into_iter().filter(|(.., generation)| *generation != current).collect();
        for (key, ..) in &stale {
            self.remove(key)?;
        }
        Ok(stale.len())
    }

    /// Removes what an earlier process left and nobody wants any more: programs on devices but these, seats of numbers but
    /// these, and flows out of the devices that lose theirs. Returns how many devices and seats there were.
    ///
    /// # Errors
    /// [`CarryError::Pin`] or [`CarryError::Map`].
    pub fn sweep(&mut self, devices: &[u32], numbers: &[u16]) -> Result<(usize, usize), CarryError> {
        let gone: Vec<u32> = self.devices().into_iter().filter(|device| !devices.contains(device)).collect();
        let unwanted: Vec<u16> = self.seats.keys().copied().filter(|number| !numbers.contains(number)).collect();
        for &number in &unwanted {
            self.unseat(number)?;
        }
        for &device in &gone {
            self.detach(device)?;
        }
        for (key, ..) in self.flows()? {
            if matches!(key.from, Origin::Device(device) if gone.contains(&device)) {
                self.remove(&key)?;
            }
        }
        Ok((gone.len(), unwanted.len()))
    }

    /// How many packets were not carried, by what became of them. Segments that are still together are one.
    ///
    /// # Errors
    /// [`CarryError::Map`].
    pub fn events(&self) -> Result<Vec<(Event, u64)>, CarryError> {
        Event::ALL.into_iter().map(|event| Ok((event, self.maps.event(event)?))).collect()
    }

    /// Takes the programs off all devices and removes all pins.
    ///
    /// # Errors
    /// [`CarryError::Pin`].
    pub fn remove_all(mut self) -> Result<(), CarryError> {
        for device in self.devices() {
            self.detach(device)?;
        }
        self.hooks.remove_pins()
    }
}

/// Puts generations in force.
pub struct Gate(Mutex<Array<MapData, u64>>);

impl Gate {
    /// As [`Carrier::set_generation`].
    ///
    /// # Errors
    /// [`CarryError::Map`].
    pub fn set_generation(&self, generation: u64) -> Result<(), CarryError> {
        let set = self.0.lock().unwrap_or_else(PoisonError::into_inner).set(0, generation, 0);
        set.map_err(|error| CarryError::map("putting a generation in force", error))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// The directory of the pins of an instance's carrier. No port has this name.
#[must_use]
pub fn carry_pin(instance: &Path) -> PathBuf {
    instance.join(pins::CARRY)
}

#[cfg(test)]
mod tests;

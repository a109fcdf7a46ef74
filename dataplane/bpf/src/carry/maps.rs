//! The maps in the kernel, and the programs' object that declares them.

use std::collections::{BTreeMap, HashMap as Table};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use aya::maps::{Array, HashMap, IterableMap, Map, MapData, MapError, MapType, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use rustix::time::{ClockId, clock_gettime};

use super::words::{
    FLOW_BYTES, FlowBytes, KEY_BYTES, KeyBytes, ORIGIN_BYTES, ORIGIN_KEY_BYTES, OriginBytes, OriginKeyBytes,
    TARGET_BYTES, TargetBytes, flow_bytes, read_flow,
};
use super::{CarryError, Counters, Event, Key, Order, Origin, Room, Seat, Target};
use crate::error::errno;
use crate::object::{Shape, map};
use crate::{PinError, pins};

static CARRY: &[u8] = aya::include_bytes_aligned!("../../tc/carry.o");

const FLOWS: &str = "FLOWS";
const COUNTS: &str = "COUNTS";
const GENERATION: &str = "GENERATION";
const ORIGINS: &str = "ORIGINS";
const PORTS: &str = "PORTS";
const PERMITS: &str = "PERMITS";
const EVENTS: &str = "EVENTS";

/// Numbers on a trunk are of 16 bits.
const NUMBERS: u32 = 1 << 16;
const KNOWN_EVENTS: u32 = Event::ALL.len() as u32 + 1;

/// A flow's counters on one processor: packets, bytes, nanoseconds of the monotonic clock.
type Count = [u64; 3];

/// A permit's stamp, a word of the workers', and what was acknowledged.
const PERMIT_BYTES: usize = 16;
type PermitBytes = [u8; PERMIT_BYTES];

/// Fails where there is an entry (BPF_NOEXIST).
const NEW: u64 = 1;

/// The maps that are pinned, of which the first two are one table and live or go together.
fn shapes(room: Room) -> [Shape; 7] {
    let bytes = |bytes: usize| bytes as u32;
    [
        Shape::new(FLOWS, MapType::Hash, (bytes(KEY_BYTES), bytes(FLOW_BYTES)), room.flows),
        Shape::new(COUNTS, MapType::PerCpuArray, (4, bytes(size_of::<Count>())), room.flows),
        Shape::new(GENERATION, MapType::Array, (4, 8), 1),
        Shape::new(ORIGINS, MapType::Hash, (bytes(ORIGIN_KEY_BYTES), bytes(ORIGIN_BYTES)), NUMBERS),
        Shape::new(PORTS, MapType::Array, (4, bytes(TARGET_BYTES)), NUMBERS),
        Shape::new(PERMITS, MapType::Array, (4, bytes(PERMIT_BYTES)), room.permits),
        Shape::new(EVENTS, MapType::PerCpuArray, (4, 8), KNOWN_EVENTS),
    ]
}

/// Makes the maps or finds them again, and relocates the programs.
pub(super) fn load(pins: Option<&Path>, room: Room) -> Result<Ebpf, CarryError> {
    let mut loader = EbpfLoader::new();
    // No object here has a use for the kernel's own.
    loader.btf(None);
    for (name, entries) in [(FLOWS, room.flows), (COUNTS, room.flows), (PERMITS, room.permits)] {
        loader.map_max_entries(name, entries);
    }
    if let Some(directory) = pins {
        let shapes = shapes(room);
        remove_unfit(directory, &shapes)?;
        for shape in shapes {
            loader.map_pin_path(shape.name, directory.join(shape.pin_name()));
        }
    }
    loader.load(CARRY).map_err(CarryError::load)
}

/// Removes pins that are not what the programs need; of the flows and their counts both or none.
fn remove_unfit(directory: &Path, shapes: &[Shape]) -> Result<(), PinError> {
    let (table, others) = shapes.split_at(2);
    let pin = |shape: &Shape| directory.join(shape.pin_name());
    let whole = table.iter().all(|shape| shape.fits(&pin(shape)));
    let unfit = table.iter().filter(|_| !whole).chain(others.iter().filter(|shape| !shape.fits(&pin(shape))));
    for path in unfit.map(pin).filter(|path| path.exists()) {
        pins::remove_file(&path)?;
    }
    Ok(())
}

/// The maps, open.
pub(super) struct Maps {
    flows: HashMap<MapData, KeyBytes, FlowBytes>,
    counts: PerCpuArray<MapData, Count>,
    generation: Array<MapData, u64>,
    origins: HashMap<MapData, OriginKeyBytes, OriginBytes>,
    ports: Array<MapData, TargetBytes>,
    events: PerCpuArray<MapData, u64>,
    permits: Array<MapData, PermitBytes>,
    processors: usize,
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, CarryError> {
        let processors = nr_cpus().map_err(|(_, error)| CarryError::map("counting the processors", error))?;
        let maps = Self::open(ebpf, processors);
        maps.map_err(|error| CarryError::map("opening the maps of carried flows", error))
    }

    fn open(ebpf: &mut Ebpf, processors: usize) -> Result<Self, MapError> {
        let mut take = |name: &'static str| -> Result<Map, MapError> { map(ebpf, name) };
        Ok(Self {
            flows: take(FLOWS)?.try_into()?,
            counts: take(COUNTS)?.try_into()?,
            generation: take(GENERATION)?.try_into()?,
            origins: take(ORIGINS)?.try_into()?,
            ports: take(PORTS)?.try_into()?,
            events: take(EVENTS)?.try_into()?,
            permits: take(PERMITS)?.try_into()?,
            processors,
        })
    }

    /// The flows in the map and their slots. What cannot be read is removed: no Podlane wrote it.
    pub(super) fn slots(&mut self) -> Result<Table<KeyBytes, u32>, CarryError> {
        let (mut slots, mut strays) = (Table::new(), Vec::new());
        for entry in self.flows.iter() {
            let (key, flow) = entry.map_err(|error| CarryError::map("reading the carried flows", error))?;
            match read_flow(&flow) {
                Some((.., slot)) => _ = slots.insert(key, slot),
                None => strays.push(key),
            }
        }
        for key in strays {
            self.take_flow(&key)?;
        }
        Ok(slots)
    }

    pub(super) fn flows(&self) -> Result<Vec<(Key, Order, u64)>, CarryError> {
        let mut flows = Vec::new();
        for entry in self.flows.iter() {
            let (_, flow) = entry.map_err(|error| CarryError::map("reading the carried flows", error))?;
            flows.extend(read_flow(&flow).map(|(key, order, generation, _)| (key, order, generation)));
        }
        Ok(flows)
    }

    pub(super) fn put_flow(
        &mut self,
        bytes: &KeyBytes,
        key: &Key,
        order: &Order,
        (generation, slot): (u64, u32),
        capacity: u32,
    ) -> Result<(), CarryError> {
        let doing = "writing a flow for the kernel to carry";
        let none = PerCpuValues::try_from(vec![Count::default(); self.processors]);
        let none = none.map_err(|error| CarryError::map(doing, error))?;
        self.counts.set(slot, none, 0).map_err(|error| CarryError::map(doing, error))?;
        let flow = flow_bytes(bytes, key, order, (generation, slot));
        self.flows.insert(bytes, flow, NEW).map_err(|error| match errno(&error) {
            Some(libc::E2BIG) => CarryError::Full { capacity },
            Some(libc::EEXIST) => CarryError::Known,
            _ => CarryError::map(doing, error),
        })
    }

    pub(super) fn take_flow(&mut self, bytes: &KeyBytes) -> Result<(), CarryError> {
        gone(self.flows.remove(bytes)).map_err(|error| CarryError::map("removing a carried flow", error))
    }

    pub(super) fn counters(&self, slot: u32) -> Result<Counters, CarryError> {
        let counts =
            self.counts.get(&slot, 0).map_err(|error| CarryError::map("reading a carried flow's counts", error))?;
        let [packets, bytes, used] = counts.iter().fold(Count::default(), |[packets, bytes, used], count| {
            [packets + count[0], bytes + count[1], used.max(count[2])]
        });
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
        let idle = (used != 0).then(|| now.saturating_sub(Duration::from_nanos(used)));
        Ok(Counters { packets, bytes, idle })
    }

    /// The origin first, and in [`take_seat`](Self::take_seat) last: whenever a process dies, what it leaves half done is an origin
    /// whose number leads nowhere, and found by that.
    pub(super) fn put_seat(&mut self, number: u16, seat: &Seat) -> Result<(), CarryError> {
        let mut origin = OriginBytes::default();
        origin[..4].copy_from_slice(&seat.trunk.to_ne_bytes());
        origin[4..6].copy_from_slice(&number.to_ne_bytes());
        let put = self.origins.insert(seat.origin.key(), origin, 0);
        put.and_then(|()| self.ports.set(number.into(), seat.target.bytes(), 0))
            .map_err(|error| CarryError::map("giving a number on the trunk away", error))
    }

    pub(super) fn take_seat(&mut self, number: u16, seat: &Seat) -> Result<(), CarryError> {
        let failed = |error| CarryError::map("taking a number on the trunk back", error);
        self.ports.set(number.into(), [0; TARGET_BYTES], 0).map_err(failed)?;
        let key = seat.origin.key();
        match self.origins.get(&key, 0) {
            // Another number's by now, if its place was given that one.
            Ok(origin) if numbered(&origin).1 == number => gone(self.origins.remove(&key)).map_err(failed),
            Ok(_) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// The seats in the maps. Origins whose numbers lead nowhere are removed.
    pub(super) fn seats(&mut self) -> Result<BTreeMap<u16, Seat>, CarryError> {
        let failed = |error| CarryError::map("reading the numbers on the trunk", error);
        let (mut seats, mut strays) = (BTreeMap::new(), Vec::new());
        for entry in self.origins.iter() {
            let (key, origin) = entry.map_err(failed)?;
            let (trunk, number) = numbered(&origin);
            let target = self.ports.get(&number.into(), 0).map_err(failed)?;
            match Target::of_bytes(&target) {
                Some(target) => _ = seats.insert(number, Seat { origin: Origin::of_key(&key), trunk, target }),
                None => strays.push(key),
            }
        }
        for key in strays {
            gone(self.origins.remove(&key)).map_err(failed)?;
        }
        Ok(seats)
    }

    pub(super) fn set_generation(&mut self, generation: u64) -> Result<(), CarryError> {
        let set = self.generation.set(0, generation, 0);
        set.map_err(|error| CarryError::map("putting a generation in force", error))
    }

    pub(super) fn generation(&self) -> Result<u64, CarryError> {
        self.generation.get(&0, 0).map_err(|error| CarryError::map("reading the generation in force", error))
    }

    pub(super) fn permits(&self) -> BorrowedFd<'_> {
        self.permits.map().fd().as_fd()
    }

    /// Another way to the generation, for whoever has it.
    pub(super) fn gate(&self) -> Result<Array<MapData, u64>, CarryError> {
        let doing = "opening the generation in force";
        let again = self.generation.map().fd().as_fd().try_clone_to_owned();
        let again = again.map_err(|error| CarryError::map(doing, error))?;
        let map = MapData::from_fd(again).and_then(|map| Array::try_from(Map::Array(map)));
        map.map_err(|error| CarryError::map(doing, error))
    }

    pub(super) fn event(&self, event: Event) -> Result<u64, CarryError> {
        let counts = self.events.get(&(event as u32), 0);
        Ok(counts.map_err(|error| CarryError::map("reading why packets were not carried", error))?.iter().sum())
    }
}

/// The trunk of an origin, and its number.
fn numbered([a, b, c, d, e, f, ..]: &OriginBytes) -> (u32, u16) {
    (u32::from_ne_bytes([*a, *b, *c, *d]), u16::from_ne_bytes([*e, *f]))
}

/// What was to be removed and is not there is gone.
fn gone(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Maps {
        /// Leaves behind what a process does that dies between two writes.
        pub(in crate::carry) fn half_a_seat(&mut self, number: u16) {
            self.ports.set(number.into(), [0; TARGET_BYTES], 0).unwrap();
        }

        /// Writes a permit as a worker would, by a call and not by its mapping.
        pub(in crate::carry) fn grant(&mut self, entry: u32, stamp: u32) {
            let mut permit = PermitBytes::default();
            permit[..4].copy_from_slice(&stamp.to_ne_bytes());
            self.permits.set(entry, permit, 0).unwrap();
        }

        pub(in crate::carry) fn acknowledged(&self, entry: u32) -> [u8; 8] {
            *self.permits.get(&entry, 0).unwrap().last_chunk().unwrap()
        }
    }
}

//! What is said, and how a switch's estate and remains become words, bytes and descriptors.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use podlane_api::Request;
use podlane_dataplane::flow::table::{Progress, TableFacts};
use podlane_dataplane::stage::shared::{FILES, SharedFacts};
use podlane_dataplane::worker::legacy::Legacy;
use podlane_dataplane::{PortId, WorkerId};
use podlane_rings::{FrameSize, HugePages, SocketFacts, UmemConfig};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::courier::Parcel;
use crate::compile;
use crate::desired::Name;
use crate::reconcile::{End, Estate, Remains};

/// What comes from the heir.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum FromHeir {
    /// Who it is.
    Hello { format: u32, version: String, instance: String, pid: u32 },
    /// Everything is ready: halt.
    Go,
    /// From now on it turns.
    Taken,
}

/// What comes from the former daemon.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromFormer {
    /// It waits for what is under way, and is alive.
    Waits,
    /// No, and why.
    Refused { why: String },
    /// What there is.
    Estate(Box<EstateWord>),
    /// What is left.
    Remains(RemainsWord),
}

/// Words that do not make an estate, or remains.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the running daemon said what cannot be so: {0}")]
pub struct Nonsense(pub(super) &'static str);

/// An [`Estate`] without its descriptors.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EstateWord {
    pub(super) pid: u32,
    generation: u32,
    clock_ns: u64,
    stations: usize,
    flows: Table,
    connections: Table,
    memories: Vec<(u32, u32)>,
    ports: BTreeMap<String, u16>,
    networks: BTreeMap<String, u16>,
    vrfs: BTreeMap<String, u16>,
    ways: String,
    ends: Vec<EndWord>,
    /// What was changed over the socket since the start, and is in no file.
    pub(super) changes: Vec<Request>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    capacity: usize,
    seed: [u64; 4],
}

#[derive(Debug, Serialize, Deserialize)]
struct EndWord {
    port: String,
    worker: u16,
    sockets: Vec<SocketWord>,
}

/// A socket, and how many descriptors it has behind the words.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct SocketWord {
    #[serde(flatten, with = "FactsWord")]
    facts: SocketFacts,
    descriptors: usize,
}

/// The words for [`SocketFacts`], whose crate knows of none.
#[derive(Serialize, Deserialize)]
#[serde(remote = "SocketFacts")]
struct FactsWord {
    ifindex: u32,
    queue: u32,
    rings: [u32; 4],
    number: u32,
    zero_copy: bool,
    multi_buffer: bool,
    metadata: bool,
    offload: bool,
    busy_poll: bool,
    max_segments: u32,
    tx_budget: u32,
    max_kicks: u32,
    skipping: bool,
    counts: [u64; 3],
}

/// [`Remains`] without their bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RemainsWord {
    high_waters: [u32; 2],
    opening: u32,
    halted_ns: u64,
    legacies: Vec<LegacyWord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LegacyWord {
    marks: usize,
    flows: usize,
    connections: usize,
    counters: usize,
    ports: Vec<(u16, Vec<SocketWord>)>,
}

/// The clock that both processes have.
fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A moment of this process's, on it.
fn in_nanoseconds(moment: Instant) -> u64 {
    monotonic().saturating_sub(moment.elapsed()).as_nanos() as u64
}

/// A moment of another process's.
fn moment(nanoseconds: u64) -> Option<Instant> {
    let ago = monotonic().checked_sub(Duration::from_nanos(nanoseconds))?;
    Instant::now().checked_sub(ago)
}

/// Words and descriptors of an estate. The locks and the listening socket come behind them.
pub(super) fn of_estate(estate: &Estate, changes: Vec<Request>) -> (EstateWord, Vec<BorrowedFd<'_>>) {
    let names =
        |numbers: &BTreeMap<Name, u16>| numbers.iter().map(|(name, number)| (name.to_string(), *number)).collect();
    let table = |facts: &TableFacts| Table { capacity: facts.capacity, seed: facts.seed };
    let mut descriptors: Vec<BorrowedFd<'_>> = estate.files.iter().map(AsFd::as_fd).collect();
    descriptors.extend(estate.memories.iter().map(|(_, file)| file.as_fd()));
    let mut ends = Vec::new();
    for (port, owned) in &estate.ports {
        for End { worker, sockets } in owned {
            let sockets = sockets.iter().map(|(facts, of_it)| {
                descriptors.extend(of_it.iter().map(AsFd::as_fd));
                SocketWord { facts: *facts, descriptors: of_it.len() }
            });
            ends.push(EndWord { port: port.to_string(), worker: worker.0, sockets: sockets.collect() });
        }
    }
    descriptors.push(estate.pins.as_fd());
    let memories = estate.memories.iter().map(|(memory, _)| (memory.frames, memory.frame_size.bytes() as u32));
    let word = EstateWord {
        pid: std::process::id(),
        generation: estate.generation,
        clock_ns: in_nanoseconds(estate.tables.started),
        stations: estate.tables.stations,
        flows: table(&estate.tables.flows),
        connections: table(&estate.tables.connections),
        memories: memories.collect(),
        ports: names(&estate.numbers.ports),
        networks: names(&estate.numbers.networks),
        vrfs: names(&estate.numbers.vrfs),
        ways: estate.ways.clone(),
        ends,
        changes,
    };
    (word, descriptors)
}

impl EstateWord {
    /// The estate, and the descriptors behind it.
    pub(super) fn estate(&self, descriptors: Vec<OwnedFd>) -> Result<(Estate, Vec<OwnedFd>), Nonsense> {
        let mut descriptors = descriptors.into_iter();
        let mut next = |count: usize| {
            let some: Vec<OwnedFd> = descriptors.by_ref().take(count).collect();
            if some.len() == count { Ok(some) } else { Err(Nonsense("descriptors are missing")) }
        };
        let name = |text: &String| Name::new(text).ok_or(Nonsense("a name is none"));
        let names = |numbers: &BTreeMap<String, u16>| {
            numbers.iter().map(|(text, number)| Ok((name(text)?, *number))).collect::<Result<BTreeMap<_, _>, _>>()
        };
        let table = |table: &Table| TableFacts { capacity: table.capacity, seed: table.seed };
        let files = next(FILES)?;
        let mut memories = Vec::new();
        for (frames, bytes) in &self.memories {
            let frame_size = match bytes {
                2048 => FrameSize::Bytes2048,
                4096 => FrameSize::Bytes4096,
                _ => return Err(Nonsense("a frame has a size that none can have")),
            };
            let config = UmemConfig { frames: *frames, frame_size, huge_pages: HugePages::Prefer };
            memories.extend(next(1)?.into_iter().map(|file| (config, file)));
        }
        let mut ports: BTreeMap<Name, Vec<End>> = BTreeMap::new();
        for end in &self.ends {
            let sockets = end.sockets.iter().map(|socket| Ok((socket.facts, next(socket.descriptors)?)));
            let sockets = sockets.collect::<Result<_, Nonsense>>()?;
            ports.entry(name(&end.port)?).or_default().push(End { worker: WorkerId(end.worker), sockets });
        }
        let pins = next(1)?.pop().ok_or(Nonsense("descriptors are missing"))?;
        let numbers =
            compile::Former { ports: names(&self.ports)?, networks: names(&self.networks)?, vrfs: names(&self.vrfs)? };
        let tables = SharedFacts {
            started: moment(self.clock_ns).ok_or(Nonsense("its clock began in the future"))?,
            stations: self.stations,
            flows: table(&self.flows),
            connections: table(&self.connections),
        };
        let (generation, ways) = (self.generation, self.ways.clone());
        Ok((Estate { numbers, ways, generation, tables, files, memories, ports, pins }, descriptors.collect()))
    }
}

/// Words and bytes of remains.
pub(super) fn of_remains(remains: &Remains) -> (RemainsWord, Vec<u8>) {
    let mut bytes = Vec::new();
    let legacies = remains.legacies.iter().map(|legacy| {
        bytes.extend(legacy.marks.iter().flat_map(|mark| mark.to_le_bytes()));
        for words in [&legacy.flows, &legacy.connections, &legacy.counters] {
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        let sockets = |sockets: &Vec<SocketFacts>| {
            sockets.iter().map(|facts| SocketWord { facts: *facts, descriptors: 0 }).collect()
        };
        LegacyWord {
            marks: legacy.marks.len(),
            flows: legacy.flows.len(),
            connections: legacy.connections.len(),
            counters: legacy.counters.len(),
            ports: legacy.ports.iter().map(|(port, of_it)| (port.0, sockets(of_it))).collect(),
        }
    });
    let word = RemainsWord {
        legacies: legacies.collect(),
        high_waters: [remains.flows.high_water, remains.connections.high_water],
        opening: remains.connections.opening,
        halted_ns: in_nanoseconds(remains.halted),
    };
    (word, bytes)
}

impl RemainsWord {
    /// The remains.
    pub(super) fn remains(&self, Parcel { bytes, .. }: &Parcel) -> Result<Remains, Nonsense> {
        const MISSING: Nonsense = Nonsense("bytes are missing");
        let mut bytes = bytes.as_slice();
        let halted = moment(self.halted_ns).ok_or(Nonsense("it halts in the future"))?;
        let mut legacies = Vec::new();
        for (worker, word) in self.legacies.iter().enumerate() {
            let marks = take(&mut bytes, word.marks).ok_or(MISSING)?;
            let mut words = |count| {
                let words: Vec<[u8; 8]> = take(&mut bytes, count).ok_or(MISSING)?;
                Ok::<_, Nonsense>(words.into_iter().map(u64::from_le_bytes).collect::<Vec<u64>>())
            };
            let sockets = |sockets: &Vec<SocketWord>| sockets.iter().map(|word| word.facts).collect();
            legacies.push(Legacy {
                worker: WorkerId(worker as u16),
                since: halted,
                marks: marks.into_iter().map(u16::from_le_bytes).collect(),
                flows: words(word.flows)?,
                connections: words(word.connections)?,
                counters: words(word.counters)?,
                ports: word.ports.iter().map(|(port, of_it)| (PortId(*port), sockets(of_it))).collect(),
            });
        }
        let [flows, connections] = self.high_waters;
        Ok(Remains {
            legacies,
            flows: Progress { high_water: flows, opening: 0 },
            connections: Progress { high_water: connections, opening: self.opening },
            halted,
        })
    }
}

/// The next `count` integers.
fn take<const N: usize>(bytes: &mut &[u8], count: usize) -> Option<Vec<[u8; N]>> {
    let (taken, rest) = bytes.split_at_checked(count.checked_mul(N)?)?;
    *bytes = rest;
    Some(taken.as_chunks().0.to_vec())
}

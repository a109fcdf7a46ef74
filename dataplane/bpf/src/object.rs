//! The committed objects: what is in them, and how they come into the kernel.
//!
//! A pinned map is an allegation: an older Podlane, or anybody with root, may have put it there.
//! One whose shape is not the program's would be refused by the verifier at best and misread at
//! worst, so shapes are compared before a pin is reused.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use aya::maps::{Map, MapData, MapError, MapType};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};

use crate::{AttachError, MAX_MACS, MAX_NEXT_HOPS, MAX_QUEUES, MAX_STATIONS, MAX_VTEPS, Program, pins};

static POD: &[u8] = aya::include_bytes_aligned!("../xdp/pod.o");
static PODS: &[u8] = aya::include_bytes_aligned!("../xdp/pods.o");
static UPLINK: &[u8] = aya::include_bytes_aligned!("../xdp/uplink.o");

type Loader = LazyLock<Mutex<EbpfLoader<'static>>>;

/// Made once and kept: a new loader parses the kernel's own BTF before it can be told that no
/// object here has a use for it, which was 17 of an attach's 30 ms (65 of 85 in a debug build).
/// There are two because a loader does not forget a pin.
static UNPINNED: Loader = LazyLock::new(new_loader);
static PINNED: Loader = LazyLock::new(new_loader);

fn new_loader() -> Mutex<EbpfLoader<'static>> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    Mutex::new(loader)
}

/// How the names of our programs begin, in the kernel's lists too.
pub(crate) const NAME_PREFIX: &str = "podlane_";

pub(crate) const SOCKETS: &str = "SOCKETS";
pub(crate) const CLAIM: &str = "CLAIM";
pub(crate) const VTEPS: &str = "VTEPS";
pub(crate) const HOPS: &str = "HOPS";
pub(crate) const MACS: &str = "MACS";
pub(crate) const STATIONS: &str = "STATIONS";
pub(crate) const COUNTS: &str = "COUNTS";

/// The sockets of all pods' devices together, and how many slots there are for them.
pub(crate) const POD_SOCKETS: &str = "PODS";
pub(crate) const POD_SLOTS: u32 = 1 << 16;

/// A map as `xdp/*.c` declares it.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    /// In the object; in lower case, of the pin.
    pub(crate) name: &'static str,
    kind: MapType,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
}

impl Shape {
    pub(crate) const fn new(name: &'static str, kind: MapType, sizes: (u32, u32), entries: u32) -> Self {
        let (key_bytes, value_bytes) = sizes;
        Self { name, kind, key_bytes, value_bytes, entries }
    }

    /// The file name of this map's pin.
    pub(crate) fn pin_name(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Whether the map that is pinned there is of this shape.
    pub(crate) fn fits(&self, pin: &Path) -> bool {
        self.id_at(pin).is_some()
    }

    /// The id of the map that is pinned there, if it is of this shape.
    pub(crate) fn id_at(&self, pin: &Path) -> Option<u32> {
        let info = MapData::from_pin(pin).and_then(|map| map.info()).ok()?;
        let fits = info.map_type().is_ok_and(|kind| kind == self.kind)
            && info.key_size() == self.key_bytes
            && info.value_size() == self.value_bytes
            && info.max_entries() == self.entries;
        fits.then(|| info.id())
    }
}

static SHAPES: [Shape; 7] = [
    Shape::new(SOCKETS, MapType::XskMap, (4, 4), MAX_QUEUES),
    Shape::new(CLAIM, MapType::Array, (4, 12), 1),
    Shape::new(VTEPS, MapType::Hash, (20, 4), MAX_VTEPS as u32),
    Shape::new(HOPS, MapType::Hash, (4, 1), MAX_NEXT_HOPS as u32),
    Shape::new(MACS, MapType::Hash, (8, 1), MAX_MACS as u32),
    Shape::new(STATIONS, MapType::Hash, (20, 1), MAX_STATIONS as u32),
    Shape::new(COUNTS, MapType::PerCpuArray, (4, 8), 3),
];

pub(crate) static POD_SHAPE: Shape = Shape::new(POD_SOCKETS, MapType::XskMap, (4, 4), POD_SLOTS);

/// The maps of a program that is one device's alone.
pub(crate) fn shapes(program: Program) -> &'static [Shape] {
    match program {
        Program::Pod | Program::PolicedPod => &SHAPES[..1],
        Program::Uplink => &SHAPES,
    }
}

/// A program's name in its object.
pub(crate) fn name(program: Program) -> &'static str {
    match program {
        Program::Pod => "podlane_pod",
        Program::PolicedPod => "podlane_policed",
        Program::Uplink => "podlane_uplink",
    }
}

/// An object in the kernel: its maps made or found again, its program loaded. It is one device's.
pub(crate) struct Object {
    ebpf: Ebpf,
    program: Program,
}

impl Object {
    /// Creates the maps and loads the program. With `pin`, maps of the right shape that are pinned
    /// there are used again, any others are replaced, and all end up pinned.
    pub(crate) fn load(program: Program, device: &str, pin: Option<&Path>) -> Result<Self, AttachError> {
        let bytes = match program {
            Program::Pod | Program::PolicedPod => POD,
            Program::Uplink => UPLINK,
        };
        let pins = shapes(program).iter().filter_map(|shape| Some((shape, pin?.join(shape.pin_name()))));
        let ebpf = load(bytes, device, pins.collect())?;
        let mut object = Self { ebpf, program };
        let loaded = object.xdp().and_then(Xdp::load);
        loaded.map_err(|error| AttachError::load(device, error))?;
        Ok(object)
    }

    /// The program.
    pub(crate) fn xdp(&mut self) -> Result<&mut Xdp, ProgramError> {
        xdp(&mut self.ebpf, self.program)
    }

    /// Takes a map out.
    pub(crate) fn map(&mut self, name: &'static str) -> Result<Map, MapError> {
        map(&mut self.ebpf, name)
    }
}

/// The object of all pods' devices together, both programs loaded; its map is pinned, or found again, at `pin`.
pub(crate) fn load_pods(device: &str, pin: Option<PathBuf>) -> Result<Ebpf, AttachError> {
    let mut ebpf = load(PODS, device, pin.map(|pin| (&POD_SHAPE, pin)).into_iter().collect())?;
    for program in [Program::Pod, Program::PolicedPod] {
        let loaded = xdp(&mut ebpf, program).and_then(Xdp::load);
        loaded.map_err(|error| AttachError::load(device, error))?;
    }
    Ok(ebpf)
}

/// A program of an object.
pub(crate) fn xdp(ebpf: &mut Ebpf, program: Program) -> Result<&mut Xdp, ProgramError> {
    ebpf.program_mut(name(program)).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// Takes a map out of an object.
pub(crate) fn map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, MapError> {
    ebpf.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

/// Makes an object's maps, those with a pin there or from there, and relocates its programs.
fn load(bytes: &[u8], device: &str, pins: Vec<(&'static Shape, PathBuf)>) -> Result<Ebpf, AttachError> {
    let loader = if pins.is_empty() { &UNPINNED } else { &PINNED };
    let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
    for (shape, path) in pins {
        if path.exists() && !shape.fits(&path) {
            pins::remove_file(&path)?;
        }
        loader.map_pin_path(shape.name, path);
    }
    loader.load(bytes).map_err(|error| AttachError::load(device, error))
}

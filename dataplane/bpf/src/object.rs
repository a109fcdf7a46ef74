//! The committed objects: what is in them, and how they come into the kernel.
//!
//! A pinned map is an allegation: an older Podlane, or anybody with root, may have put it there.
//! One whose shape is not the program's would be refused by the verifier at best and misread at
//! worst, so shapes are compared before a pin is reused.

use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use aya::maps::{Map, MapData, MapError, MapType};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};

use crate::{AttachError, MAX_MACS, MAX_NEXT_HOPS, MAX_QUEUES, MAX_STATIONS, MAX_VTEPS, Program, pins};

static POD: &[u8] = aya::include_bytes_aligned!("../xdp/pod.o");
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

/// A map as `xdp/*.c` declares it.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    /// In the object; in lower case, of the pin.
    name: &'static str,
    kind: MapType,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
}

impl Shape {
    const fn new(name: &'static str, kind: MapType, sizes: (u32, u32), entries: u32) -> Self {
        let (key_bytes, value_bytes) = sizes;
        Self { name, kind, key_bytes, value_bytes, entries }
    }

    /// The file name of this map's pin.
    pub(crate) fn pin_name(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    fn fits(&self, pin: &Path) -> bool {
        MapData::from_pin(pin).and_then(|map| map.info()).is_ok_and(|info| {
            info.map_type().is_ok_and(|kind| kind == self.kind)
                && info.key_size() == self.key_bytes
                && info.value_size() == self.value_bytes
                && info.max_entries() == self.entries
        })
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

/// The maps of one program.
pub(crate) fn shapes(program: Program) -> &'static [Shape] {
    match program {
        Program::Pod | Program::PolicedPod => &SHAPES[..1],
        Program::Uplink => &SHAPES,
    }
}

/// An object in the kernel: its maps made or found again, its program loaded.
pub(crate) struct Object {
    ebpf: Ebpf,
    program: Program,
}

impl Object {
    /// Creates the maps and loads the program. With `pin`, maps of the right shape that are pinned
    /// there are used again, any others are replaced, and all end up pinned.
    pub(crate) fn load(program: Program, device: &str, pin: Option<&Path>) -> Result<Self, AttachError> {
        let loader = if pin.is_some() { &PINNED } else { &UNPINNED };
        let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = pin {
            for shape in shapes(program) {
                let path = directory.join(shape.pin_name());
                if path.exists() && !shape.fits(&path) {
                    pins::remove_file(&path)?;
                }
                loader.map_pin_path(shape.name, path);
            }
        }
        let bytes = match program {
            Program::Pod | Program::PolicedPod => POD,
            Program::Uplink => UPLINK,
        };
        let ebpf = loader.load(bytes).map_err(|error| AttachError::load(device, error))?;
        let mut object = Self { ebpf, program };
        let loaded = object.xdp().and_then(Xdp::load);
        loaded.map_err(|error| AttachError::load(device, error))?;
        Ok(object)
    }

    /// The program.
    pub(crate) fn xdp(&mut self) -> Result<&mut Xdp, ProgramError> {
        let name = match self.program {
            Program::Pod => "podlane_pod",
            Program::PolicedPod => "podlane_policed",
            Program::Uplink => "podlane_uplink",
        };
        self.ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
    }

    /// Takes a map out.
    pub(crate) fn map(&mut self, name: &'static str) -> Result<Map, MapError> {
        self.ebpf.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
    }
}

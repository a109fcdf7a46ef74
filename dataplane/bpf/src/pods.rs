//! The one program and the one map of sockets that the devices of pods have together.
//!
//! A device takes part if its traffic arrives on one queue, as that of every pod's veth does. Its
//! socket has the slot of its index; who finds the slot taken (by a device of another network
//! namespace, or after 65,536 devices) gets a program of its own, which is right and slower to
//! attach.
//!
//! With pins the map is pinned once an instance, beside the ports' directories, and the truth about
//! which one is in use: a process that finds it loads its own programs over it, and the sockets that
//! were handed over keep their frames. The programs need no pin, each link holds its own.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::Ebpf;
use aya::maps::{MapData, MapError, XskMap};
use aya::programs::{ProgramError, Xdp};

use crate::anchor::Anchor;
use crate::object::{self, POD_SHAPE, POD_SLOTS, POD_SOCKETS};
use crate::pins::shared_pin;
use crate::{AttachError, Program};

/// Those in use, and the one made last: to load it takes some 30 ms, to find it again nothing.
static LOADED: Mutex<Vec<Arc<Pods>>> = Mutex::new(Vec::new());

/// The programs in the kernel, and who has which slot of their map.
pub(crate) struct Pods {
    programs: Mutex<Ebpf>,
    sockets: Mutex<XskMap<MapData>>,
    /// The pinned map's id; `None` of one that ends with the process.
    pinned: Option<u32>,
    taken: Mutex<HashSet<u32>>,
    /// Where it could not be made, a node's first pod waits longer, and nothing else.
    _anchor: Option<Anchor>,
}

impl Pods {
    /// Those of an instance, whose directory is there already, or of this process alone. `device` is who asks.
    pub(crate) fn of(instance: Option<&Path>, device: &str) -> Result<Arc<Self>, AttachError> {
        // Held over the loading, so that of many devices that come at once one alone loads.
        let mut loaded = lock(&LOADED);
        let pin = instance.map(shared_pin);
        let found = match &pin {
            Some(pin) => POD_SHAPE.id_at(pin).and_then(|id| loaded.iter().find(|pods| pods.pinned == Some(id))),
            None => loaded.iter().find(|pods| pods.pinned.is_none()),
        };
        if let Some(pods) = found {
            return Ok(Arc::clone(pods));
        }
        let pods = Arc::new(Self::load(pin, device)?);
        loaded.retain(|pods| Arc::strong_count(pods) > 1);
        loaded.push(Arc::clone(&pods));
        Ok(pods)
    }

    fn load(pin: Option<PathBuf>, device: &str) -> Result<Self, AttachError> {
        let mut programs = object::load_pods(device, pin.clone())?;
        let sockets = object::map(&mut programs, POD_SOCKETS).and_then(XskMap::try_from);
        let sockets = sockets.map_err(|error| AttachError::map(device, "opening the maps", error))?;
        Ok(Self {
            _anchor: Anchor::cast(&mut programs),
            programs: Mutex::new(programs),
            sockets: Mutex::new(sockets),
            pinned: pin.and_then(|pin| POD_SHAPE.id_at(&pin)),
            taken: Mutex::default(),
        })
    }

    /// The slot of a device, or none where another device has it.
    pub(crate) fn slot(self: Arc<Self>, ifindex: u32) -> Option<Slot> {
        let index = ifindex % POD_SLOTS;
        let free = lock(&self.taken).insert(index);
        // Made for its bearer only: a slot that is dropped is free.
        free.then(|| Slot { pods: self, index })
    }
}

/// One device's place among the sockets; free again when dropped.
pub(crate) struct Slot {
    pods: Arc<Pods>,
    index: u32,
}

impl Slot {
    /// Does something with one of the programs, which nobody else does meanwhile.
    pub(crate) fn with_xdp<T>(
        &self,
        program: Program,
        run: impl FnOnce(&mut Xdp) -> Result<T, ProgramError>,
    ) -> Result<T, ProgramError> {
        run(object::xdp(&mut lock(&self.pods.programs), program)?)
    }

    /// Puts a socket into the device's place.
    pub(crate) fn set(&self, socket: BorrowedFd<'_>) -> Result<(), MapError> {
        lock(&self.pods.sockets).set(self.index, socket, 0)
    }

    /// Empties the device's place.
    pub(crate) fn unset(&self) -> Result<(), MapError> {
        lock(&self.pods.sockets).unset(self.index)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.pods.taken).remove(&self.index);
    }
}

/// What a panic left is whole: every change under these locks is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

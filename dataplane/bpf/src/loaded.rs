//! A program in the kernel, ready for one device: the device's own, or the one that pods have together.

use std::os::fd::BorrowedFd;
use std::path::Path;

use aya::maps::{MapData, MapError, XskMap};
use aya::programs::{ProgramError, Xdp};

use crate::object::{Object, SOCKETS, Shape, shapes};
use crate::pods::{Pods, Slot};
use crate::uplink::UplinkMaps;
use crate::{AttachError, MAX_QUEUES, Program, Request};

/// A program that can be attached.
pub(crate) enum Loaded {
    /// The device's own, with maps of its own.
    Own(Object),
    /// That of all pods.
    Shared(Slot, Program),
}

impl Loaded {
    /// The one that the request calls for.
    pub(crate) fn new(request: &Request<'_>) -> Result<Self, AttachError> {
        let pod = matches!(request.program, Program::Pod | Program::PolicedPod);
        if pod && request.queues == 1 {
            let instance = request.pin.and_then(Path::parent);
            if let Some(slot) = Pods::of(instance, request.name)?.slot(request.ifindex) {
                return Ok(Self::Shared(slot, request.program));
            }
        }
        Self::own(request)
    }

    /// One of the device's own, with what is pinned of its maps.
    pub(crate) fn own(request: &Request<'_>) -> Result<Self, AttachError> {
        Object::load(request.program, request.name, request.pin).map(Self::Own)
    }

    /// Does something with the program.
    pub(crate) fn with_xdp<T>(
        &mut self,
        run: impl FnOnce(&mut Xdp) -> Result<T, ProgramError>,
    ) -> Result<T, ProgramError> {
        match self {
            Self::Own(object) => object.xdp().and_then(run),
            Self::Shared(slot, program) => slot.with_xdp(*program, run),
        }
    }

    /// The index of the device, if that and not its program is what tells its link from others.
    pub(crate) fn told_by(&self, request: &Request<'_>) -> Option<u32> {
        match self {
            Self::Own(_) => None,
            Self::Shared(..) => Some(request.ifindex),
        }
    }

    /// The maps that are pinned in the port's directory.
    pub(crate) fn shapes(&self, program: Program) -> &'static [Shape] {
        match self {
            Self::Own(_) => shapes(program),
            Self::Shared(..) => &[],
        }
    }

    /// What is needed of it once it is attached.
    pub(crate) fn into_maps(self, program: Program) -> Result<(Sockets, Option<UplinkMaps>), MapError> {
        match self {
            Self::Own(mut object) => {
                let uplink = match program {
                    Program::Pod | Program::PolicedPod => None,
                    Program::Uplink => Some(UplinkMaps::take(&mut object)?),
                };
                let sockets = object.map(SOCKETS).and_then(XskMap::try_from)?;
                Ok((Sockets::Own(sockets), uplink))
            }
            Self::Shared(slot, _) => Ok((Sockets::Shared(slot), None)),
        }
    }
}

/// Where a device's sockets are registered.
pub(crate) enum Sockets {
    /// In a map of its own, by queue.
    Own(XskMap<MapData>),
    /// In the map of all pods, in the device's slot.
    Shared(Slot),
}

impl Sockets {
    /// How many queues can have a socket.
    pub(crate) fn queues(&self) -> u32 {
        match self {
            Self::Own(_) => MAX_QUEUES,
            Self::Shared(_) => 1,
        }
    }

    /// Puts in a socket; the queue is one of [`queues`](Self::queues).
    pub(crate) fn set(&mut self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), MapError> {
        match self {
            Self::Own(map) => map.set(queue, socket, 0),
            Self::Shared(slot) => slot.set(socket),
        }
    }

    /// Takes out what is there.
    pub(crate) fn unset(&mut self, queue: u32) -> Result<(), MapError> {
        match self {
            Self::Own(map) => map.unset(queue),
            Self::Shared(slot) => slot.unset(),
        }
    }
}

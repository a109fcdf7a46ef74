//! One program on one device: attached, adopted, fed with sockets, detached.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use aya::maps::{MapData, XskMap};
use aya::programs::links::FdLink;

use crate::error::errno;
use crate::object::{Object, SOCKETS};
use crate::uplink::UplinkMaps;
use crate::{AttachError, AttachMode, Claim, MAX_QUEUES, Program};
use crate::{Request, UplinkCounters, link, pins};

/// A program on a device.
///
/// Dropped without [`detach`](Self::detach), it leaves a pinned program where it is, for the next
/// process to adopt, and takes an unpinned one with it.
pub struct Attachment {
    device: String,
    mode: AttachMode,
    adopted: bool,
    pin: Option<PathBuf>,
    sockets: XskMap<MapData>,
    uplink: Option<UplinkMaps>,
    link: FdLink,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("device", &self.device)
            .field("mode", &self.mode)
            .field("adopted", &self.adopted)
            .field("pin", &self.pin)
            .finish_non_exhaustive()
    }
}

impl Attachment {
    /// Attaches a program to a device of the calling thread's network namespace.
    ///
    /// With a pin that still holds this device's link, the link is adopted: its program is
    /// replaced in one step, and pinned maps of the right shape live on with their sockets, claims
    /// and counts. Any other pin there is removed first. It blocks for the kernel's RCU waits, 10
    /// to 20 ms on a veth; where an earlier Podlane is still letting go of the device, up to half
    /// a second.
    ///
    /// A link is adopted from a living process just as from a dead one: that no two daemons share a
    /// pin is for the daemon to see to.
    ///
    /// # Errors
    ///
    /// See [`AttachError`]. A failed attach leaves no program and no pin of its own; a failed
    /// adoption leaves the old program running.
    pub fn attach(request: &Request<'_>) -> Result<Self, AttachError> {
        let device = link::query(request)?;
        let Some(directory) = request.pin else {
            return Self::fresh(request);
        };
        pins::prepare(directory)?;
        if let Some(link) = pins::open_link(directory)?
            && let Some(mode) = link::adoptable(&link, &device, request.mode)
        {
            return Self::adopt(request, directory, link, mode);
        }
        pins::remove_port(directory)?;
        pins::prepare(directory)?;
        Self::fresh(request).inspect_err(|_| {
            // The first error is the one to report; what is left is found by the next sweep.
            let _ = pins::remove_port(directory);
        })
    }

    fn fresh(request: &Request<'_>) -> Result<Self, AttachError> {
        let mut object = Object::load(request.program, request.name, request.pin)?;
        let (mut link, mode) = link::create(&mut object, request)?;
        if let Some(directory) = request.pin {
            link = pins::pin_link(directory, link)?;
        }
        Self::new(request, object, link, (mode, false))
    }

    fn adopt(request: &Request<'_>, directory: &Path, link: FdLink, mode: AttachMode) -> Result<Self, AttachError> {
        let mut object = Object::load(request.program, request.name, request.pin)?;
        let link = link::swap(&mut object, link, request, mode)?;
        pins::remove_others(directory, request.program)?;
        Self::new(request, object, link, (mode, true))
    }

    fn new(
        request: &Request<'_>,
        mut object: Object,
        link: FdLink,
        (mode, adopted): (AttachMode, bool),
    ) -> Result<Self, AttachError> {
        let failed = |error| AttachError::map(request.name, "opening the maps", error);
        let uplink = match request.program {
            Program::Pod | Program::PolicedPod => None,
            Program::Uplink => Some(UplinkMaps::take(&mut object).map_err(failed)?),
        };
        Ok(Self {
            device: request.name.to_owned(),
            mode,
            adopted,
            pin: request.pin.map(Path::to_owned),
            sockets: object.map(SOCKETS).and_then(XskMap::try_from).map_err(failed)?,
            uplink,
            link,
        })
    }

    /// Whether an earlier process's link was taken over.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// Where the program runs.
    #[must_use]
    pub fn mode(&self) -> AttachMode {
        self.mode
    }

    /// Sends what arrives on a receive queue to an AF_XDP socket bound to that queue, replacing
    /// the one before. When the socket closes, the kernel takes it out by itself.
    ///
    /// # Errors
    ///
    /// [`AttachError::NoSuchQueue`], [`AttachError::NotASocket`], or [`AttachError::Map`].
    pub fn register(&mut self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), AttachError> {
        self.check_queue(queue)?;
        self.sockets.set(queue, socket, 0).map_err(|error| match errno(&error) {
            Some(libc::ENOTSOCK | libc::EOPNOTSUPP) => AttachError::NotASocket { device: self.device.clone(), queue },
            _ => AttachError::map(&self.device, "registering a socket", error),
        })
    }

    /// Sends what arrives on a receive queue to no socket any more: to the kernel, or of a pod under
    /// policy to nobody.
    ///
    /// # Errors
    ///
    /// [`AttachError::NoSuchQueue`] or [`AttachError::Map`]. A queue without a socket is none.
    pub fn unregister(&mut self, queue: u32) -> Result<(), AttachError> {
        self.check_queue(queue)?;
        self.sockets.unset(queue).map_err(|error| AttachError::map(&self.device, "removing a socket", error))
    }

    /// Says what of an uplink's traffic is ours, from now on and instead of what was said before.
    ///
    /// # Errors
    ///
    /// [`AttachError::NotAnUplink`]; [`AttachError::TooManyVteps`], [`AttachError::TooManyTunnelPorts`]
    /// and [`AttachError::TooManyNextHops`], which change nothing; or [`AttachError::Map`].
    pub fn claim(&mut self, claim: &Claim<'_>) -> Result<(), AttachError> {
        let device = &self.device;
        let Some(uplink) = &mut self.uplink else {
            return Err(AttachError::NotAnUplink { device: device.clone() });
        };
        claim.check(device)?;
        uplink.set(claim).map_err(|error| AttachError::map(device, "changing the claim", error))
    }

    /// What an uplink's program has done so far, adopted predecessors included.
    ///
    /// # Errors
    ///
    /// [`AttachError::NotAnUplink`] or [`AttachError::Map`].
    pub fn counters(&self) -> Result<UplinkCounters, AttachError> {
        let Some(uplink) = &self.uplink else {
            return Err(AttachError::NotAnUplink { device: self.device.clone() });
        };
        uplink.counters().map_err(|error| AttachError::map(&self.device, "reading the counters", error))
    }

    /// Takes the program off the device and removes the pins and the port's directory. When it
    /// returns the device is free.
    ///
    /// # Errors
    ///
    /// [`AttachError::Pin`] where a pin could not be removed.
    pub fn detach(self) -> Result<(), AttachError> {
        if let Some(directory) = &self.pin {
            pins::remove_port(directory)?;
        }
        drop(self.link);
        Ok(())
    }

    fn check_queue(&self, queue: u32) -> Result<(), AttachError> {
        if queue < MAX_QUEUES {
            return Ok(());
        }
        Err(AttachError::NoSuchQueue { device: self.device.clone(), queue })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attachment_may_move_to_another_thread() {
        fn moves<T: Send + 'static>() {}
        moves::<Attachment>();
    }
}

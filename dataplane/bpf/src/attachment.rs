//! One program on one device: attached, adopted, fed with sockets, detached.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;

use crate::error::errno;
use crate::loaded::{Loaded, Sockets};
use crate::pins::Pinned;
use crate::uplink::UplinkMaps;
use crate::{AttachError, AttachMode, Claim};
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
    sockets: Sockets,
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
    /// and counts. Any other pin there is removed first. A pod's device of one queue is attached in
    /// less than a millisecond once there was another one; any other device waits for the kernel's
    /// RCU, 10 to 20 ms. Where an earlier Podlane is still letting go of the device, it takes up to
    /// half a second.
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
        if let Some(pinned) = pins::open_link(directory)?
            && let Some(mode) = link::adoptable(&pinned, &device, request)
        {
            return Self::adopt(request, directory, pinned, mode);
        }
        pins::remove_port(directory)?;
        pins::prepare(directory)?;
        Self::fresh(request).inspect_err(|_| {
            // The first error is the one to report; what is left is found by the next sweep.
            let _ = pins::remove_port(directory);
        })
    }

    fn fresh(request: &Request<'_>) -> Result<Self, AttachError> {
        let mut loaded = Loaded::new(request)?;
        let (mut link, mode) = link::create(&mut loaded, request)?;
        if let Some(directory) = request.pin {
            link = pins::pin_link(directory, loaded.told_by(request), link)?;
        }
        Self::new(request, loaded, link, (mode, false))
    }

    fn adopt(request: &Request<'_>, directory: &Path, pinned: Pinned, mode: AttachMode) -> Result<Self, AttachError> {
        // A device keeps its own map of sockets, in which there may be some that were handed over.
        let mut loaded = if pinned.on.is_some() { Loaded::new(request)? } else { Loaded::own(request)? };
        let link = link::swap(&mut loaded, pinned.link, request, mode)?;
        pins::rename_link(directory, pinned.on, loaded.told_by(request))?;
        pins::remove_others(directory, loaded.shapes(request.program))?;
        Self::new(request, loaded, link, (mode, true))
    }

    fn new(
        request: &Request<'_>,
        loaded: Loaded,
        link: FdLink,
        (mode, adopted): (AttachMode, bool),
    ) -> Result<Self, AttachError> {
        let maps = loaded.into_maps(request.program);
        let (sockets, uplink) = maps.map_err(|error| AttachError::map(request.name, "opening the maps", error))?;
        Ok(Self {
            device: request.name.to_owned(),
            mode,
            adopted,
            pin: request.pin.map(Path::to_owned),
            sockets,
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
        self.sockets.set(queue, socket).map_err(|error| match errno(&error) {
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
        let queues = self.sockets.queues();
        if queue < queues {
            return Ok(());
        }
        Err(AttachError::NoSuchQueue { device: self.device.clone(), queue, queues })
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

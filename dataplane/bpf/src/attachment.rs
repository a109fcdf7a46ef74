//! One program on one device: attached, adopted, fed with sockets, detached.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::maps::{MapData, XskMap};
use aya::programs::links::FdLink;
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, XdpMode, loaded_programs};

use crate::device::Device;
use crate::error::errno;
use crate::object::{NAME_PREFIX, Object, SOCKETS};
use crate::uplink::UplinkMaps;
use crate::{AskMode, AttachError, AttachMode, Claim, Holder, MAX_QUEUES, MAX_VTEPS, Program};
use crate::{Request, UplinkCounters, pins};

/// How long an attach waits for a device whose last program was Podlane's too. A killed daemon's
/// link goes 10 to 20 ms after its process does (an RCU wait on a veth); a living one's does not,
/// and the operator should hear of it soon.
const BUSY_PATIENCE: Duration = Duration::from_millis(500);
const BUSY_STEP: Duration = Duration::from_millis(5);

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
    /// # Errors
    ///
    /// See [`AttachError`]. A failed attach leaves no program and no pin of its own; a failed
    /// adoption leaves the old program running.
    pub fn attach(request: &Request<'_>) -> Result<Self, AttachError> {
        let device = query(request)?;
        let Some(directory) = request.pin else {
            return Self::fresh(request);
        };
        pins::prepare(directory)?;
        if let Some(link) = pins::open_link(directory)?
            && let Some(mode) = adoptable(&link, &device, request.mode)
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
        let (mut link, mode) = create_link(&mut object, request)?;
        if let Some(directory) = request.pin {
            link = pins::pin_link(directory, link)?;
        }
        Self::new(request, object, link, (mode, false))
    }

    fn adopt(
        request: &Request<'_>,
        directory: &Path,
        link: FdLink,
        mode: AttachMode,
    ) -> Result<Self, AttachError> {
        let mut object = Object::load(request.program, request.name, request.pin)?;
        let link =
            swap_program(&mut object, link).map_err(|error| refusal(request, mode, error))?;
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
            Program::Pod => None,
            Program::Uplink => Some(UplinkMaps::take(&mut object).map_err(failed)?),
        };
        Ok(Self {
            device: request.name.to_owned(),
            mode,
            adopted,
            pin: request.pin.map(Path::to_owned),
            sockets: object
                .map(SOCKETS)
                .and_then(XskMap::try_from)
                .map_err(failed)?,
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
        self.sockets
            .set(queue, socket, 0)
            .map_err(|error| match errno(&error) {
                Some(libc::ENOTSOCK | libc::EOPNOTSUPP) => AttachError::NotASocket {
                    device: self.device.clone(),
                    queue,
                },
                _ => AttachError::map(&self.device, "registering a socket", error),
            })
    }

    /// Sends what arrives on a receive queue to the kernel again.
    ///
    /// # Errors
    ///
    /// [`AttachError::NoSuchQueue`] or [`AttachError::Map`]. A queue without a socket is none.
    pub fn unregister(&mut self, queue: u32) -> Result<(), AttachError> {
        self.check_queue(queue)?;
        self.sockets
            .unset(queue)
            .map_err(|error| AttachError::map(&self.device, "removing a socket", error))
    }

    /// Says what of an uplink's traffic is ours, from now on and instead of what was said before.
    ///
    /// # Errors
    ///
    /// [`AttachError::NotAnUplink`], [`AttachError::TooManyVteps`], or [`AttachError::Map`].
    pub fn claim(&mut self, claim: &Claim<'_>) -> Result<(), AttachError> {
        let device = &self.device;
        let Some(uplink) = &mut self.uplink else {
            return Err(AttachError::NotAnUplink {
                device: device.clone(),
            });
        };
        let count = claim.vteps.len();
        if count > MAX_VTEPS {
            return Err(AttachError::TooManyVteps {
                device: device.clone(),
                count,
            });
        }
        uplink
            .set(claim)
            .map_err(|error| AttachError::map(device, "changing the claim", error))
    }

    /// What an uplink's program has done so far, adopted predecessors included.
    ///
    /// # Errors
    ///
    /// [`AttachError::NotAnUplink`] or [`AttachError::Map`].
    pub fn counters(&self) -> Result<UplinkCounters, AttachError> {
        let Some(uplink) = &self.uplink else {
            return Err(AttachError::NotAnUplink {
                device: self.device.clone(),
            });
        };
        uplink
            .counters()
            .map_err(|error| AttachError::map(&self.device, "reading the counters", error))
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
        Err(AttachError::NoSuchQueue {
            device: self.device.clone(),
            queue,
        })
    }
}

fn query(request: &Request<'_>) -> Result<Device, AttachError> {
    Device::query(request.ifindex).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => no_device(request),
        _ => AttachError::Netlink {
            device: request.name.to_owned(),
            source,
        },
    })
}

fn no_device(request: &Request<'_>) -> AttachError {
    AttachError::NoDevice {
        device: request.name.to_owned(),
        ifindex: request.ifindex,
    }
}

/// Whether a pinned link is the one on this device, in a mode the request can live with.
fn adoptable(link: &FdLink, device: &Device, ask: AskMode) -> Option<AttachMode> {
    let (program, mode) = device.program()?;
    let asked = match ask {
        AskMode::Auto => true,
        AskMode::Native => mode == AttachMode::Native,
        AskMode::Generic => mode == AttachMode::Generic,
    };
    (asked && link.info().is_ok_and(|info| info.program_id() == program)).then_some(mode)
}

/// Replaces the program under a link.
fn swap_program(object: &mut Object, link: FdLink) -> Result<FdLink, ProgramError> {
    let program = object.xdp()?;
    let link = XdpLink::try_from(link).map_err(|_| ProgramError::UnexpectedProgramType)?;
    let id = program.attach_to_link(link)?;
    // A link that came in by descriptor goes out by descriptor.
    FdLink::try_from(program.take_link(id)?).map_err(|_| ProgramError::NotAttached)
}

fn create_link(
    object: &mut Object,
    request: &Request<'_>,
) -> Result<(FdLink, AttachMode), AttachError> {
    let native = match request.mode {
        AskMode::Generic => None,
        AskMode::Auto | AskMode::Native => Some(patiently(object, request, AttachMode::Native)),
    };
    match (native, request.mode) {
        (Some(Ok(link)), _) => Ok((link, AttachMode::Native)),
        (Some(Err(AttachError::NoNative { .. })), AskMode::Auto) | (None, _) => {
            let link = patiently(object, request, AttachMode::Generic)?;
            Ok((link, AttachMode::Generic))
        }
        (Some(Err(error)), _) => Err(error),
    }
}

/// Attaches, and while only a program of Podlane's stands in the way tries again.
fn patiently(
    object: &mut Object,
    request: &Request<'_>,
    mode: AttachMode,
) -> Result<FdLink, AttachError> {
    let deadline = Instant::now() + BUSY_PATIENCE;
    loop {
        match attach_once(object, request, mode) {
            Err(AttachError::Busy { holder, .. })
                if may_pass(holder.as_ref()) && Instant::now() < deadline =>
            {
                sleep(BUSY_STEP);
            }
            outcome => return outcome,
        }
    }
}

/// Nobody, since the kernel refused because of a program that is gone by now; or a Podlane, which
/// may be a dead one.
fn may_pass(holder: Option<&Holder>) -> bool {
    holder.is_none_or(|holder| {
        holder
            .program_name
            .as_ref()
            .is_some_and(|name| name.starts_with(NAME_PREFIX))
    })
}

fn attach_once(
    object: &mut Object,
    request: &Request<'_>,
    mode: AttachMode,
) -> Result<FdLink, AttachError> {
    let flag = match mode {
        AttachMode::Native => XdpMode::Driver,
        AttachMode::Generic => XdpMode::Skb,
    };
    let attached = object.xdp().and_then(|program| {
        let id = program.attach_to_if_index(request.ifindex, flag)?;
        program.take_link(id)
    });
    let link = attached.map_err(|error| refusal(request, mode, error))?;
    // Without BPF_LINK_CREATE for XDP the library falls back to netlink, whose attachment would
    // outlive us; dropping it here takes it off again.
    FdLink::try_from(link).map_err(|_| AttachError::NoLink {
        device: request.name.to_owned(),
    })
}

/// The kernel's refusal, in words.
fn refusal(request: &Request<'_>, mode: AttachMode, error: ProgramError) -> AttachError {
    let device = request.name.to_owned();
    let now = || Device::query(request.ifindex).unwrap_or_default();
    match errno(&error) {
        // EEXIST is the same trouble in the other mode, or on a bond above.
        Some(libc::EBUSY | libc::EEXIST) => AttachError::Busy {
            device,
            holder: now().program().map(holder),
        },
        Some(libc::ENODEV | libc::ENOLINK) => no_device(request),
        Some(libc::ERANGE) => AttachError::Mtu {
            device,
            mtu: now().mtu,
        },
        Some(libc::ENOSPC) => AttachError::Queues { device },
        Some(libc::EPERM) => AttachError::NotPermitted {
            device,
            doing: "attaching XDP to",
        },
        Some(libc::EOPNOTSUPP) if mode == AttachMode::Native => AttachError::NoNative { device },
        _ => AttachError::Attach {
            device,
            source: error.into(),
        },
    }
}

fn holder((program_id, mode): (u32, AttachMode)) -> Holder {
    let program = loaded_programs()
        .flatten()
        .find(|program| program.id() == program_id);
    let program_name = program.and_then(|program| program.name_as_str().map(str::to_owned));
    Holder {
        program_id,
        program_name,
        mode,
    }
}

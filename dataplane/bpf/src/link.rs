//! How a link is made, swapped and judged, and what the kernel's refusals mean.

use std::thread::sleep;
use std::time::{Duration, Instant};

use aya::programs::links::FdLink;
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, XdpMode, loaded_programs};

use crate::device::Device;
use crate::error::errno;
use crate::loaded::Loaded;
use crate::object::NAME_PREFIX;
use crate::pins::Pinned;
use crate::{AskMode, AttachError, AttachMode, Holder, Request};

/// How long an attach waits for a device whose last program was Podlane's too. A killed daemon's
/// link goes 10 to 20 ms after its process does (an RCU wait on a veth); a living one's does not,
/// and the operator should hear of it soon.
const BUSY_PATIENCE: Duration = Duration::from_millis(500);
const BUSY_STEP: Duration = Duration::from_millis(5);

/// Asks about the device of a request.
pub(crate) fn query(request: &Request<'_>) -> Result<Device, AttachError> {
    Device::query(request.ifindex).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => no_device(request),
        _ => AttachError::Netlink { device: request.name.to_owned(), source },
    })
}

fn no_device(request: &Request<'_>) -> AttachError {
    AttachError::NoDevice { device: request.name.to_owned(), ifindex: request.ifindex }
}

/// Whether a pinned link is the one on this device, in a mode the request can live with.
///
/// A program of the device's own tells: ids of programs are unique on a host. Of the one that pods have
/// together the index has to be the same as well. Two devices in two network namespaces may have one index
/// and that program, but not one slot at a time, so that only one of them is attached that way.
pub(crate) fn adoptable(pinned: &Pinned, device: &Device, request: &Request<'_>) -> Option<AttachMode> {
    let (program, mode) = device.program()?;
    let asked = match request.mode {
        AskMode::Auto => true,
        AskMode::Native => mode == AttachMode::Native,
        AskMode::Generic => mode == AttachMode::Generic,
    };
    let here = pinned.on.is_none_or(|ifindex| ifindex == request.ifindex);
    (asked && here && pinned.link.info().is_ok_and(|info| info.program_id() == program)).then_some(mode)
}

/// Replaces the program under a link, in one step.
pub(crate) fn swap(
    loaded: &mut Loaded,
    link: FdLink,
    request: &Request<'_>,
    mode: AttachMode,
) -> Result<FdLink, AttachError> {
    let swapped = loaded.with_xdp(|program| {
        let link = XdpLink::try_from(link).map_err(|_| ProgramError::UnexpectedProgramType)?;
        let id = program.attach_to_link(link)?;
        program.take_link(id)
    });
    as_descriptor(swapped.map_err(|error| refusal(request, mode, error))?, request)
}

/// Makes a link, native first where the request leaves it open.
pub(crate) fn create(loaded: &mut Loaded, request: &Request<'_>) -> Result<(FdLink, AttachMode), AttachError> {
    let native = match request.mode {
        AskMode::Generic => None,
        AskMode::Auto | AskMode::Native => Some(patiently(loaded, request, AttachMode::Native)),
    };
    match (native, request.mode) {
        (Some(Ok(link)), _) => Ok((link, AttachMode::Native)),
        (Some(Err(AttachError::NoNative { .. })), AskMode::Auto) | (None, _) => {
            let link = patiently(loaded, request, AttachMode::Generic)?;
            Ok((link, AttachMode::Generic))
        }
        (Some(Err(error)), _) => Err(error),
    }
}

/// Attaches, and while only a program of Podlane's stands in the way tries again.
fn patiently(loaded: &mut Loaded, request: &Request<'_>, mode: AttachMode) -> Result<FdLink, AttachError> {
    let deadline = Instant::now() + BUSY_PATIENCE;
    loop {
        match attach_once(loaded, request, mode) {
            Err(AttachError::Busy { holder, .. }) if may_pass(holder.as_ref()) && Instant::now() < deadline => {
                sleep(BUSY_STEP);
            }
            outcome => return outcome,
        }
    }
}

/// Nobody, since the kernel refused because of a program that is gone by now; or a Podlane, which
/// may be a dead one.
fn may_pass(holder: Option<&Holder>) -> bool {
    holder.is_none_or(|holder| holder.program_name.as_ref().is_some_and(|name| name.starts_with(NAME_PREFIX)))
}

fn attach_once(loaded: &mut Loaded, request: &Request<'_>, mode: AttachMode) -> Result<FdLink, AttachError> {
    let flag = match mode {
        AttachMode::Native => XdpMode::Driver,
        AttachMode::Generic => XdpMode::Skb,
    };
    let attached = loaded.with_xdp(|program| {
        let id = program.attach_to_if_index(request.ifindex, flag)?;
        program.take_link(id)
    });
    as_descriptor(attached.map_err(|error| refusal(request, mode, error))?, request)
}

/// The library tries netlink where the kernel answers a link with EINVAL. No kernel that loaded an
/// `xdp.frags` program lacks links, and a driver that refuses one way refuses the other, so nobody
/// should see this error. If it is seen, the attachment outlives us, and the error says so.
fn as_descriptor(link: XdpLink, request: &Request<'_>) -> Result<FdLink, AttachError> {
    FdLink::try_from(link).map_err(|_| AttachError::NoLink { device: request.name.to_owned() })
}

/// The kernel's refusal, in words.
fn refusal(request: &Request<'_>, mode: AttachMode, error: ProgramError) -> AttachError {
    let device = request.name.to_owned();
    let now = || Device::query(request.ifindex).unwrap_or_default();
    match errno(&error) {
        // EEXIST is the same trouble in the other mode, or on a bond above.
        Some(libc::EBUSY | libc::EEXIST) => AttachError::Busy { device, holder: now().program().map(holder) },
        Some(libc::ENODEV | libc::ENOLINK) => no_device(request),
        Some(libc::ERANGE) => AttachError::Mtu { device, mtu: now().mtu },
        Some(libc::ENOSPC) => AttachError::Queues { device },
        Some(libc::EPERM) => AttachError::NotPermitted { device, doing: "attaching XDP to" },
        Some(libc::EOPNOTSUPP) if mode == AttachMode::Native => AttachError::NoNative { device },
        _ => AttachError::Attach { device, source: error.into() },
    }
}

fn holder((program_id, mode): (u32, AttachMode)) -> Holder {
    let program = loaded_programs().flatten().find(|program| program.id() == program_id);
    let program_name = program.and_then(|program| program.name_as_str().map(str::to_owned));
    Holder { program_id, program_name, mode }
}

#[cfg(test)]
mod tests {
    use std::io;

    use aya::sys::SyscallError;

    use super::*;
    use crate::Program;

    fn refused(errno: i32, mode: AttachMode) -> AttachError {
        let io_error = io::Error::from_raw_os_error(errno);
        let error = SyscallError { call: "bpf_link_create", io_error }.into();
        let (program, ask) = (Program::Pod, AskMode::Auto);
        let request = Request { ifindex: 1, name: "lo", program, queues: 1, pin: None, mode: ask };
        refusal(&request, mode, error)
    }

    #[test]
    fn each_errno_becomes_its_own_error_and_names_the_device() {
        use AttachMode::{Generic, Native};
        type Is = fn(&AttachError) -> bool;
        let table: [(i32, AttachMode, Is); 10] = [
            (libc::EBUSY, Native, |e| matches!(e, AttachError::Busy { holder: None, .. })),
            (libc::EEXIST, Generic, |e| matches!(e, AttachError::Busy { holder: None, .. })),
            (libc::ENODEV, Native, |e| matches!(e, AttachError::NoDevice { ifindex: 1, .. })),
            (libc::ENOLINK, Native, |e| matches!(e, AttachError::NoDevice { .. })),
            (libc::ERANGE, Native, |e| matches!(e, AttachError::Mtu { mtu: 1.., .. })),
            (libc::ENOSPC, Native, |e| matches!(e, AttachError::Queues { .. })),
            (libc::EPERM, Native, |e| matches!(e, AttachError::NotPermitted { .. })),
            (libc::EOPNOTSUPP, Native, |e| matches!(e, AttachError::NoNative { .. })),
            (libc::EOPNOTSUPP, Generic, |e| matches!(e, AttachError::Attach { .. })),
            (libc::ENOMEM, Native, |e| matches!(e, AttachError::Attach { .. })),
        ];
        for (errno, mode, is) in table {
            let error = refused(errno, mode);
            assert!(is(&error), "{errno} became {error:?}");
            assert!(error.to_string().contains("lo"), "{error}");
        }
    }
}

//! How the programs come before what arrives at devices, and stay there.
//!
//! A tcx link is pinned under its device's index and adopted by swapping the program under it. A `clsact` filter needs no pin: it
//! lives as long as its device, has a priority and a number that are always ours, and is replaced in place. So both are without a
//! gap, and both are found again.

use std::collections::BTreeMap;
use std::error::Error;
use std::mem;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use nix::net::if_::{if_indextoname, if_nametoindex};

use super::{AskHook, CarryError, Device, Hook, Hooked, Role, classic};
use crate::error::errno;
use crate::{PinError, pins};

/// Our filter's place: behind all others. Priorities end at 65,535.
const PRIORITY: u16 = u16::MAX;
const HANDLE: TcHandle = TcHandle::new(0, 1);
const LINK: &str = "link-";
const FILTER: &str = "filter-";

/// The three programs, loaded.
pub(super) struct Programs(Ebpf);

impl Programs {
    pub(super) fn load(mut ebpf: Ebpf) -> Result<Self, CarryError> {
        for role in [Role::Pod, Role::Tunnel, Role::Trunk] {
            program(&mut ebpf, role).and_then(SchedClassifier::load).map_err(CarryError::load)?;
        }
        Ok(Self(ebpf))
    }

    pub(super) fn of(&mut self, role: Role) -> Result<&mut SchedClassifier, ProgramError> {
        program(&mut self.0, role)
    }
}

fn program(ebpf: &mut Ebpf, role: Role) -> Result<&mut SchedClassifier, ProgramError> {
    ebpf.program_mut(name(role)).ok_or(ProgramError::NotLoaded)?.try_into()
}

/// A program's name in the object.
fn name(role: Role) -> &'static str {
    match role {
        Role::Pod => "podlane_tc_pod",
        Role::Tunnel => "podlane_tunnel",
        Role::Trunk => "podlane_trunk",
    }
}

/// What holds a program on a device.
enum Hold {
    /// A tcx link, which ends with its last descriptor or pin.
    Link(FdLink),
    /// A filter that is to end with the carrier. One that is to stay is forgotten, and marked by a pin of its program.
    Filter(SchedClassifierLink),
    /// Found in the pins, or marked there.
    Pinned,
}

/// The devices with programs.
pub(super) struct Hooks {
    programs: Programs,
    pins: Option<PathBuf>,
    held: BTreeMap<u32, Hold>,
}

impl Hooks {
    /// With the devices that have pins in the directory.
    pub(super) fn new(programs: Programs, pins: Option<PathBuf>) -> Result<Self, PinError> {
        let mut held = BTreeMap::new();
        if let Some(directory) = &pins {
            for name in pins::names(directory)? {
                let index = name.strip_prefix(LINK).or_else(|| name.strip_prefix(FILTER));
                if let Some(index) = index.and_then(|index| index.parse().ok()) {
                    held.insert(index, Hold::Pinned);
                }
            }
        }
        Ok(Self { programs, pins, held })
    }

    pub(super) fn devices(&self) -> Vec<u32> {
        self.held.keys().copied().collect()
    }

    pub(super) fn attach(&mut self, device: &Device<'_>) -> Result<Hooked, CarryError> {
        if if_nametoindex(device.name) != Ok(device.ifindex) {
            return Err(CarryError::NoDevice { device: device.name.to_owned(), ifindex: device.ifindex });
        }
        let filters =
            classic::filters(device.ifindex).map_err(|error| failed(device, "reading the filters of", error))?;
        let ask = match device.hook {
            AskHook::Auto if filters.iter().any(|filter| !filter.is_ours()) => AskHook::Clsact,
            ask => ask,
        };
        match ask {
            AskHook::Clsact => self.attach_filter(device, &filters),
            AskHook::Tcx => self.attach_link(device),
            AskHook::Auto => match self.attach_link(device) {
                Err(CarryError::NoTcx { .. }) => self.attach_filter(device, &filters),
                outcome => outcome,
            },
        }
    }

    /// By tcx: under the link that is there, or by a new one behind all others.
    fn attach_link(&mut self, device: &Device<'_>) -> Result<Hooked, CarryError> {
        let pin = self.pin(LINK, device.ifindex);
        let link = match (self.held.remove(&device.ifindex), &pin) {
            (Some(Hold::Link(link)), _) => Some(link),
            (_, Some(pin)) => pins::open_pin(pin)?,
            _ => None,
        };
        if let Some(link) = link {
            if let Some(link) = self.swap(device, link) {
                self.held.insert(device.ifindex, Hold::Link(link));
                return Ok(Hooked { hook: Hook::Tcx, adopted: true });
            }
            remove(pin.as_deref())?;
        }
        let mut link = self.link(device)?;
        if let Some(pin) = &pin {
            link = pins::pin_at(pin, link)?;
        }
        self.held.insert(device.ifindex, Hold::Link(link));
        self.drop_filter(device.ifindex)?;
        Ok(Hooked { hook: Hook::Tcx, adopted: false })
    }

    /// Replaces the program under a link; `None` if it is not a link of this device's.
    fn swap(&mut self, device: &Device<'_>, link: FdLink) -> Option<FdLink> {
        let link = SchedClassifierLink::try_from(link).ok()?;
        let program = self.programs.of(device.role).ok()?;
        let id = program.attach_to_link(link).ok()?;
        let link = FdLink::try_from(program.take_link(id).ok()?).ok()?;
        let ours = program.info().ok()?.id();
        let (_, here) = SchedClassifier::query_tcx(device.name, TcAttachType::Ingress).ok()?;
        here.iter().any(|program| program.id() == ours).then_some(link)
    }

    fn link(&mut self, device: &Device<'_>) -> Result<FdLink, CarryError> {
        let mut attach = || {
            let program = self.programs.of(device.role)?;
            let last = TcAttachOptions::TcxOrder(LinkOrder::last());
            let id = program.attach_with_options(device.name, TcAttachType::Ingress, last)?;
            FdLink::try_from(program.take_link(id)?).map_err(|_| ProgramError::UnexpectedProgramType)
        };
        attach().map_err(|error| match errno(&error) {
            // The kernel has never heard of this kind of link.
            Some(libc::EINVAL | libc::EOPNOTSUPP) => CarryError::NoTcx { device: device.name.to_owned() },
            _ => failed(device, "attaching a tc program to", error),
        })
    }

    /// By a filter: in place of ours that is there, or by a new one.
    fn attach_filter(&mut self, device: &Device<'_>, filters: &[classic::Filter]) -> Result<Hooked, CarryError> {
        let doing = "adding a filter to";
        let at_ours = filters.iter().find(|filter| (filter.priority, filter.handle) == (PRIORITY, HANDLE.into()));
        if at_ours.is_some_and(|filter| !filter.is_ours()) {
            let taken = format!("priority {PRIORITY}, handle {:#x} is another program's", u32::from(HANDLE));
            return Err(failed(device, doing, taken));
        }
        match qdisc_add_clsact(device.name) {
            Err(error) if !is_there(&error) => return Err(failed(device, "adding clsact to", error)),
            _ => {}
        }
        let adopted = at_ours.is_some();
        let link = self.filter(device, adopted).map_err(|error| failed(device, doing, error))?;
        let hold = if let Some(pin) = self.pin(FILTER, device.ifindex) {
            // Kept by the kernel; dropped, it would be removed.
            mem::forget(link);
            remove(Some(&pin))?;
            let program = self.programs.of(device.role).map_err(|error| failed(device, doing, error))?;
            program.pin(&pin).map_err(|error| failed(device, "pinning the program of", error))?;
            Hold::Pinned
        } else {
            Hold::Filter(link)
        };
        // The former one, if it was a link, goes when ours is there. A filter's place is the new one's.
        match self.held.insert(device.ifindex, hold) {
            Some(Hold::Filter(former)) => mem::forget(former),
            former => drop(former),
        }
        remove(self.pin(LINK, device.ifindex).as_deref())?;
        Ok(Hooked { hook: Hook::Clsact, adopted })
    }

    fn filter(&mut self, device: &Device<'_>, there: bool) -> Result<SchedClassifierLink, ProgramError> {
        let program = self.programs.of(device.role)?;
        let id = if there {
            let (name, ingress) = (device.name, TcAttachType::Ingress);
            let link =
                SchedClassifierLink::attached(name, ingress, PRIORITY, HANDLE, None).map_err(TcError::IoError)?;
            program.attach_to_link(link)?
        } else {
            let place = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
            program.attach_with_options(device.name, TcAttachType::Ingress, TcAttachOptions::Netlink(place))?
        };
        program.take_link(id)
    }

    pub(super) fn detach(&mut self, ifindex: u32) -> Result<(), CarryError> {
        let held = self.held.remove(&ifindex);
        if let Some(pin) = self.pin(LINK, ifindex) {
            // Opened before its pin goes: closing it is then what detaches.
            let _closed_last = pins::open_pin(&pin)?;
            remove(Some(&pin))?;
        }
        drop(held);
        self.drop_filter(ifindex)
    }

    /// Removes a filter that was marked to stay, and its mark.
    fn drop_filter(&self, ifindex: u32) -> Result<(), CarryError> {
        let Some(pin) = self.pin(FILTER, ifindex).filter(|pin| pin.exists()) else { return Ok(()) };
        // Of a device that is gone, the filter went with it.
        if let Ok(name) = if_indextoname(ifindex)
            && let Some(name) = name.to_str().ok()
            && classic::filters(ifindex).is_ok_and(|filters| filters.iter().any(classic::Filter::is_ours))
        {
            let link = SchedClassifierLink::attached(name, TcAttachType::Ingress, PRIORITY, HANDLE, None);
            drop(link.map_err(|error| CarryError::map("removing a filter", error))?);
        }
        Ok(remove(Some(&pin))?)
    }

    /// Removes all pins, and their directory.
    pub(super) fn remove_pins(&self) -> Result<(), CarryError> {
        let Some(directory) = &self.pins else { return Ok(()) };
        for name in pins::names(directory)? {
            pins::remove_file(&directory.join(name))?;
        }
        Ok(pins::remove_directory(directory)?)
    }

    fn pin(&self, kind: &str, ifindex: u32) -> Option<PathBuf> {
        self.pins.as_ref().map(|directory| directory.join(format!("{kind}{ifindex}")))
    }

    #[cfg(test)]
    pub(super) fn program(&mut self, role: Role) -> &mut SchedClassifier {
        self.programs.of(role).expect("all are in the object")
    }
}

/// Removes a pin, if it is there.
fn remove(pin: Option<&Path>) -> Result<(), PinError> {
    match pin {
        Some(pin) if pin.exists() => pins::remove_file(pin),
        _ => Ok(()),
    }
}

/// Whether the queueing discipline was refused because there is one.
fn is_there(error: &TcError) -> bool {
    matches!(error, TcError::NetlinkError(error) if error.raw_os_error() == Some(libc::EEXIST))
}

fn failed(device: &Device<'_>, doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> CarryError {
    CarryError::Attach { device: device.name.to_owned(), doing, source: source.into() }
}

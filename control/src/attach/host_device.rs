//! A netdev of the host's, lent to a pod: moved, renamed and furnished there, and brought back as it was.

use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use podlane_host::{HostError, Link, Links, Netns};

use super::error::{AttachError, OrderError};
use super::pod_end::{PodNetns, furnish};
use super::record::{Former, Record};
use super::taken::not_a_port;
use super::{Interface, Kind};
use crate::desired::Desired;

/// What the kernel calls a device that comes back from a namespace that ended and finds its name taken.
const UNNAMED: &str = "dev";

/// How long a device may take to come back by itself: a namespace is taken apart in the kernel's own time.
const BACK_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks at a device that the host can spare.
///
/// # Errors
/// It is not there, or the host, the switch or a bridge needs it.
pub(super) fn spare(host: &mut Links, device: &str, desired: &Desired) -> Result<Former, AttachError> {
    let link = match host.by_name(device) {
        Ok(link) => link,
        Err(HostError::NoSuchLink { .. }) => return Err(OrderError::NoDevice(device.to_owned()).into()),
        Err(error) => return Err(AttachError::host("the device")(error)),
    };
    not_a_port(device, desired)?;
    let in_use = |why| Err(OrderError::InUse { device: device.to_owned(), why }.into());
    if link.mac.is_none() || link.name == "lo" {
        return in_use("is no Ethernet device");
    }
    if link.master.is_some() {
        return in_use("is a port of a bridge or bond");
    }
    let addresses = host.addresses(&link).map_err(AttachError::host("the device"))?;
    let own: Vec<_> = addresses.into_iter().map(|own| own.address).filter(|address| !is_link_local(address)).collect();
    if !own.is_empty() {
        return Err(OrderError::HostsOwn { device: device.to_owned(), addresses: own }.into());
    }
    let routes = host.routes(&link).map_err(AttachError::host("the device"))?;
    // A device that is up has routes to link-local addresses by itself.
    if routes.iter().any(|route| !is_link_local(&route.destination)) {
        return Err(OrderError::HostRoutes(device.to_owned()).into());
    }
    Ok(Former::of(&link, None))
}

/// Moves the device into the pod, and has it speak there where its addresses are asked for over it.
pub(super) fn lend(record: &Record, pod: &PodNetns) -> Result<(), AttachError> {
    let (Some(former), Some(end)) = (&record.former, record.pod_end()) else { return Ok(()) };
    let mut host = Links::open().map_err(AttachError::host("the links of the host"))?;
    let moved = host.move_as(&former.name, pod.netns.as_fd(), &end.interface.name);
    moved.map_err(AttachError::host("the device into the pod"))?;
    let inside = || {
        let mut links = Links::open().map_err(AttachError::host("the links of the pod"))?;
        let name = end.interface.name.as_str();
        let link = links.by_name(name).map_err(AttachError::host("the device in the pod"))?;
        if link.mac != Some(end.interface.mac.0) {
            links.set_mac(name, end.interface.mac.0).map_err(AttachError::host("the device's MAC address"))?;
        }
        if link.mtu != end.mtu {
            links.set_mtu(name, end.mtu).map_err(AttachError::host("the device's MTU"))?;
        }
        match record.speaks_dhcp() {
            true => links.set_up(&link).map_err(AttachError::host("the device in the pod")),
            false => Ok(()),
        }
    };
    pod.netns.run(inside).map_err(AttachError::Netns)?
}

/// Furnishes the device, which is in the pod.
pub(super) fn furnish_lent(record: &Record, pod: &PodNetns) -> Result<(), AttachError> {
    let Some(end) = record.pod_end() else { return Ok(()) };
    let inside = || {
        let links = Links::open().map_err(AttachError::host("the links of the pod"))?;
        furnish(links, &end).map(drop)
    };
    pod.netns.run(inside).map_err(AttachError::Netns)?
}

/// Brings the device back under its name and as it was; one that died with its pod's namespace is not missed.
pub(super) fn bring_back(record: &Record) -> Result<(), AttachError> {
    let (Kind::HostDevice { .. }, Some(former)) = (&record.attachment.order.kind, &record.former) else {
        return Ok(());
    };
    let Some(interface) = &record.attachment.pod else { return Ok(()) };
    let step = "the device back to the host";
    let mut host = Links::open().map_err(AttachError::host(step))?;
    if !is_back(&mut host, former).map_err(AttachError::host(step))? {
        let is_there = record.attachment.order.netns.as_ref().and_then(|path| Netns::open(path).ok());
        let is_it = |netns: &Netns| netns.id().is_ok_and(|id| Some(id.to_string()) == record.netns);
        match is_there.filter(is_it) {
            Some(netns) => fetch(&netns, former, interface).map_err(AttachError::host(step))?,
            // It comes by itself, if it is hardware.
            None => return await_return(&mut host, former, interface).map_err(AttachError::host(step)),
        }
    }
    restore(&mut host, former).map_err(AttachError::host(step))
}

fn is_back(host: &mut Links, former: &Former) -> Result<bool, HostError> {
    match host.by_name(&former.name) {
        Ok(_) => Ok(true),
        Err(HostError::NoSuchLink { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves the device out of the pod.
fn fetch(netns: &Netns, former: &Former, interface: &Interface) -> Result<(), HostError> {
    let own = Netns::current()?;
    let mut inside = Links::open_in(netns)?;
    match inside.move_as(&interface.name, own.as_fd(), &former.name) {
        // Moved, renamed or deleted by the pod: as good as gone.
        Err(HostError::NoSuchLink { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// Waits until hardware has come back from a namespace that ended, and gives it its name.
fn await_return(host: &mut Links, former: &Former, interface: &Interface) -> Result<(), HostError> {
    let deadline = Instant::now() + BACK_WITHIN;
    loop {
        let links = host.list()?;
        let is_it = |link: &&Link| {
            link.mac == Some(interface.mac.0) && (link.name == interface.name || link.name.starts_with(UNNAMED))
        };
        if let Some(link) = links.iter().find(is_it) {
            host.rename(link, &former.name)?;
        } else if Instant::now() < deadline && !links.iter().any(|link| link.name == former.name) {
            sleep(LOOK_EVERY);
            continue;
        }
        return restore(host, former);
    }
}

/// Gives the device what it had.
fn restore(host: &mut Links, former: &Former) -> Result<(), HostError> {
    let link = match host.by_name(&former.name) {
        Ok(link) => link,
        Err(HostError::NoSuchLink { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    if let Some(mac) = former.mac.filter(|mac| link.mac != Some(mac.0)) {
        host.set_mac(&link, mac.0)?;
    }
    if link.mtu != former.mtu {
        host.set_mtu(&link, former.mtu)?;
    }
    match former.up {
        true => host.set_up(&link),
        false => host.set_down(&link),
    }
}

fn is_link_local(address: &std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => v4.is_link_local(),
        // The kernel's own route to all groups.
        std::net::IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast(),
    }
}

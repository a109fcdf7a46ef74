//! What links there are, in every network namespace that a port names.
//!
//! A namespace is listed once; from then on its announcements say what has changed, so that a link that comes costs the same among five
//! as among five hundred. It is listed again when announcements were lost. In between it is only asked whether its path still leads to it,
//! and held open no longer than that: a socket of ours would keep alive what an operator has deleted, with a port in it
//! that nobody can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podlane_host::{HostError, Link, LinkEvent, LinkEvents, Links, Netns, NetnsError, NetnsId};
use thiserror::Error;

use crate::desired::{self, Behind, Desired};

/// Why a device cannot be attached to.
#[derive(Debug, Error)]
pub(super) enum Missing {
    /// It is not there.
    #[error("there is no device {device} in {place}; the port comes up as soon as there is")]
    Device {
        /// The name.
        device: String,
        /// The network namespace.
        place: String,
    },
    /// Its namespace is not there.
    #[error("there is no network namespace {}; the port comes up as soon as there is, with a device {device} in it", path.display())]
    Namespace {
        /// The name.
        device: String,
        /// The namespace.
        path: PathBuf,
    },
    /// Its namespace is there, and cannot be looked at.
    #[error("{0}")]
    Unreadable(String),
}

/// Where a device is: another one of the same name is elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Spot {
    netns: Option<NetnsId>,
    index: u32,
}

/// A device that is there.
#[derive(Clone, Copy)]
pub(super) struct Found<'w> {
    /// Where.
    pub(super) spot: Spot,
    /// What it is now.
    pub(super) link: &'w Link,
    /// Its namespace; none for the daemon's own.
    pub(super) netns: Option<&'w Netns>,
}

/// Which devices may be other than they were.
pub(super) enum News {
    /// Any.
    All,
    /// Those that have or had one of these names, in some namespace.
    Of(BTreeSet<String>),
}

impl News {
    /// Whether a device is to be looked at.
    pub(super) fn is_of(&self, device: &desired::Device) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.contains(device.name.as_str()),
        }
    }
}

/// All namespaces of interest, by the path that names them; none is the daemon's own.
pub(super) struct World {
    places: BTreeMap<Option<PathBuf>, Result<Place, PlaceError>>,
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Woken {
    Bell,
    Links,
    Time,
}

/// A device that was looked for by itself.
pub(super) struct Sought {
    netns: Option<(Netns, NetnsId)>,
    link: Link,
}

impl Sought {
    pub(super) fn found(&self) -> Found<'_> {
        let spot = Spot { netns: self.netns.as_ref().map(|(_, id)| *id), index: self.link.index };
        Found { spot, link: &self.link, netns: self.netns.as_ref().map(|(netns, _)| netns) }
    }
}

/// One namespace, held open.
struct Place {
    netns: Option<(Netns, NetnsId)>,
    links: Links,
    /// None where the kernel gives no subscription: then every look lists.
    events: Option<LinkEvents>,
    found: Directory,
    stale: bool,
    /// Whether it was listed since news were last asked for.
    was_listed: bool,
}

/// The links of a namespace, by name; of each number there is one.
#[derive(Default)]
struct Directory {
    links: BTreeMap<String, Link>,
    names: BTreeMap<u32, String>,
    /// The names under which something changed since they were last taken.
    news: BTreeSet<String>,
}

impl Directory {
    fn of(links: Vec<Link>) -> Self {
        let mut directory = Self::default();
        links.into_iter().for_each(|link| directory.take(link));
        directory
    }

    /// Takes over what a link is now, under whatever name it was known.
    fn take(&mut self, link: Link) {
        let (index, name) = (link.index, link.name.clone());
        self.news.insert(name.clone());
        if let Some(former) = self.names.insert(index, name.clone()).filter(|former| *former != name) {
            self.links.remove(&former);
            self.news.insert(former);
        }
        if let Some(other) = self.links.insert(name, link).filter(|other| other.index != index) {
            self.names.remove(&other.index);
        }
    }

    fn lose(&mut self, index: u32) {
        if let Some(name) = self.names.remove(&index) {
            self.links.remove(&name);
            self.news.insert(name);
        }
    }
}

#[derive(Debug, Error)]
enum PlaceError {
    #[error(transparent)]
    Netns(#[from] NetnsError),
    #[error(transparent)]
    Host(#[from] HostError),
    /// Nobody has looked yet.
    #[error("not looked at yet")]
    Unseen,
}

impl World {
    /// The namespaces of all the devices that are desired; nothing is open yet.
    pub(super) fn of(desired: &Desired) -> Self {
        Self { places: places(desired).map(|netns| (netns.clone(), Err(PlaceError::Unseen))).collect() }
    }

    /// Brings the picture up to date.
    pub(super) fn look(&mut self) {
        for (path, place) in &mut self.places {
            look_at(path.as_deref(), place);
        }
    }

    /// What changed since this was last asked, as far as it was announced: where links were listed anew, or a namespace is another one by now,
    /// anything may have.
    pub(super) fn news(&mut self) -> News {
        let mut names = BTreeSet::new();
        let mut is_all = false;
        for place in self.places.values_mut().flatten() {
            names.append(&mut place.found.news);
            is_all |= std::mem::take(&mut place.was_listed);
        }
        if is_all { News::All } else { News::Of(names) }
    }

    /// Has a device be known as it is now, and its namespace be followed from now on.
    pub(super) fn follow(&mut self, device: &desired::Device) {
        let path = device.netns.as_deref();
        let place = self.places.entry(device.netns.clone()).or_insert(Err(PlaceError::Unseen));
        if place.is_err() {
            look_at(path, place);
        }
        if let Ok(place) = place {
            place.ask(device.name.as_str());
        }
    }

    /// Lets go of the namespaces in which no port is desired any more.
    pub(super) fn retain(&mut self, desired: &Desired) {
        let wanted: BTreeSet<&Option<PathBuf>> = places(desired).collect();
        self.places.retain(|path, _| wanted.contains(path));
    }

    /// Waits until the bell is rung or, if it is listened to, some namespace announces a change, at most so long.
    pub(super) fn wait(&self, bell: &impl AsFd, listens: bool, longest: Duration) -> Woken {
        let events = self.places.values().flatten().filter_map(|place| place.events.as_ref()).filter(|_| listens);
        let mut fds = vec![PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        fds.extend(events.map(|events| PollFd::new(events.as_fd(), PollFlags::POLLIN)));
        let ready = poll(&mut fds, PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO));
        match (ready, fds.first().and_then(PollFd::any)) {
            (Ok(0), _) => Woken::Time,
            (Ok(_), Some(true)) => Woken::Bell,
            // What interrupts this is worth a look as well.
            _ => Woken::Links,
        }
    }

    /// The addresses the host has in a namespace; none where it cannot be asked.
    ///
    /// The kernel is asked each time: its announcements of addresses are not subscribed to, and a pass comes four times a second.
    pub(super) fn addresses(&mut self, netns: &Option<PathBuf>) -> BTreeSet<IpAddr> {
        let Some(Ok(place)) = self.places.get_mut(netns) else { return BTreeSet::new() };
        let listed = place.links.all_addresses().inspect_err(|error| tracing::warn!(%error, "the host's addresses"));
        listed.unwrap_or_default().into_iter().map(|own| own.address).collect()
    }

    /// The device, where it should be.
    ///
    /// # Errors
    /// [`Missing`].
    pub(super) fn find(&self, device: &desired::Device) -> Result<Found<'_>, Missing> {
        match self.places.get(&device.netns) {
            Some(Ok(place)) => place.find(device.name.as_str()).ok_or_else(|| absent(device)),
            Some(Err(error)) => Err(missing(device, error)),
            None => Err(missing(device, &PlaceError::Unseen)),
        }
    }
}

impl Place {
    fn open(netns: Option<Netns>) -> Result<Self, PlaceError> {
        let netns = netns.map(|netns| netns.id().map(|id| (netns, id))).transpose()?;
        let (links, events) = match &netns {
            Some((netns, _)) => (Links::open_in(netns)?, LinkEvents::open_in(netns)),
            None => (Links::open()?, LinkEvents::open()),
        };
        let events = events
            .inspect_err(|error| tracing::warn!(%error, "no link events; devices are looked for every quarter second"))
            .ok();
        Ok(Self { netns, links, events, found: Directory::default(), stale: true, was_listed: false })
    }

    /// Asks the kernel for one link. What is announced of it and not heard yet is older, and what follows is not.
    fn ask(&mut self, name: &str) {
        match self.links.by_name(name) {
            Ok(link) => self.found.take(link),
            Err(HostError::NoSuchLink { .. }) => {
                let known = self.found.links.get(name).map(|link| link.index);
                known.into_iter().for_each(|index| self.found.lose(index));
            }
            Err(error) => tracing::warn!(%error, device = name, "a device cannot be looked at"),
        }
    }

    fn find(&self, name: &str) -> Option<Found<'_>> {
        let link = self.found.links.get(name)?;
        let spot = Spot { netns: self.netns.as_ref().map(|(_, id)| *id), index: link.index };
        Some(Found { spot, link, netns: self.netns.as_ref().map(|(netns, _)| netns) })
    }

    /// Takes over what was announced, or lists the links where that does not say it.
    fn list(&mut self) -> Result<(), HostError> {
        match &mut self.events {
            Some(events) => loop {
                match events.next(Duration::ZERO) {
                    Ok(None) => break,
                    Ok(Some(LinkEvent::Changed(link))) => self.found.take(link),
                    Ok(Some(LinkEvent::Gone { index, .. })) => self.found.lose(index),
                    // Lost, malformed, or of a kind that is not known here.
                    Ok(Some(_)) | Err(HostError::Malformed { .. }) => self.stale = true,
                    Err(error) => {
                        self.stale = true;
                        return Err(error);
                    }
                }
            },
            None => self.stale = true,
        }
        if self.stale {
            self.found = Directory::of(self.links.list()?);
            (self.stale, self.was_listed) = (false, true);
        }
        Ok(())
    }
}

/// Where the devices of these desires are.
fn places(desired: &Desired) -> impl Iterator<Item = &Option<PathBuf>> {
    desired.ports.values().filter_map(|port| match &port.behind {
        Behind::Device(device) => Some(&device.netns),
        Behind::Replay(_) => None,
    })
}

/// Looks for one device, whatever else is there.
///
/// # Errors
/// [`Missing`].
pub(super) fn seek(device: &desired::Device) -> Result<Sought, Missing> {
    let (name, path) = (device.name.to_string(), device.netns.as_deref());
    let sought = || -> Result<Sought, PlaceError> {
        let netns = path.map(Netns::open).transpose()?;
        let netns = netns.map(|netns| netns.id().map(|id| (netns, id))).transpose()?;
        let mut links = netns.as_ref().map_or_else(Links::open, |(netns, _)| Links::open_in(netns))?;
        Ok(Sought { link: links.by_name(&name)?, netns })
    };
    sought().map_err(|error| missing(device, &error))
}

/// Why a device is not found.
fn missing(device: &desired::Device, error: &PlaceError) -> Missing {
    let name = device.name.to_string();
    match (error, &device.netns) {
        (PlaceError::Host(HostError::NoSuchLink { .. }), _) => absent(device),
        (PlaceError::Netns(NetnsError::Open { source, .. }), Some(path)) if source.kind() == ErrorKind::NotFound => {
            Missing::Namespace { device: name, path: path.clone() }
        }
        (error, _) => Missing::Unreadable(error.to_string()),
    }
}

fn absent(device: &desired::Device) -> Missing {
    let here = || "the daemon's network namespace".to_owned();
    let place = device.netns.as_ref().map_or_else(here, |path| path.display().to_string());
    Missing::Device { device: device.name.to_string(), place }
}

fn look_at(path: Option<&Path>, place: &mut Result<Place, PlaceError>) {
    if let Err(error) = refresh(path, place) {
        *place = Err(error);
    }
}

/// Opens the place if it is not, or if its path leads elsewhere by now, and takes over what changed.
fn refresh(path: Option<&Path>, place: &mut Result<Place, PlaceError>) -> Result<(), PlaceError> {
    let leads_to = path.map(Netns::open).transpose()?;
    let id = leads_to.as_ref().map(Netns::id).transpose()?;
    let known = place.as_ref().ok().map(|place| place.netns.as_ref().map(|(_, id)| *id));
    if known != Some(id) {
        *place = Ok(Place::open(leads_to)?);
    }
    if let Ok(place) = place {
        place.list()?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its ground has failed")]
mod tests;

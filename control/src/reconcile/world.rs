//! What links there are, in every network namespace that a port names.
//!
//! A namespace is listed when it announces a change, and otherwise only asked whether its path still leads to it. It is held
//! open no longer than that: a socket of ours would keep alive what an operator has deleted, with a port in it
//! that nobody can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podlane_host::{HostError, Link, LinkEvents, Links, Netns, NetnsError, NetnsId};
use thiserror::Error;

use crate::desired::{self, Behind, Desired};

/// Between two looks at least: while links come and go by the hundred, each is not worth a listing of all.
const APART: Duration = Duration::from_millis(20);

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
pub(super) struct Found<'w> {
    /// Where.
    pub(super) spot: Spot,
    /// What it is now.
    pub(super) link: &'w Link,
    /// Its namespace; none for the daemon's own.
    pub(super) netns: Option<&'w Netns>,
}

/// All namespaces of interest, by the path that names them; none is the daemon's own.
pub(super) struct World {
    places: BTreeMap<Option<PathBuf>, Result<Place, PlaceError>>,
    looked: Option<Instant>,
}

/// One namespace, held open.
struct Place {
    netns: Option<(Netns, NetnsId)>,
    links: Links,
    /// None where the kernel gives no subscription: then every look lists.
    events: Option<LinkEvents>,
    found: BTreeMap<String, Link>,
    stale: bool,
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
        let devices = desired.ports.values().filter_map(|port| match &port.behind {
            Behind::Device(device) => Some(device.netns.clone()),
            Behind::Replay(_) => None,
        });
        Self { places: devices.map(|netns| (netns, Err(PlaceError::Unseen))).collect(), looked: None }
    }

    /// Brings the picture up to date, after a pause if the last look was just now.
    pub(super) fn look(&mut self) {
        if let Some(looked) = self.looked {
            thread::sleep(APART.saturating_sub(looked.elapsed()));
        }
        for (path, place) in &mut self.places {
            if let Err(error) = refresh(path.as_ref(), place) {
                *place = Err(error);
            }
        }
        self.looked = Some(Instant::now());
    }

    /// Waits until some namespace announces a change, at most so long. Returns whether one did.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        let events = self.places.values().flatten().filter_map(|place| place.events.as_ref());
        let mut fds: Vec<_> = events.map(|events| PollFd::new(events.as_fd(), PollFlags::POLLIN)).collect();
        // What interrupts this is worth a look as well.
        poll(&mut fds, PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO)) != Ok(0)
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
        let name = device.name.to_string();
        match (self.places.get(&device.netns), &device.netns) {
            (Some(Ok(place)), path) => place.find(&name).ok_or_else(|| Missing::Device {
                device: name,
                place: path.as_ref().map_or("the daemon's network namespace".into(), |path| path.display().to_string()),
            }),
            (Some(Err(PlaceError::Netns(NetnsError::Open { source, .. }))), Some(path))
                if source.kind() == ErrorKind::NotFound =>
            {
                Err(Missing::Namespace { device: name, path: path.clone() })
            }
            (Some(Err(error)), _) => Err(Missing::Unreadable(error.to_string())),
            (None, _) => Err(Missing::Unreadable(PlaceError::Unseen.to_string())),
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
        Ok(Self { netns, links, events, found: BTreeMap::new(), stale: true })
    }

    fn find(&self, name: &str) -> Option<Found<'_>> {
        let link = self.found.get(name)?;
        let spot = Spot { netns: self.netns.as_ref().map(|(_, id)| *id), index: link.index };
        Some(Found { spot, link, netns: self.netns.as_ref().map(|(netns, _)| netns) })
    }

    /// Lists the links if something was announced.
    fn list(&mut self) -> Result<(), HostError> {
        match &mut self.events {
            Some(events) => loop {
                match events.next(Duration::ZERO) {
                    Ok(None) => break,
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
            self.found = self.links.list()?.into_iter().map(|link| (link.name.clone(), link)).collect();
            self.stale = false;
        }
        Ok(())
    }
}

/// Opens the place if it is not, or if its path leads elsewhere by now, and lists it where it changed.
fn refresh(path: Option<&PathBuf>, place: &mut Result<Place, PlaceError>) -> Result<(), PlaceError> {
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

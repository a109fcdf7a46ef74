//! What all who attach and detach work with.

use std::sync::Arc;
use std::time::Duration;

use podlane_api::nearest;
use podlane_host::NetnsId;
use podlane_journal::Journal;

use super::book::{Book, Held};
use super::error::{AttachError, OrderError};
use super::leases::Leases;
use super::networks::Made;
use super::{Key, Kind, Order};
use crate::desired::{self, DeviceName, Mtu, Name, Network};
use crate::reconcile::Engine;

/// How long one who wants a key waits for who has it: longer than any step of theirs, shorter than a runtime's patience.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The largest packet of a pod whose network says nothing and has no tunnel.
const MTU: u32 = 1500;

/// IPv6's least (RFC 8200), and the least that IPv4 hosts must take (RFC 1122).
const LEAST_MTU: (u32, u32) = (1280, 576);

/// The parts.
pub(super) struct Inner {
    pub(super) engine: Arc<Engine>,
    pub(super) journal: Arc<Journal>,
    pub(super) leases: Leases,
    pub(super) book: Arc<Book>,
    pub(super) made: Made,
    /// The network namespace that the daemon runs in.
    pub(super) own: NetnsId,
    pub(super) instance: Name,
    pub(super) settings: desired::Attachments,
}

impl Inner {
    /// Takes a key, for as long as the return lives.
    pub(super) fn hold(&self, key: &Key) -> Result<Held, AttachError> {
        let busy = || AttachError::Busy { key: key.clone(), waited: PATIENCE };
        self.book.hold(key, PATIENCE).ok_or_else(busy)
    }

    /// The network of this name.
    pub(super) fn network(&self, name: &str) -> Result<Network, AttachError> {
        let desired = self.engine.desired();
        desired.networks.get(name).cloned().ok_or_else(|| {
            let nearest = nearest(name, desired.networks.keys().map(Name::as_str)).map(str::to_owned);
            AttachError::Network { network: name.to_owned(), nearest }
        })
    }

    /// The largest packet: the least of what is asked and what the network's path carries.
    pub(super) fn mtu(&self, order: &Order) -> Result<u32, AttachError> {
        let network = self.network(&order.network)?;
        let path = match self.engine.mtu(&network) {
            0 => MTU,
            carried => carried,
        };
        let mtu = order.mtu.map_or(path, |asked| asked.min(path));
        let has_v6 = network.subnets().any(|subnet| !subnet.network().is_ipv4());
        let least = if has_v6 { LEAST_MTU.0 } else { LEAST_MTU.1 };
        // What the network itself has is the operator's word.
        if mtu < least.min(path) {
            return Err(OrderError::Mtu { asked: mtu, least, most: *Mtu::BOUNDS.end() }.into());
        }
        Ok(mtu)
    }

    /// What stands beside a link of ours: whose it is, and what for.
    pub(super) fn alias(&self, order: &Order) -> String {
        let Key { list, container, interface, .. } = &order.key;
        let mut alias = format!("{} {interface} of {container} in {list}", self.alias_prefix());
        // The kernel takes 255 bytes; none of the names is anything but ASCII, or the end is no loss.
        while alias.len() > 255 {
            alias.pop();
        }
        alias
    }

    /// What the aliases of this instance's links begin with.
    pub(super) fn alias_prefix(&self) -> String {
        format!("podlane {}:", self.instance)
    }
}

impl Order {
    /// What is wrong with it wherever it is carried out.
    pub(super) fn check(&self) -> Result<(), OrderError> {
        if DeviceName::new(&self.key.interface).is_none() {
            return Err(OrderError::Interface(self.key.interface.clone()));
        }
        if let Some(mac) = self.mac.filter(|mac| !mac.is_unicast()) {
            return Err(OrderError::Mac(mac));
        }
        match self.kind {
            Kind::Taken { .. } | Kind::HostDevice { .. } if self.netns.is_none() => Err(OrderError::NoNetns),
            _ => Ok(()),
        }
    }
}

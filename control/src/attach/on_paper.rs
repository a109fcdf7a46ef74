//! Attachments that are only written down: what adapters are tested against, without namespaces and workers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard};

use podlane_api::{Gateway, MacAddr};

use super::{Address, Addressing, Attaches, Attachment, Interface, Key, Kind, MadeNetwork, Order, Stage};
use crate::desired::Prefix;

/// Does what [`Attaches`] promises, and nothing to the world.
#[derive(Default)]
pub(crate) struct OnPaper(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    configured: Vec<(String, Vec<Gateway>)>,
    made: Vec<MadeNetwork>,
    attached: BTreeMap<Key, Attachment>,
    leases: Vec<(String, IpAddr)>,
}

/// Why not, in one word of the tests.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(&'static str);

impl OnPaper {
    /// With one network in the configuration.
    pub(crate) fn with(network: &str, gateways: &[&str]) -> Self {
        let gateways = gateways.iter().map(|text| text.parse().unwrap()).collect();
        Self(Mutex::new(Pages { configured: vec![(network.to_owned(), gateways)], ..Pages::default() }))
    }

    /// How many addresses are given out.
    pub(crate) fn leased(&self) -> usize {
        self.pages().leases.len()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }
}

impl Pages {
    fn networks(&self) -> Vec<(String, Vec<Gateway>)> {
        let made = self.made.iter().filter(|network| network.stands_for.is_none());
        let made = made.map(|network| (network.name.clone(), network.gateways.clone()));
        self.configured.iter().cloned().chain(made).collect()
    }

    /// The first address after the gateway that is nobody's.
    fn free(&self, network: &str, gateway: Gateway) -> IpAddr {
        let after = |count: u8| -> IpAddr {
            match gateway.address() {
                IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() + u32::from(count)).into(),
                IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() + u128::from(count)).into(),
            }
        };
        (1..).map(after).find(|address| !self.leases.contains(&(network.to_owned(), *address))).unwrap()
    }

    fn gateways(&self, network: &str) -> Result<Vec<Gateway>, Refused> {
        let found = self.networks().into_iter().find(|(name, _)| name == network);
        found.map(|(_, gateways)| gateways).ok_or(Refused("no such network"))
    }

    fn addresses(&mut self, order: &Order) -> Result<Vec<Address>, Refused> {
        match &order.addressing {
            Addressing::Given { addresses } => Ok(addresses.clone()),
            Addressing::Own { .. } => {
                let gateways = self.gateways(&order.network)?;
                let lease = |gateway: Gateway| {
                    let address = self.free(&order.network, gateway);
                    self.leases.push((order.network.clone(), address));
                    let address = Gateway::new(address, gateway.prefix_len()).unwrap();
                    Address { address, gateway: Some(gateway.address()) }
                };
                Ok(gateways.into_iter().map(lease).collect())
            }
            Addressing::Delegated { .. } => Err(Refused("no plugin is run on paper")),
            Addressing::None => Ok(Vec::new()),
        }
    }
}

impl Attaches for OnPaper {
    type Error = Refused;

    fn attach(&self, order: Order) -> Result<Attachment, Refused> {
        let mut pages = self.pages();
        if let Some(there) = pages.attached.get(&order.key) {
            return Ok(there.clone());
        }
        pages.gateways(&order.network)?;
        if order.kind != Kind::Veth {
            return Err(Refused("only veths are written down"));
        }
        let addresses = pages.addresses(&order)?;
        let container = &order.key.container;
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let pod = match order.netns {
            Some(_) => order.key.interface.clone(),
            None => format!("pod-{container}"),
        };
        let attachment = Attachment {
            stage: Stage::Up,
            port: format!("port-{container}"),
            host: Some(Interface { name: format!("port-{container}"), mac }),
            pod: Some(Interface { name: pod, mac: order.mac.unwrap_or(mac) }),
            socket: None,
            addresses,
            routes: order.routes.clone(),
            dns: super::Dns::default(),
            mtu: order.mtu.unwrap_or(1500),
            since: 0,
            order,
        };
        pages.attached.insert(attachment.order.key.clone(), attachment.clone());
        Ok(attachment)
    }

    fn detach(&self, key: &Key) -> Result<(), Refused> {
        let mut pages = self.pages();
        let Some(gone) = pages.attached.remove(key) else { return Ok(()) };
        if matches!(gone.order.addressing, Addressing::Own { .. }) {
            pages
                .leases
                .retain(|(_, leased)| gone.addresses.iter().all(|address| address.address.address() != *leased));
        }
        Ok(())
    }

    fn attached(&self) -> Vec<Attachment> {
        self.pages().attached.values().cloned().collect()
    }

    fn make_network(&self, network: MadeNetwork) -> Result<(), Refused> {
        let mut pages = self.pages();
        if let Some(there) = pages.made.iter().find(|made| made.name == network.name) {
            return if *there == network { Ok(()) } else { Err(Refused("another network has this name")) };
        }
        pages.made.push(network);
        Ok(())
    }

    fn remove_network(&self, name: &str) -> Result<(), Refused> {
        let mut pages = self.pages();
        if pages.attached.values().any(|attachment| attachment.order.network == name) {
            return Err(Refused("something is attached to it"));
        }
        pages.made.retain(|made| made.name != name);
        Ok(())
    }

    fn made(&self) -> Vec<MadeNetwork> {
        self.pages().made.clone()
    }

    fn networks(&self) -> Vec<(String, Vec<Gateway>)> {
        self.pages().networks()
    }

    fn lease(&self, network: &str, subnet: Gateway, wished: Option<IpAddr>) -> Result<IpAddr, Refused> {
        let mut pages = self.pages();
        let mut gateways = pages.gateways(network)?.into_iter();
        let gateway = gateways.find(|gateway| Prefix::of(*gateway) == Prefix::of(subnet));
        let gateway = gateway.ok_or(Refused("not its subnet"))?;
        let address = wished.unwrap_or_else(|| pages.free(network, gateway));
        let lease = (network.to_owned(), address);
        if pages.leases.contains(&lease) {
            return Err(Refused("somebody's"));
        }
        pages.leases.push(lease);
        Ok(address)
    }

    fn release(&self, network: &str, address: IpAddr) -> Result<(), Refused> {
        self.pages().leases.retain(|lease| *lease != (network.to_owned(), address));
        Ok(())
    }
}

//! Addresses and neighbours of links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use netlink_bindings::rt_addr::{self, IfaFlags, Ifaddrmsg, OpGetaddrDump};
use netlink_bindings::rt_neigh::{self, Ndmsg, NudState};
use netlink_bindings::traits::NetlinkRequest;

use crate::netlink::{Refusal, Reply, deadline};
use crate::{HostError, LinkId, Links, MacAddress};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `RTM_NEWADDR`: the type of a message that describes an address.
const NEW_ADDRESS: u16 = 20;

/// Between two looks at addresses that are waited for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix, in bits.
    pub prefix: u8,
    /// Whether the kernel still probes for a duplicate, and does not use it yet.
    pub tentative: bool,
}

impl Links {
    /// Adds an address. An IPv6 address is not probed for duplicates, so it is usable as soon as
    /// the link is up.
    ///
    /// # Errors
    /// [`HostError::Exists`], [`HostError::BadPrefix`], and as any request.
    pub fn add_address<'a>(
        &mut self,
        link: impl Into<LinkId<'a>>,
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), HostError> {
        let link = link.into();
        let header = self.address_header(link, address, prefix)?;
        let mut request = rt_addr::Request::new().set_create().set_excl().op_newaddr_do(&header);
        let attributes = request.encode().push_local(address).push_address(address);
        match address {
            // Networks of one or two addresses have no broadcast (RFC 3021).
            IpAddr::V4(own) if prefix < 31 => attributes.push_broadcast(broadcast(own, prefix)),
            IpAddr::V4(_) => attributes,
            IpAddr::V6(_) => attributes.push_flags(IfaFlags::Nodad as u32),
        };
        self.tell(&request, format_args!("add {address}/{prefix} to {link}"))
    }

    /// Takes an address away.
    ///
    /// # Errors
    /// [`HostError::BadPrefix`], and as any request: the link does not have it.
    pub fn remove_address<'a>(
        &mut self,
        link: impl Into<LinkId<'a>>,
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), HostError> {
        let link = link.into();
        let header = self.address_header(link, address, prefix)?;
        let mut request = rt_addr::Request::new().op_deladdr_do(&header);
        request.encode().push_local(address);
        self.tell(&request, format_args!("take {address}/{prefix} from {link}"))
    }

    /// What says which address of which link a request is about.
    fn address_header(&mut self, link: LinkId<'_>, address: IpAddr, prefix: u8) -> Result<Ifaddrmsg, HostError> {
        check_prefix(address, prefix)?;
        let mut header = Ifaddrmsg::new();
        header.ifa_family = family(address);
        header.ifa_prefixlen = prefix;
        header.ifa_index = self.index_of(link)?;
        Ok(header)
    }

    /// The addresses of a link.
    ///
    /// # Errors
    /// As any request.
    pub fn addresses<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<Vec<LinkAddress>, HostError> {
        let link = link.into();
        let index = self.index_of(link)?;
        self.list_addresses(Some(index), format_args!("list the addresses of {link}"))
    }

    /// The addresses of all links of the namespace.
    ///
    /// # Errors
    /// As any request.
    pub fn all_addresses(&mut self) -> Result<Vec<LinkAddress>, HostError> {
        self.list_addresses(None, format_args!("list the addresses of all links"))
    }

    fn list_addresses(
        &mut self,
        index: Option<u32>,
        task: std::fmt::Arguments<'_>,
    ) -> Result<Vec<LinkAddress>, HostError> {
        let request = rt_addr::Request::new().op_getaddr_dump(&Ifaddrmsg::new());
        let mut addresses = Vec::new();
        self.ask(&request, task, |reply| {
            match reply {
                Reply::Restart => addresses.clear(),
                Reply::Message(message) if message.message_type == NEW_ADDRESS => {
                    addresses.extend(decode(message.payload, index)?);
                }
                Reply::Message(_) => {}
            }
            Ok(())
        })?;
        Ok(addresses)
    }

    /// Waits until the link has a link-local IPv6 address and none of its addresses is still
    /// probed for, for at most `bound`.
    ///
    /// # Errors
    /// [`HostError::TimedOut`].
    pub fn wait_for_ipv6<'a>(&mut self, link: impl Into<LinkId<'a>>, bound: Duration) -> Result<(), HostError> {
        let link = link.into();
        let deadline = deadline(bound);
        loop {
            let addresses = self.addresses(link)?;
            let settled = addresses.iter().all(|own| !own.tentative);
            if settled && addresses.iter().any(|own| is_link_local(own.address)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(HostError::TimedOut {
                    what: format!("the IPv6 addresses of {link} to become usable"),
                    waited: bound,
                });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Adds a neighbour that never ages, or replaces the one there is.
    ///
    /// # Errors
    /// As any request.
    pub fn add_neighbour<'a>(
        &mut self,
        link: impl Into<LinkId<'a>>,
        address: IpAddr,
        mac: MacAddress,
    ) -> Result<(), HostError> {
        let link = link.into();
        let mut header = Ndmsg::new();
        header.ndm_family = family(address);
        header.ndm_ifindex = self.index_of(link)?.cast_signed();
        header.ndm_state = NudState::Permanent as u16;
        let mut request = rt_neigh::Request::new().set_change().op_newneigh_do(&header);
        request.encode().push_dst(address).push_lladdr(&mac);
        self.tell(&request, format_args!("add the neighbour {address} to {link}"))
    }

    /// Has the kernel forget a neighbour, whatever it knows of it.
    ///
    /// # Errors
    /// [`HostError::Refused`] with ENOENT when it knows none of that address, and as any request.
    pub fn remove_neighbour<'a>(&mut self, link: impl Into<LinkId<'a>>, address: IpAddr) -> Result<(), HostError> {
        let link = link.into();
        let mut header = Ndmsg::new();
        header.ndm_family = family(address);
        header.ndm_ifindex = self.index_of(link)?.cast_signed();
        let mut request = rt_neigh::Request::new().op_delneigh_do(&header);
        request.encode().push_dst(address);
        self.tell(&request, format_args!("forget the neighbour {address} of {link}"))
    }
}

/// An address of the link of this index, or of any.
fn decode(payload: &[u8], index: Option<u32>) -> Result<Option<LinkAddress>, Refusal> {
    if payload.len() < Ifaddrmsg::len() {
        return Err(Refusal::Malformed("an address's header is cut short"));
    }
    let (header, attributes) = OpGetaddrDump::decode_reply(payload);
    if index.is_some_and(|index| header.ifa_index != index) {
        return Ok(None);
    }
    // On a point-to-point link `local` is ours and `address` the peer's; elsewhere they are the
    // same, and IPv6 sends only the latter.
    let address = attributes
        .get_local()
        .or_else(|_| attributes.get_address())
        .map_err(|_| Refusal::Malformed("an address is missing"))?;
    let flags = attributes.get_flags().unwrap_or(header.ifa_flags.into());
    Ok(Some(LinkAddress { address, prefix: header.ifa_prefixlen, tentative: flags & IfaFlags::Tentative as u32 != 0 }))
}

pub(crate) fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

pub(crate) fn check_prefix(address: IpAddr, prefix: u8) -> Result<(), HostError> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    if prefix <= most {
        return Ok(());
    }
    Err(HostError::BadPrefix { address, prefix, most })
}

/// The last address of the network.
fn broadcast(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() | host_bits)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6))
}

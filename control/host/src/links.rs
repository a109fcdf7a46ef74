//! Finding, changing, waiting for and deleting links.
//!
//! One [`Links`] is one pair of sockets (rtnetlink and ethtool) in one namespace. Methods take
//! whatever names a link: its index, its name or the [`Link`] itself.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use netlink_bindings::rt_link::{IfinfoFlags, Ifinfomsg, OpSetlinkDo, PushLinkAttrs, Request, RtextFilter};
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};

use crate::link::check_name;
use crate::netlink::{Netlink, Refusal, Reply, deadline};
use crate::{HostError, Link, LinkCounters, LinkId, MacAddress, Netns};

/// Between two looks at a link that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// `IN6_ADDR_GEN_MODE_NONE` of linux/if_link.h.
const NONE: u8 = 1;

/// `RTM_NEWLINK`: the type of a message that describes a link.
pub(crate) const NEW_LINK: u16 = 16;

/// The links of one namespace.
#[derive(Debug)]
pub struct Links {
    route: Netlink,
    pub(crate) ethtool: Netlink,
    /// The number this kernel gave the ethtool family, once asked.
    pub(crate) ethtool_family: Option<u16>,
}

impl Links {
    /// Opens the calling thread's namespace.
    ///
    /// # Errors
    /// [`HostError::Socket`].
    pub fn open() -> Result<Self, HostError> {
        let open = |protocol| {
            Netlink::open(protocol).map_err(|source| HostError::Socket {
                task: "open the links of a network namespace".to_owned(),
                source,
            })
        };
        Ok(Self { route: open(NETLINK_ROUTE)?, ethtool: open(NETLINK_GENERIC)?, ethtool_family: None })
    }

    /// Opens another namespace.
    ///
    /// # Errors
    /// As [`Links::open`] and [`Netns::run`].
    pub fn open_in(netns: &Netns) -> Result<Self, HostError> {
        netns.run(Self::open)?
    }

    /// The link of this name.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`].
    pub fn by_name(&mut self, name: &str) -> Result<Link, HostError> {
        self.get(name)
    }

    /// The link of this index.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`].
    pub fn by_index(&mut self, index: u32) -> Result<Link, HostError> {
        self.get(index)
    }

    /// The link as it is now.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`].
    pub fn get<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<Link, HostError> {
        let link = link.into();
        self.look(link, SKIP_STATISTICS, Link::decode)
    }

    /// What the kernel counted on the link.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`].
    pub fn counters<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<LinkCounters, HostError> {
        self.look(link.into(), 0, LinkCounters::decode)
    }

    /// All links of the namespace, by index.
    ///
    /// # Errors
    /// [`HostError::Socket`], [`HostError::Malformed`] and the like.
    pub fn list(&mut self) -> Result<Vec<Link>, HostError> {
        let mut request = Request::new().op_getlink_dump(&Ifinfomsg::new());
        request.encode().push_ext_mask(SKIP_STATISTICS);
        let mut links = Vec::new();
        self.ask(&request, format_args!("list the links"), |reply| {
            match reply {
                Reply::Restart => links.clear(),
                Reply::Message(message) if message.message_type == NEW_LINK => {
                    links.push(Link::decode(message.payload)?);
                }
                Reply::Message(_) => {}
            }
            Ok(())
        })?;
        links.sort_by_key(|link| link.index);
        Ok(links)
    }

    /// Switches the link on.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`], and as any request.
    pub fn set_up<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<(), HostError> {
        let link = link.into();
        self.switch(link, true, format_args!("set {link} up"))
    }

    /// Switches the link off.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`], and as any request.
    pub fn set_down<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<(), HostError> {
        let link = link.into();
        self.switch(link, false, format_args!("set {link} down"))
    }

    /// Sets the largest packet, in bytes, without the Ethernet header.
    ///
    /// # Errors
    /// [`HostError::Refused`] with EINVAL for a size the device, or an XDP program on it, cannot do.
    pub fn set_mtu<'a>(&mut self, link: impl Into<LinkId<'a>>, mtu: u32) -> Result<(), HostError> {
        let link = link.into();
        let task = format_args!("set the MTU of {link} to {mtu}");
        self.set(link, task, |set| set.push_mtu(mtu))
    }

    /// Sets the Ethernet address.
    ///
    /// # Errors
    /// [`HostError::Refused`] for an address that is a group's or all zero.
    pub fn set_mac<'a>(&mut self, link: impl Into<LinkId<'a>>, mac: MacAddress) -> Result<(), HostError> {
        let link = link.into();
        let task = format_args!("set the address of {link} to {mac:02x?}");
        self.set(link, task, |set| set.push_address(&mac))
    }

    /// Gives the link another name.
    ///
    /// # Errors
    /// [`HostError::Exists`]; [`HostError::Busy`] on kernels that rename only what is down.
    pub fn rename<'a>(&mut self, link: impl Into<LinkId<'a>>, name: &str) -> Result<(), HostError> {
        check_name(name)?;
        // Beside an index, the name attribute is the new name; without one it is the old.
        let index = self.index_of(link.into())?;
        let link = LinkId::Index(index);
        let task = format_args!("rename {link} to {name}");
        self.set(link, task, |set| set.push_ifname_bytes(name.as_bytes()))
    }

    /// Moves the link to another namespace, where it is down and has no addresses.
    ///
    /// # Errors
    /// [`HostError::Exists`] when its name is taken there.
    pub fn move_to<'a>(&mut self, link: impl Into<LinkId<'a>>, netns: BorrowedFd<'_>) -> Result<(), HostError> {
        let link = link.into();
        let task = format_args!("move {link} to another network namespace");
        self.set(link, task, |set| set.push_net_ns_fd(descriptor(netns)))
    }

    /// Moves the link to another namespace, where it goes by `name`, is down and has no addresses.
    ///
    /// # Errors
    /// [`HostError::Exists`] when the name is taken there.
    pub fn move_as<'a>(
        &mut self,
        link: impl Into<LinkId<'a>>,
        netns: BorrowedFd<'_>,
        name: &str,
    ) -> Result<(), HostError> {
        check_name(name)?;
        let index = self.index_of(link.into())?;
        let link = LinkId::Index(index);
        let task = format_args!("move {link} to another network namespace as {name}");
        self.set(link, task, |set| set.push_ifname_bytes(name.as_bytes()).push_net_ns_fd(descriptor(netns)))
    }

    /// Notes beside the link what it is for, in at most 255 bytes; `ip link` shows it as its alias.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`], and as any request.
    pub fn set_alias<'a>(&mut self, link: impl Into<LinkId<'a>>, alias: &str) -> Result<(), HostError> {
        let link = link.into();
        let task = format_args!("set the alias of {link}");
        self.set(link, task, |set| set.push_ifalias_bytes(alias.as_bytes()))
    }

    /// Makes the link a port of `bridge`.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`] for either, [`HostError::Unsupported`] when `bridge` is none.
    pub fn enslave<'a, 'b>(
        &mut self,
        link: impl Into<LinkId<'a>>,
        bridge: impl Into<LinkId<'b>>,
    ) -> Result<(), HostError> {
        let (link, bridge) = (link.into(), bridge.into());
        let index = self.index_of(bridge)?;
        let task = format_args!("make {link} a port of {bridge}");
        self.set(link, task, |set| set.push_master(index))
    }

    /// Has the link be no port of a bridge or bond any more.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`], and as any request.
    pub fn free<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<(), HostError> {
        let link = link.into();
        let task = format_args!("take {link} out of its bridge");
        self.set(link, task, |set| set.push_master(0))
    }

    /// Has the kernel draw no link-local IPv6 address for the link, so that it sends nothing of its own there.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`], and as any request.
    pub fn without_link_local<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<(), HostError> {
        let link = link.into();
        let task = format_args!("have no link-local address on {link}");
        self.set(link, task, |set| {
            set.nested_af_spec().nested_inet6().push_addr_gen_mode(NONE).end_nested().end_nested()
        })
    }

    /// Has the link's kernel tell its neighbours by which Ethernet address its addresses are reached: an ARP announcement (RFC 5227)
    /// and an unsolicited neighbour advertisement (RFC 4861, 7.2.6) for each, where the sysctls `arp_notify` and `ndisc_notify` of the
    /// link are set. The kernel does so whenever a link is given an Ethernet address, be it the one it has; a packet socket
    /// could as well, but its end waits some 10 ms for the kernel's readers.
    ///
    /// # Errors
    /// As [`set_mac`](Self::set_mac).
    pub fn announce<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<(), HostError> {
        let now = self.get(link)?;
        match now.mac {
            Some(mac) => self.set_mac(&now, mac),
            None => Ok(()),
        }
    }

    /// Deletes the link, and with a veth its peer, wherever that is.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`]; [`HostError::Unsupported`] for hardware and `lo`.
    pub fn delete<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<(), HostError> {
        let link = link.into();
        let (header, name) = named(link)?;
        let mut request = Request::new().op_dellink_do(&header);
        push_name(request.encode(), name);
        self.tell(&request, format_args!("delete {link}"))
    }

    /// Looks at the link until `ready` holds, for at most `bound`, and returns what it then is.
    ///
    /// # Errors
    /// [`HostError::TimedOut`] with `what`; [`HostError::NoSuchLink`] once it is gone.
    pub fn wait_until<'a>(
        &mut self,
        link: impl Into<LinkId<'a>>,
        what: &str,
        bound: Duration,
        ready: impl Fn(&Link) -> bool,
    ) -> Result<Link, HostError> {
        let link = link.into();
        let deadline = deadline(bound);
        loop {
            let now = self.get(link)?;
            if ready(&now) {
                return Ok(now);
            }
            if Instant::now() >= deadline {
                return Err(HostError::TimedOut { what: format!("{link} {what}"), waited: bound });
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The index behind a name; an index is taken as it is, if it can be one.
    pub(crate) fn index_of(&mut self, link: LinkId<'_>) -> Result<u32, HostError> {
        match link {
            LinkId::Index(_) => Ok(named(link)?.0.ifi_index.cast_unsigned()),
            LinkId::Name(_) => Ok(self.get(link)?.index),
        }
    }

    /// Sends a request of which only success matters.
    pub(crate) fn tell<R: NetlinkRequest>(&mut self, request: &R, task: fmt::Arguments<'_>) -> Result<(), HostError> {
        self.ask(request, task, |_| Ok(()))
    }

    /// Sends a request to rtnetlink, and each reply to `each`.
    pub(crate) fn ask<R: NetlinkRequest>(
        &mut self,
        request: &R,
        task: fmt::Arguments<'_>,
        each: impl FnMut(Reply<'_>) -> Result<(), Refusal>,
    ) -> Result<(), HostError> {
        let outcome = match request.protocol() {
            Protocol::Raw { request_type, .. } => self.route.ask(request_type, request, each),
            Protocol::Generic(_) => Err(Refusal::Malformed("the request is not rtnetlink's")),
        };
        outcome.map_err(|refusal| HostError::of(task, refusal))
    }

    fn look<T>(
        &mut self,
        link: LinkId<'_>,
        mask: u32,
        decode: impl Fn(&[u8]) -> Result<T, Refusal>,
    ) -> Result<T, HostError> {
        let (header, name) = named(link)?;
        let mut request = Request::new().op_getlink_do(&header);
        push_name(request.encode(), name).push_ext_mask(mask);
        let mut found = None;
        let task = format_args!("look at {link}");
        self.ask(&request, task, |reply| {
            if let Reply::Message(message) = reply
                && message.message_type == NEW_LINK
            {
                found = Some(decode(message.payload)?);
            }
            Ok(())
        })?;
        found.ok_or_else(|| HostError::of(task, Refusal::Malformed("no link in it")))
    }

    fn switch(&mut self, link: LinkId<'_>, up: bool, task: fmt::Arguments<'_>) -> Result<(), HostError> {
        let (mut header, name) = named(link)?;
        header.ifi_change = IfinfoFlags::Up as u32;
        header.ifi_flags = if up { IfinfoFlags::Up as u32 } else { 0 };
        let mut request = Request::new().op_setlink_do(&header);
        push_name(request.encode(), name);
        self.tell(&request, task)
    }

    fn set(
        &mut self,
        link: LinkId<'_>,
        task: fmt::Arguments<'_>,
        change: impl FnOnce(Change<'_>) -> Change<'_>,
    ) -> Result<(), HostError> {
        let (header, name) = named(link)?;
        let mut request: OpSetlinkDo<'_> = Request::new().op_setlink_do(&header);
        change(push_name(request.encode(), name));
        self.tell(&request, task)
    }
}

/// The attributes of a change to a link.
type Change<'a> = PushLinkAttrs<&'a mut Vec<u8>>;

/// Spares the kernel the copying of counters nobody asked for.
const SKIP_STATISTICS: u32 = RtextFilter::SkipStats as u32;

/// A descriptor as an attribute carries it; a descriptor in hand is never negative.
pub(crate) fn descriptor(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// The header that names a link by index, and the name to push where there is none.
pub(crate) fn named(link: LinkId<'_>) -> Result<(Ifinfomsg, Option<&str>), HostError> {
    let mut header = Ifinfomsg::new();
    match link {
        LinkId::Name(name) => {
            check_name(name)?;
            Ok((header, Some(name)))
        }
        LinkId::Index(index) => match i32::try_from(index) {
            Ok(index) if index > 0 => {
                header.ifi_index = index;
                Ok((header, None))
            }
            _ => Err(HostError::NoSuchLink { task: format!("look at {link}"), says: Default::default() }),
        },
    }
}

fn push_name<'a>(change: Change<'a>, name: Option<&str>) -> Change<'a> {
    match name {
        Some(name) => change.push_ifname_bytes(name.as_bytes()),
        None => change,
    }
}

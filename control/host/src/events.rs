//! Changes of links as the kernel announces them, for whoever must notice that a port's device
//! went, came or lost its carrier.
//!
//! The kernel drops announcements that nobody reads in time. That is told, as
//! [`LinkEvent::Missed`], and never papered over: the reader then lists the links afresh.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_bindings::rt_link::Ifinfomsg;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;

use crate::links::NEW_LINK;
use crate::netlink::{Message, Messages, Netlink, Refusal, deadline};
use crate::{HostError, Link, Netns};

/// `RTM_DELLINK`.
const DELETE_LINK: u16 = 17;

/// `RTNLGRP_LINK`.
const LINK_GROUP: u32 = 1;

/// Room for announcements not yet read, in bytes as `setsockopt` takes them: about 910
/// announcements of a veth (Linux 6.18). Without CAP_NET_ADMIN, `net.core.rmem_max` bounds it.
const ROOM: usize = 1 << 20;

/// How many datagrams to throw away after a loss: more than fit into the room.
const STALE: u32 = 1 << 14;

/// What happened to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// It was made, moved here, or changed; this is what it was then.
    Changed(Link),
    /// It was deleted, or moved to another namespace.
    Gone {
        /// The index it had.
        index: u32,
        /// The name it had.
        name: String,
    },
    /// Announcements were lost, because they were not read in time: list the links again. What
    /// follows is not older than this event.
    Missed,
}

/// A subscription to the changes of all links of one namespace.
///
/// As a descriptor it is readable when something was announced; then call [`LinkEvents::next`]
/// with no time to wait until it returns `None`, since one reading may hold many events.
#[derive(Debug)]
pub struct LinkEvents {
    netlink: Netlink,
    read: VecDeque<LinkEvent>,
}

impl LinkEvents {
    /// Subscribes in the calling thread's namespace. What happens from here on is announced.
    ///
    /// # Errors
    /// [`HostError::Socket`].
    pub fn open() -> Result<Self, HostError> {
        let subscribed = Netlink::open(NETLINK_ROUTE).and_then(|netlink| {
            netlink.subscribe(LINK_GROUP, ROOM)?;
            Ok(netlink)
        });
        match subscribed {
            Ok(netlink) => Ok(Self { netlink, read: VecDeque::new() }),
            Err(source) => Err(HostError::Socket { task: "subscribe to the changes of links".to_owned(), source }),
        }
    }

    /// Subscribes in another namespace.
    ///
    /// # Errors
    /// As [`LinkEvents::open`] and [`Netns::run`].
    pub fn open_in(netns: &Netns) -> Result<Self, HostError> {
        netns.run(Self::open)?
    }

    /// The next event, or `None` when there was none within `bound`.
    ///
    /// # Errors
    /// [`HostError::Socket`] or [`HostError::Malformed`].
    pub fn next(&mut self, bound: Duration) -> Result<Option<LinkEvent>, HostError> {
        let deadline = deadline(bound);
        while self.read.is_empty() {
            match self.read_on(deadline) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(refusal) => {
                    let task = format_args!("read the changes of links");
                    return Err(HostError::of(task, refusal));
                }
            }
        }
        Ok(self.read.pop_front())
    }

    /// Reads one datagram into the queue; `false` once the deadline has passed.
    fn read_on(&mut self, deadline: Instant) -> Result<bool, Refusal> {
        match self.netlink.receive(deadline) {
            Ok(Some(datagram)) => {
                for message in Messages(datagram) {
                    self.read.extend(decode(&message?)?);
                }
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) if lost(&error) => {
                self.discard()?;
                self.read.push_back(LinkEvent::Missed);
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Throws away what is queued. The kernel reports a loss ahead of what it had queued before;
    /// that is older than a list taken now, and would undo it.
    fn discard(&mut self) -> Result<(), Refusal> {
        for _ in 0..STALE {
            match self.netlink.receive(Instant::now()) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if lost(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsFd for LinkEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

fn lost(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

fn decode(message: &Message<'_>) -> Result<Option<LinkEvent>, Refusal> {
    // A bridge announces its ports in a family of its own: a port that leaves a bridge looks there
    // like a link deleted. Only the family "unspecified" speaks of the link itself.
    let header = Ifinfomsg::new_from_zeroed(message.payload);
    if header.ifi_family != 0 {
        return Ok(None);
    }
    match message.message_type {
        NEW_LINK => Ok(Some(LinkEvent::Changed(Link::decode(message.payload)?))),
        DELETE_LINK => {
            let Link { index, name, .. } = Link::decode(message.payload)?;
            Ok(Some(LinkEvent::Gone { index, name }))
        }
        _ => Ok(None),
    }
}

//! What the kernel tells about one link, and how a caller names one.

use std::fmt;

use netlink_bindings::rt_link::{IfinfoFlags, Ifinfomsg, OpGetlinkDo, RtnlLinkStats64};
use netlink_bindings::traits::NetlinkRequest;

use crate::HostError;
use crate::netlink::Refusal;

/// An Ethernet address, in the order of the wire.
pub type MacAddress = [u8; 6];

/// The longest name a link can have (`IFNAMSIZ` less its terminator).
const LONGEST_NAME: usize = 15;

/// A link, named by its index or by its name, in the namespace of the [`Links`](crate::Links).
///
/// An index is exact; a name can be given to another link between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkId<'a> {
    /// By interface index.
    Index(u32),
    /// By interface name.
    Name(&'a str),
}

impl From<u32> for LinkId<'_> {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl<'a> From<&'a str> for LinkId<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for LinkId<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl From<&Link> for LinkId<'_> {
    fn from(link: &Link) -> Self {
        Self::Index(link.index)
    }
}

impl fmt::Display for LinkId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "link #{index}"),
            Self::Name(name) => write!(f, "link {name}"),
        }
    }
}

/// Refuses what the kernel would refuse with a bare EINVAL (`dev_valid_name`).
pub(crate) fn check_name(name: &str) -> Result<(), HostError> {
    let sized = (1..=LONGEST_NAME).contains(&name.len());
    let plain = !name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace());
    if sized && plain && name != "." && name != ".." {
        return Ok(());
    }
    Err(HostError::BadName { name: name.to_owned() })
}

/// A link as it was when the kernel was asked, or when it sent the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The interface index, unique in its namespace.
    pub index: u32,
    /// The interface name.
    pub name: String,
    /// The largest packet, in bytes, without the Ethernet header.
    pub mtu: u32,
    /// What somebody noted that it is for.
    pub alias: Option<String>,
    /// The Ethernet address; `None` for links that have none of six bytes.
    pub mac: Option<MacAddress>,
    /// The kind of virtual device (`veth`, `bridge`, `vxlan`); `None` for hardware and `lo`.
    pub kind: Option<String>,
    /// How many receive queues it was made with.
    pub rx_queues: u32,
    /// How many transmit queues it was made with.
    pub tx_queues: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether the other end is there and switched on.
    pub carrier: bool,
    /// The bridge (or bond) it is a port of.
    pub master: Option<u32>,
    /// The index of the other end of a veth, or of the link below; in the namespace of
    /// `peer_netns` when that is set, which may be any but this one.
    pub peer: Option<u32>,
    /// The namespace of `peer`, by the number this namespace knows it by; `None` for this one.
    pub peer_netns: Option<i32>,
}

impl Link {
    /// Reads the payload of an `RTM_NEWLINK` or `RTM_DELLINK` message.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Refusal> {
        if payload.len() < Ifinfomsg::len() {
            return Err(Refusal::Malformed("a link's header is cut short"));
        }
        let (header, attributes) = OpGetlinkDo::decode_reply(payload);
        let index = u32::try_from(header.ifi_index)
            .ok()
            .filter(|index| *index != 0)
            .ok_or(Refusal::Malformed("a link's index is not positive"))?;
        let name = attributes.get_ifname().map_err(|_| Refusal::Malformed("a link has no name"))?;
        let kind = attributes.get_linkinfo().and_then(|info| info.get_kind());
        Ok(Self {
            index,
            name: name.to_string_lossy().into_owned(),
            mtu: attributes.get_mtu().unwrap_or(0),
            alias: attributes.get_ifalias().ok().map(|alias| alias.to_string_lossy().into_owned()),
            mac: attributes.get_address().ok().and_then(|mac| mac.try_into().ok()),
            kind: kind.ok().map(|kind| kind.to_string_lossy().into_owned()),
            rx_queues: attributes.get_num_rx_queues().unwrap_or(1),
            tx_queues: attributes.get_num_tx_queues().unwrap_or(1),
            up: header.ifi_flags & IfinfoFlags::Up as u32 != 0,
            carrier: attributes.get_carrier().is_ok_and(|carrier| carrier != 0),
            master: attributes.get_master().ok(),
            peer: attributes.get_link().ok().filter(|peer| *peer != 0),
            peer_netns: attributes.get_link_netnsid().ok(),
        })
    }
}

/// What the kernel counted on a link since it was made.
///
/// Whether packets that an XDP program took, or that AF_XDP sent, are among them is up to the
/// driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Received packets dropped for want of room or of a taker.
    pub rx_dropped: u64,
    /// Received packets found broken.
    pub rx_errors: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped on their way out.
    pub tx_dropped: u64,
    /// Packets that failed to be sent.
    pub tx_errors: u64,
}

impl LinkCounters {
    /// Reads the payload of an `RTM_NEWLINK` message that was asked for with statistics.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Refusal> {
        if payload.len() < Ifinfomsg::len() {
            return Err(Refusal::Malformed("a link's header is cut short"));
        }
        let stats: RtnlLinkStats64 = OpGetlinkDo::decode_reply(payload)
            .1
            .get_stats64()
            .map_err(|_| Refusal::Malformed("a link has no counters"))?;
        Ok(Self {
            rx_packets: stats.rx_packets,
            rx_bytes: stats.rx_bytes,
            rx_dropped: stats.rx_dropped,
            rx_errors: stats.rx_errors,
            tx_packets: stats.tx_packets,
            tx_bytes: stats.tx_bytes,
            tx_dropped: stats.tx_dropped,
            tx_errors: stats.tx_errors,
        })
    }
}

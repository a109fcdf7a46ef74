//! Offload switches of links, over the ethtool family of generic netlink.
//!
//! The kernel knows offloads by some sixty names, and drivers implement different ones of them for
//! the same purpose. A [`Feature`] is a purpose; it stands for every name that serves it, so that
//! one word works for a veth and for a NIC.

use std::collections::HashSet;
use std::fmt;

use netlink_bindings::ethtool::{self, IterableBitset, OpFeaturesGetDo, PushHeader};
use netlink_bindings::nlctrl::{self, OpGetfamilyDo};
use netlink_bindings::traits::{NetlinkRequest, Pusher};

use crate::links::named;
use crate::netlink::{Refusal, Reply};
use crate::{HostError, LinkId, Links};

/// `GENL_ID_CTRL`: the family that knows the numbers of all others.
const CONTROL_FAMILY: u16 = 16;

/// `ETHTOOL_MSG_FEATURES_GET` and `ETHTOOL_MSG_FEATURES_SET` of linux/ethtool_netlink_generated.h.
/// Set by hand, because netlink-bindings 0.3.5 counts the notifications among the requests and so
/// sends 15 and 16, which read and set the sizes of rings.
const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;

/// Work that a kernel leaves to a device, or to later: by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Leaving the checksums of sent TCP and UDP packets unfinished.
    TxChecksum,
    /// Taking the device's word for the checksums of received packets.
    RxChecksum,
    /// Sending TCP segments larger than the MTU, for the device to cut (TCP segmentation offload).
    Tso,
    /// Cutting segments as late as possible (generic segmentation offload).
    Gso,
    /// Merging received segments (generic receive offload).
    Gro,
    /// Sending packets from scattered memory.
    ScatterGather,
    /// Cutting UDP segments as late as possible.
    UdpSegmentation,
    /// Taking VLAN tags off received packets.
    RxVlan,
    /// Leaving it to the device to put VLAN tags on.
    TxVlan,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 9] = [
        Self::TxChecksum,
        Self::RxChecksum,
        Self::Tso,
        Self::Gso,
        Self::Gro,
        Self::ScatterGather,
        Self::UdpSegmentation,
        Self::RxVlan,
        Self::TxVlan,
    ];

    /// The kernel's names for it (`netdev_features_strings`).
    #[must_use]
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::TxChecksum => &["tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"],
            Self::RxChecksum => &["rx-checksum"],
            Self::Tso => &[
                "tx-tcp-segmentation",
                "tx-tcp-ecn-segmentation",
                "tx-tcp-mangleid-segmentation",
                "tx-tcp6-segmentation",
                "tx-tcp-accecn-segmentation",
            ],
            Self::Gso => &["tx-generic-segmentation"],
            Self::Gro => &["rx-gro"],
            Self::ScatterGather => &["tx-scatter-gather"],
            Self::UdpSegmentation => &["tx-udp-segmentation"],
            Self::RxVlan => &["rx-vlan-hw-parse"],
            Self::TxVlan => &["tx-vlan-hw-insert"],
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TxChecksum => "transmit checksum offload",
            Self::RxChecksum => "receive checksum offload",
            Self::Tso => "TCP segmentation offload",
            Self::Gso => "generic segmentation offload",
            Self::Gro => "generic receive offload",
            Self::ScatterGather => "scatter-gather",
            Self::UdpSegmentation => "UDP segmentation offload",
            Self::RxVlan => "receive VLAN offload",
            Self::TxVlan => "transmit VLAN offload",
        })
    }
}

/// The offload switches of a link, as they were when the kernel was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    active: HashSet<String>,
    changeable: HashSet<String>,
}

impl Features {
    /// Whether the link does this, under any name.
    #[must_use]
    pub fn is_on(&self, feature: Feature) -> bool {
        feature.names().iter().any(|name| self.active.contains(*name))
    }

    /// Whether the link lets it be changed, under any name. An offload may be listed as changeable
    /// and still be held off by another: TSO without scatter-gather, or under an XDP program.
    #[must_use]
    pub fn can_change(&self, feature: Feature) -> bool {
        feature.names().iter().any(|name| self.changeable.contains(*name))
    }

    /// The kernel's names of what is on, sorted.
    #[must_use]
    pub fn active(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.active.iter().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

impl Links {
    /// The offload switches of a link.
    ///
    /// # Errors
    /// [`HostError::NoSuchLink`], and as any request.
    pub fn features<'a>(&mut self, link: impl Into<LinkId<'a>>) -> Result<Features, HostError> {
        let link = link.into();
        named(link)?;
        let mut request = ethtool::Request::new().op_features_get_do();
        request.header_mut().cmd = FEATURES_GET;
        push_link(request.encode().nested_header(), link);
        let mut features = None;
        let task = format_args!("read the offloads of {link}");
        self.ask_ethtool(&request, task, |reply| {
            if let Reply::Message(message) = reply {
                // The reply's four bytes of generic header are the decoder's to skip.
                let reply = OpFeaturesGetDo::decode_reply(message.payload);
                let (Ok(active), Ok(hardware)) = (reply.get_active(), reply.get_hw()) else {
                    return Err(Refusal::Malformed("a set of offloads is missing"));
                };
                features = Some(Features { active: names_in(&active), changeable: names_in(&hardware) });
            }
            Ok(())
        })?;
        features.ok_or_else(|| HostError::of(task, Refusal::Malformed("no offloads in it")))
    }

    /// Switches an offload on or off, under every name of it that the link lets be changed, and
    /// looks whether it then is. To ask for what is so already succeeds.
    ///
    /// # Errors
    /// [`HostError::FeatureFixed`] when the link keeps it as it is; [`HostError::NoSuchLink`].
    pub fn set_feature<'a>(
        &mut self,
        link: impl Into<LinkId<'a>>,
        feature: Feature,
        on: bool,
    ) -> Result<(), HostError> {
        let link = link.into();
        let before = self.features(link)?;
        // A kernel refuses a name it has never heard of, and the names grow with its version; what
        // it lists as changeable it knows.
        let names: Vec<&str> =
            feature.names().iter().copied().filter(|name| before.changeable.contains(*name)).collect();
        if !names.is_empty() {
            self.request_feature(link, feature, &names, on)?;
        }
        if self.features(link)?.is_on(feature) == on {
            return Ok(());
        }
        Err(HostError::FeatureFixed { link: link.to_string(), feature, asked: on })
    }

    fn request_feature(
        &mut self,
        link: LinkId<'_>,
        feature: Feature,
        names: &[&str],
        on: bool,
    ) -> Result<(), HostError> {
        let mut request = ethtool::Request::new().op_features_set_do();
        request.header_mut().cmd = FEATURES_SET;
        let attributes = push_link(request.encode().nested_header(), link);
        let mut bits = attributes.nested_wanted().nested_bits();
        for name in names {
            let bit = bits.nested_bit().push_name_bytes(name.as_bytes());
            // A bit that is named without a value is asked to be off.
            let bit = if on { bit.push_value(()) } else { bit };
            bits = bit.end_nested();
        }
        drop(bits);
        let word = if on { "on" } else { "off" };
        let task = format_args!("switch {feature} {word} on {link}");
        self.ask_ethtool(&request, task, |_| Ok(()))
    }

    fn ask_ethtool<R: NetlinkRequest>(
        &mut self,
        request: &R,
        task: fmt::Arguments<'_>,
        each: impl FnMut(Reply<'_>) -> Result<(), Refusal>,
    ) -> Result<(), HostError> {
        let family = self.find_ethtool(task)?;
        let outcome = self.ethtool.ask(family, request, each);
        outcome.map_err(|refusal| HostError::of(task, refusal))
    }

    fn find_ethtool(&mut self, task: fmt::Arguments<'_>) -> Result<u16, HostError> {
        if let Some(family) = self.ethtool_family {
            return Ok(family);
        }
        let mut request = nlctrl::Request::new().op_getfamily_do();
        request.encode().push_family_name(c"ethtool");
        let mut found = None;
        let outcome = self.ethtool.ask(CONTROL_FAMILY, &request, |reply| {
            if let Reply::Message(message) = reply {
                found = OpGetfamilyDo::decode_reply(message.payload).get_family_id().ok();
            }
            Ok(())
        });
        outcome.map_err(|refusal| HostError::of(task, refusal))?;
        let family = found.ok_or_else(|| HostError::of(task, Refusal::Malformed("no family number in it")))?;
        self.ethtool_family = Some(family);
        Ok(family)
    }
}

/// The header of a request about one link; the caller adds what it asks.
fn push_link<P: Pusher>(header: PushHeader<P>, link: LinkId<'_>) -> P {
    match link {
        LinkId::Index(index) => header.push_dev_index(index),
        LinkId::Name(name) => header.push_dev_name_bytes(name.as_bytes()),
    }
    .end_nested()
}

/// The names of the bits that are set. With a mask, every bit in the mask is listed and those set
/// carry a value; without one, only those set are listed.
fn names_in(set: &IterableBitset<'_>) -> HashSet<String> {
    let all_listed_are_set = set.get_nomask().is_ok();
    let Ok(bits) = set.get_bits() else {
        return HashSet::new();
    };
    bits.get_bit()
        .filter(|bit| all_listed_are_set || bit.get_value().is_ok())
        .filter_map(|bit| bit.get_name().ok())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

//! What every subject with a tunnel is given: which link leads to the pod, which one is the uplink, and what crosses.

use podlane_host::Links;

use crate::{
    bed::{Bed, HostEnd},
    load::{
        traffic::{PACKET, Traffic},
        underlay::{OUTER, uplink_mac},
    },
    subject::SubjectError,
};

/// Flows that cross: enough that none is the next packet's, few enough for every switch's cache.
const FLOWS: u16 = 1000;

/// Which way packets cross a tunnel's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From a pod to another node.
    Encapsulation,
    /// From another node to a pod.
    Decapsulation,
}

/// The bed's links, by what they lead to.
pub(crate) struct Ends {
    pub(crate) pod: HostEnd,
    pub(crate) uplink: HostEnd,
}

impl Direction {
    /// What is sent.
    #[must_use]
    pub const fn traffic(self) -> Traffic {
        match self {
            Self::Encapsulation => Traffic::bridged(FLOWS),
            Self::Decapsulation => Traffic::tunnelled(FLOWS),
        }
    }

    /// Bytes of what arrives.
    #[must_use]
    pub const fn arriving(self) -> usize {
        match self {
            Self::Encapsulation => OUTER + PACKET,
            Self::Decapsulation => PACKET,
        }
    }

    /// The bed's links, the uplink with the MAC address that the far node sends to.
    pub(crate) fn ends(self, bed: &Bed) -> Result<Ends, SubjectError> {
        let [from, to] = bed.host_ends();
        let (pod, uplink) = match self {
            Self::Encapsulation => (from, to),
            Self::Decapsulation => (to, from),
        };
        Links::open_in(bed.switch())?.set_mac(uplink.ifindex, uplink_mac().0)?;
        Ok(Ends { pod, uplink })
    }
}

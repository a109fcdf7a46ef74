//! What every subject with a tunnel is given: which link leads to the pod, which one is the uplink, and what crosses.

use podlane_host::Links;

use crate::{
    bed::{Bed, HostEnd},
    load::{
        traffic::{PACKET, Traffic},
        underlay::{OUTER, uplink_mac},
    },
    subject::{Row, Subject, SubjectError},
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
    /// A subject with a tunnel, which `subject` is to cross this way.
    #[must_use]
    pub const fn row(self, name: &'static str, subject: &'static dyn Subject) -> Row {
        match self {
            Self::Encapsulation => Row { arriving: OUTER + PACKET, ..Row::new(name, Traffic::bridged(FLOWS), subject) },
            Self::Decapsulation => Row::new(name, Traffic::tunnelled(FLOWS), subject),
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

//! What every subject with a tunnel is given: which link leads to the pod, and which one is the uplink.

use podlane_host::Links;

use crate::{
    bed::{Bed, HostEnd},
    load::underlay::uplink_mac,
    subject::{SubjectError, Way},
};

/// The bed's links, by what they lead to.
pub(crate) struct Ends {
    pub(crate) pod: HostEnd,
    pub(crate) uplink: HostEnd,
}

impl Ends {
    /// The bed's links for one way through the tunnel, the uplink with the MAC address that the far node sends to.
    pub(super) fn of(bed: &Bed, way: Way) -> Result<Self, SubjectError> {
        let [from, to] = bed.host_ends();
        let (pod, uplink) = if way == Way::Decapsulated { (to, from) } else { (from, to) };
        Links::open_in(bed.switch())?.set_mac(uplink.ifindex, uplink_mac().0)?;
        Ok(Self { pod, uplink })
    }
}

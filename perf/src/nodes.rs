//! Two nodes, joined by an underlay, each with one pod: the bed of what crosses both ends of a tunnel.
//!
//! ```text
//!   pod 1           node 1                          node 2           pod 2
//!   eth0 ═══════ pod     up0 ═══════════════════ up0     pod ═══════ eth0
//! ```
//!
//! Like the [`Bed`](crate::bed::Bed), without names: it goes with this process.

use std::os::fd::AsFd;

use podlane_host::{
    Netns, Veth, VethPeer,
    lab::{Lab, Pod, PodSpec},
};

use crate::{
    bed::{BedError, HostEnd, station_mac},
    cores::Cores,
    load::{
        traffic::address,
        underlay::{OUTER, PREFIX, peer_mac, uplink_mac},
    },
    subject::{UNDERLAY_MTU, tunnel::Ends},
};

/// What each node's end of the underlay is called.
const UPLINK: &str = "up0";

/// The nodes.
pub struct Nodes {
    labs: [Lab; 2],
    pods: [Pod; 2],
    uplinks: [u32; 2],
    /// What there is to run on.
    pub cores: Cores,
}

impl Nodes {
    /// Makes nodes, pods and the links between them.
    ///
    /// # Errors
    /// [`BedError`]; nothing is left behind.
    pub fn lay() -> Result<Self, BedError> {
        if let Some(lacking) = Lab::skip_reason() {
            return Err(BedError::Lacking(lacking));
        }
        let cores = Cores::of_this_process()?;
        let [mut first, mut second] = [Lab::new()?, Lab::new()?];
        let pods = [first.pod(&spec(1))?, second.pod(&spec(2))?];
        let near = first.links().veth(&Veth {
            name: UPLINK,
            mtu: UNDERLAY_MTU.into(),
            mac: Some(uplink_mac().0),
            queues: 1,
            peer: VethPeer { name: UPLINK, netns: Some(second.switch().as_fd()), mac: Some(peer_mac().0) },
        })?;
        let far = second.links().by_name(UPLINK)?.index;
        first.links().set_up(near)?;
        second.links().set_up(far)?;
        Ok(Self { labs: [first, second], pods, uplinks: [near, far], cores })
    }

    /// The namespace of a node, 0 or 1.
    pub(crate) fn node(&self, number: usize) -> &Netns {
        self.labs[number].switch()
    }

    /// A node's links.
    pub(crate) fn ends(&self, number: usize) -> Ends {
        let pod = &self.pods[number];
        Ends {
            pod: HostEnd { name: pod.host_ifname.clone(), ifindex: pod.host_ifindex },
            uplink: HostEnd { name: UPLINK.to_owned(), ifindex: self.uplinks[number] },
        }
    }

    /// The pod that sends.
    #[must_use]
    pub fn from(&self) -> &Netns {
        &self.pods[0].netns
    }

    /// The pod that receives.
    #[must_use]
    pub fn to(&self) -> &Netns {
        &self.pods[1].netns
    }
}

/// The pod with a station's addresses; its packets fit the underlay with the tunnel's headers before them.
fn spec(station: u8) -> PodSpec {
    PodSpec {
        ipv4: Some((address(0, station), PREFIX)),
        mtu: u32::from(UNDERLAY_MTU) - OUTER as u32,
        mac: Some(station_mac(station).0),
        ..PodSpec::named("pod")
    }
}

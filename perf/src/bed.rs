//! The bed of a measurement: two pods, each joined by a veth to a namespace where the switch's ends are.
//!
//! ```text
//!   pod "from"                switch's namespace                pod "to"
//!   load ── eth0 ═══════ from     (what is measured)     to ═══════ eth0 ── count
//!   core 0                        core 1                                core 0
//! ```
//!
//! All namespaces are without names, so the kernel removes them and the links with this process, however it ends. The
//! pods have no addresses and no IPv6: nothing crosses the bed but what the load sends.

use podlane_host::{
    HostError, Netns, NetnsError,
    lab::{Lab, Lacking, Pod, PodSpec},
};
use podlane_wire::MacAddr;
use thiserror::Error;

use crate::cores::{Cores, CoresError};

/// What every veth's pod end is called.
pub const POD_LINK: &str = "eth0";

/// Why a bed could not be made.
#[derive(Debug, Error)]
pub enum BedError {
    /// The host or the user lacks something.
    #[error("no bed to measure on: {0}")]
    Lacking(Lacking),
    /// Load and switch cannot be kept apart.
    #[error(transparent)]
    Cores(#[from] CoresError),
    /// The kernel refused a link.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The kernel refused a namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
}

/// One link's end in the switch's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEnd {
    /// Its name.
    pub name: String,
    /// Its index there.
    pub ifindex: u32,
}

/// The two pods and the place between them.
pub struct Bed {
    lab: Lab,
    pods: [Pod; 2],
    /// Where load and switch run.
    pub cores: Cores,
}

impl Bed {
    /// Makes the pods and their links; about 20 ms.
    ///
    /// # Errors
    /// [`BedError`]; nothing is left behind.
    pub fn lay() -> Result<Self, BedError> {
        if let Some(lacking) = Lab::skip_reason() {
            return Err(BedError::Lacking(lacking));
        }
        let cores = Cores::of_this_process()?;
        let mut lab = Lab::new()?;
        let from = lab.pod(&PodSpec::named("from"))?;
        let to = lab.pod(&PodSpec::named("to"))?;
        Ok(Self { lab, pods: [from, to], cores })
    }

    /// The switch's ends: where packets come in, and where they are to leave.
    #[must_use]
    pub fn host_ends(&self) -> [HostEnd; 2] {
        self.pods.each_ref().map(|pod| HostEnd { name: pod.host_ifname.clone(), ifindex: pod.host_ifindex })
    }

    /// The namespace of the switch's ends.
    #[must_use]
    pub fn switch(&self) -> &Netns {
        self.lab.switch()
    }

    /// The pod that sends.
    #[must_use]
    pub fn from(&self) -> &Pod {
        &self.pods[0]
    }

    /// The pod that receives.
    #[must_use]
    pub fn to(&self) -> &Pod {
        &self.pods[1]
    }

    /// The lab itself, for links beyond the two.
    pub fn lab(&mut self) -> &mut Lab {
        &mut self.lab
    }
}

/// A station of the load, as tables and packets name it. Its MAC address is nobody's: the kernel of the receiving pod then
/// throws the packet away at once instead of answering it.
#[must_use]
pub const fn station_mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0x5a, number])
}

//! Who can be compared: one line each.

use clap::ValueEnum;

use crate::subject::{
    Subject, bridge::Bridge, crossconnect::CrossConnect, drain::Drain, kernel_vxlan::KernelVxlan, nftables::Nftables,
    ovs::Ovs, podlane::Podlane, testpmd::Testpmd, vpp::Vpp, wire::Wire,
};

/// A row of every table, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contender {
    /// What the load itself can do, which nobody behind it can be seen to pass.
    Limit,
    /// Podlane.
    Podlane,
    /// Who it is measured against.
    Rival(Rival),
}

/// Who Podlane can be measured against.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum Rival {
    /// One veth from pod to pod, no switch.
    Veth,
    /// Podlane's own rings and packet memory with no look at a byte.
    CrossConnect,
    /// The kernel's bridge.
    Bridge,
    /// The kernel's bridge, where each packet meets nftables rules one by one.
    Nftables,
    /// The kernel's bridge with nftables behind connection tracking (`br_netfilter`).
    NftablesCt,
    /// The kernel's `vxlan` device and bridge.
    KernelVxlan,
    /// Open vSwitch with AF_XDP ports.
    OvsAfxdp,
    /// Open vSwitch with DPDK's `net_af_xdp` ports.
    OvsDpdk,
    /// DPDK's testpmd, `io` on `net_af_xdp`.
    Testpmd,
    /// VPP with `af_xdp` interfaces.
    Vpp,
    /// Nobody.
    Nothing,
}

impl Contender {
    /// What is started for it, if it is anybody.
    pub(crate) const fn subject(self) -> Option<&'static dyn Subject> {
        Some(match self {
            Self::Limit => &Drain,
            Self::Podlane => &Podlane,
            Self::Rival(Rival::Veth) => &Wire,
            Self::Rival(Rival::CrossConnect) => &CrossConnect,
            Self::Rival(Rival::Bridge) => &Bridge,
            Self::Rival(Rival::Nftables) => &Nftables::Linear,
            Self::Rival(Rival::NftablesCt) => &Nftables::Tracked,
            Self::Rival(Rival::KernelVxlan) => &KernelVxlan,
            Self::Rival(Rival::OvsAfxdp) => &Ovs::AfXdp,
            Self::Rival(Rival::OvsDpdk) => &Ovs::Dpdk,
            Self::Rival(Rival::Testpmd) => &Testpmd,
            Self::Rival(Rival::Vpp) => &Vpp,
            Self::Rival(Rival::Nothing) => return None,
        })
    }
}

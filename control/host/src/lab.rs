//! Pods for tests and the demo: real kernels in namespaces without names.
//!
//! ```text
//!   pod "blue"            switch             pod "red"
//!  ┌──────────┐      ┌──────────────┐      ┌──────────┐
//!  │ lo  eth0 ├──────┤ blue     red ├──────┤ eth0  lo │
//!  └──────────┘ veth └──────────────┘ veth └──────────┘
//! ```
//!
//! Whoever holds a [`Lab`] and its [`Pod`]s holds the only descriptors of these namespaces, so the
//! kernel removes links and namespaces with the last of them: after a return, a panic and a
//! SIGKILL alike, and two labs never meet. The kernel does that in its own time, 5 to 50 ms after
//! the drop; [`Pod::remove`] waits for the links.
//!
//! ```no_run
//! use podlane_host::lab::{Lab, PodSpec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut lab = Lab::new()?;
//! let blue = lab.pod(&PodSpec {
//!     ipv4: Some(([10, 0, 0, 2].into(), 24)),
//!     gateway_v4: Some([10, 0, 0, 1].into()),
//!     ..PodSpec::named("blue")
//! })?;
//! let socket = blue.run(|| std::net::UdpSocket::bind("10.0.0.2:7000"))??;
//! # Ok(())
//! # }
//! ```

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::{HostError, Link, Links, MacAddress, Netns, NetnsError, Veth, VethPeer, sysctl};

/// The name of every pod's link, as in a container.
const POD_LINK: &str = "eth0";

/// How long a link or an address may take to become usable. A whole pod takes 1 to 10 ms on an
/// idle host; the rest is for a loaded one, whose work queues lag.
const USABLE_WITHIN: Duration = Duration::from_secs(5);

/// `AF_XDP` of linux/socket.h.
const AF_XDP: i32 = 44;

/// A namespace for the switch, to which pods are connected.
#[derive(Debug)]
pub struct Lab {
    switch: Netns,
    links: Links,
}

/// What a pod is to have. The default: no addresses, an MTU of 1500 and one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSpec {
    /// The name of the switch's end of the veth; the pod's end is always `eth0`.
    pub name: String,
    /// Its IPv4 address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Its IPv6 address and prefix length; without one the pod has IPv6 switched off, and so sends
    /// none of the packets that IPv6 sends unasked.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// The gateway of its default IPv4 route.
    pub gateway_v4: Option<Ipv4Addr>,
    /// The gateway of its default IPv6 route.
    pub gateway_v6: Option<Ipv6Addr>,
    /// The largest packet of both ends, in bytes, without the Ethernet header.
    pub mtu: u32,
    /// How many receive, and how many transmit queues each end gets.
    pub queues: u32,
    /// The address of `eth0`; `None` lets the kernel draw one.
    pub mac: Option<MacAddress>,
}

impl Default for PodSpec {
    fn default() -> Self {
        Self {
            name: "pod".to_owned(),
            ipv4: None,
            ipv6: None,
            gateway_v4: None,
            gateway_v6: None,
            mtu: 1500,
            queues: 1,
            mac: None,
        }
    }
}

impl PodSpec {
    /// A pod of this name, else the default.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// A pod, its link up and its addresses usable. Dropping it removes it.
#[derive(Debug)]
pub struct Pod {
    /// The pod's namespace.
    pub netns: Netns,
    /// The name of the switch's end of its veth.
    pub host_ifname: String,
    /// The index of the switch's end, in the switch's namespace.
    pub host_ifindex: u32,
    /// The address of the switch's end.
    pub host_mac: MacAddress,
    /// The address of `eth0`.
    pub mac: MacAddress,
    /// What was asked for.
    pub spec: PodSpec,
}

impl Pod {
    /// Runs `work` inside the pod; see [`Netns::run`].
    ///
    /// # Errors
    /// As [`Netns::run`].
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        self.netns.run(work)
    }

    /// Opens the pod's links.
    ///
    /// # Errors
    /// As [`Links::open_in`].
    pub fn links(&self) -> Result<Links, HostError> {
        Links::open_in(&self.netns)
    }

    /// Removes the pod, and returns when both ends of its veth are gone; some 15 ms. A pod whose
    /// link is gone already is removed without complaint.
    ///
    /// # Errors
    /// As [`Links::delete`].
    pub fn remove(self) -> Result<(), HostError> {
        // From the pod's side: there the link has one name, whatever the switch did with its end.
        match self.links()?.delete(POD_LINK) {
            Err(HostError::NoSuchLink { .. }) => Ok(()),
            deleted => deleted,
        }
    }
}

impl Lab {
    /// Makes the switch's namespace. Its own IPv6 is switched off, so that the kernel sends
    /// nothing of its own into the pods.
    ///
    /// # Errors
    /// [`NetnsError::NotPermitted`] without root.
    pub fn new() -> Result<Self, HostError> {
        let switch = Netns::anonymous()?;
        let links = switch.run(|| {
            switch_off_ipv6()?;
            Links::open()
        })??;
        Ok(Self { switch, links })
    }

    /// The switch's namespace.
    #[must_use]
    pub fn switch(&self) -> &Netns {
        &self.switch
    }

    /// The links of the switch's namespace.
    pub fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// Makes a pod and connects it; returns once both ends have a carrier and its addresses are
    /// usable.
    ///
    /// # Errors
    /// [`HostError::Exists`] when the lab has a pod of that name; nothing is left behind.
    pub fn pod(&mut self, spec: &PodSpec) -> Result<Pod, HostError> {
        let netns = Netns::anonymous()?;
        let mut inside = netns.run(|| {
            settle_ipv6(spec)?;
            Links::open()
        })??;
        let host_ifindex = self.links.veth(&Veth {
            name: &spec.name,
            mtu: spec.mtu,
            mac: None,
            queues: spec.queues,
            peer: VethPeer { name: POD_LINK, netns: Some(netns.as_fd()), mac: spec.mac },
        })?;
        // The switch's end first: then the pod's end has a carrier as soon as it is up.
        self.links.set_up(host_ifindex)?;
        let pod_end = configure(&mut inside, spec)?;
        let host_end = with_carrier(&mut self.links, &spec.name)?;
        Ok(Pod {
            netns,
            host_ifname: spec.name.clone(),
            host_ifindex,
            host_mac: mac_of(&host_end)?,
            mac: mac_of(&pod_end)?,
            spec: spec.clone(),
        })
    }

    /// Why this host, or this user, cannot have a lab with AF_XDP ports; `None` if it can. Tried
    /// out once in a process.
    #[must_use]
    pub fn skip_reason() -> Option<Lacking> {
        static LACKING: OnceLock<Option<Lacking>> = OnceLock::new();
        *LACKING.get_or_init(|| try_out().err())
    }
}

/// What a host lacks for a [`Lab`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Lacking {
    /// Namespaces need a capability.
    #[error("making network namespaces needs root")]
    Root,
    /// No veth could be made.
    #[error("this kernel makes no veth pairs (module veth)")]
    Veth,
    /// No AF_XDP socket could be opened.
    #[error("this kernel opens no AF_XDP sockets (CONFIG_XDP_SOCKETS, CAP_NET_RAW)")]
    AfXdp,
}

/// Whether the test `name` must be skipped here; if so, says why straight to standard error, which
/// the test harness does not capture.
#[must_use]
pub fn skip(name: &str) -> bool {
    let Some(reason) = Lab::skip_reason() else {
        return false;
    };
    // In one piece, for tests run side by side. Nobody is left to tell when it cannot be written.
    let line = format!("skipped: {name}: {reason}\n");
    let _ = io::stderr().write_all(line.as_bytes());
    true
}

fn try_out() -> Result<(), Lacking> {
    let netns = Netns::anonymous().map_err(|_| Lacking::Root)?;
    netns
        .run(|| {
            let ends = Veth {
                name: "try",
                mtu: 1500,
                mac: None,
                queues: 1,
                peer: VethPeer { name: "out", netns: None, mac: None },
            };
            Links::open().and_then(|mut links| links.veth(&ends)).map_err(|_| Lacking::Veth)?;
            Socket::new(Domain::from(AF_XDP), Type::RAW, None).map(drop).map_err(|_| Lacking::AfXdp)
        })
        .map_err(|_| Lacking::Root)?
}

/// Settles how the calling thread's namespace does IPv6, before it has a link.
fn settle_ipv6(spec: &PodSpec) -> Result<(), HostError> {
    if spec.ipv6.is_none() {
        return switch_off_ipv6();
    }
    for conf in ["all", "default"] {
        // Without this the link-local address is probed for a second before it is used. Both
        // are needed: the kernel skips the probe only where both forbid it.
        sysctl(&format!("net/ipv6/conf/{conf}/accept_dad"), 0)?;
        sysctl(&format!("net/ipv6/conf/{conf}/dad_transmits"), 0)?;
        // Routes come from the spec alone.
        sysctl(&format!("net/ipv6/conf/{conf}/accept_ra"), 0)?;
        sysctl(&format!("net/ipv6/conf/{conf}/router_solicitations"), 0)?;
    }
    Ok(())
}

fn switch_off_ipv6() -> Result<(), HostError> {
    if !Path::new("/proc/sys/net/ipv6").exists() {
        return Ok(());
    }
    sysctl("net/ipv6/conf/all/disable_ipv6", 1)?;
    sysctl("net/ipv6/conf/default/disable_ipv6", 1)
}

/// Gives the pod's end its addresses and routes, and returns it once they are usable.
fn configure(inside: &mut Links, spec: &PodSpec) -> Result<Link, HostError> {
    inside.set_up("lo")?;
    let index = inside.by_name(POD_LINK)?.index;
    if let Some((address, prefix)) = spec.ipv4 {
        inside.add_address(index, address.into(), prefix)?;
    }
    if let Some((address, prefix)) = spec.ipv6 {
        inside.add_address(index, address.into(), prefix)?;
    }
    inside.set_up(index)?;
    let link = with_carrier(inside, POD_LINK)?;
    if let Some(gateway) = spec.gateway_v4 {
        let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        inside.add_route(anywhere, 0, Some(gateway.into()), index)?;
    }
    if let Some(gateway) = spec.gateway_v6 {
        let anywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        inside.add_route(anywhere, 0, Some(gateway.into()), index)?;
    }
    if spec.ipv6.is_some() {
        inside.wait_for_ipv6(index, USABLE_WITHIN)?;
    }
    Ok(link)
}

fn with_carrier(links: &mut Links, name: &str) -> Result<Link, HostError> {
    links.wait_until(name, "to have a carrier", USABLE_WITHIN, |link| link.up && link.carrier)
}

fn mac_of(link: &Link) -> Result<MacAddress, HostError> {
    link.mac.ok_or_else(|| HostError::Malformed {
        task: format!("look at link {}", link.name),
        reason: "a veth has no Ethernet address",
    })
}

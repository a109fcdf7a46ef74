//! The bed of a measurement: two pods, each joined by a veth to a namespace where the switch's ends are.
//!
//! ```text
//!   pod "from"                switch's namespace                pod "to"
//!   load ── eth0 ═══════ from     (what is measured)     to ═══════ eth0 ── count
//!   core 0                        core 1                                core 0
//! ```
//!
//! All namespaces are without names, so the kernel removes them and the links with the last process in them. That is this one, however it
//! ends: somebody else's program that a subject has started in the switch's namespace is ended with its subject, and where this process is
//! killed (SIGKILL) a watcher ends it.
//!
//! The pods have no IPv6 and, unless they are to speak themselves, no addresses: nothing crosses the bed but what the load sends.
//! A bed can also be [joined](Shape::joined): one veth from pod to pod and nothing between, which is what no switch can be better than.

use std::os::fd::AsFd;

use podlane_host::{
    Feature, HostError, Links, Netns, NetnsError, Veth, VethPeer,
    lab::{Lab, Lacking, PodSpec},
    sysctl,
};
use podlane_wire::MacAddr;
use thiserror::Error;

use crate::{
    cores::{Cores, CoresError},
    load::traffic::address,
};

/// What every veth's pod end is called.
pub const POD_LINK: &str = "eth0";

/// The prefix of a pod's address.
const PREFIX: u8 = 24;

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

/// What a bed is to be like. The default: pods without addresses on links of one queue and MTU 1500.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// The longest IP packet of each link, bytes.
    pub mtu: u32,
    /// Receive and transmit queues of each link.
    pub queues: u32,
    /// Whether the pods are the stations themselves: with their addresses, and kernels that answer. Otherwise the stations are
    /// nobody's, and the kernel of the receiving pod throws a packet away at once.
    pub peopled: bool,
    /// Whether the pods' kernels finish the checksums of what they send, for a switch that does not.
    pub finished: bool,
    /// Whether one link joins the pods, with no switch between.
    pub joined: bool,
    /// How many silent links lie beside the two.
    pub silent: u16,
}

impl Default for Shape {
    fn default() -> Self {
        Self { mtu: 1500, queues: 1, peopled: false, finished: false, joined: false, silent: 0 }
    }
}

/// One link's end in the switch's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEnd {
    /// Its name.
    pub name: String,
    /// Its index there.
    pub ifindex: u32,
}

/// The two pods and the place between them.
pub struct Bed {
    lab: Lab,
    pods: [Netns; 2],
    ends: [HostEnd; 2],
    silent: Vec<HostEnd>,
    /// Where the silent links' other ends are.
    _silence: Option<Netns>,
    /// Where load and switch run.
    pub cores: Cores,
}

impl Bed {
    /// Makes the pods and their links; about 20 ms, and half a millisecond for each silent link.
    ///
    /// # Errors
    /// [`BedError`]; nothing is left behind.
    pub fn lay(shape: &Shape) -> Result<Self, BedError> {
        if let Some(lacking) = Lab::skip_reason() {
            return Err(BedError::Lacking(lacking));
        }
        let cores = Cores::of_this_process()?;
        let mut lab = Lab::new()?;
        let (pods, ends) = if shape.joined { joined(shape)? } else { switched(&mut lab, shape)? };
        let mut bed = Self { lab, pods, ends, silent: Vec::new(), _silence: None, cores };
        if shape.finished {
            for pod in &bed.pods {
                Links::open_in(pod)?.set_feature(POD_LINK, Feature::TxChecksum, false)?;
            }
        }
        bed.add_silent(shape.silent)?;
        Ok(bed)
    }

    /// The switch's ends: where packets come in, and where they are to leave. Of joined pods there are none, and these have no names.
    #[must_use]
    pub fn host_ends(&self) -> [HostEnd; 2] {
        self.ends.clone()
    }

    /// The switch's ends of the silent links.
    #[must_use]
    pub fn silent_ends(&self) -> &[HostEnd] {
        &self.silent
    }

    /// The namespace of the switch's ends.
    #[must_use]
    pub fn switch(&self) -> &Netns {
        self.lab.switch()
    }

    /// The pod that sends.
    #[must_use]
    pub fn from(&self) -> &Netns {
        &self.pods[0]
    }

    /// The pod that receives.
    #[must_use]
    pub fn to(&self) -> &Netns {
        &self.pods[1]
    }

    /// Adds links whose other ends say nothing.
    fn add_silent(&mut self, links: u16) -> Result<(), BedError> {
        if links == 0 {
            return Ok(());
        }
        let silence = quiet_netns()?;
        let mut inside = Links::open_in(&silence)?;
        for number in 0..links {
            let (name, peer) = (format!("idle{number}"), format!("pod{number}"));
            let links = self.lab.links();
            let ifindex = links.veth(&Veth {
                name: &name,
                mtu: 1500,
                mac: None,
                queues: 1,
                peer: VethPeer { name: &peer, netns: Some(silence.as_fd()), mac: None },
            })?;
            links.set_up(ifindex)?;
            inside.set_up(peer.as_str())?;
            self.silent.push(HostEnd { name, ifindex });
        }
        self._silence = Some(silence);
        Ok(())
    }
}

/// Two pods, each with a link to the switch's namespace.
fn switched(lab: &mut Lab, shape: &Shape) -> Result<([Netns; 2], [HostEnd; 2]), HostError> {
    let mut pod = |name: &str, station| {
        let spec = PodSpec { mtu: shape.mtu, queues: shape.queues, ..PodSpec::named(name) };
        let peopled =
            || PodSpec { ipv4: Some((address(0, station), PREFIX)), mac: Some(station_mac(station).0), ..spec.clone() };
        let pod = lab.pod(&if shape.peopled { peopled() } else { spec.clone() })?;
        Ok::<_, HostError>((pod.netns, HostEnd { name: pod.host_ifname, ifindex: pod.host_ifindex }))
    };
    let ((from, incoming), (to, leaving)) = (pod("from", 1)?, pod("to", 2)?);
    Ok(([from, to], [incoming, leaving]))
}

/// Two pods with a link from one to the other.
fn joined(shape: &Shape) -> Result<([Netns; 2], [HostEnd; 2]), BedError> {
    let pods = [quiet_netns()?, quiet_netns()?];
    let mac = |station| shape.peopled.then(|| station_mac(station).0);
    Links::open_in(&pods[0])?.veth(&Veth {
        name: POD_LINK,
        mtu: shape.mtu,
        mac: mac(1),
        queues: shape.queues,
        peer: VethPeer { name: POD_LINK, netns: Some(pods[1].as_fd()), mac: mac(2) },
    })?;
    for (pod, station) in pods.iter().zip(1..) {
        let mut links = Links::open_in(pod)?;
        if shape.peopled {
            links.add_address(POD_LINK, address(0, station).into(), PREFIX)?;
        }
        links.set_up(POD_LINK)?;
    }
    Ok((pods, [HostEnd::default(), HostEnd::default()]))
}

/// Two namespaces with a link from one to the other, [`POD_LINK`] at both ends, that carries IP packets of so many bytes.
pub(crate) fn bare_link(mtu: u32) -> Result<[Netns; 2], BedError> {
    if let Some(lacking) = Lab::skip_reason() {
        return Err(BedError::Lacking(lacking));
    }
    let (pods, _) = joined(&Shape { mtu, joined: true, ..Shape::default() })?;
    Ok(pods)
}

/// A namespace whose links say nothing by themselves. By IPv6 each link speaks of itself when it comes up and for seconds afterwards, to
/// everybody in its network: beside 500 pods those copies would be measured, and nothing else.
pub(crate) fn quiet_netns() -> Result<Netns, HostError> {
    let netns = Netns::anonymous()?;
    netns.run(|| sysctl("net/ipv6/conf/default/disable_ipv6", 1))??;
    Ok(netns)
}

/// A station of the load, as tables and packets name it. Unless the bed is peopled its MAC address is nobody's: the kernel of the
/// receiving pod then throws the packet away at once instead of answering it.
#[must_use]
pub const fn station_mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0x5a, number])
}

//! Opening a port: from a name in the configuration to rings the workers can turn.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use podlane_api::{PortState, XdpMode};
use podlane_bpf::{Program, port_pin};
use podlane_dataplane::WorkerId;
use podlane_dataplane::port::Port;
use podlane_dataplane::port::PortError;
use podlane_dataplane::port::af_xdp::{AfXdpPort, Device, DeviceConfig};
use podlane_dataplane::port::fault::{FaultConfig, FaultPort};
use podlane_dataplane::port::replay::{Pace, ReplayConfig, ReplayPort};
use podlane_dataplane::port::shared::SharedPort;
use podlane_host::{Feature, HostError, Link, Links, Netns, NetnsError};
use podlane_rings::{AskMode, FramePool, Hears, Inherited, PacketRing};
use podlane_wire::MacAddr;
use thiserror::Error;

use super::board::Fate;
use super::crew::{Ends, Silent, Workers};
use super::frames::{Frames, NoFrames, Share};
use super::room::{ShortFrames, safe_mode};
use super::underlay::Claimed;
use super::world::{Found, Missing, Spot};
use crate::compile::Attached;
use crate::desired::{self, Behind, Desired, FrameBytes, LEAST_FILL, Mode, Name, Queues, Replay, Role, Sharing, Xdp};

/// Frames in front of a packet that arrived: what XDP leaves for pushed headers.
pub(super) const HEADROOM: u32 = 256;
/// The Ethernet header and two tags.
pub(super) const LINK_HEADER: u32 = 22;
/// The MTU of a port without a device: nothing is too long for a file.
const FILE_MTU: u16 = 9216;

/// Why a port is not up.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    /// Its device is not there, yet.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The host itself lives on its device.
    #[error(
        "{device} has addresses of this host ({}): as a port, all its frames would be Podlane's and the host cut off; \
         move the addresses elsewhere, or give Podlane a device of its own",
        list(addresses)
    )]
    HostsOwn {
        /// The device.
        device: String,
        /// The addresses, but for link-local ones, which every device has.
        addresses: Vec<IpAddr>,
    },
    /// Another device has its name by now.
    #[error("{device} was replaced while it was opened; try again")]
    Replaced {
        /// The device.
        device: String,
    },
    /// The kernel was asked about its device and refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The namespace of its device cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Its NIC cannot take a full packet in zero-copy mode.
    #[error(transparent)]
    ShortFrames(#[from] ShortFrames),
    /// The device is there, but does not serve.
    #[error(transparent)]
    Port(#[from] PortError),
    /// No frames are left for it.
    #[error(transparent)]
    NoFrames(#[from] NoFrames),
    /// A worker does not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
    /// A former daemon had it otherwise.
    #[error("it cannot be gone on with as the former daemon had it: {what}")]
    Changed {
        /// What is different.
        what: &'static str,
    },
}

impl OpenError {
    /// Whether nothing is wrong but that the device is not there.
    pub(super) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Missing(Missing::Device { .. } | Missing::Namespace { .. }) | Self::Port(PortError::Gone { .. })
        )
    }
}

/// The control side's half of a device, and what it was when it was opened.
pub(super) struct OpenDevice {
    /// Its program.
    pub(super) half: Device,
    /// Where it is.
    pub(super) spot: Spot,
    /// What of its traffic is ours; none for a pod's, which is all ours.
    pub(super) claimed: Option<Claimed>,
    /// What it hears for everyone, until a worker has it.
    pub(super) everyone: Option<PacketRing>,
    /// Whether its sockets take packets longer than a frame.
    pub(super) spans_frames: bool,
    /// Of the frames; given back when it is closed.
    _share: Share,
}

/// A port that is open but not yet attached.
pub(super) struct Opened {
    /// What outlives its workers' ends.
    pub(super) device: Option<OpenDevice>,
    /// The workers' ends.
    pub(super) ends: Ends,
    /// What compile needs to know.
    pub(super) attached: Attached,
    /// What to show.
    pub(super) fate: Fate,
    /// What is not as it should be though it is open.
    pub(super) warning: Option<String>,
}

/// Opens ports as one set of desires has them.
pub(super) struct Opener<'a> {
    /// The desires.
    pub(super) desired: &'a Desired,
    /// The workers.
    pub(super) workers: &'a Workers,
    /// Where pins go, if there are any.
    pub(super) pins: Option<&'a Path>,
    /// The VTEP addresses that the host has as well.
    pub(super) hosts: &'a BTreeSet<IpAddr>,
    /// What is lent to ports.
    pub(super) frames: &'a Frames,
    /// The ports that were known from the start.
    pub(super) written: &'a BTreeSet<Name>,
}

impl Opener<'_> {
    /// Opens a port at its device.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the port is left open then.
    pub(super) fn open_at(
        &self,
        port: &desired::Port,
        device: &desired::Device,
        at: Found<'_>,
    ) -> Result<Opened, OpenError> {
        let opened = self.device(port, device, at)?;
        Ok(Opened { ends: faulty(port, opened.ends), ..opened })
    }

    /// Opens a port at capture files.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the port is left open then.
    pub(super) fn play(&self, port: &desired::Port, replay: &Replay) -> Result<Opened, OpenError> {
        let opened = Self::replay(port, replay)?;
        Ok(Opened { ends: faulty(port, opened.ends), ..opened })
    }

    /// Finds a port as a former daemon left it, with these sockets, which go on being registered.
    ///
    /// # Errors
    /// [`OpenError`]: it is not to be gone on with, and is as it was.
    pub(super) fn inherit(
        &self,
        (port, device): (&desired::Port, &desired::Device),
        at: Found<'_>,
        sockets: &[&Inherited],
    ) -> Result<Opened, OpenError> {
        let Found { spot, link, netns } = at;
        // The program is the running daemon's until it is taken over: what it claims is looked at when this one turns.
        let claimed = match device.role {
            Role::Pod => None,
            Role::Uplink => Some(Claimed::unknown()),
        };
        let config = self.device_config(port, device, link);
        for socket in sockets {
            let facts = socket.facts();
            let [rx, tx, _, completion] = facts.rings;
            let what = if facts.ifindex != config.ifindex {
                "it is another device now"
            } else if facts.queue >= config.queues {
                "it has fewer queues now"
            } else if [rx, tx, completion] != [config.ring; 3] {
                "its rings have another size now"
            } else if facts.multi_buffer != config.multi_buffer {
                "its packets are longer or shorter now"
            } else {
                continue;
            };
            return Err(OpenError::Changed { what });
        }
        let mut taken = vec![0; self.workers.count()];
        let workers = taken.len();
        for facts in sockets.iter().map(|socket| socket.facts()) {
            let [_, _, fill, _] = facts.rings;
            taken[(facts.ifindex as usize + facts.queue as usize) % workers] += fill;
        }
        let share = self.frames.note(taken);
        let sockets: Vec<_> = sockets.iter().map(|socket| (socket.facts().queue, socket.as_fd())).collect();
        let open = || Device::inherit(&config, &sockets);
        let half = match netns {
            Some(netns) => netns.run(open)?,
            None => open(),
        }?;
        let everyone = hear_everyone(device, link, netns)?;
        let mut opened = self.opened((half, Ends::new()), (spot, link), (claimed, share), config.multi_buffer);
        if let Some(open) = &mut opened.device {
            open.everyone = everyone;
        }
        Ok(opened)
    }

    fn device(&self, port: &desired::Port, device: &desired::Device, at: Found<'_>) -> Result<Opened, OpenError> {
        let Found { spot, link, netns } = at;
        let mac = MacAddr(link.mac.unwrap_or_default());
        let claimed = match device.role {
            Role::Pod => None,
            Role::Uplink => Some(Claimed::of(self.desired, &port.name, mac, self.hosts)),
        };
        if claimed.as_ref().is_none_or(Claimed::is_whole) {
            spare_the_host(link, netns)?;
        }
        let tagged = self.desired.underlay.as_ref().is_some_and(|underlay| underlay.vlan.is_some());
        let is_shared = claimed.as_ref().is_some_and(|claimed| !claimed.is_whole());
        let tagged = tagged || !port.membership.tagged.is_empty();
        let warning = if is_shared && tagged { keep_tags(link, netns) } else { None };
        let everyone = hear_everyone(device, link, netns)?;
        let mut config = self.device_config(port, device, link);
        config.mode = safe_mode(config.mode, link, self.desired.workers.frame_bytes)?;
        let (fill, share) = self.share(port, device, (config.ifindex, config.queues))?;
        config.fill = fill;
        let mut pools = self.workers.lend((config.fill * self.queues_each(config.queues)) as usize)?;
        let opened = match netns {
            Some(netns) => netns.run(|| Device::open(&config, &mut pools)),
            None => Ok(Device::open(&config, &mut pools)),
        };
        let opened =
            opened.map_err(OpenError::from).and_then(|opened| Ok(claim(opened?, claimed.as_ref(), &mut pools)?));
        self.workers.give_back(pools);
        let (half, ends) = opened?;
        let ends = ends.into_iter().map(|(worker, end)| (worker, Box::new(end) as Box<dyn Port>)).collect();
        let ends = hearing(everyone, ends);
        Ok(Opened { warning, ..self.opened((half, ends), (spot, link), (claimed, share), config.multi_buffer) })
    }

    /// What there is to know of a device that is open.
    fn opened(
        &self,
        (half, ends): (Device, Ends),
        (spot, link): (Spot, &Link),
        (claimed, share): (Option<Claimed>, Share),
        spans_frames: bool,
    ) -> Opened {
        let xdp = match half.attach_mode() {
            podlane_bpf::AttachMode::Native => XdpMode::Native,
            podlane_bpf::AttachMode::Generic => XdpMode::Generic,
        };
        Opened {
            device: Some(OpenDevice { half, spot, claimed, everyone: None, spans_frames, _share: share }),
            ends,
            attached: Attached {
                mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
                mac: MacAddr(link.mac.unwrap_or_default()),
                unfinished_checksums: link.kind.as_deref() == Some("veth"),
            },
            fate: Fate { state: PortState::Up, reason: None, xdp: Some(xdp), mtu: Some(link.mtu) },
            warning: None,
        }
    }

    fn device_config(&self, port: &desired::Port, device: &desired::Device, link: &Link) -> DeviceConfig {
        let workers = &self.desired.workers;
        let most = match device.queues {
            Queues::All => link.rx_queues.min(link.tx_queues),
            Queues::First(count) => u32::from(count),
        };
        let queues = most.clamp(1, podlane_bpf::MAX_QUEUES);
        DeviceConfig {
            name: device.name.to_string(),
            ifindex: link.index,
            program: match device.role {
                Role::Pod if self.desired.polices(port) => Program::PolicedPod,
                Role::Pod => Program::Pod,
                Role::Uplink => Program::Uplink,
            },
            pin: self.pins.map(|instance| port_pin(instance, port.name.as_str())),
            attach: match device.xdp {
                Xdp::Auto => podlane_bpf::AskMode::Auto,
                Xdp::Native => podlane_bpf::AskMode::Native,
                Xdp::Generic => podlane_bpf::AskMode::Generic,
            },
            mode: match device.mode {
                Mode::Auto => AskMode::Auto,
                Mode::ZeroCopy => AskMode::ZeroCopy,
                Mode::Copy => AskMode::Copy,
            },
            ring: device.ring.get(),
            // Until its share is known.
            fill: LEAST_FILL,
            queues,
            multi_buffer: spans_frames(link.mtu, workers.frame_bytes),
            checksum_offload: device.checksum_offload,
        }
    }

    /// Frames lent to the kernel per queue, and the port's share of them all. What is known from the start shares equally, a ring's worth
    /// at most; what comes and goes is lent what the others leave.
    fn share(&self, port: &desired::Port, device: &desired::Device, at: (u32, u32)) -> Result<(u32, Share), NoFrames> {
        let (ring, spread) = (device.ring.get(), self.spread(at));
        if self.comes_and_goes(port) {
            return self.frames.take(&spread, ring);
        }
        let known = |port: &&Arc<desired::Port>| matches!(port.behind, Behind::Device(_)) && !self.comes_and_goes(port);
        let ports = u32::try_from(self.desired.ports.values().filter(known).count()).unwrap_or(u32::MAX);
        // Where pods are attached, the rest is theirs.
        let ports = if self.desired.attachments.is_some() { ports.saturating_mul(4) } else { ports };
        let share = self.desired.workers.frames.share(ports) / self.queues_each(at.1);
        // The largest power of two within the share.
        let fill = (1 << share.max(LEAST_FILL).ilog2()).min(ring);
        Ok((fill, self.frames.note(spread.iter().map(|queues| queues * fill).collect())))
    }

    /// Whether how many there will be of such ports is not known from the start.
    fn comes_and_goes(&self, port: &desired::Port) -> bool {
        let is_pod = matches!(&port.behind, Behind::Device(desired::Device { role: Role::Pod, .. }));
        !self.written.contains(&port.name) || (is_pod && self.desired.attachments.is_some())
    }

    /// How many queues of a device each worker serves.
    fn spread(&self, (ifindex, queues): (u32, u32)) -> Vec<u32> {
        let mut spread = vec![0; self.workers.count()];
        let workers = spread.len();
        (0..queues).for_each(|queue| spread[(ifindex as usize + queue as usize) % workers] += 1);
        spread
    }

    /// Queues of one device that the same worker serves at most.
    fn queues_each(&self, queues: u32) -> u32 {
        queues.div_ceil(u32::try_from(self.workers.count()).unwrap_or(u32::MAX))
    }

    fn replay(port: &desired::Port, replay: &Replay) -> Result<Opened, OpenError> {
        let config = ReplayConfig {
            name: port.name.to_string(),
            input: replay.input.clone(),
            output: replay.output.clone(),
            repeat: 1,
            pace: Pace::AsFast,
        };
        let end = ReplayPort::open(&config)?;
        Ok(Opened {
            device: None,
            ends: vec![(WorkerId(0), Box::new(end))],
            attached: Attached { mtu: FILE_MTU, mac: MacAddr::default(), unfinished_checksums: false },
            fate: Fate { state: PortState::Up, reason: None, xdp: None, mtu: None },
            warning: None,
        })
    }
}

/// Has a NIC leave the VLAN tags in what it receives: a tag taken off is beside the packet, where no XDP program sees it, and the
/// packets of an underlay, or of a network, are known by theirs. Returns what to do where it does not.
fn keep_tags(link: &Link, netns: Option<&Netns>) -> Option<String> {
    let links = netns.map_or_else(Links::open, Links::open_in);
    let error = links.and_then(|mut links| links.set_feature(link, Feature::RxVlan, false)).err()?;
    let device = &link.name;
    Some(format!(
        "{device} may take VLAN tags off what it receives, and then what should come with one is not known; \
         run ethtool -K {device} rxvlan off ({error})"
    ))
}

/// What a shared uplink hears for everyone: its program leaves that to the host, and the pods on the wire are meant as well.
fn hear_everyone(
    device: &desired::Device,
    link: &Link,
    netns: Option<&Netns>,
) -> Result<Option<PacketRing>, OpenError> {
    let hears = match device.sharing {
        Some(Sharing::Mac) => Hears::All,
        Some(Sharing::Ip) => Hears::Groups,
        None => return Ok(None),
    };
    let open = || PacketRing::open(link.index, link.mtu, hears);
    let opened = netns.map_or_else(|| Ok(open()), |netns| netns.run(open))?;
    let device = || device.name.to_string();
    Ok(Some(opened.map_err(|source| PortError::Socket { device: device(), source })?))
}

/// The ends of a device, one of them with what the device hears for everyone.
pub(super) fn hearing(everyone: Option<PacketRing>, mut ends: Ends) -> Ends {
    if let Some(everyone) = everyone
        && let Some((worker, end)) = ends.pop()
    {
        ends.push((worker, Box::new(SharedPort::new(end, everyone))));
    }
    ends
}

/// Refuses a device that the host is reached by. A veth with an address is the host's way to one pod, and the pod is ours.
fn spare_the_host(link: &Link, netns: Option<&Netns>) -> Result<(), OpenError> {
    if link.kind.as_deref() == Some("veth") {
        return Ok(());
    }
    let mut links = netns.map_or_else(Links::open, Links::open_in)?;
    let own = links.addresses(link)?.into_iter().map(|own| own.address);
    let addresses: Vec<_> = own.filter(|address| !is_link_local(address)).collect();
    if addresses.is_empty() { Ok(()) } else { Err(OpenError::HostsOwn { device: link.name.clone(), addresses }) }
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Puts a fault port's bad wire around its ends.
pub(super) fn faulty(port: &desired::Port, ends: Ends) -> Ends {
    let Some(fault) = port.fault else { return ends };
    let config = FaultConfig {
        drop: fault.drop.get(),
        reorder: fault.reorder.get(),
        corrupt: fault.corrupt.get(),
        duplicate: 0.0,
        seed: fault.seed,
    };
    let wrap = |(worker, end)| (worker, Box::new(FaultPort::new(end, config)) as Box<dyn Port>);
    ends.into_iter().map(wrap).collect()
}

/// Whether the longest packet of a device does not fit into one frame.
pub(super) fn spans_frames(mtu: u32, frame: FrameBytes) -> bool {
    mtu + LINK_HEADER + HEADROOM > frame.get()
}

/// Has an uplink's program take what is ours.
fn claim(
    (mut half, ends): (Device, Vec<(WorkerId, AfXdpPort)>),
    claimed: Option<&Claimed>,
    pools: &mut [FramePool],
) -> Result<(Device, Vec<(WorkerId, AfXdpPort)>), PortError> {
    let Some(claimed) = claimed else { return Ok((half, ends)) };
    match half.claim(&claimed.claim()) {
        Ok(()) => Ok((half, ends)),
        Err(error) => {
            for (worker, end) in ends {
                Box::new(end).close(&mut pools[worker.index()]);
            }
            // The first error is the one to tell.
            let _ = half.close();
            Err(error)
        }
    }
}

/// Where an instance's pins are.
#[must_use]
pub(super) fn pin_directory(instance: &str) -> PathBuf {
    Path::new("/sys/fs/bpf/podlane").join(instance)
}

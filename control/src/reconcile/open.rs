//! Opening a port: from a name in the configuration to rings the workers can turn.

use std::path::{Path, PathBuf};

use podlane_api::{PortState, XdpMode};
use podlane_bpf::{Claim, Program, port_pin};
use podlane_dataplane::WorkerId;
use podlane_dataplane::port::Port;
use podlane_dataplane::port::PortError;
use podlane_dataplane::port::af_xdp::{Device, DeviceConfig};
use podlane_dataplane::port::fault::{FaultConfig, FaultPort};
use podlane_dataplane::port::replay::{Pace, ReplayConfig, ReplayPort};
use podlane_host::{HostError, Link, Links, Netns, NetnsError};
use podlane_rings::AskMode;
use thiserror::Error;

use super::board::Fate;
use super::crew::{Silent, Workers};
use crate::compile::Attached;
use crate::desired::{self, Attachment, Desired, Mode, Queues, Replay, Role, Xdp};

/// Frames in front of a packet that arrived: what XDP leaves for pushed headers.
const HEADROOM: u32 = 256;
/// The Ethernet header and two tags.
const LINK_HEADER: u32 = 22;
/// The MTU of a port without a device: nothing is too long for a file.
const FILE_MTU: u16 = 9216;
/// The smallest fill ring worth having: a burst.
const LEAST_FILL: u32 = 64;

/// Why a port is not up.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Its device is not there, yet.
    #[error("no device {device} in {place}; it is attached as soon as it appears")]
    Absent {
        /// The name.
        device: String,
        /// The network namespace.
        place: String,
    },
    /// The namespace of its device cannot be opened.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel was asked about its device and refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The device is there, but does not serve.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A worker does not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
}

impl OpenError {
    /// What to show for the port.
    #[must_use]
    pub fn fate(&self) -> Fate {
        let state = if matches!(self, Self::Absent { .. }) { PortState::Waiting } else { PortState::Failed };
        Fate::not_up(state, self.to_string())
    }
}

/// A port that is open but not yet attached.
pub struct Opened {
    /// What outlives its workers' ends.
    pub device: Option<Device>,
    /// The workers' ends.
    pub ends: Vec<(WorkerId, Box<dyn Port>)>,
    /// What compile needs to know.
    pub attached: Attached,
    /// What to show.
    pub fate: Fate,
}

/// Opens ports as one set of desires has them.
pub struct Opener<'a> {
    /// The desires.
    pub desired: &'a Desired,
    /// The workers.
    pub workers: &'a Workers,
    /// Where pins go, if there are any.
    pub pins: Option<&'a Path>,
}

impl Opener<'_> {
    /// Opens one port.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the port is left open then.
    pub fn open(&self, port: &desired::Port) -> Result<Opened, OpenError> {
        let mut opened = match &port.attachment {
            Attachment::Device(device) => self.device(port, device)?,
            Attachment::Replay(replay) => Self::replay(port, replay)?,
        };
        if let Some(fault) = port.fault {
            let config = FaultConfig {
                drop: fault.drop.get(),
                reorder: fault.reorder.get(),
                corrupt: fault.corrupt.get(),
                duplicate: 0.0,
                seed: fault.seed,
            };
            let wrap = |(worker, end)| (worker, Box::new(FaultPort::new(end, config)) as Box<dyn Port>);
            opened.ends = opened.ends.into_iter().map(wrap).collect();
        }
        Ok(opened)
    }

    fn device(&self, port: &desired::Port, device: &desired::Device) -> Result<Opened, OpenError> {
        let netns = device.netns.as_ref().map(Netns::open).transpose()?;
        let link = self.link(device, netns.as_ref())?;
        let config = self.device_config(port, device, &link);
        let mut pools = self.workers.lend((config.fill * config.queues) as usize)?;
        let opened = match &netns {
            Some(netns) => netns.run(|| Device::open(&config, &mut pools)),
            None => Ok(Device::open(&config, &mut pools)),
        };
        self.workers.give_back(pools);
        let (mut device_half, ends) = opened??;
        if device.role == Role::Uplink {
            // The uplink is given whole: our own L2 is on the wire. VXLAN to us is claimed with its first VTEP.
            device_half.claim(&Claim { whole: true, ..Claim::default() })?;
        }
        let xdp = match device_half.attach_mode() {
            podlane_bpf::AttachMode::Native => XdpMode::Native,
            podlane_bpf::AttachMode::Generic => XdpMode::Generic,
        };
        Ok(Opened {
            device: Some(device_half),
            ends: ends.into_iter().map(|(worker, end)| (worker, Box::new(end) as Box<dyn Port>)).collect(),
            attached: Attached {
                mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
                unfinished_checksums: link.kind.as_deref() == Some("veth"),
            },
            fate: Fate { state: PortState::Up, reason: None, xdp: Some(xdp), mtu: Some(link.mtu) },
        })
    }

    fn link(&self, device: &desired::Device, netns: Option<&Netns>) -> Result<Link, OpenError> {
        let mut links = match netns {
            Some(netns) => Links::open_in(netns)?,
            None => Links::open()?,
        };
        links.by_name(device.name.as_str()).map_err(|error| match error {
            HostError::NoSuchLink { .. } => OpenError::Absent {
                device: device.name.to_string(),
                place: device.netns.as_ref().map_or("this network namespace".into(), |path| path.display().to_string()),
            },
            error => OpenError::Host(error),
        })
    }

    fn device_config(&self, port: &desired::Port, device: &desired::Device, link: &Link) -> DeviceConfig {
        let workers = &self.desired.workers;
        let most = match device.queues {
            Queues::All => link.rx_queues.min(link.tx_queues),
            Queues::First(count) => u32::from(count),
        };
        DeviceConfig {
            name: device.name.to_string(),
            ifindex: link.index,
            program: match device.role {
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
            fill: self.fill(device.ring.get()),
            queues: most.max(1),
            multi_buffer: link.mtu + LINK_HEADER + HEADROOM > workers.frame_bytes.get(),
            checksum_offload: device.checksum_offload,
        }
    }

    /// Frames lent to the kernel per queue: a ring's worth, unless many ports share the worker's frames. A quarter of
    /// those stays for packets under way.
    fn fill(&self, ring: u32) -> u32 {
        let devices = |port: &&desired::Port| matches!(port.attachment, Attachment::Device(_));
        let ports = self.desired.ports.values().filter(devices).count().max(1);
        let share = self.desired.workers.frames.get() / 4 * 3 / u32::try_from(ports).unwrap_or(u32::MAX);
        let share = share.max(LEAST_FILL);
        // The largest power of two within the share.
        (1 << share.ilog2()).min(ring)
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
            attached: Attached { mtu: FILE_MTU, unfinished_checksums: false },
            fate: Fate { state: PortState::Up, reason: None, xdp: None, mtu: None },
        })
    }
}

/// Where an instance's pins are.
#[must_use]
pub fn pin_directory(instance: &str) -> PathBuf {
    Path::new("/sys/fs/bpf/podlane").join(instance)
}

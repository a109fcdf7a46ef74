//! What can go wrong between a request and an attached program, in the operator's words.
//!
//! The kernel answers with an errno that means something else for each device and each call. It is
//! translated once, here. What it cannot be translated to keeps the library's error as its source;
//! that source is opaque, so that a change of library is no change of this interface.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::{AttachMode, MAX_MACS, MAX_NEXT_HOPS, MAX_STATIONS, MAX_TUNNEL_PORTS, MAX_VTEPS};

type Cause = Box<dyn Error + Send + Sync>;

/// The program that stands in the way of an attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id, as `bpftool prog show id` wants it.
    pub program_id: u32,
    /// Its name, where the kernel tells.
    pub program_name: Option<String>,
    /// Where it runs.
    pub mode: AttachMode,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} program {}", self.mode, self.program_id)?;
        match &self.program_name {
            Some(name) => write!(f, " `{name}`"),
            None => Ok(()),
        }
    }
}

/// Why a program could not be attached, or an attachment not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The index means nothing here (ENODEV).
    #[error(
        "{device} (index {ifindex}) is not in this network namespace: it is gone, or the caller \
         is in another namespace; `ip link` lists what is here"
    )]
    NoDevice {
        /// The device's name, as requested.
        device: String,
        /// Its index, as requested.
        ifindex: u32,
    },
    /// Another program is attached (EBUSY, EEXIST).
    #[error(
        "{device} already has an XDP program ({}): `ip -details link show dev {device}` and \
         `bpftool link` show it; stop its owner, remove its pin, or try \
         `ip link set dev {device} xdp off`",
        DescribeHolder(.holder)
    )]
    Busy {
        /// The device.
        device: String,
        /// Whose program it is; `None` where it is not on the device itself.
        holder: Option<Holder>,
    },
    /// The driver cannot run XDP at the device's MTU (ERANGE).
    #[error(
        "{device} cannot run XDP at its MTU of {mtu} bytes: lower it, and its peer's where it is \
         a veth, or ask for the generic mode"
    )]
    Mtu {
        /// The device.
        device: String,
        /// Its MTU in bytes.
        mtu: u32,
    },
    /// The driver lacks queues for XDP (ENOSPC).
    #[error(
        "{device} has too few queues for XDP: a veth needs as many receive queues as its peer has \
         transmit queues, a NIC spare ones (`ethtool -L`)"
    )]
    Queues {
        /// The device.
        device: String,
    },
    /// The caller may not (EPERM, EACCES).
    #[error(
        "{doing} {device} is not permitted: it needs root, or CAP_BPF and CAP_NET_ADMIN (and \
         CAP_SYS_ADMIN to adopt a pin)"
    )]
    NotPermitted {
        /// The device.
        device: String,
        /// What was refused.
        doing: &'static str,
    },
    /// The driver has no XDP and native was demanded (EOPNOTSUPP).
    #[error("{device}'s driver has no native XDP: ask for the automatic or the generic mode")]
    NoNative {
        /// The device.
        device: String,
    },
    /// The program was attached without a link, so that it would outlive the process.
    #[error(
        "{device} got its XDP program without a link, so it would outlive Podlane: \
         `ip link set dev {device} xdp off` takes it off; Podlane needs Linux 5.18"
    )]
    NoLink {
        /// The device.
        device: String,
    },
    /// Maps or program did not come into the kernel.
    #[error(
        "the program for {device} was refused: Podlane needs Linux 5.18 with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS"
    )]
    Load {
        /// The device it was for.
        device: String,
        /// What the loader said, with the verifier's words where there are any.
        source: Cause,
    },
    /// The kernel refused the attach for a reason without a name here.
    #[error("attaching XDP to {device} failed: `dmesg` may say why")]
    Attach {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: Cause,
    },
    /// A map could not be read or written.
    #[error("{doing} of {device} failed")]
    Map {
        /// The device.
        device: String,
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: Cause,
    },
    /// The device could not be asked for.
    #[error("asking the kernel about {device} over netlink failed")]
    Netlink {
        /// The device.
        device: String,
        /// The socket's error.
        source: io::Error,
    },
    /// The queue is past the end of the socket map.
    #[error(
        "{device} has no queue {queue} for a socket: Podlane serves its queues 0 to {}; `ethtool -L` \
         sets how many a device uses",
        queues - 1
    )]
    NoSuchQueue {
        /// The device.
        device: String,
        /// The queue asked for.
        queue: u32,
        /// How many there are.
        queues: u32,
    },
    /// What was registered is not an AF_XDP socket.
    #[error("the descriptor for queue {queue} of {device} is not an AF_XDP socket")]
    NotASocket {
        /// The device.
        device: String,
        /// The queue.
        queue: u32,
    },
    /// A pod port has no claims and no counters.
    #[error("{device} is a pod port: claims and their counters belong to uplinks")]
    NotAnUplink {
        /// The device.
        device: String,
    },
    /// More addresses than the program's map holds.
    #[error("{device} was given {count} VTEP addresses: {MAX_VTEPS} fit, give it fewer or spread them over uplinks")]
    TooManyVteps {
        /// The device.
        device: String,
        /// How many there were.
        count: usize,
    },
    /// More tunnel ports than the program compares.
    #[error("{device} was given {count} tunnel ports: {MAX_TUNNEL_PORTS} fit, let tunnels of one kind share a port")]
    TooManyTunnelPorts {
        /// The device.
        device: String,
        /// How many there were.
        count: usize,
    },
    /// More IPv4 next hops than the program's map holds.
    #[error("{device} was given {count} IPv4 next hops: {MAX_NEXT_HOPS} fit, reach the peers through a gateway")]
    TooManyNextHops {
        /// The device.
        device: String,
        /// How many there were.
        count: usize,
    },
    /// More MAC addresses of pods than the program's map holds.
    #[error("{device} was given {count} MAC addresses of pods: {MAX_MACS} fit, take a second uplink for the rest")]
    TooManyMacs {
        /// The device.
        device: String,
        /// How many there were.
        count: usize,
    },
    /// More IP addresses of pods than the program's map holds.
    #[error("{device} was given {count} IP addresses of pods: {MAX_STATIONS} fit, take a second uplink for the rest")]
    TooManyStations {
        /// The device.
        device: String,
        /// How many there were.
        count: usize,
    },
    /// The pins could not be read or changed.
    #[error(transparent)]
    Pin(#[from] PinError),
}

impl AttachError {
    /// A refusal of maps or program.
    pub(crate) fn load(device: &str, source: impl Into<Cause>) -> Self {
        let (device, source) = (device.to_owned(), source.into());
        match errno(source.as_ref()) {
            // EPERM alone: EACCES is what the verifier says.
            Some(libc::EPERM) => Self::NotPermitted { device, doing: "loading a program for" },
            _ => Self::Load { device, source },
        }
    }

    /// A refusal to read or write a map.
    pub(crate) fn map(device: &str, doing: &'static str, source: impl Into<Cause>) -> Self {
        Self::Map { device: device.to_owned(), doing, source: source.into() }
    }
}

/// The errno at the root of a library's error.
pub(crate) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.raw_os_error();
        }
        next = error.source();
    }
    None
}

struct DescribeHolder<'a>(&'a Option<Holder>);

impl fmt::Display for DescribeHolder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) => holder.fmt(f),
            None => f.write_str("on a bond or bridge above it"),
        }
    }
}

/// Why the BPF file system could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The path is on another file system.
    #[error("{path} is not on a BPF file system: `mount -t bpf bpf /sys/fs/bpf`")]
    NotBpffs {
        /// The path.
        path: PathBuf,
    },
    /// The BPF file system reserves dots.
    #[error("{path}: a BPF file system takes no dot in a name; `port_pin` spells them")]
    Dot {
        /// The path.
        path: PathBuf,
    },
    /// Nothing could be mounted.
    #[error(
        "mounting a BPF file system at {path} failed: it needs root (CAP_SYS_ADMIN), a directory \
         to mount on and CONFIG_BPF_SYSCALL"
    )]
    Mount {
        /// Where.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An entry could not be read, made or removed.
    #[error("{doing} {path} failed")]
    Io {
        /// The entry.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

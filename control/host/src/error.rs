//! What can go wrong between this crate and the kernel, each with the object it happened to and
//! what to do about it. The kernel's own sentence (its extended acknowledgement) is kept whenever
//! it sent one, because it is often the only thing that tells two EINVALs apart.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use thiserror::Error;

use crate::features::Feature;
use crate::netlink::Refusal;
use crate::netns::NetnsError;

/// The kernel's sentence about a refusal; displays as nothing when it sent none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelSays(pub(crate) Option<String>);

impl fmt::Display for KernelSays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(sentence) => write!(f, " (the kernel says: {sentence})"),
            None => Ok(()),
        }
    }
}

/// Why a link, address, route, neighbour, offload or sysctl could not be read or changed.
///
/// `task` is what was attempted, with its object: `set link eth0 up`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// The link named in the task is not in this namespace (ENODEV, ENXIO).
    #[error(
        "cannot {task}: there is no such link in this network namespace{says}; \
         check the name, and whether it was deleted or moved to another namespace"
    )]
    NoSuchLink {
        /// What was attempted.
        task: String,
        /// The kernel's sentence.
        says: KernelSays,
    },
    /// The object exists already (EEXIST).
    #[error("cannot {task}: it exists already{says}; delete it first, or choose another name")]
    Exists {
        /// What was attempted.
        task: String,
        /// The kernel's sentence.
        says: KernelSays,
    },
    /// The caller lacks a capability (EPERM, EACCES).
    #[error(
        "cannot {task}: not permitted{says}; \
         run as root, or with CAP_NET_ADMIN over this network namespace"
    )]
    NotPermitted {
        /// What was attempted.
        task: String,
        /// The kernel's sentence.
        says: KernelSays,
    },
    /// Neither the kernel nor the device can do it (EOPNOTSUPP).
    #[error(
        "cannot {task}: this kernel or device does not support it{says}; \
         check that the module for this kind of link is available"
    )]
    Unsupported {
        /// What was attempted.
        task: String,
        /// The kernel's sentence.
        says: KernelSays,
    },
    /// The link is in use in a way that forbids the change (EBUSY).
    #[error("cannot {task}: it is busy{says}; set the link down, or let go of it, first")]
    Busy {
        /// What was attempted.
        task: String,
        /// The kernel's sentence.
        says: KernelSays,
    },
    /// The gateway of a route, or the network of an address, cannot be reached (ENETUNREACH,
    /// EHOSTUNREACH).
    #[error(
        "cannot {task}: the gateway cannot be reached{says}; \
         set the link up and add an address of the gateway's network first"
    )]
    Unreachable {
        /// What was attempted.
        task: String,
        /// The kernel's sentence.
        says: KernelSays,
    },
    /// Any other refusal by the kernel.
    #[error("cannot {task}: {errno}{says}")]
    Refused {
        /// What was attempted.
        task: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's sentence.
        says: KernelSays,
    },
    /// A link name the kernel would not take.
    #[error(
        "{name:?} cannot be a link's name: use 1 to 15 bytes without '/', ':' or white space, \
         and neither \".\" nor \"..\""
    )]
    BadName {
        /// The name as given.
        name: String,
    },
    /// A prefix length longer than its address.
    #[error("/{prefix} is too long for {address}: use at most /{most}")]
    BadPrefix {
        /// The address as given.
        address: std::net::IpAddr,
        /// The prefix length as given.
        prefix: u8,
        /// The longest that fits.
        most: u8,
    },
    /// The two addresses of a request are not of the same family.
    #[error("cannot {task}: IPv4 and IPv6 do not mix; give two addresses of one family")]
    MixedFamilies {
        /// What was attempted.
        task: String,
    },
    /// The device keeps an offload as it is, whatever is asked.
    #[error(
        "{link} keeps {feature} {}: the device, or a program attached to it, fixes it; \
         detach the program, or live with it", if *.asked { "off" } else { "on" }
    )]
    FeatureFixed {
        /// The link, as `link eth0`.
        link: String,
        /// The offload.
        feature: Feature,
        /// What it was asked to be: on, or off.
        asked: bool,
    },
    /// What was waited for did not happen in time.
    #[error("gave up after {waited:?} waiting for {what}; check the host's load, and `dmesg`")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
    },
    /// What was listed changed while it was read, at every attempt.
    #[error("cannot {task}: it changed during every reading; try again when the host is quieter")]
    Unsettled {
        /// What was attempted.
        task: String,
    },
    /// The kernel's answer could not be understood.
    #[error(
        "cannot {task}: the kernel's answer could not be understood ({reason}); \
         please report it with the kernel's version"
    )]
    Malformed {
        /// What was attempted.
        task: String,
        /// Which part of the answer.
        reason: &'static str,
    },
    /// A netlink socket could not be opened, read or written.
    #[error("cannot {task}: netlink socket: {source}; check the limit on open files")]
    Socket {
        /// What was attempted.
        task: String,
        /// The system call's error.
        source: io::Error,
    },
    /// A sysctl outside `net/`, or one that would leave it.
    #[error("{path:?} is not a sysctl of a network namespace: write it as net/ipv6/conf/all/mtu")]
    BadSysctl {
        /// The path as given.
        path: String,
    },
    /// A sysctl could not be written.
    #[error(
        "cannot write {value:?} to {}: {source}; \
         check that it exists on this kernel and that /proc/sys is writable here", .path.display()
    )]
    Sysctl {
        /// The file.
        path: PathBuf,
        /// The value refused.
        value: String,
        /// The system call's error.
        source: io::Error,
    },
    /// A network namespace could not be made or entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
}

impl HostError {
    /// The error for a task that the kernel refused, or whose answer did not come.
    pub(crate) fn of(task: fmt::Arguments<'_>, refusal: Refusal) -> Self {
        let task = task.to_string();
        match refusal {
            Refusal::Errno(errno, says) => Self::of_errno(task, errno, says),
            Refusal::Malformed(reason) => Self::Malformed { task, reason },
            Refusal::Io(source) => Self::Socket { task, source },
            Refusal::Unsettled => Self::Unsettled { task },
            Refusal::TimedOut(waited) => Self::TimedOut { what: format!("the kernel's answer to \"{task}\""), waited },
        }
    }

    fn of_errno(task: String, errno: Errno, says: KernelSays) -> Self {
        match errno {
            Errno::ENODEV | Errno::ENXIO => Self::NoSuchLink { task, says },
            Errno::EEXIST => Self::Exists { task, says },
            Errno::EPERM | Errno::EACCES => Self::NotPermitted { task, says },
            Errno::EOPNOTSUPP => Self::Unsupported { task, says },
            Errno::EBUSY => Self::Busy { task, says },
            Errno::ENETUNREACH | Errno::EHOSTUNREACH => Self::Unreachable { task, says },
            errno => Self::Refused { task, errno, says },
        }
    }
}

//! What can go wrong before the kernel carries, in the operator's words.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use super::MAX_VNI;
use crate::PinError;
use crate::error::errno;

type Cause = Box<dyn Error + Send + Sync>;

/// Why the kernel does not carry something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarryError {
    /// Maps or programs did not come into the kernel.
    #[error(
        "the programs that carry flows were refused: they need Linux 5.11 with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT; without \
         them ports work over AF_XDP"
    )]
    Load {
        /// What the loader said, with the verifier's words where there are any.
        source: Cause,
    },
    /// The caller may not (EPERM).
    #[error("loading the programs that carry flows is not permitted: it needs root, or CAP_BPF and CAP_NET_ADMIN")]
    NotPermitted,
    /// The index means nothing here, or the name something else.
    #[error(
        "{device} (index {ifindex}) is not in this network namespace: it is gone, was renamed, or the caller is in another one"
    )]
    NoDevice {
        /// The device's name, as requested.
        device: String,
        /// Its index, as requested.
        ifindex: u32,
    },
    /// The kernel has no tcx and it was demanded.
    #[error("{device} cannot have a tcx program: that needs Linux 6.6; ask for the automatic hook or for clsact")]
    NoTcx {
        /// The device.
        device: String,
    },
    /// The kernel refused the attach.
    #[error("{doing} {device} failed: `tc filter show dev {device} ingress` and `bpftool net` show what is there")]
    Attach {
        /// The device.
        device: String,
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: Cause,
    },
    /// A trunk that would leave the numbers beside its packets, where AF_XDP does not see them.
    #[error(
        "{device} cannot be a trunk: switching its VLAN offload off failed (`ethtool -K {device} tx-vlan-stag-hw-insert off`)"
    )]
    Tags {
        /// The device.
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A map could not be read or written.
    #[error("{doing} failed")]
    Map {
        /// What was tried.
        doing: &'static str,
        /// The kernel's answer.
        source: Cause,
    },
    /// No room for another flow.
    #[error(
        "the kernel carries {capacity} flows and has no room for more: remove idle ones, or give it a larger table"
    )]
    Full {
        /// How many fit.
        capacity: u32,
    },
    /// There is an order for these packets.
    #[error("the kernel carries this flow already: remove it before it is decided anew")]
    Known,
    /// One address is IPv4 and the other IPv6.
    #[error("no packet goes from {from} to {to}: give both addresses of one family")]
    Families {
        /// The source.
        from: IpAddr,
        /// The destination.
        to: IpAddr,
    },
    /// More than 24 bits.
    #[error("{vni} is no VXLAN network identifier: they end at {MAX_VNI}")]
    Vni {
        /// What was given.
        vni: u32,
    },
    /// The packets would be delivered to a pod under an address that is not its own.
    #[error("packets for {} cannot be carried into the pod with {}: its kernel would take them for its own", Mac(.arrives), Mac(.mac))]
    NotTheirs {
        /// The pod's MAC address.
        mac: [u8; 6],
        /// The one on the packets.
        arrives: [u8; 6],
    },
    /// The pins could not be read or changed.
    #[error(transparent)]
    Pin(#[from] PinError),
}

impl CarryError {
    pub(super) fn load(source: impl Into<Cause>) -> Self {
        let source = source.into();
        match errno(source.as_ref()) {
            // EPERM alone: EACCES is what the verifier says.
            Some(libc::EPERM) => Self::NotPermitted,
            _ => Self::Load { source },
        }
    }

    pub(super) fn map(doing: &'static str, source: impl Into<Cause>) -> Self {
        Self::Map { doing, source: source.into() }
    }
}

struct Mac<'a>(&'a [u8; 6]);

impl std::fmt::Display for Mac<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

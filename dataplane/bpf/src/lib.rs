//! The XDP and tc programs, their committed objects, and the loader that attaches and pins them.
//!
//! An AF_XDP socket receives nothing until a program on the device redirects frames to it. There
//! are three kinds of them: two for pod ports, which redirect everything, and one for uplinks,
//! which claims only what is Podlane's and leaves the rest to the host. A pod whose link has one
//! queue has its program and its map of sockets together with all others. They are written in C in
//! `xdp/`, and their objects are committed beside them, so that neither a build nor a host needs
//! clang; `.ci/bpf-objects` proves that the two agree.
//!
//! What this crate promises:
//!
//! - An [`Attachment`] is a `bpf_link`. Without a pin it ends with the process, however that ends.
//!   With a pin it stays, and the next process adopts it: the program is replaced in one step
//!   under the link, and sockets that were handed over keep their frames.
//! - Where no socket is registered, or its process died, frames go to the kernel. A dead daemon
//!   never makes the host unreachable.
//! - Of a pod under policy they go nowhere then, from the attach on: the host's own stack would
//!   answer such a pod, or forward for it, and has never heard of its policy.
//! - An uplink claims nothing until [`Attachment::claim`] says what is ours.
//!
//! A pod's port can do without XDP: what is decided about its flows, the kernel carries out in tc programs ([`carry`]).
//!
//! There is no `unsafe` here; aya's calls wrap what the kernel wants.

mod anchor;
mod attachment;
pub mod carry;
mod device;
mod error;
mod link;
mod loaded;
mod object;
mod pins;
mod pods;
mod uplink;

pub use attachment::Attachment;
pub use error::{AttachError, Holder, PinError};
pub use pins::{ensure_bpffs, port_pin, sweep, vacate};
pub use uplink::{
    Claim, MAX_MACS, MAX_NEXT_HOPS, MAX_STATIONS, MAX_TUNNEL_PORTS, MAX_VTEPS, Station, UplinkCounters, Vtep, claimed,
};

use std::path::Path;

/// Receive queues of one device that can have a socket.
pub const MAX_QUEUES: u32 = 64;

/// Loads the program of all pods ahead of the first one, which would otherwise wait for it. `instance` is the directory of an
/// instance's pins, which is there.
///
/// # Errors
/// [`AttachError`]: the first pod will meet the same one.
pub fn load_pods(instance: Option<&Path>) -> Result<(), AttachError> {
    pods::Pods::of(instance, "pods to come").map(drop)
}

/// Which program a port gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Redirects every frame, and passes those that no socket takes: the host end of a pod's link.
    Pod,
    /// Redirects every frame, and drops those that no socket takes: the host end of the link of a
    /// pod under policy.
    PolicedPod,
    /// Redirects what was claimed and passes the rest: a device shared with the host.
    Uplink,
}

/// Where the kernel runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before a socket buffer exists.
    Native,
    /// In the stack, after one was allocated: any device, and slower.
    Generic,
}

impl std::fmt::Display for AttachMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// Which mode to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskMode {
    /// Native, and generic where the driver has no XDP.
    #[default]
    Auto,
    /// Native or an error.
    Native,
    /// Generic, also where the driver could do better.
    Generic,
}

/// What to attach, and where.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The device, by index in the calling thread's network namespace.
    pub ifindex: u32,
    /// The device's name, for messages; the index decides.
    pub name: &'a str,
    /// The program.
    pub program: Program,
    /// Receive queues that are to be served, of those the device has. The devices of pods with one
    /// share their program, and are attached sooner.
    pub queues: u32,
    /// The port's directory on a bpffs ([`port_pin`]), for an attachment that outlives the
    /// process; `None` for one that ends with it.
    pub pin: Option<&'a Path>,
    /// The mode.
    pub mode: AskMode,
}

//! Keeps the programs of pods in the kernel's XDP dispatcher while no pod is there.
//!
//! The dispatcher takes a program in with its first device and out with its last one, and waits for
//! an RCU grace period each time (10 to 20 ms). A node whose pods come and go one at a time would
//! pay that for every pod. So each program has one device that stays: the two ends of a veth, down,
//! in a network namespace that has no name and ends with the process. A device in generic mode would
//! need no veth, but switches generic XDP on for the whole host, which every packet pays for.

use std::fs::File;
use std::io;
use std::thread;

use aya::Ebpf;
use aya::programs::links::FdLink;
use aya::programs::{ProgramError, XdpMode};
use nix::sched::{CloneFlags, unshare};

use crate::Program;
use crate::device::make_veth;
use crate::object;

/// In a namespace where there is but the loopback, which is 1: the peer is made first.
const ENDS: [(u32, Program); 2] = [(2, Program::Pod), (3, Program::PolicedPod)];

/// Both programs, each on a device of its own.
pub(crate) struct Anchor {
    _links: Vec<FdLink>,
    /// Last: the devices end with it.
    _netns: File,
}

impl Anchor {
    /// Attaches the programs of [`object::load_pods`]. It is an advantage and no need, so there is no error.
    pub(crate) fn cast(programs: &mut Ebpf) -> Option<Self> {
        // A thread of its own, because it does not come back from its namespace.
        thread::scope(|scope| scope.spawn(|| Self::attach(programs)).join()).ok()?.ok()
    }

    fn attach(programs: &mut Ebpf) -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let netns = File::open("/proc/thread-self/ns/net")?;
        make_veth()?;
        let mut attach = |(ifindex, program)| {
            let xdp = object::xdp(programs, program)?;
            let id = xdp.attach_to_if_index(ifindex, XdpMode::Driver)?;
            FdLink::try_from(xdp.take_link(id)?).map_err(|_| ProgramError::UnexpectedProgramType)
        };
        let links = ENDS.into_iter().map(&mut attach).collect::<Result<_, _>>().map_err(io::Error::other)?;
        Ok(Self { _links: links, _netns: netns })
    }
}

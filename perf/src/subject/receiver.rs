//! Where the kernel's own subjects receive: on the switch's core.
//!
//! A veth is received on its sender's core, so by itself the kernel would switch on the load's. It is told to receive the first link's
//! packets in a thread on the switch's core (threaded NAPI), as somebody would who gives a core to it. Refused: spreading what was received
//! over cores (RPS), where the packets on their way in and on their way out wait in one queue, and crowd each other out.

use std::{fs, io, process::Command};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, CpuSet, sched_setaffinity, unshare},
    unistd::Pid,
};
use podlane_bpf::{AskMode, Attachment, Program, Request};
use podlane_host::Netns;

use crate::{
    bed::HostEnd,
    subject::{SubjectError, tools::Tool},
};

const RENICE: Tool = Tool { program: "renice", install: "apt-get install util-linux", manual: "renice(1)" };

/// Has a link take packets in bursts, until what is returned is dropped. Only with a program or GRO does a veth, and the generator's
/// packets at all. This program passes all of them; GRO would look in vain for packets to merge: UDP is not.
pub(crate) fn take_bursts(netns: &Netns, link: &HostEnd) -> Result<Attachment, SubjectError> {
    let request = Request {
        ifindex: link.ifindex,
        name: &link.name,
        program: Program::Uplink,
        queues: 1,
        pin: None,
        mode: AskMode::Native,
    };
    Ok(netns.run(|| Attachment::attach(&request))??)
}

/// Has a link's packets received by a thread of their own (threaded NAPI), on a core.
pub(crate) fn receive_on(netns: &Netns, link: &HostEnd, core: usize) -> Result<(), SubjectError> {
    let pinned = netns.run(|| {
        // /sys shows the links of the namespace it was mounted in, so this thread gets a view of its own.
        let nothing = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), nothing)?;
        fs::write(format!("/sys/class/net/{}/threaded", link.name), "1")?;
        let thread = receiver_of(&link.name)?.ok_or(io::ErrorKind::NotFound)?;
        let mut cores = CpuSet::new();
        cores.set(core)?;
        sched_setaffinity(thread, &cores)?;
        Ok(thread)
    })?;
    let thread = pinned.map_err(|source: io::Error| SubjectError::Unable {
        program: "the kernel",
        task: format!("receive {} in a thread on core {core}", link.name),
        says: source.to_string(),
        remedy: "/sys/class/net/*/threaded (Linux 5.12)",
    })?;
    // What makes this process urgent does not reach a thread of the kernel.
    let mut urgent = Command::new(RENICE.program);
    urgent.args(["-n", "-20", "-p", &thread.to_string()]);
    RENICE.run(netns, urgent).map(drop)
}

/// The thread that receives a link's packets. It is named after the link and a number that only grows, so that of links of one name
/// in several namespaces ours is the newest.
fn receiver_of(link: &str) -> io::Result<Option<Pid>> {
    let prefix = format!("napi/{link}-");
    let mut newest = None;
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while it is looked at.
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        let number = name.trim_end().strip_prefix(&prefix).and_then(|number| number.parse::<u32>().ok());
        newest = newest.max(number.map(|number| (number, pid)));
    }
    Ok(newest.map(|(_, pid)| Pid::from_raw(pid)))
}

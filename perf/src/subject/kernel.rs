//! The kernel's own overlay: its `vxlan` device under its bridge.
//!
//! A veth is received on its sender's core, so by itself the kernel would tunnel on the load's. It is told to receive the first link's
//! packets in a thread on the switch's core (threaded NAPI), as somebody would who gives a core to it. Refused: spreading what was received
//! over cores (RPS), where the packets on their way in and on their way out wait in one queue, and crowd each other out.

use core::net::Ipv4Addr;
use std::{fs, io, process::Command};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, CpuSet, sched_setaffinity, unshare},
    unistd::Pid,
};
use podlane_bpf::{AskMode, Attachment, Program, Request};
use podlane_host::{Links, Netns, Vxlan};

use crate::{
    bed::{Bed, HostEnd},
    load::{
        traffic::Traffic,
        underlay::{OUTER, PEER, PREFIX, VNI, VTEP, peer_mac},
    },
    subject::{
        Running, Subject, SubjectError,
        overlay::UNDERLAY_MTU,
        tools::Tool,
        tunnel::{Direction, Ends},
    },
};

const RENICE: Tool = Tool { program: "renice", install: "apt-get install util-linux", manual: "renice(1)" };

/// The device.
const TUNNEL: &str = "vxlan0";

/// The subject.
pub struct Kernel {
    /// Its row in the table.
    pub name: &'static str,
    /// Which way.
    pub direction: Direction,
}

impl Subject for Kernel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn traffic(&self) -> Traffic {
        self.direction.traffic()
    }

    fn arriving(&self) -> usize {
        self.direction.arriving()
    }

    fn start(&self, bed: &Bed) -> Result<Box<dyn Running>, SubjectError> {
        let ends = self.direction.ends(bed)?;
        join(bed.switch(), &ends, [VTEP, PEER])?;
        let mut links = Links::open_in(bed.switch())?;
        links.add_neighbour(ends.uplink.ifindex, PEER.into(), peer_mac().0)?;
        let [first, _] = bed.host_ends();
        // Only with a program or GRO does a veth take packets in bursts, and the generator's at all. This one passes all of them, and
        // GRO would look in vain for packets to merge: UDP is not.
        let request = Request {
            ifindex: first.ifindex,
            name: &first.name,
            program: Program::Uplink,
            pin: None,
            mode: AskMode::Native,
        };
        let passing = bed.switch().run(|| Attachment::attach(&request))??;
        receive_on(bed, &first)?;
        Ok(Box::new(Bridging { _passing: passing }))
    }
}

/// Bridges a pod's link with a tunnel from one VTEP to another.
pub(crate) fn join(netns: &Netns, ends: &Ends, vteps: [Ipv4Addr; 2]) -> Result<(), SubjectError> {
    let [local, remote] = vteps;
    let mut links = Links::open_in(netns)?;
    links.add_address(ends.uplink.ifindex, local.into(), PREFIX)?;
    let bridge = links.bridge("br0")?;
    let below = ends.uplink.ifindex.into();
    let mtu = u32::from(UNDERLAY_MTU) - OUTER as u32;
    let local = local.into();
    links.vxlan(&Vxlan { name: TUNNEL, vni: VNI, local, below, udp_port: podlane_wire::Vxlan::PORT, mtu })?;
    links.add_flood_vtep(TUNNEL, remote.into())?;
    for port in [TUNNEL, &ends.pod.name] {
        links.enslave(port, bridge)?;
        links.set_up(port)?;
    }
    Ok(links.set_up(bridge)?)
}

/// Has a link's packets received by a thread of their own (threaded NAPI), on the switch's core.
fn receive_on(bed: &Bed, link: &HostEnd) -> Result<(), SubjectError> {
    let core = bed.cores.switch;
    let pinned = bed.switch().run(|| {
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
    RENICE.run(bed.switch(), urgent).map(drop)
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

/// It ends with the bed's namespaces.
struct Bridging {
    _passing: Attachment,
}

impl Running for Bridging {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        Ok(())
    }
}

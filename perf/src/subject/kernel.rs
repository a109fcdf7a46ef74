//! The kernel's own overlay: its `vxlan` device under its bridge.
//!
//! A veth is received on its sender's core, so by itself the kernel would tunnel on the load's. It is told to receive the first link's
//! packets on the switch's core (RPS), as somebody would who gives a core to it; what it does before that hand-over stays with the load.

use std::{fs, process::Command};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use podlane_host::{Feature, Links};

use crate::{
    bed::{Bed, HostEnd, POD_LINK, station_mac},
    load::{
        traffic::Traffic,
        underlay::{PEER, PREFIX, VNI, VTEP, peer_mac},
    },
    subject::{
        Running, Subject, SubjectError,
        tools::Tool,
        tunnel::{Direction, Ends},
    },
};

const IP: Tool = Tool { program: "ip", install: "apt-get install iproute2", manual: "ip-link(8)" };
const BRIDGE: Tool = Tool { program: "bridge", manual: "bridge(8)", ..IP };

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
        let Ends { pod, uplink } = self.direction.ends(bed)?;
        let mut links = Links::open_in(bed.switch())?;
        links.add_address(uplink.ifindex, VTEP.into(), PREFIX)?;
        links.add_neighbour(uplink.ifindex, PEER.into(), peer_mac().0)?;
        let bridge = links.bridge("br0")?;
        add_vxlan(bed, "vxlan0", &uplink.name)?;
        for port in ["vxlan0", &pod.name] {
            links.enslave(port, bridge)?;
            links.set_up(port)?;
        }
        links.set_up(bridge)?;
        // The receiver never speaks, so that the bridge cannot learn where it is.
        let behind = match self.direction {
            Direction::Encapsulation => "vxlan0",
            Direction::Decapsulation => &pod.name,
        };
        let mut known = Command::new(BRIDGE.program);
        known.args(["fdb", "replace", &station_mac(2).to_string(), "dev", behind, "master", "static"]);
        BRIDGE.run(bed.switch(), known)?;
        let [first, _] = bed.host_ends();
        // Only with GRO does a veth without XDP take packets in bursts, and the generator's at all.
        links.set_feature(first.ifindex, Feature::Gro, true)?;
        receive_on(bed, &first)?;
        // Without it what leaves would wait in the same queue as what that core has to receive, and be dropped there.
        Links::open_in(&bed.to().netns)?.set_feature(POD_LINK, Feature::Gro, true)?;
        Ok(Box::new(Bridging))
    }
}

/// Makes the device. Like Podlane it sends no outer UDP checksums over IPv4.
fn add_vxlan(bed: &Bed, name: &str, uplink: &str) -> Result<(), SubjectError> {
    let (vni, near, far) = (VNI.to_string(), VTEP.to_string(), PEER.to_string());
    let mut command = Command::new(IP.program);
    command.args(["link", "add", name, "type", "vxlan", "id", &vni, "dev", uplink]);
    command.args(["local", &near, "remote", &far, "dstport", "4789", "nolearning", "noudpcsum"]);
    IP.run(bed.switch(), command).map(drop)
}

/// Has what a link receives worked on by the switch's core.
fn receive_on(bed: &Bed, link: &HostEnd) -> Result<(), SubjectError> {
    let mask = core_mask(bed.cores.switch);
    let written = bed.switch().run(|| {
        // /sys shows the links of the namespace it was mounted in, so this thread gets a view of its own.
        let nothing = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), nothing)?;
        fs::write(format!("/sys/class/net/{}/queues/rx-0/rps_cpus", link.name), mask)
    })?;
    written.map_err(|source| SubjectError::Unable {
        program: "the kernel",
        task: format!("receive {} on core {}", link.name, bed.cores.switch),
        says: source.to_string(),
        remedy: "CONFIG_RPS and /sys/class/net/*/queues/rx-0/rps_cpus",
    })
}

/// A core as the kernel's masks are written: hexadecimal, a comma after each 32 bits.
pub(super) fn core_mask(core: usize) -> String {
    format!("{:x}{}", 1_u32 << (core % 32), ",00000000".repeat(core / 32))
}

/// It ends with the bed's namespaces.
struct Bridging;

impl Running for Bridging {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_cores_bit_in_its_word() {
        assert_eq!([0, 1, 5, 33].map(core_mask), ["1", "2", "20", "2,00000000"]);
    }
}

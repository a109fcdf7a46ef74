//! Its tunnel: a VXLAN port whose packets leave by a second bridge, as its manual has it ("Userspace Datapath - Native Tunneling").
//!
//! Its rules are the least there are, one a port, so that it is its tunnel that is measured.

use std::time::Duration;

use podlane_host::Links;

use crate::{
    bed::Bed,
    load::{
        traffic::Traffic,
        underlay::{PEER, PREFIX, VNI, VTEP, peer_mac, uplink_mac},
    },
    subject::{
        Running, Subject, SubjectError,
        ovs::{CONTROL, PATIENCE, Switching},
        tunnel::{Direction, Ends},
    },
};

/// The bridge of the pod's network, and the one whose own address the tunnel's packets have.
const PODS: &str = "br-pods";
const UNDERLAY: &str = "br-underlay";

/// The subject: one way through it.
pub struct Tunnel(pub Direction);

impl Subject for Tunnel {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn start(&self, bed: &Bed, _: Traffic) -> Result<Box<dyn Running>, SubjectError> {
        let ends = self.0.ends(bed)?;
        let mut switching = Switching::start(bed)?;
        configure(&mut switching, bed, &ends)?;
        Ok(Box::new(switching))
    }
}

fn configure(switching: &mut Switching, bed: &Bed, ends: &Ends) -> Result<(), SubjectError> {
    let Ends { pod, uplink } = ends;
    let hwaddr = format!("other_config:hwaddr=\"{}\"", uplink_mac());
    let (near, far) = (format!("options:local_ip={VTEP}"), format!("options:remote_ip={PEER}"));
    let key = format!("options:key={VNI}");
    switching.add_bridge(bed, PODS, &["fail_mode=secure"])?;
    switching.add_bridge(bed, UNDERLAY, &[&hwaddr])?;
    for (bridge, link) in [(PODS, pod), (UNDERLAY, uplink)] {
        switching.add_link(bed, bridge, link)?;
    }
    switching
        .set(bed, &["add-port", PODS, "vxlan0", "--", "set", "interface", "vxlan0", "type=vxlan", &near, &far, &key])?;
    let mut links = Links::open_in(bed.switch())?;
    links.add_address(UNDERLAY, VTEP.into(), PREFIX)?;
    links.set_up(UNDERLAY)?;
    let mut neighbour = switching.folder.command(CONTROL);
    neighbour.arg("-t").arg(switching.folder.file("control"));
    neighbour.args(["tnl/neigh/set", UNDERLAY, &PEER.to_string(), &peer_mac().to_string()]);
    CONTROL.run(bed.switch(), neighbour)?;
    let pod = &pod.name;
    let rules = format!("in_port={pod},actions=output:vxlan0\nin_port=vxlan0,actions=output:{pod}\n");
    switching.add_rules(bed, PODS, &rules)?;
    switching.check()
}

//! Its tunnel: a VXLAN port whose packets leave by a second bridge, as its manual has it ("Userspace Datapath - Native Tunneling").
//!
//! Its rules are the least there are, one a port, so that it is its tunnel that is measured.

use podlane_host::Links;

use crate::{
    bed::Bed,
    load::underlay::{PEER, PREFIX, VNI, VTEP, peer_mac, uplink_mac},
    subject::{
        SubjectError, Way,
        ovs::{CONTROL, PODS, Switching, command},
        tunnel::Ends,
    },
};

/// The bridge whose own address the tunnel's packets have.
const UNDERLAY: &str = "br-underlay";

/// Configures it on what was just started, for packets one way.
pub(super) fn configure(switching: &mut Switching, bed: &Bed, way: Way) -> Result<(), SubjectError> {
    let Ends { pod, uplink } = &Ends::of(bed, way)?;
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
    let mut neighbour = command(CONTROL, &switching.folder);
    neighbour.arg("-t").arg(switching.folder.file("control"));
    neighbour.args(["tnl/neigh/set", UNDERLAY, &PEER.to_string(), &peer_mac().to_string()]);
    CONTROL.run(bed.switch(), neighbour)?;
    let pod = &pod.name;
    let rules = format!("in_port={pod},actions=output:vxlan0\nin_port=vxlan0,actions=output:{pod}\n");
    switching.add_rules(bed, PODS, &rules)
}

//! The kernel's bridge, with nothing beside.

use podlane_bpf::Attachment;
use podlane_host::Links;

use crate::{
    bed::Bed,
    subject::{
        Duty, Running, Subject, SubjectError, Way,
        receiver::{receive_on, take_bursts},
    },
};

/// The subject.
pub struct Bridge;

impl Subject for Bridge {
    fn name(&self) -> &'static str {
        "kernel bridge"
    }

    fn takes(&self, duty: &Duty) -> bool {
        let Duty { way, rules, workers, .. } = *duty;
        (way, rules, workers) == (Way::Bridged, None, 1)
    }

    fn finishes_checksums(&self) -> bool {
        true
    }

    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        bridge(bed)?;
        Ok(Box::new(receive(bed, duty)?))
    }
}

/// Bridges all links of a bed.
pub(super) fn bridge(bed: &Bed) -> Result<(), SubjectError> {
    let mut links = Links::open_in(bed.switch())?;
    let bridge = links.bridge("br0")?;
    for link in bed.host_ends().iter().chain(bed.silent_ends()) {
        links.enslave(link.ifindex, bridge)?;
    }
    Ok(links.set_up(bridge)?)
}

/// Has a flood received on the switch's core. Pods that speak themselves pay for the bridge on their own core, as anybody has it: an XDP
/// program would take their segmentation offload from them, a thread their cache.
pub(super) fn receive(bed: &Bed, duty: &Duty) -> Result<Bridging, SubjectError> {
    if duty.peopled {
        return Ok(Bridging { _passing: None });
    }
    let [from, to] = bed.host_ends();
    let passing = [take_bursts(bed.switch(), &from)?, take_bursts(bed.switch(), &to)?];
    receive_on(bed.switch(), &from, bed.cores.switch)?;
    Ok(Bridging { _passing: Some(passing) })
}

/// It ends with the bed's namespaces.
pub(super) struct Bridging {
    _passing: Option<[Attachment; 2]>,
}

impl Running for Bridging {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        Ok(())
    }
}

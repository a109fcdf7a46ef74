//! The bare veth: one link from pod to pod and no switch at all. For pods that speak themselves it is the load's own limit.
//!
//! For a flood the receiving end is received on the switch's core, as it would be behind a switch.

use podlane_bpf::Attachment;

use crate::{
    bed::Bed,
    load::pod_end,
    subject::{
        Duty, Running, Subject, SubjectError, Way,
        receiver::{receive_on, take_bursts},
    },
};

/// The subject.
pub struct Wire;

impl Subject for Wire {
    fn name(&self) -> &'static str {
        "bare veth, no switch"
    }

    fn takes(&self, duty: &Duty) -> bool {
        let Duty { way, rules, silent, workers, .. } = *duty;
        (way, rules, silent, workers) == (Way::Bridged, None, 0, 1)
    }

    fn finishes_checksums(&self) -> bool {
        true
    }

    fn joins_pods(&self) -> bool {
        true
    }

    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        if duty.peopled {
            return Ok(Box::new(Joined { _passing: None }));
        }
        let end = pod_end(bed.to())?;
        let passing = take_bursts(bed.to(), &end)?;
        receive_on(bed.to(), &end, bed.cores.switch)?;
        Ok(Box::new(Joined { _passing: Some(passing) }))
    }
}

/// It ends with the bed's namespaces.
struct Joined {
    _passing: Option<Attachment>,
}

impl Running for Joined {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        Ok(())
    }
}

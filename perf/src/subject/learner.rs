//! Podlane told of no station: it learns who is behind its ports, and floods what is for anybody else. Where ports state their stations, as pods' do,
//! there is nothing to learn, so this is what its table of addresses is measured with.

use podlane_dataplane::{
    tables::{PortTable, Tables},
    testbed::Plan,
};

use crate::{
    bed::Bed,
    subject::{
        Duty, Running, Subject, SubjectError,
        podlane::{PORTS, Switching, switch_pair},
    },
};

/// The subject.
pub struct Learner;

impl Subject for Learner {
    fn name(&self) -> &'static str {
        "podlane, learning"
    }

    fn takes(&self, duty: &Duty) -> bool {
        duty.is_plain()
    }

    fn finishes_checksums(&self) -> bool {
        true
    }

    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        Ok(Box::new(Switching([switch_pair(bed, duty, tables())?])))
    }
}

fn tables() -> Tables {
    PORTS.into_iter().fold(Plan::new(1), |plan, port| plan.port(port, 0, PortTable::default())).build()
}

//! What the demo of two nodes does: every pair of machines, in both families, with echo, TCP both ways and UDP.

use std::net::IpAddr;
use std::time::Duration;

use super::cast::Pod;
use crate::demo::pods::Family;
use crate::demo::steps::{BACK_TO_BACK, BOTH_WAYS, Group, Heading, SMALL_DATAGRAMS, What};

/// Who speaks to whom. The network decides how: within one the packets are bridged, between two they are routed.
const PAIRS: [(Pod, Pod); 5] = [
    (Pod::Red, Pod::Blue),
    (Pod::Red, Pod::Gray),
    (Pod::Blue, Pod::Gray),
    (Pod::Green, Pod::Blue),
    (Pod::Green, Pod::Gray),
];

/// One thing the demo does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Who begins.
    pub(crate) from: Pod,
    /// Who answers.
    pub(crate) to: Pod,
    /// Over which protocol.
    pub(crate) family: Family,
    /// What is sent.
    pub(crate) what: What,
}

impl Step {
    /// The address the step sends to.
    pub(crate) fn target(&self) -> IpAddr {
        self.to.address(self.family)
    }

    /// The step as it is told.
    pub(crate) fn heading(&self) -> Heading {
        let path = if self.from.network() == self.to.network() { "bridged" } else { "routed" };
        Heading { from: self.from.name(), to: self.to.name(), family: self.family, path, what: self.what }
    }

    /// Whether the step stands for its group in the one-number summary: within one network, between the two switches.
    pub(crate) fn is_headline(&self) -> bool {
        matches!((self.from, self.to, self.family), (Pod::Red, Pod::Blue, Family::V4))
    }
}

/// Everything the demo does, in order.
pub(crate) fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for what in [BACK_TO_BACK, BOTH_WAYS, SMALL_DATAGRAMS] {
        for (from, to) in PAIRS {
            steps.extend([Family::V4, Family::V6].map(|family| Step { from, to, family, what }));
        }
    }
    steps
}

/// How long each step of a group takes when the whole group is given `group` of time.
pub(crate) fn share(steps: &[Step], of: Group, group: Duration) -> Duration {
    let count = steps.iter().filter(|step| step.what.group() == of).count();
    u32::try_from(count.max(1)).map_or(Duration::ZERO, |count| group / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::nodes::cast::Node;

    #[test]
    fn every_two_machines_meet_in_every_family_and_protocol() {
        let steps = steps();
        for (one, other) in [(Node::One, Node::Two), (Node::One, Node::Linux), (Node::Two, Node::Linux)] {
            for family in [Family::V4, Family::V6] {
                for group in [Group::Echo, Group::Tcp, Group::Udp] {
                    let between = |step: &&Step| {
                        (step.from.node(), step.to.node(), step.family) == (one, other, family)
                            && step.what.group() == group
                    };
                    assert!(steps.iter().any(|step| between(&step)), "{one:?} {other:?} {family:?} {group:?}");
                }
            }
        }
    }
}

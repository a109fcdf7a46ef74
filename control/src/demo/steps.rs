//! What the demo does, as a list: who sends what to whom, over which protocol.
//!
//! The list is data so that the drawing, the measuring and the JSON speak of the same steps. The first
//! group is echo, because it tells within a second whether anything works at all; a failing step never
//! keeps the next from running.

use std::net::IpAddr;
use std::time::Duration;

use super::pods::{Family, Pod};

/// Bytes of UDP payload that make the smallest Ethernet frame over IPv4: 64 with the frame check.
pub(crate) const SMALL: usize = 18;
/// Bytes of UDP payload that come close to a full frame, with room for IPv6.
pub(crate) const LARGE: usize = 1400;

/// The other end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Another pod.
    Pod(Pod),
    /// The switch itself, at the gateway of the sender's network.
    Gateway,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// ICMP echo, one outstanding, the next one after `pause`.
    Echo { pause: Duration },
    /// TCP streams, in the other direction as well when `both`.
    Tcp { streams: usize, both: bool },
    /// UDP datagrams of `payload` bytes, as fast as the sender can.
    Udp { payload: usize },
}

/// How a step's packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Within one network, by MAC.
    Switched,
    /// From one network to the other, by address.
    Routed,
    /// To the switch and back.
    Gateway,
}

impl Path {
    /// The name people and programs read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Switched => "switched",
            Self::Routed => "routed",
            Self::Gateway => "gateway",
        }
    }
}

/// The three kinds of step; each kind gets the same share of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Echo,
    Tcp,
    Udp,
}

impl Group {
    /// The name people and programs read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// One thing the demo does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Who begins.
    pub(crate) from: Pod,
    /// Who answers.
    pub(crate) to: Target,
    /// What is sent.
    pub(crate) what: What,
    /// Over which protocol.
    pub(crate) family: Family,
    /// Whether the step stands for its group in the one-number summary. Of echo all such steps are
    /// taken together, so that the 99.9th percentile has samples to stand on.
    pub(crate) headline: bool,
}

/// A step as it is told, whoever plays it: what stands to the left of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    /// Who begins.
    pub(crate) from: &'static str,
    /// Who answers.
    pub(crate) to: &'static str,
    /// Over which protocol.
    pub(crate) family: Family,
    /// How its packets travel.
    pub(crate) path: &'static str,
    /// What is sent.
    pub(crate) what: What,
}

impl What {
    /// The kind of step it makes.
    pub(crate) fn group(self) -> Group {
        match self {
            Self::Echo { .. } => Group::Echo,
            Self::Tcp { .. } => Group::Tcp,
            Self::Udp { .. } => Group::Udp,
        }
    }
}

impl Step {
    /// The address the step sends to.
    pub(crate) fn target(&self) -> IpAddr {
        match self.to {
            Target::Pod(pod) => pod.address(self.family),
            Target::Gateway => self.from.network().gateway(self.family),
        }
    }

    /// How its packets travel.
    pub(crate) fn path(&self) -> Path {
        match self.to {
            Target::Gateway => Path::Gateway,
            Target::Pod(pod) if pod.network() == self.from.network() => Path::Switched,
            Target::Pod(_) => Path::Routed,
        }
    }

    /// Which group it belongs to.
    pub(crate) fn group(&self) -> Group {
        self.what.group()
    }

    /// The step as it is told.
    pub(crate) fn heading(&self) -> Heading {
        Heading {
            from: self.from.name(),
            to: self.peer_name(),
            family: self.family,
            path: self.path().name(),
            what: self.what,
        }
    }

    /// The other end's name, as people read it.
    pub(crate) fn peer_name(&self) -> &'static str {
        match self.to {
            Target::Pod(pod) => pod.name(),
            Target::Gateway => "gateway",
        }
    }
}

/// One outstanding echo after the other.
pub(crate) const BACK_TO_BACK: What = What::Echo { pause: Duration::ZERO };
/// A gateway answers on the slow path, which is rate limited on purpose: ask gently.
const GENTLY: What = What::Echo { pause: Duration::from_millis(20) };
const ONE_STREAM: What = What::Tcp { streams: 1, both: false };
const FOUR_STREAMS: What = What::Tcp { streams: 4, both: false };
pub(crate) const BOTH_WAYS: What = What::Tcp { streams: 1, both: true };
pub(crate) const SMALL_DATAGRAMS: What = What::Udp { payload: SMALL };
const LARGE_DATAGRAMS: What = What::Udp { payload: LARGE };

const fn step(from: Pod, to: Target, what: What, family: Family) -> Step {
    Step { from, to, what, family, headline: false }
}

const fn headline(from: Pod, to: Target, what: What, family: Family) -> Step {
    Step { from, to, what, family, headline: true }
}

/// Everything the demo does, in order.
pub(crate) const STEPS: [Step; 16] = {
    use Family::{V4, V6};
    use Pod::{Blue, Green, Red};
    use Target::{Gateway, Pod as To};
    [
        step(Red, Gateway, GENTLY, V4),
        step(Blue, Gateway, GENTLY, V6),
        headline(Red, To(Green), BACK_TO_BACK, V4),
        headline(Red, To(Green), BACK_TO_BACK, V6),
        headline(Red, To(Blue), BACK_TO_BACK, V4),
        headline(Blue, To(Red), BACK_TO_BACK, V6),
        headline(Red, To(Green), ONE_STREAM, V4),
        step(Green, To(Red), ONE_STREAM, V6),
        step(Red, To(Green), BOTH_WAYS, V4),
        step(Red, To(Blue), FOUR_STREAMS, V4),
        step(Blue, To(Green), ONE_STREAM, V6),
        headline(Red, To(Green), SMALL_DATAGRAMS, V4),
        step(Green, To(Red), SMALL_DATAGRAMS, V6),
        step(Red, To(Blue), SMALL_DATAGRAMS, V4),
        step(Blue, To(Green), SMALL_DATAGRAMS, V6),
        step(Red, To(Green), LARGE_DATAGRAMS, V4),
    ]
};

/// How long one step of a group takes when the whole group is given `group` of time.
pub(crate) fn share(steps: &[Step], of: Group, group: Duration) -> Duration {
    let count = steps.iter().filter(|step| step.group() == of).count();
    u32::try_from(count.max(1)).map_or(Duration::ZERO, |count| group / count)
}

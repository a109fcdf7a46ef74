//! Why a flow is not carried by an engine: the complete list.

/// The reasons, with the snake_case name used in JSON, whether another try may end otherwise, and the sentence for people.
macro_rules! refusals {
    ($($variant:ident, $name:literal, $passes:literal, $sentence:literal;)*) => {
        /// Why a flow is not carried by an engine.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Refusal {
            $(#[doc = $sentence] $variant,)*
        }

        impl Refusal {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The stable name in JSON and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for the operator.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// Whether the same flow may be taken later, so that it is worth another offer.
            #[must_use]
            pub const fn passes(self) -> bool {
                match self { $(Self::$variant => $passes,)* }
            }
        }
    };
}

refusals! {
    NotIp, "not_ip", false, "The flow is not IP, or is neighbour discovery: each of its packets is the switch's to see.";
    Fragments, "fragments", false, "The flow is of fragments, which have no ports to be told apart by.";
    Program, "program", false, "What is done to the flow's packets (a copy for many, an answer, a drop, another station's address) is done by workers alone.";
    Rate, "rate", false, "A rate is set for the pod at one of its ends, and each packet is held against it.";
    Turning, "turning", true, "Its TCP connection is not established yet, or is ending: each segment may move it.";
    Outdated, "outdated", true, "The flow ended, or what decided it is not in force any more, before the engine was asked.";
    Family, "family", false, "The engine does not carry its address family.";
    Protocol, "protocol", false, "The engine does not carry its protocol.";
    Vlan, "vlan", false, "The engine does not carry tagged packets, or does not edit tags.";
    Tunnel, "tunnel", false, "The engine does not put packets into tunnels.";
    FromTunnel, "from_tunnel", false, "The engine does not take packets out of tunnels.";
    PartialMatch, "partial_match", false, "The engine tells flows apart by fewer fields than this one's verdict rests on: it would carry others with it.";
    Covered, "covered", true, "Another flow that the engine carries has the same fields as far as the engine looks: it carries this one with it.";
    OtherWorker, "other_worker", false, "The port it leaves by is another worker's, where the engine cannot put a packet.";
    Full, "full", true, "The engine's table is full and it puts no flow out for another.";
    Busy, "busy", true, "The engine takes no more insertions this second.";
    Failed, "failed", true, "The engine failed to insert it.";
}

/// How many reasons there are.
pub(crate) const REFUSALS: usize = Refusal::ALL.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_name_of_its_own_and_a_sentence() {
        let mut names: Vec<_> = Refusal::ALL.map(Refusal::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REFUSALS);
        assert!(Refusal::ALL.iter().all(|refusal| refusal.sentence().ends_with('.')));
        assert!(Refusal::ALL.iter().enumerate().all(|(number, refusal)| *refusal as usize == number));
    }
}

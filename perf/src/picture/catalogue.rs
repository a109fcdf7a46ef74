//! What the report shows, in its order: which stored result, which pictures of it, what was done and what bounds it.
//!
//! A section is one more entry of [`SECTIONS`]. Its words are about what stays true from run to run; figures are the results' alone.

use crate::series::Axis;

/// One stored result and how it is shown.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// The name of its file in `results`, without `.json`; and what `perf/measure` is told to measure it alone.
    pub result: &'static str,
    /// What was done.
    pub about: &'static str,
    /// Its pictures.
    pub figures: &'static [Figure],
    /// What keeps the figures from being better, here and anywhere; empty where the text above says all.
    pub bound: &'static str,
}

/// One picture.
#[derive(Debug)]
pub struct Figure {
    /// The name of its file in `pictures`, without `.svg`.
    pub picture: &'static str,
    /// What stands over it.
    pub title: &'static str,
    /// Which of the result's series it shows, and how.
    pub shape: Shape,
}

/// How series become a picture. Each shows those of one unit; a ratio has none.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A sweep: a curve a name.
    Curves(Axis, &'static str),
    /// The same, but only of names that have this word in them.
    Worded(Axis, &'static str, &'static str),
    /// What is of no sweep: a bar each.
    Rows(&'static str),
    /// What is held to a target in this unit: a bar each.
    Held(&'static str),
    /// Ratios, those with a target first: a bar each.
    Ratios,
}

const fn figure(picture: &'static str, title: &'static str, shape: Shape) -> Figure {
    Figure { picture, title, shape }
}

/// All of them.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Pod to pod, side by side",
        result: "udp",
        about: "64-byte UDP from one pod's veth to another's, as fast as one sender can; one core for the switch, another for the load. The bare cross-connect \
                moves descriptors from one AF_XDP socket to the other and looks at no byte: what is between it and Podlane is what Podlane costs. The generator's own \
                limit is what arrives where nothing is done with it.",
        figures: &[
            figure("udp-rates", "64-byte UDP, pod to pod, one core", Shape::Rows("Mpps")),
            figure("udp-ratios", "64-byte UDP, ratios within a round", Shape::Ratios),
        ],
        bound: "The kernel's transmit path of a veth, which every AF_XDP switch shares: `sendto` allocates a socket buffer, copies, and delivers it into the other pod, a packet \
                at a time, and holds 80 to 94 % of the switch's core. On this class of machine that is a wall at about 2.4 Mpps; zero-copy NICs do not have it.",
    },
    Section {
        title: "Rate against flows",
        result: "flows",
        about: "The same with more and more flows, each packet of another one than the packet before.",
        figures: &[figure("flows", "64-byte UDP, rate against flows", Shape::Curves(Axis::Flows, "Mpps"))],
        bound: "The kernel's transmit path, as above. What more flows add is the memory the flow table's entries come from: in memory a hit costs about 9 ns more \
                with a million flows than with a thousand.",
    },
    Section {
        title: "Rate against frame size",
        result: "frame-size",
        about: "UDP of the frame sizes of RFC 2544, as fast as one sender can.",
        figures: &[
            figure("frame-size", "UDP, rate against frame size", Shape::Curves(Axis::FrameSize, "Mpps")),
            figure("frame-size-gbps", "The same in bits", Shape::Curves(Axis::FrameSize, "Gbit/s")),
        ],
        bound: "Packets up to about half a kilobyte cost the kernel the same; beyond, its copies into and out of the sockets' memory begin to show. The switch itself reads the \
                headers only.",
    },
    Section {
        title: "Latency against load",
        result: "latency",
        about: "How long packets are on their way from one pod to another, by how many are sent, as percentiles. Time counts from when a packet should have been sent, so that a \
                stall shows in every packet it delayed.",
        figures: &[
            figure(
                "latency-p50",
                "64-byte UDP, one-way latency against offered load, p50",
                Shape::Worded(Axis::Offered, "us", "p50"),
            ),
            figure(
                "latency-p99",
                "64-byte UDP, one-way latency against offered load, p99",
                Shape::Worded(Axis::Offered, "us", "p99"),
            ),
            figure(
                "latency-p999",
                "64-byte UDP, one-way latency against offered load, p99.9",
                Shape::Worded(Axis::Offered, "us", "p99.9"),
            ),
        ],
        bound: "At low loads the waking of a core that has nothing to do, the receiver's as well as the switch's: about 30 us in this guest. At high loads the bursts, \
                whose first packet waits for the last. Near the rate the switch can do, the queues.",
    },
    Section {
        title: "TCP, pod to pod",
        result: "tcp",
        about: "TCP streams between the kernels of two pods, at MTU 1500 and 9000. The pods and their kernels share one core, the switch has the other.",
        figures: &[
            figure("tcp-rates", "TCP, pod to pod", Shape::Rows("Gbit/s")),
            figure("tcp-ratios", "TCP, pod to pod, ratios within a round", Shape::Ratios),
        ],
        bound: "AF_XDP carries no segments: each packet is made, copied and received by itself, where the kernel passes segments of up to 64 KiB from socket to socket \
                and cuts them nowhere. 8 to 10 Gbit/s at MTU 1500 is what a bare veth does here with its offloads switched off.",
    },
    Section {
        title: "Round trip",
        result: "round-trip",
        about: "How long a question and its answer take between the kernels of two pods, one at a time.",
        figures: &[
            figure("round-trip", "UDP, question and answer", Shape::Rows("us")),
            figure("round-trip-ratios", "UDP, question and answer, ratios within a round", Shape::Ratios),
        ],
        bound: "A wake-up from one core to the other costs about 30 us in this guest, and is most of a polling switch's round trip; what stays on one core, as the kernel's bridge does, \
                does without.",
    },
    Section {
        title: "Under policy",
        result: "policy",
        about: "64-byte UDP of 1,000 established connections under 1,000 rules, of which the last one allows them; everybody has the same rules in the same order.",
        figures: &[
            figure("policy-rates", "1,000 stateful rules, pod to pod", Shape::Rows("Mpps")),
            figure("policy-ratios", "1,000 stateful rules, ratios within a round", Shape::Ratios),
        ],
        bound: "The kernel's transmit path again. A flow's verdict is compiled into its entry, so the number of rules does not show in what a hit costs.",
    },
    Section {
        title: "Rate against policies",
        result: "policies",
        about: "The same with more and more rules.",
        figures: &[figure("policies", "64-byte UDP, rate against policies", Shape::Curves(Axis::Policies, "Mpps"))],
        bound: "The kernel's transmit path; for rules that are evaluated packet by packet, their number.",
    },
    Section {
        title: "Rate against ports",
        result: "ports",
        about: "A busy pair of pods beside more and more attached ones that are silent.",
        figures: &[figure("ports", "64-byte UDP, rate against attached ports", Shape::Curves(Axis::Ports, "Mpps"))],
        bound: "A worker looks at each port's ring once a turn, which is a cache line a port.",
    },
    Section {
        title: "Rate against workers",
        result: "workers",
        about: "More workers for the same TCP streams.",
        figures: &[figure("workers", "TCP, rate against workers", Shape::Curves(Axis::Workers, "Gbit/s"))],
        bound: "Cores. On a machine with two, the second worker shares its core with the pods, and takes from them what it gives: how it scales cannot be seen there.",
    },
    Section {
        title: "Through VXLAN",
        result: "vxlan",
        about: "64-byte UDP of 1,000 flows into a tunnel and out of one, over veths.",
        figures: &[
            figure("vxlan-rates", "Into and out of VXLAN", Shape::Rows("Mpps")),
            figure("vxlan-ratios", "Into and out of VXLAN, ratios within a round", Shape::Ratios),
        ],
        bound: "The kernel's transmit path. Into the tunnel the 50 bytes of outer headers are copied twice more by the kernel; Podlane writes them before the packet and moves none.",
    },
    Section {
        title: "TCP through VXLAN, node to node",
        result: "vxlan-tcp",
        about: "One TCP stream from a pod on one node to a pod on another, through two Podlanes and through two kernels' own overlays.",
        figures: &[figure("vxlan-tcp", "One TCP stream, node to node", Shape::Rows("Gbit/s"))],
        bound: "",
    },
    Section {
        title: "RFC 2544",
        result: "rfc2544",
        about: "The rate at which nothing is lost (and at which next to nothing is), latency at shares of it, loss beyond it, and the longest burst without a loss; RFC 2889's \
                learning rate and table; and how many flows it takes to slow it down.",
        figures: &[
            figure("rfc2544-throughput", "Throughput (RFC 2544 section 26.1)", Shape::Curves(Axis::FrameSize, "Mpps")),
            figure(
                "rfc2544-latency-p50",
                "Latency at shares of it (26.2), p50",
                Shape::Worded(Axis::OfferedShare, "us", "p50"),
            ),
            figure(
                "rfc2544-latency-p99",
                "Latency at shares of it (26.2), p99",
                Shape::Worded(Axis::OfferedShare, "us", "p99"),
            ),
            figure("rfc2544-loss", "Frame loss (26.3)", Shape::Curves(Axis::OfferedShare, "%")),
            figure("rfc2544-burst", "Back-to-back frames (26.4)", Shape::Curves(Axis::FrameSize, "frames")),
            figure("rfc2544-flows", "Throughput against flows", Shape::Curves(Axis::Flows, "Mpps")),
            figure("rfc2544-imix", "Throughput, mixed sizes (IMIX)", Shape::Rows("Mpps")),
            figure("rfc2889-addresses", "MAC addresses that are kept (RFC 2889 section 5.7)", Shape::Rows("addresses")),
            figure("rfc2889-learning", "MAC addresses that are learned (5.8)", Shape::Rows("addresses/s")),
        ],
        bound: "A rate without any loss is bound by the longest pause of the switch's core, not by its speed: a virtual core is taken away for milliseconds at a time, and a ring of 2,048 \
                frames lasts one of them.",
    },
    Section {
        title: "Beside silent ports",
        result: "idle-ports",
        about: "A busy pair alone, and the same pair beside silent ports.",
        figures: &[figure("idle-ports", "A busy pair alone and beside silent ports", Shape::Rows("Mpps"))],
        bound: "A look at each silent port's ring in each turn.",
    },
    Section {
        title: "An idle switch",
        result: "idle",
        about: "What a worker without packets costs, and how late the first packet after silence is: with a core that may halt, with one kept awake (`wake_latency_us = 0`), and with \
                busy polling.",
        figures: &[figure("idle", "The first packet after silence", Shape::Rows("us"))],
        bound: "The waking of a halted core, which no way of sleeping avoids: the bare thread beside it does nothing but wait in `poll`. \
                [Decision 15](../docs/decisions/0015-wake-latency.md) has what each way costs.",
    },
    Section {
        title: "Pods that come and go",
        result: "cni",
        about: "CNI ADD and DEL as a runtime calls them, against the reference's `bridge` with `host-local`; alone, at once, and beside pods that are attached already.",
        figures: &[figure("cni-ratios", "CNI against bridge + host-local", Shape::Held(""))],
        bound: "`bind` of an AF_XDP socket allocates the kernel's pool of the socket under the kernel's one lock of all links (`rtnl`), one pod after the other. Where a guest gives its free \
                memory back to its host, as this one does, getting it again is most of the time.",
    },
    Section {
        title: "In memory: the stages of a hit",
        result: "stages",
        about: "The worker's own stages over 64-byte UDP in bursts of 64, each as the difference of a burst that passes it and one that does not.",
        figures: &[figure("stages", "Nanoseconds a packet by stage, against flows", Shape::Curves(Axis::Flows, "ns"))],
        bound: "The flow table's memory: classify does not know how many flows there are, lookup fetches two cache lines a packet, ahead for the whole burst. \
                [PROFILES.md](PROFILES.md) has the instructions of each stage.",
    },
    Section {
        title: "In memory: a packet without its device",
        result: "line",
        about: "The worker's own stages over 64-byte UDP in bursts of 64, between two ports that cost next to nothing, less what those ports cost.",
        figures: &[figure("line", "Nanoseconds a packet, in memory", Shape::Held("ns"))],
        bound: "Instructions and their order, not memory, while the flows fit the cache; with a million flows, two cache misses a packet, fetched ahead for the whole burst.",
    },
    Section {
        title: "In memory: under policy",
        result: "line-policy",
        about: "The same with 64-byte TCP in established connections, under no policy, none that matters and 10,000.",
        figures: &[figure("line-policy", "Nanoseconds a packet under policy, in memory", Shape::Held("ns"))],
        bound: "A TCP packet's connection is read and written beside its flow: one more cache line.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_sections_have_one_result_and_no_two_pictures_one_file() {
        let results: BTreeSet<_> = SECTIONS.iter().map(|section| section.result).collect();
        assert_eq!(results.len(), SECTIONS.len());
        let pictures: Vec<_> =
            SECTIONS.iter().flat_map(|section| section.figures).map(|figure| figure.picture).collect();
        assert_eq!(pictures.iter().collect::<BTreeSet<_>>().len(), pictures.len());
    }
}

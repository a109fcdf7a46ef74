//! The kernel's bridge with nftables.
//!
//! Two ways to have [`rules`] there. Linear: the bridge's own hook, where each packet goes through all of them until one decides, since there
//! no connections are known. Tracked: the hook of IP packets (`br_netfilter`), as on a Kubernetes node, where the tracker comes first and only what opens
//! a connection meets the rules.

use std::{fmt::Write, fs, process::Command};

use podlane_bpf::Attachment;
use podlane_host::Links;

use crate::{
    bed::Bed,
    load::traffic::Traffic,
    subject::{
        Running, Subject, SubjectError,
        receiver::{receive_on, take_bursts},
        rules::{Allowed, rules},
        tools::Tool,
    },
};

const NFT: Tool = Tool { program: "nft", install: "apt-get install nftables", manual: "nft(8)" };

/// Whether the bridge hands its packets to the hooks of IP; each network namespace has its own.
const CALL_IP: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// The subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nftables {
    /// All packets meet the rules.
    Linear,
    /// Those that open a connection do.
    Tracked,
}

impl Subject for Nftables {
    fn start(&self, bed: &Bed, _: Traffic) -> Result<Box<dyn Running>, SubjectError> {
        let mut links = Links::open_in(bed.switch())?;
        let [from, to] = bed.host_ends();
        let bridge = links.bridge("br0")?;
        for link in [&from, &to] {
            links.enslave(link.ifindex, bridge)?;
        }
        links.set_up(bridge)?;
        self.call_ip(bed)?;
        let mut load = Command::new(NFT.program);
        load.args(["-f", "-"]);
        NFT.feed(bed.switch(), load, &self.ruleset(&to.name))?;
        let passing = [take_bursts(bed.switch(), &from)?, take_bursts(bed.switch(), &to)?];
        receive_on(bed, &from)?;
        Ok(Box::new(Filtering { _passing: passing }))
    }
}

impl Nftables {
    /// Opens or closes the way to the hooks of IP, which would cost the linear way something and give it nothing.
    fn call_ip(self, bed: &Bed) -> Result<(), SubjectError> {
        let told = bed.switch().run(|| match self {
            // Where the kernel has no such switch, it has no such way either.
            Self::Linear if !fs::exists(CALL_IP)? => Ok(()),
            Self::Linear => fs::write(CALL_IP, "0"),
            Self::Tracked => fs::write(CALL_IP, "1"),
        })?;
        told.map_err(|source| SubjectError::Unable {
            program: "the kernel",
            task: format!("set {CALL_IP}"),
            says: source.to_string(),
            remedy: "br_netfilter (modprobe br_netfilter)",
        })
    }

    /// What `nft` is told. Answers need a rule only where connections are not known.
    fn ruleset(self, to: &str) -> String {
        let (family, first) = match self {
            Self::Linear => ("bridge", format!("iifname \"{to}\" accept")),
            Self::Tracked => ("ip", "ct state established accept".to_owned()),
        };
        let mut text = format!(
            "table {family} rules {{\nchain forward {{\n\
             type filter hook forward priority 0; policy drop;\n{first}\n"
        );
        for Allowed { from, port } in rules() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "ip saddr {from} udp dport {port} accept");
        }
        text.push_str("}\n}\n");
        text
    }
}

/// It ends with the bed's namespaces.
struct Filtering {
    _passing: [Attachment; 2],
}

impl Running for Filtering {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        Ok(())
    }
}

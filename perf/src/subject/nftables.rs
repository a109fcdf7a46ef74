//! The kernel's bridge with nftables.
//!
//! Two ways to have `rules` there. Linear: the bridge's own hook, where each packet goes through all of them until one decides, since there
//! no connections are known. Tracked: the hook of IP packets (`br_netfilter`), as on a Kubernetes node, where the tracker comes first and only what opens
//! a connection meets the rules.

use std::{fmt::Write, fs, process::Command};

use crate::{
    bed::Bed,
    subject::{
        Duty, Running, Subject, SubjectError,
        bridge::{bridge, receive},
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
    fn name(&self) -> &'static str {
        match self {
            Self::Linear => "bridge + nft, linear",
            Self::Tracked => "bridge + nft, ct first",
        }
    }

    fn takes(&self, duty: &Duty) -> bool {
        duty.is_policy()
    }

    fn finishes_checksums(&self) -> bool {
        true
    }

    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        let [_, to] = bed.host_ends();
        bridge(bed)?;
        self.call_ip(bed)?;
        let mut load = Command::new(NFT.program);
        load.args(["-f", "-"]);
        NFT.feed(bed.switch(), load, &self.ruleset(&to.name, duty.rules.unwrap_or_default()))?;
        Ok(Box::new(receive(bed, duty)?))
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
    fn ruleset(self, to: &str, number: u16) -> String {
        let (family, first) = match self {
            Self::Linear => ("bridge", format!("iifname \"{to}\" accept")),
            Self::Tracked => ("ip", "ct state established accept".to_owned()),
        };
        let mut text = format!(
            "table {family} rules {{\nchain forward {{\n\
             type filter hook forward priority 0; policy drop;\n{first}\n"
        );
        for Allowed { from, port } in rules(number) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "ip saddr {from} udp dport {port} accept");
        }
        text.push_str("}\n}\n");
        text
    }
}

//! Its connection tracking, in front of the [rules](super::super::rules): what opens a connection is held to them, and what belongs to one passes.
//!
//! As its manual has it ("OVS Conntrack Tutorial"): the first table sends all that is IP through the tracker, the second decides.

use std::fmt::Write;

use crate::{
    bed::Bed,
    subject::{
        SubjectError,
        ovs::{PODS, Switching},
        rules::{Allowed, rules},
    },
};

/// Configures it on what was just started.
pub(super) fn configure(switching: &mut Switching, bed: &Bed, number: u16) -> Result<(), SubjectError> {
    switching.add_bridge(bed, PODS, &["fail_mode=secure"])?;
    let [from, to] = bed.host_ends();
    for link in [&from, &to] {
        switching.add_link(bed, PODS, link)?;
    }
    switching.add_rules(bed, PODS, &tables(&from.name, &to.name, number))
}

/// Everything both tables say.
fn tables(from: &str, to: &str, number: u16) -> String {
    let mut text = format!(
        "table=0,ip,actions=ct(table=1)\n\
         table=1,priority=100,ct_state=+trk+est,ip,in_port={from},actions=output:{to}\n\
         table=1,priority=100,ct_state=+trk+est,ip,in_port={to},actions=output:{from}\n"
    );
    for Allowed { from: source, port } in rules(number) {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "table=1,priority=10,ct_state=+trk+new,udp,in_port={from},nw_src={source},tp_dst={port},\
             actions=ct(commit),output:{to}"
        );
    }
    text
}

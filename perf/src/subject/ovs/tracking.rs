//! Its connection tracking, in front of [`RULES`](super::super::rules::RULES): what opens a connection is held to them, and what belongs to one passes.
//!
//! As its manual has it ("OVS Conntrack Tutorial"): the first table sends all that is IP through the tracker, the second decides.

use std::{fmt::Write, time::Duration};

use crate::{
    bed::Bed,
    load::traffic::Traffic,
    subject::{
        Running, Subject, SubjectError,
        ovs::{PATIENCE, Switching},
        rules::{Allowed, rules},
    },
};

const BRIDGE: &str = "br-pods";

/// The subject.
pub struct Tracking;

impl Subject for Tracking {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn start(&self, bed: &Bed, _: Traffic) -> Result<Box<dyn Running>, SubjectError> {
        let mut switching = Switching::start(bed)?;
        switching.add_bridge(bed, BRIDGE, &["fail_mode=secure"])?;
        let [from, to] = bed.host_ends();
        for link in [&from, &to] {
            switching.add_link(bed, BRIDGE, link)?;
        }
        switching.add_rules(bed, BRIDGE, &tables(&from.name, &to.name))?;
        switching.check()?;
        Ok(Box::new(switching))
    }
}

/// Everything both tables say.
fn tables(from: &str, to: &str) -> String {
    let mut text = format!(
        "table=0,ip,actions=ct(table=1)\n\
         table=1,priority=100,ct_state=+trk+est,ip,in_port={from},actions=output:{to}\n\
         table=1,priority=100,ct_state=+trk+est,ip,in_port={to},actions=output:{from}\n"
    );
    for Allowed { from: source, port } in rules() {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "table=1,priority=10,ct_state=+trk+new,udp,in_port={from},nw_src={source},tp_dst={port},\
             actions=ct(commit),output:{to}"
        );
    }
    text
}

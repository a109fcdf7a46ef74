//! Rules of `[workers]`: cores that exist, each once, and frames for every ring.

use std::collections::BTreeMap;

use super::First;
use crate::config::Machine;
use crate::config::file::WorkersTable;
use crate::config::mistake::{Findings, Mistake};
use crate::desired::{Attachment, Device, Name, Port, Queues, Workers};

pub(super) fn verify(
    table: WorkersTable,
    ports: &BTreeMap<Name, Port>,
    machine: &Machine,
    findings: &Findings<'_>,
) -> Workers {
    let mut first = First::new();
    if let Some(cores) = table.cores.given() {
        if cores.value.is_empty() {
            findings.add(cores.at, &table.subject, Mistake::NoCores);
        }
        for core in &cores.value {
            if let Some((at, ())) = first.note(core.value, core.at, ()) {
                let mistake = Mistake::DuplicateCore { core: core.value, first: findings.line(at) };
                findings.add(core.at, &table.subject, mistake);
            } else if !machine.cores.contains(&core.value) {
                let had = machine.cores.iter().copied().collect();
                findings.add(core.at, &table.subject, Mistake::NoSuchCore { core: core.value, had });
            }
        }
    }
    let cores: Vec<usize> = table.cores.into_value().unwrap_or_default().iter().map(|core| core.value).collect();

    let (sockets, needed) = demand(ports, cores.len());
    if u64::from(table.frames.value.get()) < needed {
        let mistake = Mistake::TooFewFrames { frames: table.frames.value, sockets, needed };
        findings.add(table.frames.at, &table.subject, mistake);
    }
    Workers { cores, poll: table.poll, frames: table.frames.value, frame_bytes: table.frame_bytes }
}

/// How many sockets the busiest worker has at least, and how many frames their fill rings take. `all` counts as one
/// queue a worker: how many a device has is not known before it is there.
fn demand(ports: &BTreeMap<Name, Port>, workers: usize) -> (u64, u64) {
    let workers = u64::try_from(workers.max(1)).unwrap_or(u64::MAX);
    let devices = ports.values().filter_map(|port| match &port.attachment {
        Attachment::Device(device) => Some(device),
        Attachment::Replay(_) => None,
    });
    devices.fold((0, 0), |(sockets, frames), Device { queues, ring, .. }| {
        let queues = match queues {
            Queues::All => 1,
            Queues::First(count) => u64::from(*count).div_ceil(workers),
        };
        (sockets + queues, frames + queues * u64::from(ring.get()))
    })
}

//! Rules of `[workers]`: cores that exist, each once, and a burst of frames for every queue.

use std::collections::BTreeMap;

use super::First;
use crate::config::Machine;
use crate::config::file::WorkersTable;
use crate::config::mistake::{Findings, Mistake};
use crate::desired::{Behind, LEAST_FILL, Name, Port, Queues, Workers};

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

    let (ports, least) = demand(ports, cores.len());
    if table.frames.value.share(ports) < least {
        // What gives each port its share, in whole quarters.
        let needed = (u64::from(ports) * u64::from(least)).div_ceil(3) * 4;
        let mistake = Mistake::TooFewFrames { frames: table.frames.value, ports, needed };
        findings.add(table.frames.at, &table.subject, mistake);
    }
    Workers {
        cores,
        poll: table.poll,
        wake_latency: table.wake_latency,
        frames: table.frames.value,
        frame_bytes: table.frame_bytes,
    }
}

/// How many ports share a worker's frames, and how many the one with the most queues takes at least. `all` counts as one
/// queue a worker: how many a device has is not known before it is there.
fn demand(ports: &BTreeMap<Name, Port>, workers: usize) -> (u32, u32) {
    let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
    let queues = ports.values().filter_map(|port| match &port.behind {
        Behind::Device(device) => Some(match device.queues {
            Queues::All => 1,
            Queues::First(count) => u32::from(count).div_ceil(workers),
        }),
        Behind::Replay(_) => None,
    });
    queues.fold((0, 0), |(ports, least), queues| (ports + 1, least.max(queues * LEAST_FILL)))
}

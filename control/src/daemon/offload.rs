//! What the daemon tells of its offload engines.

use std::cmp::Reverse;

use podlane_api::{Offload, OffloadEngine, OffloadRefusal};
use podlane_dataplane::offload::{EngineReport, Refusal};

use super::answers::traffic;
use super::moment::Moment;

impl Moment<'_> {
    /// The engines; none where no port has one.
    pub(super) fn offload(&self) -> Offload {
        let exchange = self.engine().shared().offload.get();
        let reports = exchange.map(|exchange| exchange.report()).unwrap_or_default();
        Offload { engines: reports.into_iter().map(engine).collect() }
    }
}

fn engine(report: EngineReport) -> OffloadEngine {
    let EngineReport { name, capacity, flows, offered, unheard, taken, .. } = report;
    let EngineReport { carried, looked_up, hits, evicted, lost, aged, mut refused, .. } = report;
    refused.sort_by_key(|(_, flows)| Reverse(*flows));
    let refusal = |(refusal, flows): (Refusal, u64)| OffloadRefusal {
        reason: refusal.name().to_owned(),
        means: refusal.sentence().to_owned(),
        flows,
    };
    OffloadEngine {
        name: name.to_owned(),
        capacity,
        flows,
        offered,
        unheard,
        taken,
        carried: traffic(carried),
        looked_up,
        hits,
        evicted,
        lost,
        aged,
        refused: refused.into_iter().map(refusal).collect(),
    }
}

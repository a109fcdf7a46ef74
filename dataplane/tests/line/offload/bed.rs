//! What the tests of offload stand on: two pods behind an emulated engine, and a look at what it does.

use podlane_dataplane::{
    PortId,
    offload::{
        EngineReport, Refusal,
        emulated::{Emulated, Settings},
    },
    testbed::{Plan, TestBed},
};

use crate::packets::{BLUE, Host, RED, host};

pub(crate) const A: Host = host(0, 1);
pub(crate) const B: Host = host(0, 2);

/// Packets that make a flow worth an offer.
pub(crate) const ENOUGH: usize = 8;

/// Ports behind an engine like this.
pub(crate) fn behind(settings: Settings, plan: Plan) -> TestBed {
    TestBed::offloading(plan.offloaded(), 1, |flows, workers| Box::new(Emulated::new(settings, workers, flows)))
}

/// A at RED and B at BLUE behind an engine like this.
pub(crate) fn pair(settings: Settings) -> TestBed {
    behind(settings, Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, B.stated()))
}

/// Sends a packet and takes a turn, a millisecond after the last one.
pub(crate) fn pass(bed: &mut TestBed, port: PortId, packet: &[u8]) {
    bed.tick();
    bed.receive(port, packet);
    bed.turn();
}

/// Sends a packet until its flow has been offered, and forgets what moved.
pub(crate) fn establish(bed: &mut TestBed, port: PortId, packet: &[u8]) {
    for _ in 0..=ENOUGH {
        pass(bed, port, packet);
    }
    settle(bed);
    bed.moved();
}

/// Until the engine was asked what it carried, and the workers were told.
pub(crate) fn settle(bed: &mut TestBed) {
    bed.pass(400);
}

/// What is counted of the engine.
pub(crate) fn report(bed: &TestBed) -> EngineReport {
    let offloader = bed.offloader.as_ref().expect("a bed with an engine");
    offloader.exchange().report().remove(0)
}

/// How many flows were refused for this reason.
pub(crate) fn refused(bed: &TestBed, refusal: Refusal) -> u64 {
    report(bed).refused.iter().find(|(reason, _)| *reason == refusal).map_or(0, |(_, count)| *count)
}

//! Ports that die and drivers that panic: reported, counted by name, and no one else's trouble.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use podlane_dataplane::{
    DropReason, PortId, WorkerId,
    burst::{Burst, OutQueue},
    port::{
        Port, PortError, PortFacts,
        memory::{MemoryPort, Wire},
    },
    testbed::{TestBed, dropped, received, sent},
    worker::{
        command::{Command, Event},
        idle::Poll,
    },
};
use podlane_rings::FramePool;

use crate::rig::{BLUE, GREEN, RED, Running, SOON, frame, mac, plan, small, strays};

/// A port whose device vanishes when it is told to.
struct Mortal {
    inner: MemoryPort,
    dead: Arc<AtomicBool>,
}

impl Port for Mortal {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        self.inner.receive(pool, burst);
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        self.inner.transmit(pool, queue);
    }

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        let dead = self.dead.load(Ordering::Relaxed);
        if dead { Err(PortError::Gone { device: "veth-test".into() }) } else { Ok(()) }
    }

    fn facts(&self) -> PortFacts {
        self.inner.facts()
    }

    fn close(self: Box<Self>, pool: &mut FramePool) {
        Box::new(self.inner).close(pool);
    }
}

#[test]
fn a_port_that_dies_is_reported_once_and_its_packets_have_a_name() {
    let mut bed = TestBed::new(plan());
    bed.detach(BLUE);
    let (wire, dead) = (Wire::default(), Arc::default());
    bed.attach(BLUE, Box::new(Mortal { inner: MemoryPort::new(wire.clone()), dead: Arc::clone(&dead) }));
    bed.receive(RED, small());
    bed.turn();
    wire.take_at_most(0);
    for _ in 0..3 {
        bed.receive(RED, small());
    }
    bed.turn();
    dead.store(true, Ordering::Relaxed);
    bed.turn();
    bed.receive(RED, small());
    bed.turn();
    assert_eq!(
        bed.moved(),
        [received(RED, 5), sent(BLUE, 1), dropped(DropReason::EgressGone, 1), dropped(DropReason::PortRemoved, 3)]
    );
    let events = bed.events();
    assert!(matches!(&events[..], [Event::PortDied { port: BLUE, error: PortError::Gone { .. }, .. }]), "{events:?}");
    assert_eq!(strays(&bed), 0);
}

/// A port whose driver has a fault.
struct Panicking;

impl Port for Panicking {
    fn receive(&mut self, _pool: &mut FramePool, _burst: &mut Burst) {
        panic!("a fault of the driver, on purpose");
    }

    fn transmit(&mut self, _pool: &mut FramePool, _queue: &mut OutQueue) {}

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        Ok(())
    }

    fn facts(&self) -> PortFacts {
        PortFacts::default()
    }

    fn close(self: Box<Self>, _pool: &mut FramePool) {}
}

#[test]
fn a_worker_that_ends_by_a_fault_is_reported_and_the_others_go_on() {
    let running = Running::start(2, Poll::Adaptive);
    running.command(0, Command::Attach(PortId(10), Box::new(Panicking)));
    let event = running.events.recv_timeout(SOON).expect("the end of a worker is an event");
    assert!(matches!(event, Event::WorkerEnded { worker: WorkerId(0) }), "{event:?}");
    running.lines[&RED].send(&frame(RED, mac(GREEN), 46));
    running.wait_for(GREEN);
}

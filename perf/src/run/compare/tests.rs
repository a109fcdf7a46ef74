//! What becomes of a contender that does not do what it should: it drops out with a reason, and the others go on.

use std::{
    collections::VecDeque,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use podlane_host::{Links, lab::skip};
use podlane_rings::{Frame, FramePool, Umem, UmemConfig};

use super::{
    roster::Contender,
    turns::{Cell, in_turns},
    workload::{Family, Scale, Workload},
};
use crate::{
    bed::Bed,
    cores::Cores,
    run::Terms,
    subject::{Duty, Running, Subject, SubjectError, crossconnect::CrossConnect, end::End, poller::Poller},
};

/// A switch that does something wrong.
enum Broken {
    /// It forwards nothing.
    Mute,
    /// It ended by itself.
    Dead,
    /// It forwards everything twice.
    Doubling,
    /// It takes the sender's link away after a while.
    Deleting,
}

struct Idle(Result<(), ()>);

impl Running for Idle {
    fn check(&mut self) -> Result<(), SubjectError> {
        self.0.map_err(|()| SubjectError::Ended { name: "broken" })
    }

    fn stop(mut self: Box<Self>) -> Result<(), SubjectError> {
        self.check()
    }
}

struct Crossing(Poller);

impl Running for Crossing {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        self.0.stop()
    }
}

impl Subject for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn takes(&self, _: &Duty) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        match self {
            Self::Mute => Ok(Box::new(Idle(Ok(())))),
            Self::Dead => Ok(Box::new(Idle(Err(())))),
            Self::Doubling => double(bed),
            Self::Deleting => {
                let [from, _] = bed.host_ends();
                let mut links = Links::open_in(bed.switch())?;
                let running = CrossConnect.start(bed, duty)?;
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(300));
                    links.delete(from.ifindex)
                });
                Ok(running)
            }
        }
    }
}

/// A cross-connect that sends a copy of every packet too.
fn double(bed: &Bed) -> Result<Box<dyn Running>, SubjectError> {
    let [from, to] = bed.host_ends();
    let (_, mut pool) = Umem::create(&UmemConfig::default())?;
    let mut first = End::open(bed.switch(), &from, &mut pool)?;
    let mut second = End::open_to_send(bed.switch(), &to, &mut pool)?;
    let poller = Poller::start("double", bed.cores.switch, move |until| {
        let (mut arrived, mut queue) = (Vec::new(), VecDeque::new());
        while !until.is_over() {
            first.socket.receive(&mut pool, 32 - queue.len().min(32), |frame| arrived.push(frame));
            for frame in arrived.drain(..) {
                queue.extend(copy(&mut pool, &frame));
                queue.push_back(frame);
            }
            second.socket.transmit(&mut pool, &mut queue);
            if first.socket.settle(&mut pool).and(second.socket.settle(&mut pool)).is_err() {
                break;
            }
        }
        queue.drain(..).for_each(|frame| pool.give(frame));
        first.close(&mut pool);
        second.close(&mut pool);
    })?;
    Ok(Box::new(Crossing(poller)))
}

fn copy(pool: &mut FramePool, frame: &Frame) -> Option<Frame> {
    let mut copy = pool.take()?;
    copy.set_len(frame.bytes().len()).ok()?;
    copy.bytes_mut().copy_from_slice(frame.bytes());
    Some(copy)
}

/// What a broken switch is said to be, beside a whole one that is measured all the same.
fn verdict_on(broken: &'static Broken) -> String {
    let workloads: Vec<Workload> = Family::Udp.workloads(&Scale { flows: vec![1], rules: 1 });
    let cell = |subject: &'static dyn Subject| {
        let contender = Contender::Podlane;
        Cell { workload: &workloads[0], contender, subject, outcome: Ok(Vec::new()) }
    };
    let mut cells = [cell(broken), cell(&CrossConnect)];
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    let terms = Terms { rounds: 1, length: Duration::from_millis(600), stop: &stop, progress: &|_| () };
    in_turns(&mut cells, &terms).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    let [broken, whole] = cells.map(|cell| cell.outcome);
    assert!(whole.unwrap()[0][0].unwrap() > 0.0);
    broken.unwrap_err().to_string()
}

/// Whether it cannot be tried here; says so.
fn impossible(test: &str) -> bool {
    Cores::of_this_process().is_err() || skip(test)
}

#[test]
fn who_forwards_nothing_is_said_to() {
    if !impossible("who_forwards_nothing_is_said_to") {
        let said = verdict_on(&Broken::Mute);
        assert_eq!(said, "nothing arrived within 0.2 s; run it alone and look at what it prints");
    }
}

#[test]
fn who_ended_is_said_to_have_ended_and_not_to_be_silent() {
    if !impossible("who_ended_is_said_to_have_ended_and_not_to_be_silent") {
        let said = verdict_on(&Broken::Dead);
        assert_eq!(said, "broken ended by itself; run it alone and look at what it prints");
    }
}

#[test]
fn who_sends_more_than_it_got_is_not_praised_for_its_rate() {
    if !impossible("who_sends_more_than_it_got_is_not_praised_for_its_rate") {
        let said = verdict_on(&Broken::Doubling);
        assert!(said.contains("look for a loop"), "{said}");
    }
}

#[test]
fn a_link_that_goes_ends_the_turn() {
    if !impossible("a_link_that_goes_ends_the_turn") {
        let said = verdict_on(&Broken::Deleting);
        // On a busy machine it may be gone before the first packet has arrived.
        assert!(said.contains("eth0") || said.contains("nothing arrived"), "{said}");
    }
}

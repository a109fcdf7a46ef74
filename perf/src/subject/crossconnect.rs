//! The bare cross-connect: what comes in by one link goes out by the other, on the rings and the packet memory the switch uses,
//! with no look at a single byte. What a switch loses against it is the price of switching; what it loses against the wire is the
//! price of AF_XDP on a veth.

use std::collections::VecDeque;

use podlane_rings::{Frame, FramePool, SocketError, Umem, UmemConfig};

use crate::{
    bed::Bed,
    subject::{Duty, Running, Subject, SubjectError, Way, end::End, poller::Poller},
};

/// Frames taken at once, as many as the switch takes.
const BATCH: usize = 64;

/// The subject.
pub struct CrossConnect;

impl Subject for CrossConnect {
    fn name(&self) -> &'static str {
        "bare cross-connect"
    }

    fn takes(&self, duty: &Duty) -> bool {
        // A packet for a gateway is one like any other to what looks at none.
        let moved = matches!(duty.way, Way::Bridged | Way::Routed);
        moved && Duty { way: Way::Bridged, ..*duty }.is_plain() && duty.silent == 0
    }

    fn start(&self, bed: &Bed, _: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        let [from, to] = bed.host_ends();
        let (_, mut pool) = Umem::create(&UmemConfig::default())?;
        let first = End::open(bed.switch(), &from, &mut pool)?;
        let second = match End::open(bed.switch(), &to, &mut pool) {
            Ok(end) => end,
            Err(error) => {
                first.close(&mut pool);
                return Err(error);
            }
        };
        let poller = Poller::start("crossconnect", bed.cores.switch, move |until| {
            let (mut first, mut second) = (first, second);
            let (mut there, mut back) = (VecDeque::with_capacity(BATCH), VecDeque::with_capacity(BATCH));
            while !until.is_over() {
                let crossed = cross(&mut first, &mut second, &mut there, &mut pool)
                    .and_then(|()| cross(&mut second, &mut first, &mut back, &mut pool));
                if crossed.is_err() {
                    break;
                }
            }
            there.drain(..).chain(back.drain(..)).for_each(|frame| pool.give(frame));
            first.close(&mut pool);
            second.close(&mut pool);
        })?;
        Ok(Box::new(Crossing(poller)))
    }
}

/// One direction, once. What the leaving ring has no room for waits in `queue`, and nothing is taken meanwhile.
#[inline]
fn cross(from: &mut End, to: &mut End, queue: &mut VecDeque<Frame>, pool: &mut FramePool) -> Result<(), SocketError> {
    let room = BATCH - queue.len();
    let received = from.socket.receive(pool, room, |frame| queue.push_back(frame));
    if received > 0 {
        from.socket.settle(pool)?;
    }
    if !queue.is_empty() {
        to.socket.transmit(pool, queue);
        to.socket.settle(pool)?;
    }
    Ok(())
}

struct Crossing(Poller);

impl Running for Crossing {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        self.0.stop()
    }
}

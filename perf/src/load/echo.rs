//! A question and its answer: one UDP packet from a pod's process to the other's and back, over and over, one at a time.
//!
//! Both processes are threads on the load's core that sleep in their socket, so a round trip has two crossings of the switch and two
//! wake-ups of a process, the same ones for everybody.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use podlane_host::Netns;

use crate::{
    cores,
    generator::latency::micros,
    load::{LoadError, traffic::address},
};

/// Who asks, and who answers.
const FROM: SocketAddr = SocketAddr::new(IpAddr::V4(address(0, 1)), 7001);
const TO: SocketAddr = SocketAddr::new(IpAddr::V4(address(0, 2)), 7002);

/// Bytes of a question, which begins with its number: with headers it is a packet of the least length.
const QUESTION: usize = 18;

/// A packet that takes longer is lost, and counts as one that took so long.
const LOST: Duration = Duration::from_millis(100);

/// The longest round trip that is told apart, nanoseconds: more than [`LOST`], by which a late answer may pass it.
const LONGEST_NS: u64 = 1_000_000_000;

/// Questions before the first that counts: neighbours are asked for, flows opened.
const WARM_UP: u32 = 100;

/// What is told of round trips, microseconds; `None` of what so few do not tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundTrips {
    /// Half were faster.
    pub p50: Option<f64>,
    /// 99 in 100 were faster.
    pub p99: Option<f64>,
}

/// Who asks whom, on which core.
#[derive(Clone, Copy)]
pub struct Echo<'a> {
    /// The pod that asks.
    pub from: &'a Netns,
    /// The pod that answers.
    pub to: &'a Netns,
    /// The core of both.
    pub core: usize,
    /// For how long.
    pub length: Duration,
    /// How long nothing may be answered at first.
    pub patience: Duration,
    /// Ends it early.
    pub stop: &'a AtomicBool,
}

impl Echo<'_> {
    /// Asks for as long as it was told.
    ///
    /// # Errors
    /// [`LoadError::Silent`] if nothing is answered, [`LoadError::Interrupted`].
    pub fn run(&self) -> Result<RoundTrips, LoadError> {
        let open = |address| {
            let socket = UdpSocket::bind(address)?;
            socket.set_read_timeout(Some(LOST))?;
            Ok(socket)
        };
        let asking = self.from.run(|| open(FROM))?.map_err(LoadError::Socketless)?;
        let answering = self.to.run(|| open(TO))?.map_err(LoadError::Socketless)?;
        asking.connect(TO).map_err(LoadError::Socketless)?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| answer(&answering, self.core, &over));
            let asked = scope.spawn(|| {
                cores::pin(self.core);
                let number = self.wait_for_first(&asking)?;
                self.ask(&asking, number)
            });
            let found = asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            over.store(true, Ordering::Relaxed);
            found
        })
    }

    /// Asks until something is answered, and then so often that everything is open.
    fn wait_for_first(&self, socket: &UdpSocket) -> Result<u32, LoadError> {
        let deadline = Instant::now() + self.patience;
        let mut number = 0;
        while round_trip(socket, &mut number)? >= LOST {
            if Instant::now() > deadline {
                return Err(LoadError::Silent { patience: self.patience });
            }
            self.check()?;
        }
        for _ in 0..WARM_UP {
            round_trip(socket, &mut number)?;
            self.check()?;
        }
        Ok(number)
    }

    fn ask(&self, socket: &UdpSocket, mut number: u32) -> Result<RoundTrips, LoadError> {
        let mut histogram = Histogram::<u64>::new_with_max(LONGEST_NS, 3).map_err(LoadError::Histogram)?;
        let (begun, mut answered) = (Instant::now(), false);
        while begun.elapsed() < self.length {
            self.check()?;
            let took = round_trip(socket, &mut number)?;
            answered |= took < LOST;
            histogram.saturating_record(took.as_nanos() as u64);
        }
        if !answered {
            return Err(LoadError::Silent { patience: self.length });
        }
        Ok(RoundTrips { p50: micros(&histogram, 0.5), p99: micros(&histogram, 0.99) })
    }

    fn check(&self) -> Result<(), LoadError> {
        if self.stop.load(Ordering::Relaxed) { Err(LoadError::Interrupted) } else { Ok(()) }
    }
}

/// The next question; [`LOST`] or more if it was not answered.
fn round_trip(socket: &UdpSocket, number: &mut u32) -> Result<Duration, LoadError> {
    *number += 1;
    let (mut question, mut reply) = ([0; QUESTION], [0; QUESTION]);
    question[..size_of::<u32>()].copy_from_slice(&number.to_be_bytes());
    let asked = Instant::now();
    // What a switch says about a packet it cannot deliver comes as an error of the socket, and means this packet.
    let mut heard = socket.send(&question).and_then(|_| socket.recv(&mut reply));
    // An answer to a question that was given up is none to this one.
    while heard.is_ok() && reply != question && asked.elapsed() < LOST {
        heard = socket.recv(&mut reply);
    }
    match heard {
        Ok(_) => Ok(asked.elapsed()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(asked.elapsed().max(LOST))
        }
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable) => {
            std::thread::sleep(LOST);
            Ok(LOST)
        }
        Err(error) => Err(LoadError::Socketless(error)),
    }
}

fn answer(socket: &UdpSocket, core: usize, over: &AtomicBool) {
    cores::pin(core);
    let mut question = [0; QUESTION];
    while !over.load(Ordering::Relaxed) {
        // Nothing asked within the socket's time is no reason to end.
        if let Ok((length, from)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(&question[..length], from);
        }
    }
}

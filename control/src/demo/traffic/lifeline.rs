//! The host's own connection, as of an administrator's shell: a TCP connection between two machines' underlay addresses, opened
//! before the switches take their uplinks and asked for an answer 20 times a second until the end.
//!
//! It promises nothing about rates: what it proves is that the host behind a claimed uplink was reachable all the time.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use podlane_host::Netns;
use socket2::SockRef;

use super::{MeterError, PATIENCE, panic_message};

/// Between two questions.
const EVERY: Duration = Duration::from_millis(50);

/// What is asked and answered.
const QUESTION: [u8; 8] = *b"podlane?";

/// A connection that is being asked.
pub(crate) struct Lifeline {
    stop: Arc<AtomicBool>,
    asking: Option<JoinHandle<Result<Answers, MeterError>>>,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answers {
    /// How many questions were answered, which is all of them.
    pub(crate) answers: u64,
    /// The longest time an answer took.
    pub(crate) longest: Duration,
}

impl Lifeline {
    /// Connects to a server at `to`, an address of the machine `there`, and begins to ask.
    pub(crate) fn open(here: &Netns, there: &Netns, to: IpAddr) -> Result<Self, MeterError> {
        let (client, server) = connect(here, there, to)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        // It ends when the other side closes, which the asking thread does whatever happens.
        thread::spawn(move || answer(server));
        let asking = thread::spawn(move || ask(&client, to, &stopped));
        Ok(Self { stop, asking: Some(asking) })
    }

    /// Stops asking, and tells how it went.
    pub(crate) fn end(mut self) -> Result<Answers, MeterError> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(asking) = self.asking.take() else { return Err(MeterError::Interrupted) };
        asking.join().unwrap_or_else(|panic| {
            Err(MeterError::Panicked { thread: "asking thread", message: panic_message(panic.as_ref()) })
        })
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Both ends of the connection, each made on its machine.
fn connect(here: &Netns, there: &Netns, to: IpAddr) -> Result<(TcpStream, TcpStream), MeterError> {
    let listen = || TcpListener::bind((to, 0)).map_err(MeterError::socket("listen for TCP", to));
    let listener = there.run(listen)??;
    let bound = SockRef::from(&listener).set_read_timeout(Some(PATIENCE));
    bound.map_err(MeterError::socket("bound a listener", to))?;
    let address = listener.local_addr().map_err(MeterError::socket("name a listener", to))?;
    let unconnected = |source| MeterError::Unconnected { to, source };
    let client = here.run(|| TcpStream::connect_timeout(&address, PATIENCE))?.map_err(unconnected)?;
    let (server, _) = listener.accept().map_err(unconnected)?;
    client
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| client.set_nodelay(true))
        .and_then(|()| server.set_nodelay(true))
        .map_err(MeterError::socket("bound a stream", to))?;
    Ok((client, server))
}

/// Answers until the other side closes, or goes.
fn answer(mut server: TcpStream) {
    let mut room = [0; QUESTION.len()];
    while server.read_exact(&mut room).is_ok() && server.write_all(&room).is_ok() {}
}

fn ask(mut client: &TcpStream, to: IpAddr, stop: &AtomicBool) -> Result<Answers, MeterError> {
    let mut told = Answers { answers: 0, longest: Duration::ZERO };
    // at least once, however soon it is to stop
    loop {
        let asked = Instant::now();
        let mut room = [0; QUESTION.len()];
        client
            .write_all(&QUESTION)
            .and_then(|()| client.read_exact(&mut room))
            .map_err(|source| MeterError::Broken { to, moved: told.answers * QUESTION.len() as u64, source })?;
        if room != QUESTION {
            return Err(MeterError::Corrupt { to, offset: told.answers * QUESTION.len() as u64 });
        }
        told.answers += 1;
        told.longest = told.longest.max(asked.elapsed());
        if stop.load(Ordering::Relaxed) {
            return Ok(told);
        }
        thread::sleep(EVERY);
    }
}

//! A conversation: one TCP connection between two pods, on which one question after the other is asked and answered.
//!
//! It tells apart what a policy makes of traffic: that a connection opens or does not, and that one which was open goes on or has stopped.
//! Silence is an answer here and no failure, so each call says how long it may last.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{MeterError, PATIENCE, Place, is_pause};

/// What is asked, and answered.
const QUESTION: [u8; 8] = *b"podlane?";

/// A pod that can be called.
pub(crate) struct Callee {
    listener: TcpListener,
    at: SocketAddr,
}

impl Callee {
    /// Has a pod listen at an address of its own.
    pub(crate) fn listen(place: &Place, at: SocketAddr) -> Result<Self, MeterError> {
        let listener = place.namespace.run(|| TcpListener::bind(at))?;
        let listener = listener.map_err(MeterError::socket("listen for TCP", at.ip()))?;
        // bounds accept(2)
        let bounded = SockRef::from(&listener).set_read_timeout(Some(PATIENCE));
        bounded.map_err(MeterError::socket("bound a listener", at.ip()))?;
        Ok(Self { listener, at })
    }

    /// Has another pod call, and says how long it took; `None` when nobody answered in `patience`.
    pub(crate) fn called_by(
        &self,
        place: &Place,
        patience: Duration,
    ) -> Result<Option<(Conversation, Duration)>, MeterError> {
        let to = self.at.ip();
        let unconnected = |source| MeterError::Unconnected { to, source };
        let begun = Instant::now();
        let client = match place.namespace.run(|| TcpStream::connect_timeout(&self.at, patience))? {
            Ok(client) => client,
            Err(error) if is_pause(&error) => return Ok(None),
            Err(source) => return Err(unconnected(source)),
        };
        let took = begun.elapsed();
        let (server, _) = self.listener.accept().map_err(unconnected)?;
        for stream in [&client, &server] {
            stream.set_nodelay(true).map_err(MeterError::socket("set up a stream", to))?;
        }
        Ok(Some((Conversation { client, server, to }, took)))
    }
}

/// An open connection, both ends of it.
pub(crate) struct Conversation {
    client: TcpStream,
    server: TcpStream,
    to: IpAddr,
}

impl Conversation {
    /// Asks once, and says whether the answer came in `patience`. After a silence it is of no more use.
    pub(crate) fn ask(&mut self, patience: Duration) -> Result<bool, MeterError> {
        let to = self.to;
        for stream in [&self.client, &self.server] {
            stream.set_read_timeout(Some(patience)).map_err(MeterError::socket("bound a stream", to))?;
        }
        let Self { client, server, .. } = self;
        let there_and_back = carry(client, server).and_then(|()| carry(server, client));
        match there_and_back {
            Ok(()) => Ok(true),
            Err(error) if is_pause(&error) => Ok(false),
            Err(source) => Err(MeterError::Broken { to, moved: 0, source }),
        }
    }

    /// Ends it with a reset: a kernel that nobody answers any more would send what it has for minutes.
    pub(crate) fn abandon(self) -> Result<(), MeterError> {
        for stream in [&self.client, &self.server] {
            let abrupt = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            abrupt.map_err(MeterError::socket("reset a stream", self.to))?;
        }
        Ok(())
    }
}

/// Sends the question into one end and waits for it at the other.
fn carry(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    from.write_all(&QUESTION)?;
    let mut room = [0; QUESTION.len()];
    to.read_exact(&mut room)?;
    if room == QUESTION { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

//! One JSON object a line, bounded in length and in time.
//!
//! Both ends read what another process wrote, so a line has a longest length and every read and write a
//! deadline: a peer that trickles bytes costs its own connection and nothing else.
//!
//! ```text
//! client -> {"version":1,"request":{"flows":{"limit":10}}}
//! daemon <- {"version":1,"reply":{"flows":{...}}}
//!        or {"version":1,"refusal":{"kind":...},"message":"..."}
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{PROTOCOL_VERSION, Refusal, Reply, Request};

/// The longest request line, in bytes: room for some 10,000 policies at once. Who may connect owns the daemon anyway.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// The longest reply line, in bytes: [`MAX_FLOWS`](crate::MAX_FLOWS) flows fit several times.
pub const MAX_REPLY_BYTES: usize = 32 * 1024 * 1024;

/// A line did not arrive, or did not leave.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// The line is longer than its bound.
    #[error("the line is longer than {limit} bytes")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The deadline passed.
    #[error("no whole line within {waited_ms} ms")]
    TimedOut {
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The line is not what the protocol has there.
    #[error("the line is no message of the protocol: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The peer speaks another version of the protocol.
    #[error("the answer is of protocol version {theirs}, not {PROTOCOL_VERSION}")]
    Version {
        /// What it speaks.
        theirs: u32,
    },
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] std::io::Error),
}

/// One end of a connection: lines out, lines in.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    timeout: Duration,
    /// Bytes read past the last line that was returned.
    pending: Vec<u8>,
}

/// Ends a [`Connection`] that another thread may be waiting on; that one then reads [`LineError::Closed`].
#[derive(Debug)]
pub struct HangUp(UnixStream);

impl HangUp {
    /// Ends it, both ways.
    pub fn hang_up(&self) {
        // A peer that is gone already is as good.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// What came back, in the types that were asked for.
#[derive(Debug)]
pub enum Answered<A, R> {
    /// The answer.
    Reply(A),
    /// There is none.
    Refusal {
        /// Why.
        refusal: R,
        /// The same in words.
        message: String,
    },
}

#[derive(Serialize, Deserialize)]
struct RequestLine<Q> {
    version: u32,
    request: Q,
}

/// What every version of the protocol has in its request, read first so that a stranger's version gets a clear answer.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "A: Deserialize<'de>, R: Deserialize<'de>"))]
struct ReplyLine<A, R> {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<A>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<R>,
    /// The refusal in words, for people who read the socket with other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Connection {
    /// Speaks over `stream`; every read or write of a line ends within `timeout`.
    #[must_use]
    pub fn new(stream: UnixStream, timeout: Duration) -> Self {
        Self { stream, timeout, pending: Vec::new() }
    }

    /// A way to end the connection from another thread, whatever this one waits for.
    ///
    /// # Errors
    /// What the kernel says when it has no more descriptors.
    pub fn hang_up_later(&self) -> std::io::Result<HangUp> {
        self.stream.try_clone().map(HangUp)
    }

    /// The daemon's side: waits for a request. A line that is none comes back as the refusal to send.
    ///
    /// # Errors
    /// [`LineError`] when the connection is of no more use. After [`Refusal::TooLong`] the rest of the line is unread, so
    /// send the refusal and close.
    pub fn hear(&mut self) -> Result<Result<Request, Refusal>, LineError> {
        let line = match self.read_line(MAX_REQUEST_BYTES) {
            Ok(line) => line,
            Err(LineError::TooLong { limit }) => return Ok(Err(Refusal::TooLong { limit })),
            Err(error) => return Err(error),
        };
        Ok(understand(&line))
    }

    /// The daemon's side: sends the answer to what was heard.
    ///
    /// # Errors
    /// [`LineError`] when it could not be sent in time.
    pub fn answer(&mut self, outcome: Result<Reply, Refusal>) -> Result<(), LineError> {
        let message = outcome.as_ref().err().map(ToString::to_string);
        let (reply, refusal) = match outcome {
            Ok(reply) => (Some(reply), None),
            Err(refusal) => (None, Some(refusal)),
        };
        self.write_line(&ReplyLine { version: PROTOCOL_VERSION, reply, refusal, message })
    }

    /// The client's side: sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`LineError`] when no answer of the protocol came in time. `Ok(Err(_))` is the daemon's own refusal.
    pub fn ask(&mut self, request: &Request) -> Result<Result<Reply, Refusal>, LineError> {
        match self.exchange(request) {
            Ok(Answered::Reply(reply)) => Ok(Ok(reply)),
            Ok(Answered::Refusal { refusal, .. }) => Ok(Err(refusal)),
            Err(LineError::Version { theirs }) => {
                Ok(Err(Refusal::Version { daemon: theirs, client: PROTOCOL_VERSION }))
            }
            Err(error) => Err(error),
        }
    }

    /// The same in types of the caller's: a program that asks one thing need not carry the words of all others.
    ///
    /// # Errors
    /// [`LineError`] when no answer of the protocol came in time.
    pub fn exchange<A, R>(&mut self, request: &impl Serialize) -> Result<Answered<A, R>, LineError>
    where
        A: DeserializeOwned,
        R: DeserializeOwned,
    {
        match self.write_line(&RequestLine { version: PROTOCOL_VERSION, request }) {
            // A daemon that serves all it can refuses and closes before it hears: its answer is there all the same.
            Ok(()) | Err(LineError::Closed) => {}
            Err(error) => return Err(error),
        }
        let line = self.read_line(MAX_REPLY_BYTES)?;
        let VersionOnly { version } = serde_json::from_slice(&line)?;
        if version != PROTOCOL_VERSION {
            return Err(LineError::Version { theirs: version });
        }
        let line: ReplyLine<A, R> = serde_json::from_slice(&line)?;
        match (line.reply, line.refusal) {
            (Some(reply), None) => Ok(Answered::Reply(reply)),
            (None, Some(refusal)) => Ok(Answered::Refusal { refusal, message: line.message.unwrap_or_default() }),
            _ => Err(LineError::Malformed(serde::de::Error::custom("neither a reply nor a refusal"))),
        }
    }

    fn read_line(&mut self, limit: usize) -> Result<Vec<u8>, LineError> {
        let deadline = Instant::now() + self.timeout;
        let mut searched = 0;
        loop {
            if let Some(end) = self.pending[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                return if line.len() > limit { Err(LineError::TooLong { limit }) } else { Ok(line) };
            }
            searched = self.pending.len();
            if searched > limit {
                return Err(LineError::TooLong { limit });
            }
            self.stream.set_read_timeout(Some(self.remaining(deadline)?))?;
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(LineError::Closed),
                Ok(count) => self.pending.extend_from_slice(&chunk[..count]),
                Err(error) if waits(&error) => {}
                Err(error) if is_gone(&error) => return Err(LineError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn write_line(&mut self, message: &impl Serialize) -> Result<(), LineError> {
        let deadline = Instant::now() + self.timeout;
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut rest = &line[..];
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(self.remaining(deadline)?))?;
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if waits(&error) => {}
                Err(error) if is_gone(&error) => return Err(LineError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn remaining(&self, deadline: Instant) -> Result<Duration, LineError> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            let waited_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
            return Err(LineError::TimedOut { waited_ms });
        }
        // A timeout below the clock's grain would read as "wait for ever".
        Ok(remaining.max(Duration::from_millis(1)))
    }
}

/// Errors that mean "ask again": the loop's deadline decides when to stop.
fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Errors that mean the peer closed.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

fn understand(line: &[u8]) -> Result<Request, Refusal> {
    let malformed = |error: serde_json::Error| Refusal::Malformed { detail: error.to_string() };
    let VersionOnly { version } = serde_json::from_slice(line).map_err(malformed)?;
    if version != PROTOCOL_VERSION {
        return Err(Refusal::Version { daemon: PROTOCOL_VERSION, client: version });
    }
    let line: RequestLine<Request> = serde_json::from_slice(line).map_err(malformed)?;
    Ok(line.request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, FlowQuery};

    fn pair(timeout_ms: u64) -> (Connection, Connection, UnixStream) {
        let (client, daemon) = UnixStream::pair().unwrap();
        let raw = client.try_clone().unwrap();
        let timeout = Duration::from_millis(timeout_ms);
        (Connection::new(client, timeout), Connection::new(daemon, timeout), raw)
    }

    #[test]
    fn a_question_and_its_answer_cross() {
        let (mut client, mut daemon, _raw) = pair(1000);
        let query = FlowQuery { limit: 3, network: Some("blue".to_owned()), port: None };
        let asked = Request::Flows(query);
        std::thread::scope(|scope| {
            let client = scope.spawn(|| client.ask(&asked).unwrap());
            assert_eq!(daemon.hear().unwrap(), Ok(asked.clone()));
            daemon.answer(Ok(Reply::Counters(Counters::default()))).unwrap();
            assert_eq!(client.join().unwrap(), Ok(Reply::Counters(Counters::default())));
        });
    }

    #[test]
    fn the_wire_is_what_the_document_shows() {
        let (mut client, mut daemon, mut raw) = pair(1000);
        raw.write_all(
            b"{\"version\":1,\"request\":\"status\"}\n{\"version\":1,\"request\":{\"flows\":{\"port\":\"red\"}}}\n",
        )
        .unwrap();
        assert_eq!(daemon.hear().unwrap(), Ok(Request::Status));
        let query = FlowQuery { port: Some("red".to_owned()), ..FlowQuery::default() };
        assert_eq!(daemon.hear().unwrap(), Ok(Request::Flows(query)));
        daemon.answer(Err(Refusal::UnknownPort { name: "rde".to_owned(), nearest: Some("red".to_owned()) })).unwrap();
        let line = client.read_line(1000).unwrap();
        let expected = r#"{"version":1,"refusal":{"kind":"unknown_port","name":"rde","nearest":"red"},"message":"no port is named \"rde\" (did you mean \"red\"?)"}"#;
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn another_version_is_refused_by_its_number_whatever_else_it_says() {
        let refusal = understand(br#"{"version":7,"request":{"teleport":true}}"#);
        assert_eq!(refusal, Err(Refusal::Version { daemon: PROTOCOL_VERSION, client: 7 }));
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        for line in [
            "",
            "hello",
            "{}",
            "[1]",
            r#"{"version":1}"#,
            r#"{"version":1,"request":"fly"}"#,
            r#"{"version":1,"request":{"flows":{"limt":1}}}"#,
        ] {
            assert!(matches!(understand(line.as_bytes()), Err(Refusal::Malformed { .. })), "{line}");
        }
        assert!(matches!(understand(&[0xff, 0xfe, 0]), Err(Refusal::Malformed { .. })));
    }

    #[test]
    fn a_line_without_end_is_refused_at_its_bound() {
        let (_client, mut daemon, mut raw) = pair(2000);
        let writer = std::thread::spawn(move || {
            let junk = vec![b'x'; MAX_REQUEST_BYTES * 2];
            let _ = raw.write_all(&junk);
        });
        assert_eq!(daemon.hear().unwrap(), Err(Refusal::TooLong { limit: MAX_REQUEST_BYTES }));
        drop(daemon);
        drop(_client);
        writer.join().unwrap();
    }

    #[test]
    fn a_peer_that_trickles_is_given_up_within_the_timeout() {
        let (_client, mut daemon, mut raw) = pair(60);
        let writer = std::thread::spawn(move || {
            for _ in 0..100 {
                std::thread::sleep(Duration::from_millis(5));
                if raw.write_all(b"x").is_err() {
                    break;
                }
            }
        });
        let began = Instant::now();
        assert!(matches!(daemon.hear(), Err(LineError::TimedOut { waited_ms: 60 })));
        assert!(began.elapsed() < Duration::from_millis(400));
        drop(daemon);
        drop(_client);
        writer.join().unwrap();
    }

    #[test]
    fn a_refusal_sent_before_the_question_is_heard() {
        let (mut client, mut daemon, _raw) = pair(1000);
        daemon.answer(Err(Refusal::Busy { clients: 32 })).unwrap();
        drop(daemon);
        assert_eq!(client.ask(&Request::Status).unwrap(), Err(Refusal::Busy { clients: 32 }));
    }

    #[test]
    fn a_peer_that_leaves_is_noticed() {
        let (client, mut daemon, raw) = pair(1000);
        drop((client, raw));
        assert!(matches!(daemon.hear(), Err(LineError::Closed)));
    }
}

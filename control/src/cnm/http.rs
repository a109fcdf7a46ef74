//! One HTTP/1.1 request in, one response out, and the connection is closed.
//!
//! Docker's plugin client is the only one that ever calls, a few times a container, over a Unix socket. So there is no keep-alive, no
//! pipelining and no event loop: what a caller may cost is bounded in bytes and in time, and everything past that is a status and an end.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use httparse::Status;

/// The request line and the header, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The body, in bytes. The largest that Docker sends, a container with every port published, is under 100 kB.
const MAX_BODY: usize = 1024 * 1024;

/// Header fields.
const MAX_FIELDS: usize = 64;

/// How long a whole request may take to arrive, and a response to leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// What Docker's plugins speak.
const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Call {
    /// The path without its slash, such as `NetworkDriver.Join`.
    pub(super) method: String,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// There is no request to be had of this connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// It ended in the middle, or took too long.
    #[error("the request did not arrive whole: {0}")]
    Read(#[from] io::Error),
    /// It is no HTTP.
    #[error("this is no HTTP/1.1 request: {0}")]
    Malformed(#[from] httparse::Error),
    /// The verb is not what plugins are called with.
    #[error("plugins are called with POST, not with {verb}")]
    Verb {
        /// The verb.
        verb: String,
    },
    /// A field that says how long the body is says nothing.
    #[error("{field}: {value} says no length of a body")]
    Length {
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// It is longer than any request of Docker's.
    #[error("the {part} is longer than {limit} bytes")]
    TooLong {
        /// The head or the body.
        part: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl HttpError {
    /// The status that says so.
    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Read(_) => "408 Request Timeout",
            Self::Malformed(_) | Self::Length { .. } => "400 Bad Request",
            Self::Verb { .. } => "405 Method Not Allowed",
            Self::TooLong { .. } => "413 Content Too Large",
        }
    }
}

/// How the length of a body is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    Known(usize),
    Chunked,
}

/// A connection with a deadline for all that is read from it: a caller that sends a byte now and then gets no longer.
pub(super) struct Deadline<'s> {
    stream: &'s UnixStream,
    at: Instant,
}

impl<'s> Deadline<'s> {
    pub(super) fn from_now(stream: &'s UnixStream) -> Self {
        Self { stream, at: Instant::now() + PATIENCE }
    }
}

impl Read for Deadline<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(into)
    }
}

/// Reads the one request of a connection.
pub(super) fn read(from: &mut impl Read) -> Result<Call, HttpError> {
    let mut bytes = Vec::with_capacity(1024);
    let (method, length, head) = loop {
        if let Some(head) = head(&bytes)? {
            break head;
        }
        if bytes.len() >= MAX_HEAD {
            return Err(HttpError::TooLong { part: "head", limit: MAX_HEAD });
        }
        more(from, &mut bytes)?;
    };
    let mut body = bytes.split_off(head);
    match length {
        Length::Known(length) => {
            while body.len() < length {
                more(from, &mut body)?;
            }
            body.truncate(length);
        }
        Length::Chunked => body = unchunk(from, body)?,
    }
    Ok(Call { method, body })
}

/// Appends what is there; nothing more is an error, since this is asked for only when something is missing.
fn more(from: &mut impl Read, bytes: &mut Vec<u8>) -> Result<(), HttpError> {
    let mut room = [0; 4096];
    let count = from.read(&mut room)?;
    if count == 0 {
        return Err(HttpError::Read(io::ErrorKind::UnexpectedEof.into()));
    }
    bytes.extend_from_slice(&room[..count]);
    Ok(())
}

/// The method, the body's length, and where the body begins; none while the head is not whole.
fn head(bytes: &[u8]) -> Result<Option<(String, Length, usize)>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let Status::Complete(end) = request.parse(bytes)? else { return Ok(None) };
    let verb = request.method.unwrap_or_default();
    if verb != "POST" {
        return Err(HttpError::Verb { verb: verb.to_owned() });
    }
    let method = request.path.unwrap_or_default().trim_start_matches('/').to_owned();
    Ok(Some((method, length(request.headers)?, end)))
}

fn length(fields: &[httparse::Header<'_>]) -> Result<Length, HttpError> {
    let field = |name: &'static str| {
        let found = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value).trim().to_owned())
    };
    if let Some(value) = field("transfer-encoding") {
        return match value.eq_ignore_ascii_case("chunked") {
            true => Ok(Length::Chunked),
            false => Err(HttpError::Length { field: "Transfer-Encoding", value }),
        };
    }
    let Some(value) = field("content-length") else { return Ok(Length::Known(0)) };
    match value.parse::<usize>() {
        Ok(length) if length <= MAX_BODY => Ok(Length::Known(length)),
        Ok(_) => Err(HttpError::TooLong { part: "body", limit: MAX_BODY }),
        Err(_) => Err(HttpError::Length { field: "Content-Length", value }),
    }
}

/// The body that `raw` begins, out of its chunks. Trailers are read over: whoever sends one is told nothing by us anyway.
fn unchunk(from: &mut impl Read, mut raw: Vec<u8>) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    loop {
        let malformed = |_| HttpError::Length { field: "chunk", value: "its size".to_owned() };
        let Status::Complete((start, size)) = httparse::parse_chunk_size(&raw).map_err(malformed)? else {
            if raw.len() > MAX_HEAD {
                return Err(HttpError::TooLong { part: "head", limit: MAX_HEAD });
            }
            more(from, &mut raw)?;
            continue;
        };
        if size == 0 {
            return Ok(body);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > MAX_BODY - body.len() {
            return Err(HttpError::TooLong { part: "body", limit: MAX_BODY });
        }
        let end = start + size;
        while raw.len() < end + 2 {
            more(from, &mut raw)?;
        }
        body.extend_from_slice(&raw[start..end]);
        if &raw[end..end + 2] != b"\r\n" {
            return Err(HttpError::Length { field: "chunk", value: "its end".to_owned() });
        }
        raw.drain(..end + 2);
    }
}

/// Writes the one response of a connection.
pub(super) fn write(mut to: &UnixStream, status: &str, body: &[u8]) -> io::Result<()> {
    to.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    response.extend_from_slice(body);
    to.write_all(&response)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it has a byte at a time.
    struct Drip<'b>(&'b [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn status(request: &str) -> &'static str {
        read(&mut request.as_bytes()).unwrap_err().status()
    }

    #[test]
    fn a_request_is_the_same_in_one_piece_in_bytes_and_in_chunks() {
        let expected = Call { method: "NetworkDriver.Join".into(), body: br#"{"NetworkID":"n"}"#.to_vec() };
        let head =
            "POST /NetworkDriver.Join HTTP/1.1\r\nHost: %2Frun\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n";
        let known = format!("{head}Content-Length: 17\r\n\r\n{{\"NetworkID\":\"n\"}}");
        let chunked =
            format!("{head}transfer-encoding: Chunked\r\n\r\nb\r\n{{\"NetworkID\r\n6;x=y\r\n\":\"n\"}}\r\n0\r\n\r\n");
        for request in [known, chunked] {
            assert_eq!(read(&mut request.as_bytes()).unwrap(), expected, "{request}");
            assert_eq!(read(&mut Drip(request.as_bytes())).unwrap(), expected, "{request}");
        }
    }

    #[test]
    fn a_call_without_a_body_is_a_call() {
        let call = read(&mut &b"POST /Plugin.Activate HTTP/1.1\r\nHost:\r\n\r\n"[..]).unwrap();
        assert_eq!(call, Call { method: "Plugin.Activate".into(), body: Vec::new() });
    }

    #[test]
    fn what_is_no_request_is_told_by_its_status() {
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(status("{\"status\":null}\n"), "400 Bad Request");
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), "400 Bad Request");
        assert_eq!(status("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"), "400 Bad Request");
        assert_eq!(status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "400 Bad Request");
        assert_eq!(status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"), "400 Bad Request");
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n{}"), "408 Request Timeout");
    }

    #[test]
    fn nothing_is_read_past_the_limits() {
        let endless = format!("POST / HTTP/1.1\r\nX: {}", "x".repeat(MAX_HEAD + 1));
        assert_eq!(status(&endless), "413 Content Too Large");
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n"), "413 Content Too Large");
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n";
        assert_eq!(status(chunked), "413 Content Too Large");
        let most = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
        assert_eq!(status(most), "413 Content Too Large");
    }

    #[test]
    fn a_response_is_whole_and_the_last() {
        let (near, mut far) = UnixStream::pair().unwrap();
        write(&near, "200 OK", b"{}").unwrap();
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n")
                && text.ends_with("\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        );
    }
}

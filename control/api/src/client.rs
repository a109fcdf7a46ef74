//! The asking side, blocking: every call ends within the timeout it was given.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::{
    Connection, Counters, Endpoint, EndpointQuery, EndpointRemoval, Endpoints, FlowQuery, Flows, LineError,
    NeighbourQuery, Neighbours, Offload, Ports, Refusal, Reply, Request, Status, Tunnels,
};

mod attached;
mod enforced;
mod policy;

/// A question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no daemon listens on {} (start one with \"podlane run --config FILE\", or name its socket with --socket)", socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket is there, and not for this user.
    #[error("{} may not be opened by this user (ask as root: the socket is its owner's alone)", socket.display())]
    Permission {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket could not be connected to for another reason.
    #[error("{} cannot be connected to: {source} (is it the daemon's socket?)", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The daemon took the connection and gave no usable answer.
    #[error("the daemon at {} gave no answer: {source} (look into its log)", socket.display())]
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// What went wrong.
        source: LineError,
    },
    /// The daemon answered another question.
    #[error("the daemon at {} answered \"{got}\" where \"{expected}\" was asked (run the client of the daemon's release)", socket.display())]
    OtherReply {
        /// The socket.
        socket: PathBuf,
        /// The reply that was due.
        expected: &'static str,
        /// The reply that came.
        got: &'static str,
    },
    /// The daemon refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A connection to one daemon.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
    connection: Connection,
}

impl Client {
    /// Connects to the daemon that listens on `socket`. Connecting, and each question later, ends within `timeout`.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do.
    pub fn connect(socket: &Path, timeout: Duration) -> Result<Self, ClientError> {
        Ok(Self { socket: socket.into(), timeout, connection: connection(socket, timeout)? })
    }

    /// How the daemon is.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            other => Err(self.other_reply("status", &other)),
        }
    }

    /// Its ports.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do.
    pub fn ports(&mut self) -> Result<Ports, ClientError> {
        match self.ask(&Request::Ports)? {
            Reply::Ports(ports) => Ok(ports),
            other => Err(self.other_reply("ports", &other)),
        }
    }

    /// Its flows that match `query`.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do; an unknown network or port is [`ClientError::Refused`].
    pub fn flows(&mut self, query: FlowQuery) -> Result<Flows, ClientError> {
        match self.ask(&Request::Flows(query))? {
            Reply::Flows(flows) => Ok(flows),
            other => Err(self.other_reply("flows", &other)),
        }
    }

    /// Its ledger.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do.
    pub fn counters(&mut self) -> Result<Counters, ClientError> {
        match self.ask(&Request::Counters)? {
            Reply::Counters(counters) => Ok(counters),
            other => Err(self.other_reply("counters", &other)),
        }
    }

    /// Its tunnels.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do.
    pub fn tunnels(&mut self) -> Result<Tunnels, ClientError> {
        match self.ask(&Request::Tunnels)? {
            Reply::Tunnels(tunnels) => Ok(tunnels),
            other => Err(self.other_reply("tunnels", &other)),
        }
    }

    /// Its offload engines, and what they carry.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do.
    pub fn offload(&mut self) -> Result<Offload, ClientError> {
        match self.ask(&Request::Offload)? {
            Reply::Offload(offload) => Ok(offload),
            other => Err(self.other_reply("offload", &other)),
        }
    }

    /// Its neighbours that match `query`.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do; an unknown network, port or peer is [`ClientError::Refused`].
    pub fn neighbours(&mut self, query: NeighbourQuery) -> Result<Neighbours, ClientError> {
        match self.ask(&Request::Neighbours(query))? {
            Reply::Neighbours(neighbours) => Ok(neighbours),
            other => Err(self.other_reply("neighbours", &other)),
        }
    }

    /// The stations on other nodes that are stated.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do; an unknown network is [`ClientError::Refused`].
    pub fn endpoints(&mut self, query: EndpointQuery) -> Result<Endpoints, ClientError> {
        match self.ask(&Request::Endpoints(query))? {
            Reply::Endpoints(endpoints) => Ok(endpoints),
            other => Err(self.other_reply("endpoints", &other)),
        }
    }

    /// States where a station is.
    ///
    /// # Errors
    /// [`ClientError`]; what does not fit, or is older than what is known, is [`ClientError::Refused`] and changes nothing.
    pub fn set_endpoint(&mut self, endpoint: Endpoint) -> Result<Endpoint, ClientError> {
        match self.ask(&Request::SetEndpoint(endpoint))? {
            Reply::SetEndpoint(endpoint) => Ok(endpoint),
            other => Err(self.other_reply("set_endpoint", &other)),
        }
    }

    /// Takes back where a station is.
    ///
    /// # Errors
    /// [`ClientError`]; what is not there, or newer, is [`ClientError::Refused`] and stays as it is.
    pub fn remove_endpoint(&mut self, removal: EndpointRemoval) -> Result<EndpointRemoval, ClientError> {
        match self.ask(&Request::RemoveEndpoint(removal))? {
            Reply::RemoveEndpoint(removal) => Ok(removal),
            other => Err(self.other_reply("remove_endpoint", &other)),
        }
    }

    /// A daemon that hands its socket over hangs up on who asks at that moment: what changes nothing is asked once more, of its heir.
    fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let mut answer = self.connection.ask(request);
        if matches!(answer, Err(LineError::Closed)) && request.changes_nothing() {
            self.connection = connection(&self.socket, self.timeout)?;
            answer = self.connection.ask(request);
        }
        Ok(answer.map_err(|source| ClientError::NoAnswer { socket: self.socket.clone(), source })??)
    }

    fn other_reply(&self, expected: &'static str, got: &Reply) -> ClientError {
        ClientError::OtherReply { socket: self.socket.clone(), expected, got: got.name() }
    }
}

fn connection(socket: &Path, timeout: Duration) -> Result<Connection, ClientError> {
    let stream = connect(socket, timeout).map_err(|source| match source.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ClientError::NotRunning { socket: socket.into() },
        ErrorKind::PermissionDenied => ClientError::Permission { socket: socket.into() },
        _ => ClientError::Connect { socket: socket.into(), source },
    })?;
    Ok(Connection::new(stream, timeout))
}

/// Connects to a Unix socket with a bound: a listener whose backlog is full would otherwise hold the caller for ever. Linux takes the
/// bound of a Unix connect from the send timeout (unix(7)).
///
/// # Errors
/// What the kernel says; `WouldBlock` when the bound has passed.
pub fn connect(path: &Path, timeout: Duration) -> std::io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(timeout))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

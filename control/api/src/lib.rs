//! The words between the daemon, the command line and the CNI shim.
//!
//! One Unix stream socket, one JSON object a line: a [`Request`] goes in, a [`Reply`] or a [`Refusal`] comes out
//! (`docs/protocol.md` describes the same for readers who speak it from another language). This crate holds the
//! types, the bounded framing both ends share, a blocking [`Client`] whose every call ends within its
//! timeout, and the [`Listener`] that makes sure one socket has one daemon. It knows nothing of packets.

#[macro_use]
mod words;

mod attached;
mod client;
mod connection;
mod counters;
mod denial;
mod endpoint;
mod enforced;
mod flow;
mod gateway;
mod leased;
mod line;
mod listener;
mod mac_addr;
mod nearest;
mod neighbour;
mod offload;
mod pending;
mod port;
mod reply;
mod request;
mod shadow;
mod status;
mod trial;
mod tunnel;
mod why;

pub use attached::{
    Attachment, AttachmentKind, AttachmentQuery, AttachmentStage, Attachments, Caller, CniCall, NetavarkCall,
};
pub use client::{Client, ClientError, connect};
pub use connection::{
    ConnectionQuery, ConnectionRecord, ConnectionState, ConnectionTable, Connections, MAX_CONNECTIONS,
};
pub use counters::{Counters, Dropped, Ledger, PortLedger};
pub use denial::{Denial, Denied, DeniedOpening, DeniedQuery, Opening};
pub use endpoint::{Endpoint, EndpointQuery, EndpointRemoval, Endpoints};
pub use enforced::{Manifest, Manifests, Policies, PolicyApplied, PolicyEntry, PolicyFinding};
pub use flow::{Flow, FlowTunnel, Flows};
pub use gateway::{BadGateway, Gateway};
pub use leased::{Lease, LeaseQuery, Leases, MAX_LEASES, Pool};
pub use line::{Answered, Connection, HangUp, LineError, MAX_REPLY_BYTES, MAX_REQUEST_BYTES};
pub use listener::{BindError, Listener, MAX_SOCKET_PATH};
pub use mac_addr::{BadMacAddr, MacAddr};
pub use nearest::nearest;
pub use neighbour::{MAX_NEIGHBOURS, NeighbourQuery, Neighbours, Origin, Station};
pub use offload::{Offload, OffloadEngine, OffloadRefusal};
pub use pending::{Call, DEFAULT_PENDING, MAX_PENDING, Pending, PendingCall, PendingError};
pub use port::{
    AttachMode, Bandwidth, KernelDrops, Port, PortKind, PortState, Ports, Rates, Sharing, Traffic, XdpMode,
};
pub use reply::{Refusal, Reply, Stale};
pub use request::{FlowQuery, MAX_FLOWS, Request};
pub use shadow::{Shadow, ShadowDifference, ShadowQuery, ShadowVerdict};
pub use status::{FlowTable, Frames, Network, Poll, Status, TookOver, Worker};
pub use trial::{PolicyChange, PolicyDecision, PolicyDifference, PolicyEnds, PortRange};
pub use tunnel::{Encapsulation, Judged, NextHop, NextHopState, PathMtu, Tunnel, Tunnels, Uplink};
pub use why::{Place, Way, Why, WhyAnswer, WhyEnd, WhyPolicy, WhyQuery, WhyRemedy, WhyRule, WhyStage};

/// The protocol's version. It moves when an old client would misread a new daemon; new fields alone do not move it,
/// because both ends ignore fields they do not know in what they receive from an equal.
pub const PROTOCOL_VERSION: u32 = 1;

/// The versions of the Container Network Interface whose configurations are understood and whose results are given, the oldest first.
pub const CNI_VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Where the daemon listens unless it is told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/podlane/podlane.sock";

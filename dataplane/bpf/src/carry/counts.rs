//! What the programs have counted.

use std::fmt;
use std::time::Duration;

/// What was carried of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets; segments that were still together as what they are cut into.
    pub packets: u64,
    /// Bytes of their Ethernet frames.
    pub bytes: u64,
    /// How long ago the last one was, to some milliseconds; `None` where there was none.
    pub idle: Option<Duration>,
}

/// What became of a packet that was not carried. The numbers are those of `tc/flow.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum Event {
    /// To a worker: nobody has decided its flow.
    NoFlow = 1,
    /// To a worker: decided under another generation.
    Stale,
    /// To a worker: not IP, or tagged, or with options or extension headers, or of another protocol, or malformed.
    NotPlain,
    /// To a worker: a fragment.
    Fragment,
    /// To a worker: it opens or ends a connection.
    Control,
    /// To a worker: it may not be routed any further.
    NoHops,
    /// To a worker: longer than its target takes.
    TooLong,
    /// To a worker: out of the tunnel from another peer than the flow's.
    OtherPeer,
    /// To a worker: a worker has taken the flow's permit back.
    Revoked,
    /// Dropped: it came from where nobody has a seat.
    NoOrigin,
    /// Dropped: a worker sent it to a number that stands for nothing.
    NoPort,
    /// Dropped: it came over the trunk without a number.
    NoTag,
    /// Dropped: the kernel refused to change it, for lack of memory most likely.
    Refused,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 13] = [
        Self::NoFlow,
        Self::Stale,
        Self::NotPlain,
        Self::Fragment,
        Self::Control,
        Self::NoHops,
        Self::TooLong,
        Self::OtherPeer,
        Self::Revoked,
        Self::NoOrigin,
        Self::NoPort,
        Self::NoTag,
        Self::Refused,
    ];

    /// Whether the packet was dropped, and not sent to a worker.
    #[must_use]
    pub const fn is_drop(self) -> bool {
        self as u32 >= Self::NoOrigin as u32
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFlow => "its flow is not decided",
            Self::Stale => "decided under an earlier generation",
            Self::NotPlain => "not a plain packet",
            Self::Fragment => "a fragment",
            Self::Control => "opens or ends a connection",
            Self::NoHops => "no hops left",
            Self::TooLong => "longer than its target takes",
            Self::OtherPeer => "from another tunnel endpoint than its flow",
            Self::Revoked => "its worker has taken it back",
            Self::NoOrigin => "from where no port is",
            Self::NoPort => "to a port that is gone",
            Self::NoTag => "over the trunk without a port",
            Self::Refused => "the kernel had no memory to change it",
        })
    }
}

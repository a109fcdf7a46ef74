//! Which pod has which address.
//!
//! ```text
//!            lease, claim                      release
//!     free --------------> held by an owner ------------> in quarantine
//!      ^                     ^                              |      |
//!      |                     +------- the same owner -------+      |
//!      +------------------------ the quarantine has passed --------+
//! ```
//!
//! Pure: no disk, no clock. The time is passed in, and every operation returns the [`Change`]s that must be durable before anybody
//! is told of its outcome. Promised: no address has two owners; none that was released goes to another owner before its quarantine
//! has passed; an owner that comes back gets what it had, as long as nobody else has it; what the switch itself uses (gateways, stated
//! addresses), what is reserved, and the ends of a subnet are never given out. To give and to take back costs the logarithm of what is known,
//! whatever the size of a range: addresses that were never given out are not enumerated.

#![forbid(unsafe_code)]

mod error;
mod free;
mod ipam;
mod lease;
mod plan;
mod pool;
mod span;

pub use error::{LeaseError, NetworkError};
pub use ipam::Ipam;
pub use lease::{Change, Granted, Lease, Wish};
pub use plan::{Plan, Subnet, Use};
pub use pool::Count;
pub use span::{Family, Span, SpanError};

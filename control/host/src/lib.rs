//! Network namespaces, links, addresses, routes, offload switches and link events of the host, and how deep its cores may sleep.
//!
//! Everything of the network goes over netlink and a few system calls, so neither the demo, the daemon nor a test
//! needs a program that a bare host lacks. Calls are synchronous and bounded: the kernel answers
//! most requests before `send` returns, and where it does not, [`HostError::TimedOut`] says what
//! was waited for. The one wait that cannot be bounded from here is the kernel's own rtnl lock,
//! which `send` takes.
//!
//! ```text
//! Netns ──open_in──> Links       make, find, change and delete links; addresses; offloads
//!       └─open_in──> LinkEvents  which link changed or went
//! lab::Lab           pods made of all of these, for tests and the demo
//! WakeLimit          how long one core may take to wake, while it is held
//! ```
//!
//! A socket belongs to the namespace it was opened in for as long as it lives, so a [`Links`] or a
//! [`LinkEvents`] may move between threads without a thought for where those threads are.

mod addresses;
mod error;
mod events;
mod features;
pub mod lab;
mod link;
mod links;
mod make;
mod netlink;
mod netns;
mod routes;
mod sysctl;
mod vxlan;
mod wake_latency;

pub use addresses::LinkAddress;
pub use error::{HostError, KernelSays};
pub use events::{LinkEvent, LinkEvents};
pub use features::{Feature, Features};
pub use link::{Link, LinkCounters, LinkId, MacAddress};
pub use links::Links;
pub use make::{Veth, VethPeer};
pub use netns::{Netns, NetnsError, NetnsId, Pinned, unpin};
pub use routes::Route;
pub use sysctl::sysctl;
pub use vxlan::Vxlan;
pub use wake_latency::{WakeLatency, WakeLatencyError, WakeLimit};

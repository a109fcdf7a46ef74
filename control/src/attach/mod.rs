//! Attaching pods: one order in, one attachment out, and nothing forgotten in between.
//!
//! ```text
//! podlane-cni --socket--> cni ---+
//! netavark ----socket--> netavark+--> Order --> Attachments --> journal, ipam, host, engine
//! dockerd -----HTTP----> cnm ----+                  |
//!                                <-- Attachment <---+
//! ```
//!
//! The adapters speak their caller's protocol and decide nothing of the network; what an attachment is, and how far it has come, is
//! written down here before anything is made, and taken from there by the next daemon.

mod asked;
mod made;
#[cfg(test)]
pub(crate) mod on_paper;
mod order;
mod told;

pub use asked::Attaches;
pub use made::MadeNetwork;
pub use order::{Address, Addressing, Attachment, Interface, Key, Kind, Order, Origin, PodRoute, Stage};
pub use told::{Told, ToldInterface};

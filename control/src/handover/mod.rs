//! One daemon takes over from another while packets go on: what they say to each other, and in which order nothing can be lost.
//!
//! ```text
//!   heir (started anew)                             former (running)
//!     connects to SOCKET.handover
//!     Hello: format, instance    --------------->   may it? -> Refused: and nothing has changed
//!                                <---------------   Waits, as long as calls are under way; the next are told to try again
//!                                                   holds: opens, closes, publishes nothing
//!                                <---------------   Estate + descriptors: sockets, memory, tables, locks, the listening socket
//!     maps, compiles, finds devices: packets still go by the former
//!     Go                         --------------->   halts its workers                                  | the gap
//!                                <---------------   Remains: marks, owners, ledgers                    |
//!     believes them                                                                                    |
//!     Taken                      --------------->   may never turn again: exits 0, removing nothing    |
//!     turns                                                                                            |
//! ```
//!
//! *Taken* is the one moment at which the switch changes hands. Before it, whatever happens to the heir, the former daemon turns
//! again; after it, the former never does. Both rest on the order of one stream: a heir that was heard to say `Taken` may be turning, and one
//! that was not cannot be, since the former closes its ear before it decides (see [`Former`]) and the heir turns only when
//! `Taken` was accepted.
//!
//! Locks are handed over as descriptors of the locked files, so that no third daemon ever finds them open. The words are private to
//! builds of one [`FORMAT`]: a daemon of another refuses, and is stopped and started as before.

mod courier;
mod former;
mod heir;
mod words;

use std::path::{Path, PathBuf};

pub use former::{Former, Handed};
pub use heir::{Claimed, HeirError, Inheritance};

/// Of what is said, and of all memory that both daemons have: flow and connection entries, learned stations, marks, ledgers. To be raised
/// when any of them changes its shape.
pub const FORMAT: u32 = 1;

/// Where a daemon that answers on `socket` waits for its heir.
fn beside(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".handover");
    path.into()
}

//! The four loops a packet's speed hangs on: receive, transmit, collect what was sent, refill.
//!
//! Each touches the shared counters once for a burst (an acquire before, a release after) and makes no system call per
//! packet. What the kernel says of a slot is checked against the slot's mark, here and nowhere else.
//!
//! What a loop needs of the socket it takes out of it first ([`Borrower`](crate::slots::Borrower), a ring's reader or
//! writer): the compiler cannot know that a descriptor's memory is not the socket's, and would load all of it anew for
//! each packet. Measured over rings in memory, 64 packets a burst: receive fell from 5.2 to 3.6 ns a packet (then
//! transmit 2.6, collect 1.7, refill 1.0).

mod receive;
mod settle;
mod transmit;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

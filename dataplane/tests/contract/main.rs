//! Every kind of port held to the contract of [`podlane_dataplane::port::Port`], by one suite.
//!
//! A port that is new joins by a [`suite::Subject`] and one line here.

#![allow(clippy::unwrap_used, reason = "without its bed a test has failed")]

mod specimens;
mod suite;
mod switch;
mod wire;
#[cfg(feature = "xsk-rs")]
mod xsk_rs;

use specimens::{AfXdp, Fault, Memory, Replay};

/// Runs each fact of the suite as a test of its own.
macro_rules! conforms {
    ($name:ident, $subject:expr, [$($fact:ident),* $(,)?]) => {
        mod $name {
            use super::*;
            $(
                #[test]
                fn $fact() {
                    suite::check(concat!(stringify!($name), "::", stringify!($fact)), &$subject, suite::$fact);
                }
            )*
        }
    };
    ($name:ident, $subject:expr) => {
        conforms!($name, $subject, [
            what_arrives_comes_in_order_and_nothing_else,
            what_is_queued_leaves_in_order_and_nothing_else,
            a_burst_is_never_overfilled,
            a_full_ring_leaves_the_rest_queued,
            a_jumbo_crosses_both_ways,
            frames_still_out_are_outstanding_until_settled,
            every_frame_is_home_after_a_close_in_the_middle,
            its_facts_are_honest,
            a_device_that_vanishes_is_gone,
        ]);
    };
}

conforms!(memory, Memory);
conforms!(replay, Replay);
conforms!(fault, Fault(Memory));
conforms!(af_xdp, AfXdp::default());
conforms!(af_xdp_without_offload, AfXdp { checksum_offload: false });
conforms!(af_xdp_behind_a_fault_port, Fault(AfXdp::default()));
#[cfg(feature = "xsk-rs")]
conforms!(libxdp, xsk_rs::STEERED_BY_US);
#[cfg(feature = "xsk-rs")]
conforms!(
    libxdp_with_its_own_program,
    xsk_rs::STEERED_BY_LIBXDP,
    [
        what_arrives_comes_in_order_and_nothing_else,
        what_is_queued_leaves_in_order_and_nothing_else,
        a_burst_is_never_overfilled,
        a_full_ring_leaves_the_rest_queued,
        frames_still_out_are_outstanding_until_settled,
        every_frame_is_home_after_a_close_in_the_middle,
        its_facts_are_honest,
        a_device_that_vanishes_is_gone,
    ]
);

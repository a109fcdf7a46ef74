//! Real kernels on both sides: pods in network namespaces, joined by running workers over AF_XDP.
//!
//! What memory ports cannot show is shown here: that a pod's kernel accepts what the switch sends it, that sockets and
//! frames come and go under traffic, and that nothing is lost on the way. Every test has namespaces of its own and is bounded in time.

mod bed;
mod checksums;
mod comings;
mod talk;
mod workers;

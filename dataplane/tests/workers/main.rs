//! Workers among each other, by hand and on real threads.

mod faults;
mod hand_over;
mod rig;
mod threads;

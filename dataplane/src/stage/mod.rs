//! The stages of a packet's line, in the order a burst passes them.

pub mod apply;
pub(crate) mod carry;
mod claims;
pub mod classify;
mod dhcp;
pub mod dispatch;
mod encapsulate;
mod finish;
mod fragment;
mod gateway;
pub(crate) mod hop;
pub mod lookup;
pub mod meter;
pub mod open;
mod outer_checksum;
mod outer_mac;
mod plain;
pub(crate) mod police;
mod replicate;
pub mod resolve;
pub mod shared;
pub mod track;
pub(crate) mod underlay;
pub mod ways;

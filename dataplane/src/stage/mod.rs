//! The stages of a packet's line, in the order a burst passes them.

pub mod apply;
mod claims;
pub mod classify;
pub mod dispatch;
mod finish;
mod fragment;
mod gateway;
mod hop;
pub mod lookup;
mod plain;
pub mod resolve;

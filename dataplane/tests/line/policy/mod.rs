//! Policy on packets: who may open what, what of it comes back, and what is left when a policy changes.

pub(crate) mod bed;
mod changes;
mod copies;
mod fragments;
mod icmp;
mod noise;
mod opening;
mod places;
mod pressure;
mod tcp;
mod tunnel;

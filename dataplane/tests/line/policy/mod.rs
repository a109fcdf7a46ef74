//! Policy on packets: who may open what, what of it comes back, and what is left when a policy changes.

mod bed;
mod opening;

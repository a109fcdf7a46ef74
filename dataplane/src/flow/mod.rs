//! Flows: what tells one from another, what to do with each, and the table of them.

pub mod key;
pub mod learned;
pub mod program;
pub mod table;

pub use key::{Class, FlowKey, HashSeed, Kind, VlanField};
pub use program::{Op, Program, TagEdit};
pub use table::{Basis, FlowRecord, FlowTable, FlowWriter, Insertion, Sweep};

//! Flows: what tells one from another, what to do with each, and the table of them.

mod bucket;
pub mod connections;
pub mod crowd;
mod entry;
pub mod groups;
mod index;
pub mod key;
pub mod learned;
pub mod program;
pub mod table;
mod writer;

pub use entry::FlowRecord;
pub use key::{Class, FlowKey, HashSeed, Kind, VlanField};
pub use program::{Op, Program, TagEdit, Watch};
pub use table::{Basis, FlowTable};
pub use writer::{FlowWriter, Insertion, Living, Sweep};

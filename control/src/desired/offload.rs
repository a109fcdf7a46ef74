//! Offload: what carries the established flows of a port.

pub use podlane_dataplane::offload::Fields;
pub use podlane_dataplane::offload::emulated::{Eviction, Settings as Emulated};

/// What carries the established flows that come in by a port.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Offload {
    /// Workers alone.
    #[default]
    None,
    /// An emulated SmartNIC, in front of the port.
    Emulated,
}

//! Which core does what: the switch has one to itself, the load has another.
//!
//! A switch that shares its core with the load is measured as slow as the load makes it, so a run on a machine with
//! one core is refused instead of misread.

use core_affinity::CoreId;
use serde::Serialize;
use thiserror::Error;

/// The cores of a run, by the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cores {
    /// Where packets are made and counted.
    pub load: usize,
    /// Where what is measured runs.
    pub switch: usize,
}

/// Why cores could not be given out.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CoresError {
    /// The load would run on the switch's core.
    #[error(
        "this process may use {usable} core(s) and a measurement needs 2: one for the load, one for the switch; widen its cpuset (taskset -p)"
    )]
    TooFew {
        /// How many there are.
        usable: usize,
    },
}

impl Cores {
    /// The first core this process may use for the load, the last for the switch.
    ///
    /// # Errors
    /// [`CoresError::TooFew`] on a machine with one core.
    pub fn of_this_process() -> Result<Self, CoresError> {
        Self::among(&core_affinity::get_core_ids().unwrap_or_default())
    }

    fn among(usable: &[CoreId]) -> Result<Self, CoresError> {
        let numbers = || usable.iter().map(|core| core.id);
        match (numbers().min(), numbers().max()) {
            (Some(load), Some(switch)) if load != switch => Ok(Self { load, switch }),
            _ => Err(CoresError::TooFew { usable: usable.len() }),
        }
    }
}

/// Moves the calling thread to a core, for good.
pub(crate) fn pin(core: usize) {
    core_affinity::set_for_current(CoreId { id: core });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(numbers: &[usize]) -> Vec<CoreId> {
        numbers.iter().map(|id| CoreId { id: *id }).collect()
    }

    #[test]
    fn the_load_gets_the_first_core_and_the_switch_the_last() {
        assert_eq!(Cores::among(&cores(&[2, 3, 4])), Ok(Cores { load: 2, switch: 4 }));
    }

    #[test]
    fn one_core_is_too_few() {
        assert_eq!(Cores::among(&cores(&[0])), Err(CoresError::TooFew { usable: 1 }));
        assert_eq!(Cores::among(&[]), Err(CoresError::TooFew { usable: 0 }));
    }
}

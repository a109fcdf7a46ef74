//! Which core does what: one belongs to the switch, the others carry the pods' load.
//!
//! A switch that polls on a core with other busy threads is measured as slow as those threads make it,
//! so the two are kept apart wherever there are two cores. Where there is one, the demo still works,
//! and says that its numbers are those of a shared core.

use core_affinity::CoreId;
use serde::Serialize;
use thiserror::Error;

/// The cores of a run, by the kernel's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cores {
    /// The switch's own.
    pub(crate) switch: usize,
    /// Those the pods send and receive on; the switch's when there is no other.
    pub(crate) load: Vec<usize>,
    /// Whether switch and load share a core.
    pub(crate) shared: bool,
}

/// Why the cores could not be given out.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum CoresError {
    /// The kernel did not say which cores there are.
    #[error("cannot tell which cores this process may use; check that /proc is mounted")]
    Unknown,
    /// The core asked for is not among those this process may use.
    #[error("core {asked} is not one this process may use: choose --core from {usable:?}")]
    Unusable { asked: usize, usable: Vec<usize> },
}

impl Cores {
    /// Gives out the cores this process may use.
    pub(crate) fn of_this_process(asked: Option<usize>) -> Result<Self, CoresError> {
        let usable = core_affinity::get_core_ids().ok_or(CoresError::Unknown)?;
        Self::among(usable.into_iter().map(|core| core.id).collect(), asked)
    }

    /// Gives out `usable` cores: the switch gets the one asked for, or the last.
    fn among(usable: Vec<usize>, asked: Option<usize>) -> Result<Self, CoresError> {
        let last = usable.iter().copied().max().ok_or(CoresError::Unknown)?;
        let switch = asked.unwrap_or(last);
        if !usable.contains(&switch) {
            return Err(CoresError::Unusable { asked: switch, usable });
        }
        let others: Vec<usize> = usable.into_iter().filter(|core| *core != switch).collect();
        let shared = others.is_empty();
        Ok(Self { switch, load: if shared { vec![switch] } else { others }, shared })
    }

    /// The core of the pod at `place` in the list of pods.
    pub(crate) fn of_pod(&self, place: usize) -> CoreId {
        CoreId { id: self.load[place % self.load.len()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_gets_the_last_core_and_the_pods_the_rest() {
        let cores = Cores { switch: 3, load: vec![0, 1, 2], shared: false };
        assert_eq!(Cores::among(vec![0, 1, 2, 3], None), Ok(cores));
    }

    #[test]
    fn the_switch_gets_the_core_it_is_given() {
        let cores = Cores { switch: 0, load: vec![1], shared: false };
        assert_eq!(Cores::among(vec![0, 1], Some(0)), Ok(cores));
    }

    #[test]
    fn on_one_core_switch_and_load_share_it() {
        let cores = Cores::among(vec![5], None).unwrap();
        assert_eq!(cores, Cores { switch: 5, load: vec![5], shared: true });
        assert_eq!(cores.of_pod(2).id, 5);
    }

    #[test]
    fn a_core_that_is_not_there_is_refused_with_those_that_are() {
        let refused = CoresError::Unusable { asked: 9, usable: vec![0, 1] };
        assert_eq!(refused.to_string(), "core 9 is not one this process may use: choose --core from [0, 1]");
        assert_eq!(Cores::among(vec![0, 1], Some(9)), Err(refused));
    }
}

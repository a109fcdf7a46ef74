//! Which core does what when there are two switches: each has its own where there are two, and the load has the rest.

use serde::Serialize;

use crate::demo::cores::{Cores, CoresError};

/// The cores of a run with two nodes, by the kernel's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NodeCores {
    /// The worker's of each switch, in the order of the nodes.
    pub(crate) switches: [usize; 2],
    /// Those the pods send and receive on; the switches' when there are no others.
    pub(crate) load: Vec<usize>,
    /// Whether a switch shares its core with the load, or with the other switch.
    pub(crate) shared: bool,
}

impl NodeCores {
    /// Gives out the cores this process may use: the first node gets the one asked for, or the last.
    pub(crate) fn of_this_process(asked: Option<usize>) -> Result<Self, CoresError> {
        Cores::of_this_process(asked).map(|cores| Self::among(&cores))
    }

    /// From what the demo of one node would give out.
    fn among(cores: &Cores) -> Self {
        let first = cores.switch;
        // the load's last; on a single core it is the same again
        let second = cores.load.last().copied().unwrap_or(first);
        let load: Vec<usize> = cores.load.iter().copied().filter(|core| *core != second).collect();
        let shared = load.is_empty();
        Self { switches: [first, second], load: if shared { vec![second, first] } else { load }, shared }
    }

    /// The core of the pod at `place` in the list of pods.
    pub(crate) fn of_pod(&self, place: usize) -> usize {
        self.load[place % self.load.len()]
    }

    /// In a few words.
    pub(crate) fn words(&self) -> String {
        let [first, second] = self.switches;
        let load: Vec<String> = self.load.iter().map(usize::to_string).collect();
        let load = load.join(", ");
        if self.shared {
            return format!("switches on cores {first} and {second}, which the load shares: both are slower for it");
        }
        format!("switches on cores {first} and {second}; load on core {load}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_gets_a_core_and_the_load_the_rest() {
        let cores = NodeCores::among(&Cores { switch: 3, load: vec![0, 1, 2], shared: false });
        assert_eq!(cores, NodeCores { switches: [3, 2], load: vec![0, 1], shared: false });
        assert_eq!([0, 1, 2].map(|place| cores.of_pod(place)), [0, 1, 0]);
    }

    #[test]
    fn on_two_cores_each_switch_has_one_and_the_load_both() {
        let cores = NodeCores::among(&Cores { switch: 1, load: vec![0], shared: false });
        assert_eq!(cores, NodeCores { switches: [1, 0], load: vec![0, 1], shared: true });
    }

    #[test]
    fn on_one_core_all_share_it() {
        let cores = NodeCores::among(&Cores { switch: 5, load: vec![5], shared: true });
        assert_eq!((cores.switches, cores.shared, cores.of_pod(1)), ([5, 5], true, 5));
    }
}

//! Where sender and receiver run: on which cores, and in how many threads.

use crate::cores;

/// Where sender and receiver run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// In turns, in the calling thread, wherever that runs.
    Here,
    /// In turns, on this core.
    One(usize),
    /// The sender on the first core, the receiver on the second.
    Two([usize; 2]),
}

impl Threads {
    /// On one of the cores that may be used, if that leaves another for what is measured; with three and more, on two. `both` says that there are
    /// two ends to run.
    #[must_use]
    pub fn among(usable: &[usize], both: bool) -> Self {
        match usable {
            [first, second, _, ..] if both => Self::Two([*first, *second]),
            [first, ..] => Self::One(*first),
            [] => Self::Here,
        }
    }
}

/// The cores this process may use, by the kernel's numbers; none where the kernel does not tell.
#[must_use]
pub fn usable() -> Vec<usize> {
    let mut cores: Vec<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    cores.sort_unstable();
    cores
}

/// Does something on a core, in a thread of its own: the caller's stays where it was.
pub(super) fn on_core<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            cores::pin(core);
            work()
        });
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_left_a_core_where_there_are_two() {
        let among = |usable: &[usize]| [true, false].map(|both| Threads::among(usable, both));
        assert_eq!(among(&[]), [Threads::Here; 2]);
        assert_eq!(among(&[4]), [Threads::One(4); 2]);
        assert_eq!(among(&[0, 1]), [Threads::One(0); 2]);
        assert_eq!(among(&[0, 1, 2]), [Threads::Two([0, 1]), Threads::One(0)]);
    }
}

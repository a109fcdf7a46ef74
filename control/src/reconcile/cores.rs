//! Whether the workers have their cores to themselves. Polling collapses where they have not (3 Gbit/s became 0.12), and nothing
//! else would tell the operator why.
//!
//! The kernel keeps, for each thread, how long it was ready to run and did not (`schedstat`); asking costs the workers nothing.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::board::Board;
use crate::desired::Desired;

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);

/// The share of its time that a worker may wait for its core. Interrupts and kernel threads stay far below.
const BEARABLE: f64 = 0.05;

/// The threads of this process, each a directory.
const THREADS: &str = "/proc/self/task";

/// The workers' cores, watched.
pub(super) struct Cores {
    cores: Vec<usize>,
    /// The workers' `schedstat` files, once they are found.
    files: Vec<Option<PathBuf>>,
    waited: Vec<Option<Duration>>,
    looked: Instant,
}

impl Cores {
    /// The cores of these desires, not looked at yet.
    pub(super) fn of(desired: &Desired) -> Self {
        let cores = desired.workers.cores.clone();
        Self { files: vec![None; cores.len()], waited: vec![None; cores.len()], cores, looked: Instant::now() }
    }

    /// Once a second, says on the board which worker had to wait for its core since the last time.
    pub(super) fn look(&mut self, board: &Board) {
        let elapsed = self.looked.elapsed();
        if elapsed < EVERY {
            return;
        }
        self.looked = Instant::now();
        for worker in 0..self.cores.len() {
            let file = &mut self.files[worker];
            *file = file.take().or_else(|| schedstat(worker));
            let now = file.as_ref().and_then(|file| waited(&fs::read_to_string(file).ok()?));
            let before = std::mem::replace(&mut self.waited[worker], now);
            let (Some(now), Some(before)) = (now, before) else { continue };
            let share = now.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64();
            board.warn(&format!("core of worker {worker}"), judge(worker, self.cores[worker], share));
        }
    }
}

/// The warning for a worker that waited for this share of its time.
fn judge(worker: usize, core: usize, share: f64) -> Option<String> {
    (share > BEARABLE).then(|| {
        let percent = share.min(1.0) * 100.0;
        format!(
            "worker {worker} waited {percent:.0} % of the last second for core {core}, which something else had; keep other \
             processes off it (isolcpus, cpuset, taskset)"
        )
    })
}

/// The file of the thread with the worker's name.
fn schedstat(worker: usize) -> Option<PathBuf> {
    let name = format!("podlane-w{worker}\n");
    let threads = fs::read_dir(THREADS).into_iter().flatten().flatten().map(|entry| entry.path());
    let own = |thread: &PathBuf| fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm == name);
    threads.filter(own).map(|thread| thread.join("schedstat")).next()
}

/// The second of its three numbers: nanoseconds spent ready to run.
fn waited(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wait_worth_telling_is_told() {
        assert_eq!(judge(0, 1, 0.0), None);
        assert_eq!(judge(0, 1, BEARABLE), None);
        let warning = judge(0, 1, 0.482).unwrap();
        assert!(warning.starts_with("worker 0 waited 48 % of the last second for core 1"), "{warning}");
    }

    #[test]
    fn the_time_ready_to_run_is_the_second_number() {
        assert_eq!(waited("8675309 1500000000 42\n"), Some(Duration::from_millis(1_500)));
        assert_eq!(waited(""), None);
        assert_eq!(waited("1 x 2"), None);
    }
}

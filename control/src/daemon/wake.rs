//! The workers' cores, kept from sleeping deeper than the configuration allows for as long as the daemon runs.
//!
//! A first packet after silence waits until its worker's core is awake, which takes longest where the core is a guest's
//! and was halted. A limit that cannot be had makes such packets late and nothing else wrong, so it is a warning.

use podlane_host::{WakeLatencyError, WakeLimit};

use crate::desired::{WakeLatency, Workers};

/// The limits, lifted when dropped.
pub(super) struct WakeLimits(Vec<WakeLimit>);

impl WakeLimits {
    /// Limits the cores of these workers, if they ask for it. What cannot be limited is told in the log.
    pub(super) fn hold(workers: &Workers) -> Self {
        Self::hold_by(workers, WakeLimit::hold)
    }

    fn hold_by(workers: &Workers, hold: impl Fn(usize, WakeLatency) -> Result<WakeLimit, WakeLatencyError>) -> Self {
        let Some(latency) = workers.wake_latency else { return Self(Vec::new()) };
        let limit = |core: &usize| match hold(*core, latency) {
            Ok(limit) => {
                tracing::info!(core, wake_latency_us = latency.get(), "limited how long the core may take to wake");
                Some(limit)
            }
            Err(error) => {
                tracing::warn!(core, "{error}; until then first packets after silence wait for the core to wake");
                None
            }
        };
        Self(workers.cores.iter().filter_map(limit).collect())
    }
}

impl Drop for WakeLimits {
    fn drop(&mut self) {
        for limit in self.0.drain(..) {
            let core = limit.core();
            if let Err(error) = limit.release() {
                tracing::warn!(core, "the core keeps its limit: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::desired::{FrameBytes, FrameCount, Poll};

    #[test]
    fn a_core_without_a_limit_keeps_none_from_the_others() {
        let cores = std::env::temp_dir().join(format!("podlane-wake-limits-{}", std::process::id()));
        let file = cores.join("cpu1/power/pm_qos_resume_latency_us");
        fs::create_dir_all(cores.join("cpu1/cpuidle")).unwrap();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "0\n").unwrap();
        let mut workers = Workers {
            cores: vec![0, 1],
            poll: Poll::Adaptive,
            wake_latency: WakeLatency::new(30),
            frames: FrameCount::new(256).unwrap(),
            frame_bytes: FrameBytes::TwoKiB,
        };
        let hold = |workers: &Workers| {
            WakeLimits::hold_by(workers, |core, latency| WakeLimit::hold_below(&cores, core, latency))
        };
        let word = || fs::read_to_string(&file).unwrap().trim().to_owned();
        let limits = hold(&workers);
        assert_eq!((limits.0.len(), word().as_str()), (1, "30"));
        drop(limits);
        assert_eq!(word(), "0");
        // Unset, the kernel's setting is not touched.
        workers.wake_latency = None;
        assert_eq!(hold(&workers).0.len(), 0);
        fs::remove_dir_all(&cores).unwrap();
    }
}

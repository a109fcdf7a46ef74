//! What the kernel must let the daemon do: asked before anything is touched, so that its lack is one clear error.

use std::fs;

use thiserror::Error;

use crate::desired::{Behind, Desired, Port};

/// The capabilities that a port with a device takes, by their bit (linux/capability.h).
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (BPF, "CAP_BPF")];

const BPF: u32 = 39;

/// Has in it all that CAP_BPF allows.
const SYS_ADMIN: u32 = 21;

/// The process may not do what its ports take.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "AF_XDP and XDP need {}, which this process lacks; run podlane as root, or grant them (AmbientCapabilities= in its unit)",
    lacking.join(", ")
)]
pub struct RightsError {
    lacking: Vec<&'static str>,
}

/// Whether this process may do what these desires take. Ports without a device take nothing.
pub(super) fn check(desired: &Desired) -> Result<(), RightsError> {
    let has_device = |port: &Port| matches!(port.behind, Behind::Device(_));
    let has_device = desired.attachments.is_some() || desired.ports.values().any(|port| has_device(port));
    // Where the kernel does not tell, it will refuse by itself.
    match fs::read_to_string("/proc/thread-self/status").ok().and_then(|status| effective(&status)) {
        Some(held) if has_device => judge(held),
        _ => Ok(()),
    }
}

fn judge(held: u64) -> Result<(), RightsError> {
    let has = |bit: u32| held >> bit & 1 == 1;
    let may = |bit: u32| has(bit) || (bit == BPF && has(SYS_ADMIN));
    let lacking: Vec<_> = NEEDED.iter().filter(|(bit, _)| !may(*bit)).map(|(_, name)| *name).collect();
    if lacking.is_empty() { Ok(()) } else { Err(RightsError { lacking }) }
}

/// The effective set, as proc(5) writes it.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named() {
        assert_eq!(effective("Name:\tpodlane\nCapEff:\t0000000000003000\n"), Some(0x3000));
        assert_eq!(judge(u64::MAX), Ok(()));
        assert_eq!(judge(1 << 12 | 1 << 13 | 1 << SYS_ADMIN), Ok(()));
        assert_eq!(judge(1 << 12), Err(RightsError { lacking: vec!["CAP_NET_RAW", "CAP_BPF"] }));
    }
}

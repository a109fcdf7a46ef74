//! What the machine's free memory is like when something is measured in it.
//!
//! A guest whose hypervisor takes back what is free (free page reporting) pays for each free page that it uses again: about 3 ms a megabyte on
//! the machine of [the results](../../../results/README.md), a hundred times what clearing it costs. Who allocates most in the kernel pays most
//! of it, whatever else is done, and how much depends on who freed what in the minute before. So both kinds are measured: memory as it is found,
//! and memory that was used and freed a moment ago, as it always is where nobody takes it back.
//!
//! It is touched in huge pages. Freed small pages do not come together again into the blocks that the kernel takes for what is large: after them,
//! a hundred ADDs took as long as without (1,430 ms with 32,768 frames a worker; after huge pages 235). And it is touched right before: the hypervisor takes back what has
//! been free for two seconds.

use std::{fs, hint::black_box};

use memmap2::{Advice, MmapMut};

/// What is touched for each pod that comes at once, bytes: more than the kernel allocates for it with either plugin.
const A_POD: u64 = 8 << 20;

/// Of free memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Memory {
    /// Whatever was done before.
    AsFound,
    /// The machine has it: it was written to and freed right before.
    Resident,
}

impl Memory {
    pub(super) const BOTH: [Self; 2] = [Self::AsFound, Self::Resident];

    /// As the names of series say it.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::AsFound => "",
            Self::Resident => ", memory resident",
        }
    }

    /// Makes it so, for so many pods.
    pub(super) fn prepare(self, pods: u16) {
        if self == Self::Resident {
            // Never so much that something else would have to go.
            touch((u64::from(pods) * A_POD).min(available().unwrap_or(0) / 2));
        }
    }
}

/// Writes to so much memory and frees it. Where the kernel gives none, it stays as it was found.
fn touch(bytes: u64) {
    let Ok(mut memory) = MmapMut::map_anon(bytes as usize) else { return };
    // A kernel without huge pages has nothing to advise.
    let _ = memory.advise(Advice::HugePage);
    black_box(&mut memory).fill(1);
}

/// What the kernel could give without taking it from anybody, bytes.
fn available() -> Option<u64> {
    parse_available(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read_in_bytes() {
        let meminfo = "MemTotal:       24683520 kB\nMemFree:        13954048 kB\nMemAvailable:   23848960 kB\n";
        assert_eq!(parse_available(meminfo), Some(23_848_960 << 10));
        assert_eq!(parse_available("MemTotal: 1 kB\n"), None);
    }
}

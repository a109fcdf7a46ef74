//! Sysctls of a network namespace. `/proc/sys/net` shows each thread its own namespace's, so the
//! way to set another namespace's is [`Netns::run`](crate::Netns::run).

use std::fs;
use std::path::{Component, Path};

use crate::HostError;

/// Writes `value` to the sysctl `path` (`net/ipv6/conf/all/accept_dad`) of the calling thread's
/// namespace.
///
/// # Errors
/// [`HostError::BadSysctl`] for a path that is not below `net/`, [`HostError::Sysctl`] when the
/// kernel has no such sysctl or does not take the value.
pub fn sysctl(path: &str, value: impl std::fmt::Display) -> Result<(), HostError> {
    let relative = Path::new(path);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || !relative.starts_with("net") || relative.components().count() < 2 {
        return Err(HostError::BadSysctl { path: path.to_owned() });
    }
    let file = Path::new("/proc/sys").join(relative);
    let value = value.to_string();
    match fs::write(&file, &value) {
        Ok(()) => Ok(()),
        Err(source) => Err(HostError::Sysctl { path: file, value, source }),
    }
}

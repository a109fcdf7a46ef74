//! The BPF file system: where attachments outlive the process that made them.
//!
//! ```text
//! /sys/fs/bpf/podlane/<instance>/<port>/link       last to be written: with it, all are there
//!                                       sockets    the XSKMAP
//!                                       claim      (uplinks) what is ours ...
//!                                       vteps      (uplinks) ... at which addresses ...
//!                                       hops       (uplinks) ... and answers about whom
//!                                       counts     (uplinks) claimed, passed, fragments
//!                               <port>/link-<index of the device>    of a pod that has its
//!                                       program and its XSKMAP together with the others:
//!                               %pods              that XSKMAP
//!                               %carry/            maps and links of what the kernel carries for
//!                                                  workers: not a port's, and the carrier's to remove
//! ```
//!
//! Removing a pin hands the last reference to a kernel worker, and the device stays busy for
//! some 20 ms. So a link is opened before its pin is removed: closing the descriptor is then what
//! detaches, and when the call returns the device is free.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::PinError;
use crate::error::errno;
use crate::object::Shape;

const LINK: &str = "link";
const SHARED_LINK: &str = "link-";

/// The sockets of all pods. No port has this name: [`port_pin`] spells a `%` otherwise.
const SHARED: &str = "%pods";

/// The pins of the [`Carrier`](crate::carry::Carrier), in a directory that is no port's either.
pub(crate) const CARRY: &str = "%carry";

/// Sees to it that a BPF file system is mounted at `at` (normally `/sys/fs/bpf`), as systemd and
/// iproute2 do, readable by root alone. Returns whether it had to be mounted.
///
/// The mount is made in the calling thread's mount namespace and is left there: other programs
/// may have begun to use it.
///
/// # Errors
///
/// [`PinError::Mount`] without the right to mount, or without a directory to mount on.
pub fn ensure_bpffs(at: &Path) -> Result<bool, PinError> {
    let failed = |source| PinError::Mount { path: at.to_owned(), source };
    if is_bpffs(at) {
        return Ok(false);
    }
    // Two daemons starting together would mount one over the other and lose the first one's pins.
    let directory = fs::File::open(at).map_err(failed)?;
    directory.lock().map_err(failed)?;
    if is_bpffs(at) {
        return Ok(false);
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), at, Some("bpf"), flags, Some("mode=0700")).map_err(|errno| failed(errno.into()))?;
    Ok(true)
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}

/// The directory of a port's pins. A BPF file system takes no dot in a name, and names of VLAN
/// devices have one, so `.` is written `%2e` and `%` is written `%25`.
#[must_use]
pub fn port_pin(instance: &Path, port: &str) -> PathBuf {
    instance.join(port.replace('%', "%25").replace('.', "%2e"))
}

fn port_name(directory: &str) -> String {
    directory.replace("%2e", ".").replace("%25", "%")
}

/// Where the map of all pods' sockets is pinned.
pub(crate) fn shared_pin(instance: &Path) -> PathBuf {
    instance.join(SHARED)
}

/// Removes the pins of every port of an instance that is not to be kept, which detaches their
/// programs; with the last port goes what they have together. Returns the names of those ports. An instance without a directory has none.
///
/// # Errors
///
/// [`PinError::Io`] where an entry could not be removed; the ones before it are gone.
pub fn sweep(instance: &Path, keep: &[&str]) -> Result<Vec<String>, PinError> {
    let (mut removed, mut kept) = (Vec::new(), false);
    for directory in names(instance)?.into_iter().filter(|name| name != CARRY) {
        let port = port_name(&directory);
        let path = instance.join(directory);
        if path.is_dir() && !keep.contains(&port.as_str()) {
            remove_port(&path)?;
            removed.push(port);
        } else {
            kept |= path.is_dir();
        }
    }
    let shared = shared_pin(instance);
    if !kept && shared.exists() {
        remove_file(&shared)?;
    }
    removed.sort();
    Ok(removed)
}

/// Removes an instance's directory, if no port has pins there. Returns whether it is gone.
///
/// # Errors
///
/// [`PinError::Io`] where it could not be removed.
pub fn vacate(instance: &Path) -> Result<bool, PinError> {
    let names = names(instance)?;
    if names.iter().any(|name| name != SHARED) {
        return Ok(false);
    }
    for name in names {
        remove_file(&instance.join(name))?;
    }
    match fs::remove_dir(instance) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        removed => removed.map(|()| true).map_err(|source| io_error(instance, "removing", source)),
    }
}

/// Makes a port's directory ready for pins.
pub(crate) fn prepare(directory: &Path) -> Result<(), PinError> {
    let name = directory.file_name().unwrap_or_default();
    if name.as_encoded_bytes().contains(&b'.') {
        return Err(PinError::Dot { path: directory.to_owned() });
    }
    // Asked first, or directories would be made on whatever file system is there instead.
    if !directory.ancestors().find(|path| path.exists()).is_some_and(is_bpffs) {
        return Err(PinError::NotBpffs { path: directory.to_owned() });
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| io_error(directory, "creating", source))
}

/// A link that was pinned in a port's directory.
pub(crate) struct Pinned {
    /// The link.
    pub(crate) link: FdLink,
    /// The index of its device, if it has its program together with others.
    pub(crate) on: Option<u32>,
}

/// Where a link is pinned, as [`Pinned::on`] has it.
fn link_pin(directory: &Path, on: Option<u32>) -> PathBuf {
    match on {
        None => directory.join(LINK),
        Some(ifindex) => directory.join(format!("{SHARED_LINK}{ifindex}")),
    }
}

/// Opens the link pinned in a port's directory, if there is one.
pub(crate) fn open_link(directory: &Path) -> Result<Option<Pinned>, PinError> {
    if let Some(link) = open_pin(&link_pin(directory, None))? {
        return Ok(Some(Pinned { link, on: None }));
    }
    for name in names(directory)? {
        let ifindex = name.strip_prefix(SHARED_LINK).and_then(|ifindex| ifindex.parse().ok());
        if ifindex.is_some()
            && let Some(link) = open_pin(&link_pin(directory, ifindex))?
        {
            return Ok(Some(Pinned { link, on: ifindex }));
        }
    }
    Ok(None)
}

/// Opens a link's pin, if there is one.
pub(crate) fn open_pin(path: &Path) -> Result<Option<FdLink>, PinError> {
    match PinnedLink::from_pin(path) {
        Ok(link) => Ok(Some(link.into())),
        Err(error) => match errno(&error) {
            Some(libc::ENOENT) => Ok(None),
            errno => {
                let errno = errno.unwrap_or(libc::EINVAL);
                Err(io_error(path, "opening", io::Error::from_raw_os_error(errno)))
            }
        },
    }
}

/// Pins a port's link, and keeps it open.
pub(crate) fn pin_link(directory: &Path, on: Option<u32>, link: FdLink) -> Result<FdLink, PinError> {
    pin_at(&link_pin(directory, on), link)
}

/// Pins a link, and keeps it open.
pub(crate) fn pin_at(path: &Path, link: FdLink) -> Result<FdLink, PinError> {
    match link.pin(path) {
        Ok(link) => Ok(link.into()),
        Err(error) => {
            let errno = errno(&error).unwrap_or(libc::EINVAL);
            Err(io_error(path, "pinning", io::Error::from_raw_os_error(errno)))
        }
    }
}

/// Gives a link's pin the name it has to have now.
pub(crate) fn rename_link(directory: &Path, before: Option<u32>, now: Option<u32>) -> Result<(), PinError> {
    if before == now {
        return Ok(());
    }
    let path = link_pin(directory, before);
    fs::rename(&path, link_pin(directory, now)).map_err(|source| io_error(&path, "renaming", source))
}

/// Removes all of a port's pins and its directory; nothing there is no error.
pub(crate) fn remove_port(directory: &Path) -> Result<(), PinError> {
    let _closed_last = open_link(directory)?;
    for name in names(directory)? {
        remove_file(&directory.join(name))?;
    }
    remove_directory(directory)
}

/// Removes an empty directory; one that is not there is no error.
pub(crate) fn remove_directory(directory: &Path) -> Result<(), PinError> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| io_error(directory, "removing", source)),
    }
}

/// Removes the pins of maps that are not among a port's own: another program's, before this one.
pub(crate) fn remove_others(directory: &Path, own: &[Shape]) -> Result<(), PinError> {
    for name in names(directory)? {
        if !name.starts_with(LINK) && !own.iter().any(|shape| name == shape.pin_name()) {
            remove_file(&directory.join(name))?;
        }
    }
    Ok(())
}

/// What is in a directory; nothing, if it is not there.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, PinError> {
    let failed = |source| io_error(directory, "reading", source);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}

/// Removes one pin.
pub(crate) fn remove_file(path: &Path) -> Result<(), PinError> {
    fs::remove_file(path).map_err(|source| io_error(path, "removing", source))
}

fn io_error(path: &Path, doing: &'static str, source: io::Error) -> PinError {
    PinError::Io { path: path.to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_name_survives_its_spelling() {
        for name in ["eth0", "eth0.100", "a%2eb", "%", "..", "a%25.b"] {
            let path = port_pin(Path::new("/sys/fs/bpf/podlane/demo"), name);
            let spelled = path.file_name().unwrap().to_str().unwrap();
            assert!(!spelled.contains('.'), "{spelled}");
            assert_eq!(port_name(spelled), name);
        }
    }

    #[test]
    fn an_instance_without_a_directory_has_nothing_to_sweep() {
        let swept = sweep(Path::new("/nowhere/at/all"), &[]).unwrap();
        assert!(swept.is_empty());
    }

    #[test]
    fn another_file_system_is_refused_and_left_alone() {
        let directory = std::env::temp_dir().join(format!("podlane-no-bpffs-{}", std::process::id()));
        let error = prepare(&directory).unwrap_err();
        assert!(matches!(error, PinError::NotBpffs { .. }), "{error}");
        assert!(!directory.exists());
    }
}

//! Network namespaces, held by file descriptor.
//!
//! A namespace made here has no name: it lives as long as a descriptor, a socket or a thread in it
//! does, so there is nothing to remove, also after SIGKILL. A name is given only on request
//! ([`Netns::pin`]), for the sake of `ip netns exec`.
//!
//! Work inside a namespace runs on a thread of its own ([`Netns::run`]), because moving the
//! caller's thread and back again would leave it in the wrong place if the way back failed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use thiserror::Error;

/// Where `ip netns` looks for names.
const PINS: &str = "/run/netns";

/// How long another may hold the lock on the names; `ip netns` holds it for two mounts.
const LOCKED_WITHIN: Duration = Duration::from_secs(5);

/// The namespace of the calling thread (`/proc/self` would be the first thread's).
const OF_THIS_THREAD: &str = "/proc/thread-self/ns/net";

/// Why a network namespace could not be made, opened, entered or named.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetnsError {
    /// The caller lacks a capability.
    #[error("cannot {action}: not permitted; run as root, or with CAP_SYS_ADMIN")]
    NotPermitted {
        /// What was attempted.
        action: &'static str,
    },
    /// The kernel refused.
    #[error("cannot {action}: {errno}; check that the kernel has network namespaces")]
    Kernel {
        /// What was attempted.
        action: &'static str,
        /// The kernel's error number.
        errno: Errno,
    },
    /// A file could not be opened.
    #[error("cannot open the network namespace {}: {source}; check the path", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system call's error.
        source: io::Error,
    },
    /// The file is something else.
    #[error(
        "{} is not a network namespace: give a path such as /proc/PID/ns/net or /run/netns/NAME",
        .path.display()
    )]
    NotANamespace {
        /// The file.
        path: PathBuf,
    },
    /// A name that cannot be a file's.
    #[error("{name:?} cannot name a network namespace: use a file name, without '/'")]
    BadName {
        /// The name as given.
        name: String,
    },
    /// The name is taken.
    #[error("{} exists already: choose another name, or remove it with `ip netns delete`",
        .path.display())]
    NameTaken {
        /// The file.
        path: PathBuf,
    },
    /// The name could not be given or taken away.
    #[error("cannot {action} {}: {source}; check that /run is writable", .path.display())]
    Pin {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system call's error.
        source: io::Error,
    },
    /// No thread could be started to work inside the namespace.
    #[error("cannot start a thread for a network namespace: {0}; check the limit on threads")]
    Thread(io::Error),
}

impl NetnsError {
    fn of(action: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::EPERM | Errno::EACCES => Self::NotPermitted { action },
            errno => Self::Kernel { action, errno },
        }
    }
}

/// Which namespace it is: equal for two descriptors of one namespace, as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetnsId {
    device: u64,
    inode: u64,
}

impl std::fmt::Display for NetnsId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "net:[{}]", self.inode)
    }
}

/// A network namespace, kept alive by the descriptor inside.
#[derive(Debug)]
pub struct Netns {
    file: File,
}

impl Netns {
    /// Makes an empty namespace that lives as long as descriptors of, and threads in it.
    ///
    /// # Errors
    /// [`NetnsError::NotPermitted`] without CAP_SYS_ADMIN.
    pub fn anonymous() -> Result<Self, NetnsError> {
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| NetnsError::of("make a network namespace", errno))?;
            Self::current()
        })?
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// [`NetnsError::Open`] where /proc is not mounted.
    pub fn current() -> Result<Self, NetnsError> {
        Self::open(OF_THIS_THREAD)
    }

    /// Opens the namespace behind a file: `/proc/PID/ns/net`, `/run/netns/NAME`.
    ///
    /// # Errors
    /// [`NetnsError::Open`], or [`NetnsError::NotANamespace`] for any other file. A namespace of
    /// another kind is told apart only by [`Netns::run`] and [`Netns::enter`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NetnsError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| NetnsError::Open { path: path.to_owned(), source })?;
        match fstatfs(&file) {
            Ok(of) if of.filesystem_type() == NSFS_MAGIC => Ok(Self { file }),
            _ => Err(NetnsError::NotANamespace { path: path.to_owned() }),
        }
    }

    /// A second descriptor of the same namespace.
    ///
    /// # Errors
    /// [`NetnsError::Kernel`] when there are too many open files.
    pub fn try_clone(&self) -> Result<Self, NetnsError> {
        match self.file.try_clone() {
            Ok(file) => Ok(Self { file }),
            Err(error) => Err(NetnsError::of("duplicate the descriptor of a network namespace", errno_of(&error))),
        }
    }

    /// Which namespace this is.
    ///
    /// # Errors
    /// [`NetnsError::Kernel`]; no cause is known.
    pub fn id(&self) -> Result<NetnsId, NetnsError> {
        match self.file.metadata() {
            Ok(file) => Ok(NetnsId { device: file.dev(), inode: file.ino() }),
            Err(error) => Err(NetnsError::of("identify a network namespace", errno_of(&error))),
        }
    }

    /// Runs `work` inside the namespace, on a thread of its own, and waits for it.
    ///
    /// A panic of `work` goes on in the caller.
    ///
    /// # Errors
    /// As [`Netns::enter`]; `work` has then not run.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        on_own_thread(|| {
            self.enter()?;
            Ok(work())
        })?
    }

    /// Moves the calling thread into the namespace, for good. Sockets it has stay where they are;
    /// threads it starts afterwards begin here.
    ///
    /// # Errors
    /// [`NetnsError::NotPermitted`] without CAP_SYS_ADMIN; [`NetnsError::Kernel`] with EINVAL when
    /// the file is a namespace of another kind.
    pub fn enter(&self) -> Result<(), NetnsError> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| NetnsError::of("enter a network namespace", errno))
    }

    /// Names the namespace `/run/netns/NAME`, so that `ip netns exec NAME` finds it, until the
    /// [`Pinned`] is dropped.
    ///
    /// The folder itself is made a shared mount when it is none, as `ip netns add` would; it stays.
    ///
    /// # Errors
    /// [`NetnsError::BadName`], [`NetnsError::NameTaken`], or [`NetnsError::Pin`].
    pub fn pin(&self, name: &str) -> Result<Pinned, NetnsError> {
        let path = pin_path(name)?;
        share_pins()?;
        match File::create_new(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(NetnsError::NameTaken { path });
            }
            Err(source) => return Err(failed_pin("create", &path, source)),
        }
        // From here on a failure removes the file again.
        let pinned = Pinned { path, kept: false };
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        mount_at(Some(Path::new(&own)), &pinned.path, MsFlags::MS_BIND)
            .map_err(|errno| failed_pin("mount", &pinned.path, errno.into()))?;
        Ok(pinned)
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A name under `/run/netns`; dropping it takes the name away, not the namespace.
#[derive(Debug)]
#[must_use = "dropping it takes the name away again"]
pub struct Pinned {
    path: PathBuf,
    kept: bool,
}

impl Pinned {
    /// The file that names the namespace.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the name away now, and says whether that worked.
    ///
    /// # Errors
    /// [`NetnsError::Pin`].
    pub fn remove(mut self) -> Result<(), NetnsError> {
        self.kept = true;
        remove_pin(&self.path)
    }

    /// Leaves the name, and so the namespace, to outlive this process; see [`unpin`].
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if !self.kept {
            // Whoever wants to know calls `remove`.
            let _ = remove_pin(&self.path);
        }
    }
}

/// Takes away a name that an earlier process gave and kept.
///
/// # Errors
/// [`NetnsError::BadName`], or [`NetnsError::Pin`] when there is no such name.
pub fn unpin(name: &str) -> Result<(), NetnsError> {
    remove_pin(&pin_path(name)?)
}

fn pin_path(name: &str) -> Result<PathBuf, NetnsError> {
    let usable = !name.is_empty() && name.len() <= 255 && !name.contains(['/', '\0']);
    if !usable || name == "." || name == ".." {
        return Err(NetnsError::BadName { name: name.to_owned() });
    }
    Ok(Path::new(PINS).join(name))
}

/// Makes `/run/netns` a shared mount, so that taking a name away reaches every mount namespace
/// that copied it: without it a running `ip netns exec` would keep the namespace alive.
///
/// Done twice at once it would be mounted twice, and hide the names below; so it is done under the
/// lock that `ip netns` takes for it.
fn share_pins() -> Result<(), NetnsError> {
    let pins = Path::new(PINS);
    fs::create_dir_all(pins).map_err(|source| failed_pin("create", pins, source))?;
    let folder = File::open(pins).map_err(|source| failed_pin("open", pins, source))?;
    lock(&folder).map_err(|source| failed_pin("lock", pins, source))?;
    let share = || mount_at(None, pins, MsFlags::MS_SHARED | MsFlags::MS_REC);
    match share() {
        Ok(()) => Ok(()),
        Err(Errno::EINVAL) => mount_at(Some(pins), pins, MsFlags::MS_BIND | MsFlags::MS_REC)
            .and_then(|()| share())
            .map_err(|errno| failed_pin("share", pins, errno.into())),
        Err(errno) => Err(failed_pin("share", pins, errno.into())),
    }
}

/// Takes the lock, within a bound; it is let go when the file is closed.
fn lock(folder: &File) -> io::Result<()> {
    let deadline = Instant::now() + LOCKED_WITHIN;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn remove_pin(path: &Path) -> Result<(), NetnsError> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // EINVAL: a file that was created but never mounted on.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(errno) => return Err(failed_pin("unmount", path, errno.into())),
    }
    fs::remove_file(path).map_err(|source| failed_pin("remove", path, source))
}

fn mount_at(source: Option<&Path>, target: &Path, flags: MsFlags) -> nix::Result<()> {
    mount(source, target, None::<&Path>, flags, None::<&Path>)
}

fn failed_pin(action: &'static str, path: &Path, source: io::Error) -> NetnsError {
    NetnsError::Pin { action, path: path.to_owned(), source }
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

/// Runs `work` on a thread that ends with it, so whatever namespace it moves to dies with it too.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    thread::scope(|scope| {
        let thread =
            thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work).map_err(NetnsError::Thread)?;
        thread.join().or_else(|panic| resume_unwind(panic))
    })
}

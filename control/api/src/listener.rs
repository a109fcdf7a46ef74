//! The daemon's end of the socket: one socket, one daemon.
//!
//! A socket file says nothing about whether anybody is behind it: a killed daemon leaves its own. So the right to the
//! path is a lock (`flock`) on a file beside it, which the kernel takes back from a process however it dies. Who
//! holds the lock may replace the socket; who does not is told the pid of who does.
//!
//! ```text
//! /run/podlane/podlane.sock        the socket, mode 0600 before anybody can connect
//! /run/podlane/podlane.sock.lock   locked while the daemon lives; holds its pid, for the message
//! ```

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::Connection;

/// The longest path of a socket, in bytes: `sun_path` of unix(7) with its final zero.
pub const MAX_SOCKET_PATH: usize = 107;

/// Connections the kernel queues before they are accepted.
const BACKLOG: i32 = 512;

/// The daemon cannot have the socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path does not fit a socket address.
    #[error("{} is longer than the {MAX_SOCKET_PATH} bytes of a socket path (choose a shorter one)", socket.display())]
    PathTooLong {
        /// The socket.
        socket: PathBuf,
    },
    /// Another daemon has the socket.
    #[error("{} belongs to another podlane{} (stop that one, or give this one its own `socket` and `instance`)", socket.display(), holder(*pid))]
    Held {
        /// The socket.
        socket: PathBuf,
        /// The other daemon's process id, when it wrote one.
        pid: Option<u32>,
    },
    /// Something that is no socket is in the way.
    #[error("{} exists and is no socket (remove it, or choose another path)", socket.display())]
    NotASocket {
        /// The path.
        socket: PathBuf,
    },
    /// A program that does not use the lock listens there.
    #[error("another program listens on {} (choose another path)", socket.display())]
    Occupied {
        /// The socket.
        socket: PathBuf,
    },
    /// A step the kernel refused.
    #[error("{}: cannot {step}: {source} (the directory must exist or be creatable, and be writable)", path.display())]
    Io {
        /// What the step was done to.
        path: PathBuf,
        /// The step, such as "lock".
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(", process {pid}")).unwrap_or_default()
}

/// A bound socket and the right to it. Dropped, it takes both files away.
#[derive(Debug)]
pub struct Listener {
    socket: PathBuf,
    listener: UnixListener,
    /// Released last: fields drop in order, after the socket file is gone.
    lock: Lock,
}

/// A locked file; dropped, it is removed while still locked, so nobody can hold a lock on a file that is gone unnoticed.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
}

impl Listener {
    /// Takes `socket`: creates its directory, locks, replaces what a killed daemon left, and listens. Only the owner can
    /// connect. The listener does not block; poll its descriptor.
    ///
    /// # Errors
    /// [`BindError`] names the path and what to do. Nothing of another daemon is touched.
    pub fn bind(socket: &Path) -> Result<Self, BindError> {
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(BindError::PathTooLong { socket: socket.into() });
        }
        if let Some(directory) = socket.parent() {
            fs::create_dir_all(directory).map_err(refused(directory, "create the directory"))?;
        }
        let lock = Lock::take(socket)?;
        clear(socket)?;
        let listener = listen(socket).map_err(refused(socket, "listen"))?;
        Ok(Self { socket: socket.into(), listener, lock })
    }

    /// Goes on with a former daemon's socket and its lock, as descriptors of both came from it.
    ///
    /// # Errors
    /// [`BindError::Io`]: the descriptors are none of such, or this process cannot be written into the lock.
    pub fn inherit(socket: &Path, [listener, lock]: [OwnedFd; 2]) -> Result<Self, BindError> {
        let (listener, file) = (UnixListener::from(listener), File::from(lock));
        let path = Lock::path(socket);
        listener.local_addr().map_err(refused(socket, "listen"))?;
        write_pid(&file).map_err(refused(&path, "write the lock"))?;
        Ok(Self { socket: socket.into(), listener, lock: Lock { path, file } })
    }

    /// Descriptors of the socket and of its lock, for an heir. The lock is held as long as any process has one.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn descriptors(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.listener.as_fd().try_clone_to_owned()?, self.lock.file.as_fd().try_clone_to_owned()?])
    }

    /// The path it listens on.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Takes one waiting connection; none waiting is [`ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// What `accept` of the kernel says.
    pub fn accept(&self, timeout: Duration) -> io::Result<Connection> {
        Ok(Connection::new(self.accept_stream()?, timeout))
    }

    /// The same, for a protocol that is not ours.
    ///
    /// # Errors
    /// What `accept` of the kernel says.
    pub fn accept_stream(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The lock is still held here, so the path is ours to clear; a file already gone is as good.
        let _ = fs::remove_file(&self.socket);
    }
}

impl Lock {
    fn path(socket: &Path) -> PathBuf {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        path.into()
    }

    fn take(socket: &Path) -> Result<Self, BindError> {
        let path = Self::path(socket);
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(refused(&path, "open the lock"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(BindError::Held { socket: socket.into(), pid: written_pid(&mut file) });
                }
                Err(TryLockError::Error(source)) => return Err(refused(&path, "lock")(source)),
            }
            if is_at(&file, &path) {
                write_pid(&file).map_err(refused(&path, "write the lock"))?;
                return Ok(Self { path, file });
            }
            // A daemon that was ending removed the file between our open and our lock: that lock guards nothing.
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn refused(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> BindError {
    let path = path.to_owned();
    move |source| BindError::Io { path, step, source }
}

fn written_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    // A former daemon wrote by the same open file.
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Removes the socket a killed daemon left; anything else that is in the way stays and is an error.
fn clear(socket: &Path) -> Result<(), BindError> {
    let there = match fs::symlink_metadata(socket) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(socket, "look at it")(error)),
    };
    if !there.file_type().is_socket() {
        return Err(BindError::NotASocket { socket: socket.into() });
    }
    if UnixStream::connect(socket).is_ok() {
        return Err(BindError::Occupied { socket: socket.into() });
    }
    fs::remove_file(socket).map_err(refused(socket, "replace it"))
}

/// Binds, closes the file to others, and only then listens: between the first two steps nobody can connect.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

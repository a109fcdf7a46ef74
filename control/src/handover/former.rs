//! The running daemon's side: it waits for an heir, hands over, and goes on as before if nobody took it.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podlane_api::Request;
use thiserror::Error;

use super::courier::{Courier, CourierError};
use super::words::{FromFormer, FromHeir, of_estate, of_remains};
use super::{FORMAT, beside};
use crate::attach::LONGEST;
use crate::reconcile::{Engine, Hold, Silent, Withheld};

/// How long the heir is waited for after it has taken over.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long an heir may take to say who it is.
const GREETING: Duration = Duration::from_secs(2);

/// How long it may take to make itself ready, while nothing changes here: it compiles what is desired and finds every device.
const PREPARATION: Duration = Duration::from_secs(60);

/// How long it may take to believe what is left, while no packet moves.
const BELIEF: Duration = Duration::from_secs(2);

/// How long calls that are under way may go on: longer than IPAM plugins may take in one of them, which is what takes longest.
const REST: Duration = Duration::from_secs(LONGEST.as_secs() + 10);

/// How often the heir hears meanwhile that this daemon is there.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

const BUSY: &str = "another one is just taking over from it; try again when that has ended";

/// What a daemon hands over, beside its switch.
pub trait Handed: Send + Sync {
    /// The switch.
    fn engine(&self) -> &Engine;

    /// Refuses every change from now on, at once.
    fn close(&self);

    /// Waits so long for the changes that are under way. Returns whether none is any more.
    fn is_at_rest_within(&self, longest: Duration) -> bool;

    /// At rest: lets go of what only one daemon can have, and returns the changes that were made since the start and are in no file.
    fn let_go(&self) -> Vec<Request>;

    /// Takes up again what was let go of.
    fn take_up(&self);

    /// Takes changes again.
    fn open(&self);
}

/// Why an heir did not get the switch.
#[derive(Debug, Error)]
enum Kept {
    #[error(transparent)]
    Courier(#[from] CourierError),
    #[error(transparent)]
    Withheld(#[from] Withheld),
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error(
        "a call to attach or detach, or another change, is still under way after {} s; try again when it has ended (the log says what it waits for)",
        REST.as_secs()
    )]
    Restless,
    #[error("it is ending")]
    Ending,
    #[error("{0}")]
    Refused(String),
    #[error("it said something else than was to be said")]
    OutOfTurn,
}

/// Waits for an heir, on a thread of its own.
pub struct Former {
    path: PathBuf,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    handed: Box<dyn Fn() -> Arc<dyn Handed> + Send + Sync>,
    instance: String,
    /// The listening socket, its lock, and the place where heirs knock.
    doors: Vec<OwnedFd>,
    taken: AtomicBool,
    /// Nothing is waited for any more.
    ends: AtomicBool,
    /// The heir that is spoken to.
    current: Mutex<Option<UnixStream>>,
}

impl Former {
    /// Waits for an heir of the daemon that answers on `socket`. `doors` are its listening socket and that one's lock; `place` is where
    /// heirs knock, if a former daemon had it already.
    ///
    /// # Errors
    /// The place cannot be made, or there is no thread.
    pub fn start(
        handed: Arc<dyn Handed>,
        (socket, instance): (&Path, &str),
        mut doors: Vec<OwnedFd>,
        place: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let path = beside(socket);
        let place = match place {
            Some(place) => UnixListener::from(place),
            None => listen(&path)?,
        };
        doors.push(place.as_fd().try_clone_to_owned()?);
        let (stop, told) = UnixStream::pair()?;
        let shared = Arc::new(Shared {
            handed: Box::new(move || Arc::clone(&handed)),
            instance: instance.to_owned(),
            doors,
            taken: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            current: Mutex::default(),
        });
        let waiting = Arc::clone(&shared);
        let thread = thread::Builder::new().name("podlane-former".into()).spawn(move || waiting.wait(&place, &told))?;
        Ok(Self { path, stop: Some(stop), thread: Some(thread), shared })
    }

    /// Ends the waiting. Returns whether the switch was taken: then nothing of it may be touched any more.
    pub fn end(mut self) -> bool {
        self.shared.ends.store(true, Ordering::Release);
        drop(self.stop.take());
        if let Some(heir) = &*lock(&self.shared.current) {
            // What it was about to say is not waited for.
            let _ = heir.shutdown(std::net::Shutdown::Read);
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that waits for an heir panicked");
        }
        let taken = self.shared.taken.load(Ordering::Acquire);
        if !taken {
            // Of an heir it is the own place.
            let _ = fs::remove_file(&self.path);
        }
        taken
    }
}

impl Shared {
    fn wait(&self, place: &UnixListener, told: &UnixStream) {
        thread::scope(|scope| {
            while !self.taken.load(Ordering::Acquire) && knocked(place, told) {
                let Ok((stream, _)) = place.accept() else {
                    thread::sleep(Duration::from_millis(20));
                    continue;
                };
                scope.spawn(move || self.serve(stream, told));
            }
        });
    }

    fn serve(&self, stream: UnixStream, told: &UnixStream) {
        let courier = Courier(stream);
        match self.hand_over(&courier) {
            Ok(heir) => {
                self.taken.store(true, Ordering::Release);
                // It hangs up when the service manager knows of it.
                let _ = courier.patience(FAREWELL).map(|()| courier.hear::<FromHeir>());
                tracing::info!(heir, "handed over");
                // Nobody is left to wait for.
                let _ = told.shutdown(std::net::Shutdown::Both);
                if let Err(error) = signal_hook::low_level::raise(signal_hook::consts::SIGTERM) {
                    tracing::error!(%error, "the daemon cannot end itself");
                }
            }
            Err(kept) => {
                tracing::warn!("not handed over, and going on: {kept}");
                // It may have ended already.
                let _ = courier.say(&FromFormer::Refused { why: kept.to_string() });
            }
        }
    }

    /// Speaks with one heir. Returns its process id if the switch is its own now.
    fn hand_over(&self, courier: &Courier) -> Result<u32, Kept> {
        courier.patience(GREETING).map_err(CourierError::from)?;
        let heir = self.greet(courier)?;
        let copy = courier.0.try_clone().map_err(CourierError::from)?;
        match &mut *lock(&self.current) {
            Some(_) => return Err(Kept::Refused(BUSY.to_owned())),
            current => *current = Some(copy),
        }
        let outcome = self.bequeath(courier);
        *lock(&self.current) = None;
        outcome.map(|()| heir)
    }

    /// Hands over to the one heir that is spoken to.
    fn bequeath(&self, courier: &Courier) -> Result<(), Kept> {
        let handed = (self.handed)();
        handed.close();
        let outcome = self.come_to_rest(courier, &*handed).and_then(|()| self.pass_on(courier, &*handed));
        if outcome.is_err() {
            handed.open();
        }
        outcome
    }

    /// Waits for what is under way, and has the heir know that it does.
    fn come_to_rest(&self, courier: &Courier, handed: &dyn Handed) -> Result<(), Kept> {
        let began = Instant::now();
        while !handed.is_at_rest_within(SIGN_OF_LIFE) {
            if began.elapsed() > REST {
                return Err(Kept::Restless);
            }
            if self.ends.load(Ordering::Acquire) {
                return Err(Kept::Ending);
            }
            courier.say(&FromFormer::Waits)?;
        }
        Ok(())
    }

    /// Hands over what is at rest; or it is as it was.
    fn pass_on(&self, courier: &Courier, handed: &dyn Handed) -> Result<(), Kept> {
        let changes = handed.let_go();
        let engine = handed.engine();
        let hold = engine.hold();
        match self.offer(courier, (engine, &hold), changes) {
            Ok(()) => {
                // It holds until the process ends: nothing of the switch is this daemon's any more.
                std::mem::forget(hold);
                Ok(())
            }
            Err(kept) => {
                if let Err(error) = engine.resume() {
                    tracing::error!(%error, "a worker was not resumed");
                }
                drop(hold);
                handed.take_up();
                Err(kept)
            }
        }
    }

    fn greet(&self, courier: &Courier) -> Result<u32, Kept> {
        let peer =
            rustix::net::sockopt::socket_peercred(&courier.0).map_err(|error| CourierError::Stream(error.into()))?;
        if peer.uid != rustix::process::geteuid() && !peer.uid.is_root() {
            return Err(Kept::Refused("only root, or the user it runs as, takes over from it".to_owned()));
        }
        let (FromHeir::Hello { format, version, instance, pid }, _) = courier.hear()? else {
            return Err(Kept::OutOfTurn);
        };
        if format != FORMAT {
            let own = env!("CARGO_PKG_VERSION");
            return Err(Kept::Refused(format!(
                "release {own} hands over in format {FORMAT}, and {version} takes over in format {format}; stop it, then start the other"
            )));
        }
        if instance != self.instance {
            let own = &self.instance;
            return Err(Kept::Refused(format!(
                "it is instance {own}, and not {instance}; give the other a `socket` of its own"
            )));
        }
        tracing::info!(heir = pid, version, "handing over");
        Ok(pid)
    }

    fn offer(
        &self,
        courier: &Courier,
        (engine, hold): (&Engine, &Hold<'_>),
        changes: Vec<Request>,
    ) -> Result<(), Kept> {
        let estate = engine.estate(hold)?;
        let (word, mut descriptors) = of_estate(&estate, changes);
        descriptors.extend(self.doors.iter().map(AsFd::as_fd));
        courier.send(&FromFormer::Estate(Box::new(word)), &[], &descriptors)?;
        courier.patience(PREPARATION).map_err(CourierError::from)?;
        let (FromHeir::Go, _) = courier.hear()? else { return Err(Kept::OutOfTurn) };
        let remains = engine.halt(hold)?;
        let (word, bytes) = of_remains(&remains);
        courier.patience(BELIEF).map_err(CourierError::from)?;
        let said = courier.send(&FromFormer::Remains(word), &bytes, &[]);
        match said.and_then(|()| courier.hear()) {
            Ok((FromHeir::Taken, _)) => Ok(()),
            Ok(_) => Err(Kept::OutOfTurn),
            Err(error) => Self::last_look(courier, error),
        }
    }

    /// Decides after a silence. From the shutdown on the heir cannot say `Taken` any more, and so cannot begin to turn; if it said so before,
    /// it is there to be read.
    fn last_look(courier: &Courier, silence: CourierError) -> Result<(), Kept> {
        let _ = courier.0.shutdown(std::net::Shutdown::Both);
        match courier.hear() {
            Ok((FromHeir::Taken, _)) => Ok(()),
            _ => Err(silence.into()),
        }
    }
}

fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for an heir; false when told to stop.
fn knocked(place: &UnixListener, told: &UnixStream) -> bool {
    let mut fds = [PollFd::new(place.as_fd(), PollFlags::POLLIN), PollFd::new(told.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => fds[1].revents().is_none_or(|events| events.is_empty()),
        Err(nix::errno::Errno::EINTR) => true,
        Err(error) => {
            tracing::error!(%error, "the place where heirs knock cannot be waited on; no other daemon can take over");
            false
        }
    }
}

/// The place where heirs knock. Who has the lock of the socket beside it may replace it.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(4)?;
    Ok(socket.into())
}

//! The new daemon's side: it knocks, makes itself ready beside the running one, and takes over.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use podlane_api::{Manifests, Request};
use podlane_policy::yaml;
use thiserror::Error;

use super::courier::{Courier, CourierError, Parcel};
use super::words::{EstateWord, FromFormer, FromHeir, Nonsense};
use super::{FORMAT, beside};
use crate::daemon::notify;
use crate::desired::Desired;
use crate::reconcile::{Engine, InheritError, PolicyChange};

/// How long the running daemon may be silent before it says what it has: while it waits for calls that are under way it says so.
const ANSWER: Duration = Duration::from_secs(5);

/// How long it may take to halt.
const HALT: Duration = Duration::from_secs(5);

/// Why nothing was taken over. The running daemon goes on.
#[derive(Debug, Error)]
pub enum HeirError {
    /// The running daemon says no.
    #[error("the running daemon does not hand over: {why}")]
    Refused {
        /// Why, and what to do.
        why: String,
    },
    /// It does not speak.
    #[error("{0}; stop the running daemon, then start this one")]
    Courier(#[from] CourierError),
    /// It says nonsense.
    #[error("{0}; stop it, then start this one")]
    Nonsense(#[from] Nonsense),
    /// It says something out of turn.
    #[error("the running daemon said something else than was to be said; stop it, then start this one")]
    OutOfTurn,
    /// What it has cannot be gone on with.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// Policies that were applied there are not understood here.
    #[error(
        "policies that were applied to the running daemon are not understood: {0}; delete them, then start this one"
    )]
    Policies(#[from] yaml::Refused),
}

/// What was done to the policy over the socket.
fn policy_changes(changes: &[Request]) -> Result<Vec<PolicyChange>, yaml::Refused> {
    let read =
        |manifests: &Manifests| yaml::read(manifests.files.iter().map(|file| (file.from.as_str(), file.yaml.as_str())));
    let change = |change: &Request| match change {
        Request::ApplyPolicy(manifests) => Some(read(manifests).map(PolicyChange::Apply)),
        Request::DeletePolicy(manifests) => Some(read(manifests).map(PolicyChange::Delete)),
        _ => None,
    };
    changes.iter().filter_map(change).collect()
}

/// The estate of a running daemon, claimed: it changes nothing meanwhile, and packets go on.
pub struct Claimed {
    courier: Courier,
    word: EstateWord,
    descriptors: Vec<OwnedFd>,
}

/// What was taken over.
pub struct Inheritance {
    /// The switch, turning.
    pub engine: Engine,
    /// The process it was taken from.
    pub former: u32,
    /// How long no packet moved.
    pub gap: Duration,
    /// The listening socket and its lock.
    pub doors: [OwnedFd; 2],
    /// Where the next heir knocks.
    pub place: OwnedFd,
    /// What had been changed over the socket, and is in no file.
    pub changes: Vec<Request>,
}

impl Claimed {
    /// Knocks at the daemon that answers on `socket`. None if nobody is there.
    ///
    /// # Errors
    /// [`HeirError`]: it refuses, or does not speak.
    pub fn knock(socket: &Path, instance: &str) -> Result<Option<Self>, HeirError> {
        let stream = match UnixStream::connect(beside(socket)) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(CourierError::from(error).into()),
        };
        let courier = Courier(stream);
        courier.patience(ANSWER).map_err(CourierError::from)?;
        let (version, instance) = (env!("CARGO_PKG_VERSION").to_owned(), instance.to_owned());
        courier.say(&FromHeir::Hello { format: FORMAT, version, instance, pid: std::process::id() })?;
        loop {
            return match courier.hear()? {
                (FromFormer::Waits, _) => continue,
                (FromFormer::Estate(word), Parcel { descriptors, .. }) => {
                    Ok(Some(Self { courier, word: *word, descriptors }))
                }
                (FromFormer::Refused { why }, _) => Err(HeirError::Refused { why }),
                (FromFormer::Remains(_), _) => Err(HeirError::OutOfTurn),
            };
        }
    }

    /// Keeps the running daemon waiting until it is dropped, also after [`take_over`](Self::take_over) has failed.
    ///
    /// # Errors
    /// No descriptor is to be had.
    pub fn line(&self) -> Result<OwnedFd, HeirError> {
        Ok(self.courier.0.try_clone().map_err(CourierError::from)?.into())
    }

    /// Takes over, for these desires.
    ///
    /// # Errors
    /// [`HeirError`]: the running daemon goes on, but for an [`InheritError::Silent`] of the very last step.
    pub fn take_over(self, desired: Desired) -> Result<Inheritance, HeirError> {
        let Self { courier, word, descriptors } = self;
        let (estate, doors) = word.estate(descriptors)?;
        let Ok([socket, lock, place]) = <[OwnedFd; 3]>::try_from(doors) else {
            return Err(Nonsense("descriptors are missing").into());
        };
        let heir = Engine::inherit(desired, estate, policy_changes(&word.changes)?)?;
        courier.patience(HALT).map_err(CourierError::from)?;
        courier.say(&FromHeir::Go)?;
        let remains = match courier.hear()? {
            (FromFormer::Remains(word), parcel) => word.remains(&parcel)?,
            (FromFormer::Refused { why }, _) => return Err(HeirError::Refused { why }),
            _ => return Err(HeirError::OutOfTurn),
        };
        let heard = remains.halted.elapsed();
        let ready = heir.prepare(&remains)?;
        let prepared = remains.halted.elapsed();
        courier.say(&FromHeir::Taken)?;
        let (engine, turned) = ready.turn(&remains)?;
        // While the former daemon is there still: a manager that sees its main process end first would end the service.
        notify::ready();
        let gap = turned.saturating_duration_since(remains.halted);
        tracing::debug!(?heard, ?prepared, ?gap, "since the former workers were halted");
        Ok(Inheritance { engine, former: word.pid, gap, doors: [socket, lock], place, changes: word.changes })
    }
}

//! Address learning, after RFC 2889 sections 5.7 (caching capacity) and 5.8 (learning rate), with two links instead of three.
//!
//! The RFC watches a third port for frames that were flooded. A device that knows that a station is where a frame came from keeps
//! the frame, and one that does not floods it to all others; so the far link sees what the RFC's third port would:
//!
//! ```text
//!   teach:  from ──(source: each address)──> device ──> to          and the device notes: these are behind "from"
//!   ask:    from ──(destination: each of them)──> device            known: kept;  not known: ──> to, and counted
//! ```
//!
//! Each trial wants a device that knows none of the addresses, since one that is full of old ones takes no new ones. Where it cannot be
//! made to forget, the capacity is what it keeps of ever longer rows that begin alike, and the rate is not measured.

use serde::Serialize;

use crate::rfc2544::{
    device::{Ask, Frames, Pace, Row, Size, Stations, Until},
    search::{Found, Search, Step, Terms},
    session::{Ended, Session},
};

/// The rate at which the capacity is taught and asked, addresses a second: what any switch learns.
pub(super) const GENTLE: f64 = 20_000.0;

/// How often a gentle lesson is given until no frame of it is lost.
const LESSONS: u32 = 5;

/// The shortest row.
pub(super) const SHORTEST: u32 = 16;

/// The longest row whose learning is timed. It is longer than the rings of most devices, behind which a slow one could hide.
pub(super) const TIMED: u32 = 16_384;

/// Of a row that is longer than the table a device of hashed buckets keeps a little less than of one that just fits it.
const PLAINLY: f64 = 0.05;

/// How many addresses a device keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Capacity {
    /// All of so many, and not of more.
    Kept(u32),
    /// All of so many, which is the most that was tried.
    AtLeast(u32),
    /// None: it does not learn, or does not flood what it does not know.
    None,
}

impl Capacity {
    /// How many.
    #[must_use]
    pub const fn addresses(self) -> u32 {
        match self {
            Self::Kept(count) | Self::AtLeast(count) => count,
            Self::None => 0,
        }
    }
}

/// Teaches a row at a rate and asks for it; the share that was not known.
fn unknown(session: &mut Session<'_>, row: Row, rate: f64) -> Result<f64, Ended> {
    let ask = |stations, rate| {
        let frames = Frames { size: Size::Bytes(64), stations };
        Ask { frames, pace: Pace::Rate(rate), until: Until::Count(row.count.into()) }
    };
    // What is lost on the way teaches nothing; where the rate is not what is asked, that is for the lesson and not for the device.
    for _ in 0..if rate > GENTLE { 1 } else { LESSONS } {
        if session.trial(&ask(Stations::Teach(row), rate))?.lost() == 0.0 {
            break;
        }
    }
    let flooded = session.look(&ask(Stations::Ask(row), GENTLE))?.received;
    // Silence says that an address is known only of a device that still floods others; one that does not has stopped.
    session.trial(&strangers())?;
    Ok(flooded as f64 / f64::from(row.count.max(1)))
}

/// A question for addresses that were never taught, which a device that floods answers.
const fn strangers() -> Ask {
    let row = Row { first: u32::MAX - SHORTEST, count: SHORTEST };
    let frames = Frames { size: Size::Bytes(64), stations: Stations::Ask(row) };
    Ask { frames, pace: Pace::Rate(GENTLE), until: Until::Count(SHORTEST as u64) }
}

/// Whether the far link sees what the device does not know, without which nothing here means anything.
fn floods(session: &mut Session<'_>) -> Result<bool, Ended> {
    Ok(session.look(&strangers())?.received > 0)
}

/// The most addresses the device keeps, no more than `most`.
///
/// # Errors
/// [`Ended`].
pub fn capacity(session: &mut Session<'_>, most: u32) -> Result<Capacity, Ended> {
    let forgets = session.forget()?;
    if !floods(session)? {
        return Ok(Capacity::None);
    }
    if !forgets {
        return growing(session, most);
    }
    let terms = Terms { most_lost: 0.0, resolution: 0.01, least: SHORTEST.into(), plainly_lost: PLAINLY };
    let mut search = Search::new(terms, most.max(SHORTEST).into());
    loop {
        let count = match search.step() {
            Step::Done(Found::AtLeast(count)) => return Ok(Capacity::AtLeast(count as u32)),
            Step::Done(found) => return Ok(found.load().map_or(Capacity::None, |count| Capacity::Kept(count as u32))),
            Step::Try(count) => count as u32,
        };
        session.forget()?;
        search.learn(unknown(session, Row { first: 0, count }, GENTLE)?);
    }
}

/// The same of a device that forgets nothing: rows that begin alike and double, until one is too long. What is kept of that is the capacity.
fn growing(session: &mut Session<'_>, most: u32) -> Result<Capacity, Ended> {
    let mut count = SHORTEST;
    loop {
        let unknown = unknown(session, Row { first: 0, count }, GENTLE)?;
        let kept = count - (unknown * f64::from(count)).round() as u32;
        match kept {
            0 => return Ok(Capacity::None),
            kept if kept < count => return Ok(Capacity::Kept(kept)),
            _ if count >= most => return Ok(Capacity::AtLeast(count)),
            _ => count = count.saturating_mul(2).min(most),
        }
    }
}

/// The highest rate at which a device of this capacity learns every address, a second; `None` if it cannot be made to forget. `full` is
/// the generator's own.
///
/// # Errors
/// [`Ended`].
pub fn rate(session: &mut Session<'_>, capacity: Capacity, full: f64) -> Result<Option<Found>, Ended> {
    let count = (capacity.addresses() / 2).min(TIMED);
    if count == 0 || !session.forget()? {
        return Ok(None);
    }
    let terms = Terms { most_lost: 0.0, resolution: 0.02, least: 100.0, plainly_lost: PLAINLY };
    let mut search = Search::new(terms, full);
    loop {
        let rate = match search.step() {
            Step::Done(found) => return Ok(Some(found)),
            Step::Try(rate) => rate,
        };
        session.forget()?;
        search.learn(unknown(session, Row { first: 0, count }, rate)?);
    }
}

//! Throughput (RFC 2544 section 26.1), and what follows from it for the same frames: latency (26.2), the loss curve (26.3) and the
//! longest burst (26.4).
//!
//! Where the RFC takes the medium's rate for the most that can be offered, this takes the generator's: a veth has no rate.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::rfc2544::{
    device::{Ask, Frames, Pace, Until},
    search::{Found, Search, Step, Terms, Tried},
    session::{Ended, Session},
};

/// How closely rates are searched for, as a share.
pub const RESOLUTION: f64 = 0.01;

/// The least rate that is searched for, frames a second, and the shortest burst.
const LEAST_RATE: f64 = 1_000.0;
const LEAST_BURST: f64 = 1.0;

/// Of what is found, the shares at which latency is taken.
pub const LOADS: [f64; 3] = [0.1, 0.5, 0.9];

/// The points of the loss curve, in per cent of the most that can be offered, which is the same of every device. The RFC's steps are a
/// tenth of it; below, finer ones are for devices that bear less than a tenth.
pub(super) const SHARES: [u32; 13] = [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 5, 2, 1];

/// A trial that lost more than this is not made again.
const PLAINLY: f64 = 0.05;

/// The rates of one kind of frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Throughput {
    /// What the generator offers at most, frames a second.
    pub full: f64,
    /// What arrives of that, frames a second.
    pub delivered: f64,
    /// The highest rate without loss.
    pub no_drop: Found,
    /// The highest rate with no more than the partial loss.
    pub partial_drop: Found,
}

/// Latency at one rate.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Frames a second that were asked for.
    pub rate: f64,
    /// Frames a second that were offered in truth.
    pub reached: f64,
    /// The share that was lost meanwhile.
    pub lost: f64,
    /// Nanoseconds.
    pub histogram: Histogram<u64>,
}

/// Loss at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// What was offered, per cent of the most that can be.
    pub share: u32,
    /// The same, frames a second.
    pub rate: f64,
    /// Frames a second that were offered in truth.
    pub reached: f64,
    /// The share that was lost.
    pub lost: f64,
}

const fn terms(most_lost: f64, resolution: f64, least: f64) -> Terms {
    Terms { most_lost, resolution, least, plainly_lost: PLAINLY }
}

/// Searches for both rates; `partial` is the share that may be lost for the second.
///
/// # Errors
/// [`Ended`].
pub fn throughput(session: &mut Session<'_>, frames: Frames, partial: f64) -> Result<Throughput, Ended> {
    let outcome = session.trial(&session.ask(frames, Pace::Full))?;
    let full = outcome.reached.max(LEAST_RATE);
    let delivered = full * (1.0 - outcome.lost());
    let mut search = Search::new(terms(0.0, RESOLUTION, LEAST_RATE), full);
    search.learn(outcome.lost());
    let (no_drop, search) = session.search_rate(search, frames)?;
    let tried: Vec<Tried> = search.tried().to_vec();
    let search = Search::after(terms(partial, RESOLUTION, LEAST_RATE), full, &tried);
    let (partial_drop, _) = session.search_rate(search, frames)?;
    Ok(Throughput { full, delivered, no_drop, partial_drop })
}

/// Latency at shares of a rate that the device bears.
///
/// # Errors
/// [`Ended`].
pub fn latency(session: &mut Session<'_>, frames: Frames, borne: f64) -> Result<Vec<Latency>, Ended> {
    let at = |share: f64| {
        let rate = borne * share;
        let outcome = session.trial(&session.ask(frames, Pace::Rate(rate)))?;
        Ok(Latency { rate, reached: outcome.reached, lost: outcome.lost(), histogram: outcome.latency })
    };
    LOADS.into_iter().map(at).collect()
}

/// Loss from the most that can be offered down, until two trials in a row lose nothing. A device that loses at any rate has a curve too,
/// and it ends where the shares do.
///
/// # Errors
/// [`Ended`].
pub fn loss_curve(session: &mut Session<'_>, frames: Frames, full: f64) -> Result<Vec<Loss>, Ended> {
    let mut curve: Vec<Loss> = Vec::new();
    for share in SHARES {
        let rate = full * f64::from(share) / 100.0;
        let outcome = session.trial(&session.ask(frames, Pace::Rate(rate)))?;
        curve.push(Loss { share, rate, reached: outcome.reached, lost: outcome.lost() });
        if matches!(curve.as_slice(), [.., before, last] if before.lost == 0.0 && last.lost == 0.0) {
            break;
        }
    }
    Ok(curve)
}

/// The longest burst at full pace of which nothing is lost, frames; bursts longer than a trial are not tried.
///
/// # Errors
/// [`Ended`].
pub fn burst(session: &mut Session<'_>, frames: Frames, full: f64) -> Result<Found, Ended> {
    let most = (full * session.length.as_secs_f64()).max(LEAST_BURST).floor();
    let mut search = Search::new(terms(0.0, 2.0 * RESOLUTION, LEAST_BURST), most);
    loop {
        let count = match search.step() {
            Step::Done(found) => return Ok(found),
            Step::Try(count) => count,
        };
        let until = Until::Count(count.round().max(LEAST_BURST) as u64);
        let outcome = session.trial(&Ask { frames, pace: Pace::Full, until })?;
        search.learn(outcome.lost());
    }
}

//! What ends a run early: a device of which no rate can be told, in the operator's words.

use serde::Serialize;
use thiserror::Error;

use crate::rfc2544::device::Outcome;

/// The share of frames that may arrive twice before a device is said to double them: floods while addresses are learned do.
const FEW: f64 = 0.001;

/// A frame that goes around comes by again and again; one that was doubled comes once more.
const ROUNDS: u64 = 2;

/// Where nothing arrives but so many other frames for each that was sent, these are what introduced the stations, going around.
const STORM: u64 = 20;

/// Why nothing more is measured.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing ever arrived.
    #[error(
        "the device forwards nothing: of {sent} frames at a low rate none arrived; check that it is up, joins the two links, and takes these addresses"
    )]
    ForwardsNothing {
        /// How many frames were sent.
        sent: u64,
    },
    /// It forwarded, and does not any more.
    #[error("the device stopped: it had forwarded, then of {sent} frames none arrived; see whether it still runs")]
    Stopped {
        /// How many frames were sent.
        sent: u64,
    },
    /// Frames go around.
    #[error(
        "the device loops: of {sent} frames {arrivals} came by again or back; see whether its two links meet behind it a second time"
    )]
    Loops {
        /// How many frames were sent.
        sent: u64,
        /// How often frames came again, or back.
        arrivals: u64,
    },
    /// Frames arrive twice.
    #[error(
        "the device doubles frames: of {sent} frames {duplicated} arrived again; see whether two ways lead through it"
    )]
    Duplicates {
        /// How many frames were sent.
        sent: u64,
        /// How many arrived again.
        duplicated: u64,
    },
    /// Frames arrive changed.
    #[error(
        "the device spoils frames: of {sent} frames {corrupted} arrived with other contents; a rate of such is no rate"
    )]
    Corrupts {
        /// How many frames were sent.
        sent: u64,
        /// How many were changed.
        corrupted: u64,
    },
    /// A netdev went away.
    #[error("{name} went away while it was measured; what was measured before it stands")]
    Vanished {
        /// The netdev.
        name: String,
    },
}

/// What is wrong with a device that answered so, if anything is. Loss is nothing wrong.
#[must_use]
pub fn of(outcome: &Outcome) -> Option<Verdict> {
    let &Outcome { sent, received, duplicated, corrupted, returned, foreign, endless, .. } = outcome;
    let few = (sent as f64 * FEW) as u64;
    if sent > 0 && received == 0 && foreign > STORM * sent {
        return Some(Verdict::Loops { sent, arrivals: foreign });
    }
    if endless || returned > few || duplicated > ROUNDS * received.max(1) {
        return Some(Verdict::Loops { sent, arrivals: duplicated + returned });
    }
    if duplicated > few {
        return Some(Verdict::Duplicates { sent, duplicated });
    }
    (corrupted > few).then_some(Verdict::Corrupts { sent, corrupted })
}

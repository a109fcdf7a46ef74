//! Why an address was not given, and what to do about it.

use std::net::IpAddr;

use thiserror::Error;

use crate::plan::Use;
use crate::span::Family;

/// Why an address was not given. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LeaseError {
    /// There is no such network.
    #[error("network {network:?} is not there (name one of the configuration's, or make it)")]
    NoNetwork {
        /// What it was called.
        network: String,
    },
    /// The network gives no addresses.
    #[error("network {network:?} has no {} to give (state a gateway and `ranges` for it, or let the caller bring the addresses)", what(*family))]
    NoRange {
        /// The network.
        network: String,
        /// The family that was asked for; none for either.
        family: Option<Family>,
    },
    /// All are taken.
    #[error("network {network:?}: no {family} address is free in {ranges}: {held} held, {quarantined} in quarantine{} (end pods, or widen the network's `ranges`)", next(*next_in))]
    Exhausted {
        /// The network.
        network: String,
        /// The family.
        family: Family,
        /// Its ranges.
        ranges: String,
        /// Addresses that have an owner.
        held: usize,
        /// Addresses released a short while ago.
        quarantined: usize,
        /// Seconds until the first of these is free.
        next_in: Option<u64>,
    },
    /// Somebody else has it.
    #[error("network {network:?}: {address} is held by {owner} (release it there, or wish for another)")]
    Taken {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
        /// Who has it.
        owner: String,
    },
    /// Somebody else had it a short while ago.
    #[error(
        "network {network:?}: {address} was {owner}'s and is in quarantine for another {seconds}s (try again then, or wish for another)"
    )]
    Quarantined {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
        /// Who had it.
        owner: String,
        /// How long it is.
        seconds: u64,
    },
    /// It is not given out at all.
    #[error("network {network:?}: {address} {used} (wish for another)")]
    Used {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
        /// What for.
        used: Use,
    },
    /// It is in no range.
    #[error(
        "network {network:?}: {address} is in none of its ranges, {ranges} (wish for one in there, or widen `ranges`)"
    )]
    Outside {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
        /// The ranges of its family.
        ranges: String,
    },
    /// The owner has others already.
    #[error("network {network:?}: {owner} holds {held} and wishes for {wished} (release what it has first)")]
    Holds {
        /// The network.
        network: String,
        /// The owner.
        owner: String,
        /// What it has.
        held: String,
        /// What it wishes for.
        wished: IpAddr,
    },
}

impl LeaseError {
    /// Whether the same question may be answered otherwise in a while, though nothing is done about it.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Quarantined { .. } | Self::Exhausted { next_in: Some(_), .. })
    }
}

/// Why a network was not added or removed. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NetworkError {
    /// There is one.
    #[error("network {network:?} is there already (choose another name)")]
    Exists {
        /// The network.
        network: String,
    },
    /// There is none.
    #[error("network {network:?} is not there (name one that is)")]
    Missing {
        /// The network.
        network: String,
    },
    /// Somebody has addresses of it.
    #[error("network {network:?}: {held} of its addresses are held, one by {owner} (release them first)")]
    Held {
        /// The network.
        network: String,
        /// How many.
        held: usize,
        /// One of the owners.
        owner: String,
    },
}

fn what(family: Option<Family>) -> String {
    family.map_or_else(|| "addresses".to_owned(), |family| format!("{family} addresses"))
}

fn next(seconds: Option<u64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!(", the next is free in {seconds}s"))
}

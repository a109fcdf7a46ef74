//! A capture to be sent, read as the switch's replay port reads its own: whole, and checked before a packet of it leaves.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use podlane_dataplane::port::replay::Capture;
use thiserror::Error;

use super::template::{CHECK_SEQUENCE, LONGEST};

/// The least a netdev sends: an Ethernet header.
const LEAST: usize = 14;

/// Why a capture cannot be sent.
#[derive(Debug, Error)]
pub enum PcapError {
    /// It cannot be read, or is no pcap file of Ethernet.
    #[error("capture {}: {source}; give a pcap file (magic a1b2c3d4 or a1b23c4d) that you may read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("capture {} has no packets; capture some", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A packet of it cannot be sent.
    #[error(
        "capture {}: its packet {record} is of {length} bytes, and only {LEAST} to {} can be sent; take it out (editcap)",
        .path.display(), LONGEST - CHECK_SEQUENCE
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Which packet, from one.
        record: usize,
        /// Its bytes.
        length: usize,
    },
}

/// A capture that can be sent. It is played again and again.
pub struct Recording {
    capture: Capture,
    /// From the first packet to the end of the gap behind the last: what a play takes.
    period: Duration,
}

impl Recording {
    /// Reads a pcap file.
    ///
    /// # Errors
    /// [`PcapError`], naming the file.
    pub fn read(path: &Path) -> Result<Self, PcapError> {
        let failed = |source| PcapError::Read { path: path.to_owned(), source };
        let capture = Capture::read(path).map_err(failed)?;
        if capture.is_empty() {
            return Err(PcapError::Empty { path: path.to_owned() });
        }
        let lengths = (0..capture.len()).map(|number| capture.packet(number).map_or(0, <[u8]>::len));
        if let Some((at, length)) =
            lengths.enumerate().find(|(_, length)| !(LEAST..=LONGEST - CHECK_SEQUENCE).contains(length))
        {
            return Err(PcapError::Length { path: path.to_owned(), record: at + 1, length });
        }
        let gap = capture.duration() / (capture.len() as u32).max(2).saturating_sub(1);
        Ok(Self { period: capture.duration() + gap, capture })
    }

    /// How many packets it has.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.capture.len()
    }

    /// The bytes of the n-th packet, all plays counted.
    #[must_use]
    pub fn packet(&self, number: u64) -> &[u8] {
        self.capture.packet((number % self.capture.len() as u64) as usize).unwrap_or_default()
    }

    /// When the n-th packet comes, counted from the first. A play begins one mean gap behind the end of the former one. A packet that was
    /// captured before the first one comes at once.
    #[must_use]
    pub fn at(&self, number: u64) -> Duration {
        let packets = self.capture.len() as u64;
        let plays = u32::try_from(number / packets).unwrap_or(u32::MAX);
        self.period.saturating_mul(plays) + self.capture.after((number % packets) as usize)
    }

    /// The longest packet, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.lengths().max().unwrap_or_default()
    }

    /// The mean packet, in bytes.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.lengths().sum::<usize>() as f64 / self.packets() as f64
    }

    fn lengths(&self) -> impl Iterator<Item = usize> {
        (0..self.packets()).map(|number| self.packet(number as u64).len())
    }
}

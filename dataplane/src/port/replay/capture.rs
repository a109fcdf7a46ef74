//! The classic pcap format, and nothing more of it than a replay needs: a file header of 24 bytes, then packets behind a
//! record header of 16 (draft-ietf-opsawg-pcap).
//!
//! Why no crate: pcap-file 3 is a release candidate that stretches lifetimes by transmutation and takes a file's snapshot
//! length at its word; pcap-parser reads well but brings a parser-combinator stack of four crates for ten integers, and
//! writes through yet another one. Here a file is checked once, whole, before a packet of it is played, and a record is
//! written without an allocation. pcap-parser is the oracle of the tests.

use std::{fs::File, io, io::Read, path::Path, time::Duration};

use thiserror::Error;

/// Microseconds behind the seconds. A file's byte order is the one in which its first word reads as this or the next.
const MAGIC_MICRO: u32 = 0xa1b2_c3d4;
/// Nanoseconds behind the seconds.
const MAGIC_NANO: u32 = 0xa1b2_3c4d;
/// The first word of the other format, in either byte order.
const MAGIC_PCAPNG: u32 = 0x0a0d_0d0a;
/// `LINKTYPE_ETHERNET`. The word's upper half would say how many checksum bytes follow each frame: none here.
const ETHERNET: u32 = 1;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// The longest record anybody writes (libpcap's own bound); a longer one is a broken file.
const LONGEST: u32 = 262_144;
/// The largest file: it is held in memory, so that a worker never waits for a disk.
const LARGEST: u64 = 1 << 30;

/// Why a file is not played.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(super) enum BadCapture {
    #[error("it is pcapng, the newer format; convert it (editcap -F pcap)")]
    Pcapng,
    #[error("it begins with {found:08x}, which is no pcap file")]
    Magic { found: u32 },
    #[error("its packets are of link type {found:#x} ({}), not Ethernet; capture on an Ethernet device", link_name(*found))]
    LinkType { found: u32 },
    #[error("it ends in its header: it was cut short, or is no pcap file")]
    NoHeader,
    #[error("its packet {record} ends behind the end of the file: the file was cut short; mend it (editcap)")]
    Cut { record: usize },
    #[error("its packet {record} is {length} bytes long, more than {LONGEST}: the file is broken")]
    TooLong { record: usize, length: u32 },
    #[error("it is larger than {LARGEST} bytes, and a replay is held in memory; split it (editcap -c)")]
    TooLarge,
    #[error("it is the input and the output; give the output another name")]
    Same,
}

impl From<BadCapture> for io::Error {
    fn from(bad: BadCapture) -> Self {
        Self::new(io::ErrorKind::InvalidData, bad)
    }
}

/// What a link type is called, for the ones people meet.
fn link_name(link_type: u32) -> &'static str {
    match link_type & 0xffff {
        0 => "BSD loopback",
        1 => "Ethernet with trailing checksums",
        12 | 14 | 101 => "raw IP",
        105 | 127 => "802.11",
        113 | 276 => "Linux cooked, from `tcpdump -i any`",
        _ => "see the list of link types at tcpdump.org",
    }
}

/// A whole file, checked.
pub struct Capture {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// Where a packet lies, and when it was captured.
struct Record {
    /// Since the first packet; zero if captured before it.
    after: Duration,
    start: usize,
    length: u32,
}

impl Capture {
    /// Reads a classic pcap file of Ethernet, of up to 1 GiB.
    ///
    /// # Errors
    /// It cannot be read, or is something else or broken; the message says what to do.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut bytes = Vec::new();
        // A pipe has no size, and a file may grow.
        if size > LARGEST || file.take(LARGEST + 1).read_to_end(&mut bytes)? as u64 > LARGEST {
            return Err(BadCapture::TooLarge.into());
        }
        Ok(Self::parse(bytes)?)
    }

    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, BadCapture> {
        let header = bytes.first_chunk::<FILE_HEADER>().ok_or(BadCapture::NoHeader)?;
        let format = Format::of(header)?;
        let mut records = Vec::new();
        let mut first = None;
        let mut at = FILE_HEADER;
        while at < bytes.len() {
            // People count from one, and so does tcpdump.
            let record = records.len() + 1;
            let rest = &bytes[at..];
            let header = rest.first_chunk::<RECORD_HEADER>().ok_or(BadCapture::Cut { record })?;
            let length = format.word(header, 8);
            if length > LONGEST {
                return Err(BadCapture::TooLong { record, length });
            }
            let end = RECORD_HEADER + length as usize;
            if end > rest.len() {
                return Err(BadCapture::Cut { record });
            }
            let captured = format.time(header);
            let after = captured.saturating_sub(*first.get_or_insert(captured));
            records.push(Record { after, start: at + RECORD_HEADER, length });
            at += end;
        }
        Ok(Self { bytes, records })
    }

    /// How many packets it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A packet's bytes, as many as were captured of it.
    #[must_use]
    pub fn packet(&self, number: usize) -> Option<&[u8]> {
        let Record { start, length, .. } = *self.records.get(number)?;
        self.bytes.get(start..start + length as usize)
    }

    /// When a packet was captured, counted from the first one.
    #[must_use]
    pub fn after(&self, number: usize) -> Duration {
        self.records.get(number).map_or(Duration::ZERO, |record| record.after)
    }

    /// From the first packet to the latest.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.records.iter().map(|record| record.after).max().unwrap_or_default()
    }
}

/// How a file's numbers are to be read.
struct Format {
    big_endian: bool,
    nanoseconds: bool,
}

impl Format {
    fn of(header: &[u8; FILE_HEADER]) -> Result<Self, BadCapture> {
        let little = Self { big_endian: false, nanoseconds: false };
        let found = little.word(header, 0);
        let format = match (found, found.swap_bytes()) {
            (MAGIC_MICRO, _) => little,
            (MAGIC_NANO, _) => Self { nanoseconds: true, ..little },
            (_, MAGIC_MICRO) => Self { big_endian: true, ..little },
            (_, MAGIC_NANO) => Self { big_endian: true, nanoseconds: true },
            (MAGIC_PCAPNG, _) => return Err(BadCapture::Pcapng),
            _ => return Err(BadCapture::Magic { found }),
        };
        match format.word(header, 20) {
            ETHERNET => Ok(format),
            found => Err(BadCapture::LinkType { found }),
        }
    }

    /// The four bytes at `at`, which lie in the header.
    fn word<const N: usize>(&self, header: &[u8; N], at: usize) -> u32 {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// A fraction of more than a second is wrong but harmless, and carries over.
    fn time(&self, header: &[u8; RECORD_HEADER]) -> Duration {
        let fraction = u64::from(self.word(header, 4));
        let fraction = if self.nanoseconds { Duration::from_nanos(fraction) } else { Duration::from_micros(fraction) };
        Duration::from_secs(u64::from(self.word(header, 0))) + fraction
    }
}

/// The header of the files we write: little-endian, nanoseconds, Ethernet.
pub(super) fn write_header(into: &mut Vec<u8>) {
    for word in [MAGIC_NANO, 4 << 16 | 2, 0, 0, LONGEST, ETHERNET] {
        into.extend_from_slice(&word.to_le_bytes());
    }
}

/// A packet of `length` bytes in all, at a time since 1970.
pub(super) fn write_record<'a>(
    into: &mut Vec<u8>,
    time: Duration,
    length: usize,
    segments: impl Iterator<Item = &'a [u8]>,
) {
    // A packet beyond the bound is cut, as a capture with a snapshot length cuts; the second length tells.
    let kept = length.min(LONGEST as usize);
    // The format's seconds end in 2106.
    for word in [time.as_secs() as u32, time.subsec_nanos(), kept as u32, length as u32] {
        into.extend_from_slice(&word.to_le_bytes());
    }
    let end = into.len() + kept;
    for segment in segments {
        let room = end - into.len();
        into.extend_from_slice(&segment[..segment.len().min(room)]);
    }
}

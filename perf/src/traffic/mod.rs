//! What is sent: frames of a template with their ranges, or a capture.
//!
//! A [`Traffic`] is what is to be sent and never changes; a [`Writer`] walks over it and writes packet after packet into slots it is
//! given. Nothing here knows when a packet leaves or by what.

mod form;
pub mod pcap;
pub mod range;
pub mod stamp;
pub mod template;

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use podlane_wire::MacAddr;

use form::Form;
pub use pcap::{PcapError, Recording};
pub use range::{Range, RangeError};
use range::{Ranges, Walk};
use stamp::Stamp;
pub use template::{Carried, STANDARD_SIZES, Sizes, Template, TemplateError, Tunnel};

/// Packets to be sent.
pub enum Traffic {
    /// Made from a template: stamped.
    Made(Box<Made>),
    /// A capture: as it was recorded, so without stamps.
    Recorded(Recording),
}

/// The frames of a template.
pub struct Made {
    template: Template,
    forms: Vec<Form>,
    /// Which form comes when.
    order: Vec<usize>,
    ranges: Ranges,
}

impl Traffic {
    /// Builds the frames of a template.
    ///
    /// # Errors
    /// [`TemplateError`], with what to ask for instead.
    pub fn of(template: &Template) -> Result<Self, TemplateError> {
        template.check()?;
        let (sizes, order) = match template.sizes {
            Sizes::One(size) => (vec![size], vec![0]),
            Sizes::Imix => {
                let (sizes, order) = template::IMIX;
                (sizes.map(|size| size.max(Form::least(template))).to_vec(), order.to_vec())
            }
        };
        let forms = sizes.into_iter().map(|size| Form::new(template, size)).collect::<Result<_, _>>()?;
        let ranges = Ranges::new(template.ranges(), template.flows);
        Ok(Self::Made(Box::new(Made { template: template.clone(), forms, order, ranges })))
    }

    /// The longest packet, in bytes without check sequence.
    #[must_use]
    pub fn longest(&self) -> usize {
        match self {
            Self::Made(made) => made.forms.iter().map(|form| form.bytes.len()).max().unwrap_or_default(),
            Self::Recorded(recording) => recording.longest(),
        }
    }

    /// The mean length of a packet, in bytes without check sequence.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Made(made) => {
                let total: usize = made.order.iter().map(|form| made.forms[*form].bytes.len()).sum();
                total as f64 / made.order.len() as f64
            }
            Self::Recorded(recording) => recording.mean(),
        }
    }

    /// Different flows; of a capture, its packets.
    #[must_use]
    pub fn flows(&self) -> u64 {
        match self {
            Self::Made(made) => made.ranges.flows(),
            Self::Recorded(recording) => recording.packets() as u64,
        }
    }

    /// Whether packets carry a stamp, so that more than their number can be told.
    #[must_use]
    pub const fn is_stamped(&self) -> bool {
        matches!(self, Self::Made(_))
    }

    /// When a packet was captured, counted from the first one of the first play; nothing of a template.
    #[must_use]
    pub fn recorded_at(&self, number: u64) -> Option<Duration> {
        match self {
            Self::Made(_) => None,
            Self::Recorded(recording) => Some(recording.at(number)),
        }
    }

    /// The stations that packets come from and go to: each pair once, at most `most`. A switch learns the ways to them from
    /// [`hello`] frames.
    #[must_use]
    pub fn stations(&self, most: u64) -> Vec<[MacAddr; 2]> {
        let Self::Made(made) = self else { return Vec::new() };
        let Template { source_mac, destination_mac, .. } = &made.template;
        if let Some(tunnel) = &made.template.tunnel {
            return vec![tunnel.macs];
        }
        let address = |range: &Range<MacAddr>, step: u64| {
            let number = range::Countable::number(range.first) + step % range.count();
            let [_, _, a, b, c, d, e, f] = number.to_be_bytes();
            MacAddr([a, b, c, d, e, f])
        };
        let pairs = source_mac.count().max(destination_mac.count()).min(made.ranges.flows()).min(most);
        (0..pairs).map(|step| [address(source_mac, step), address(destination_mac, step)]).collect()
    }

    /// A writer that begins with the first packet.
    #[must_use]
    pub fn writer(&self) -> Writer<'_> {
        let walk = match self {
            Self::Made(made) => made.ranges.walk(),
            Self::Recorded(_) => Ranges::new(Vec::new(), None).walk(),
        };
        Writer { traffic: self, walk, turn: 0 }
    }

    /// The template, if it is made from one.
    #[must_use]
    pub const fn template(&self) -> Option<&Template> {
        match self {
            Self::Made(made) => Some(&made.template),
            Self::Recorded(_) => None,
        }
    }
}

impl Display for Traffic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self::Made(made) = self else {
            return write!(f, "a capture of {} packets, {:.0} bytes on average", self.flows(), self.mean());
        };
        let Template { carried, sizes, source, tunnel, vlan, .. } = &made.template;
        match sizes {
            Sizes::One(size) => write!(f, "{size}-byte")?,
            Sizes::Imix => write!(f, "IMIX of")?,
        }
        let over = if source.first.is_ipv4() { "IPv4" } else { "IPv6" };
        write!(f, " {} over {over}", if *carried == Carried::Udp { "UDP" } else { "TCP SYN" })?;
        if tunnel.is_some() {
            write!(f, " in VXLAN")?;
        }
        if vlan.is_some() {
            write!(f, ", tagged")?;
        }
        let flows = made.ranges.flows();
        write!(f, ", {flows} flow{}", if flows == 1 { "" } else { "s" })
    }
}

/// A walk over the packets of a traffic.
pub struct Writer<'a> {
    traffic: &'a Traffic,
    walk: Walk,
    turn: usize,
}

impl Writer<'_> {
    /// Writes the next packet and returns its length. The buffer holds [`Traffic::longest`] bytes.
    #[inline]
    pub fn write(&mut self, stamp: Stamp, into: &mut [u8]) -> usize {
        match self.traffic {
            Traffic::Made(made) => {
                let form = &made.forms[made.order[self.turn]];
                let len = form.write(self.walk.flow(), self.walk.place(), stamp, into);
                self.walk.step(&made.ranges);
                self.turn += 1;
                if self.turn == made.order.len() {
                    self.turn = 0;
                }
                len
            }
            Traffic::Recorded(recording) => {
                let packet = recording.packet(stamp.number);
                into[..packet.len()].copy_from_slice(packet);
                packet.len()
            }
        }
    }
}

/// The shortest Ethernet frame, without check sequence.
const SHORTEST: usize = 60;

/// The EtherType that IEEE 802 sets aside for experiments: no station answers it.
const EXPERIMENT: u16 = 0x88b5;

/// A frame that says where `source` is, to switches that learn; nobody answers it.
#[must_use]
pub fn hello(source: MacAddr, destination: MacAddr) -> [u8; SHORTEST] {
    let mut frame = [0; SHORTEST];
    frame[..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&source.0);
    frame[12..14].copy_from_slice(&EXPERIMENT.to_be_bytes());
    frame
}

#[cfg(test)]
pub(crate) mod tests;

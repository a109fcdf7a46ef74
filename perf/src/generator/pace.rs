//! When each packet should leave.
//!
//! The n-th packet of a rate belongs to the time n / rate, computed from n and never added up, so no rounding builds up and the rate is
//! exact in the long run. A sender looks at the clock and sends what is due: one packet at a time while it is faster than the rate,
//! whole bursts when it is not. Nothing has to choose the size of a burst.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
    time::Duration,
};

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::clock::Nanos;
use crate::traffic::Traffic;

/// The lowest rate that can be asked for, packets a second.
pub const LOWEST: f64 = 1.0;

/// The highest rate that can be asked for, packets a second; for more, ask for the maximum.
pub const HIGHEST: f64 = 1e9;

/// How many packets a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// So many a second; above zero.
    PerSecond(f64),
    /// As many as the sender can.
    Maximum,
    /// As they were recorded; for a capture.
    Recorded,
}

/// Why a rate was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{text}` is no rate; give packets a second, as 1000, 100k or 1.5M, from 1 to 1000M, or `max`")]
pub struct RateError {
    text: String,
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "max" {
            return Ok(Self::Maximum);
        }
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'k') => (&text[..text.len() - 1], 1e3),
            Some(b'M') => (&text[..text.len() - 1], 1e6),
            _ => (text, 1.0),
        };
        let rate = digits.parse::<f64>().ok().map(|number| number * unit);
        match rate.filter(|rate| (LOWEST..=HIGHEST).contains(rate)) {
            Some(rate) => Ok(Self::PerSecond(rate)),
            None => Err(RateError { text: text.to_owned() }),
        }
    }
}

/// A number of packets a second, as people write it.
#[derive(Clone, Copy, Debug)]
pub struct Packets(pub f64);

impl Display for Packets {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate >= 999_500.0 => write!(f, "{:.3} Mpps", rate / 1e6),
            rate if rate >= 999.5 => write!(f, "{:.3} kpps", rate / 1e3),
            rate => write!(f, "{rate:.1} pps"),
        }
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(rate) => Packets(*rate).fmt(f),
            Self::Maximum => f.write_str("the maximum"),
            Self::Recorded => f.write_str("as recorded"),
        }
    }
}

impl Serialize for Rate {
    /// Packets a second, or a word.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::PerSecond(rate) => serializer.serialize_f64(*rate),
            Self::Maximum => serializer.serialize_str("max"),
            Self::Recorded => serializer.serialize_str("recorded"),
        }
    }
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// For so long.
    Time(Duration),
    /// So many packets.
    Packets(u64),
}

/// Says when the packets of a run should leave, counted from its start, and when the run is over.
pub struct Pace<'a> {
    times: Times<'a>,
    total: u64,
    length: Option<Nanos>,
    /// Whether it is over when its time is up, and not only when all has left.
    timed: bool,
}

enum Times<'a> {
    /// The distance of two packets: nanoseconds in the upper, their fraction in the lower 32 bits.
    Every(u64),
    Now,
    Recorded(&'a Traffic),
}

impl<'a> Pace<'a> {
    /// The pace of a run.
    #[must_use]
    pub fn new(rate: Rate, traffic: &'a Traffic, until: Until) -> Self {
        let (times, within): (_, Box<dyn Fn(Duration) -> u64 + '_>) = match rate {
            Rate::PerSecond(rate) => {
                let every = (1e9 / rate * (1_u64 << 32) as f64).round() as u64;
                // The first packet belongs to time zero.
                let within = move |length: Duration| (rate * length.as_secs_f64()).round().max(1.0) as u64;
                (Times::Every(every), Box::new(within))
            }
            Rate::Recorded if traffic.recorded_at(0).is_some() => {
                let within = |length| {
                    let plays = traffic.recorded_at(traffic.flows()).is_some_and(|second| second > Duration::ZERO);
                    // A capture of no length, of one packet for example, tells no time for a second play.
                    let packets = if plays { u64::MAX } else { traffic.flows() };
                    first_without(|number| {
                        number < packets && traffic.recorded_at(number).is_some_and(|at| at < length)
                    })
                };
                (Times::Recorded(traffic), Box::new(within))
            }
            // What was never recorded has no times of its own.
            Rate::Maximum | Rate::Recorded => (Times::Now, Box::new(|_| u64::MAX)),
        };
        let (total, length) = match until {
            Until::Time(length) => (within(length), Some(length.into())),
            Until::Packets(packets) => (packets, None),
        };
        let timed = matches!(until, Until::Time(_));
        let pace = Self { times, total, length, timed };
        let length = length.or_else(|| pace.at(total));
        Self { length, ..pace }
    }

    /// Packets of the whole run; without a bound for the maximum.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Packets without which the run fell short. A run for a time at a rate is judged by the rate instead.
    #[must_use]
    pub fn asked(&self) -> Option<u64> {
        let by_rate = self.timed && matches!(self.times, Times::Every(_));
        (!by_rate && self.total != u64::MAX).then_some(self.total)
    }

    /// How long the run is; unknown for a number of packets at the maximum rate.
    #[must_use]
    pub fn length(&self) -> Option<Nanos> {
        self.length
    }

    /// When it is over, whatever has left until then; with a number of packets, when they have left.
    #[must_use]
    pub fn deadline(&self) -> Option<Nanos> {
        self.length.filter(|_| self.timed)
    }

    /// When a packet should leave; whenever it can, for the maximum.
    #[inline]
    fn at(&self, number: u64) -> Option<Nanos> {
        match &self.times {
            Times::Every(every) => Some(Nanos(((u128::from(number) * u128::from(*every)) >> 32) as u64)),
            Times::Now => None,
            Times::Recorded(traffic) => Some(traffic.recorded_at(number).unwrap_or_default().into()),
        }
    }

    /// When a packet should leave, if that is not later than `elapsed`.
    #[inline]
    #[must_use]
    pub fn due(&self, number: u64, elapsed: Nanos) -> Option<Nanos> {
        if number >= self.total {
            return None;
        }
        let at = self.at(number).unwrap_or(elapsed);
        (at <= elapsed).then_some(at)
    }
}

/// The lowest number for which something that holds for all lower ones does not.
fn first_without(holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0_u64, 1_u64);
    while holds(high) && high < 1 << 40 {
        low = high;
        high *= 2;
    }
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Template;

    /// A tenth of a second of a sender that looks at the clock every `look` nanoseconds and sends up to 64 packets at a look.
    fn sent_in_a_tenth(rate: Rate, look: u64) -> (u64, u64) {
        let traffic = Traffic::of(&Template::default()).unwrap();
        let pace = Pace::new(rate, &traffic, Until::Time(Duration::from_secs(10)));
        let (mut sent, mut now, mut longest) = (0, 0, 0);
        while now < 100_000_000 {
            let before = sent;
            while sent - before < 64 && pace.due(sent, Nanos(now)).is_some() {
                sent += 1;
            }
            longest = longest.max(sent - before);
            now += look;
        }
        (sent, longest)
    }

    #[test]
    fn a_rate_is_kept_to_a_packet_from_one_thousand_a_second_to_ten_million() {
        for rate in [1_000.0, 100_000.0, 999_983.0, 10_000_000.0] {
            let (sent, _) = sent_in_a_tenth(Rate::PerSecond(rate), 500);
            assert!(sent.abs_diff((rate / 10.0) as u64) <= 15, "{sent} of {rate}");
        }
    }

    #[test]
    fn bursts_are_of_one_packet_while_the_sender_is_faster_than_the_rate() {
        assert_eq!(sent_in_a_tenth(Rate::PerSecond(1_000.0), 500).1, 1);
        assert_eq!(sent_in_a_tenth(Rate::PerSecond(100_000.0), 500).1, 1);
        assert_eq!(sent_in_a_tenth(Rate::PerSecond(10_000_000.0), 500).1, 5);
        assert_eq!(sent_in_a_tenth(Rate::Maximum, 10_000), (64 * 10_000, 64));
    }

    #[test]
    fn a_sender_that_was_held_up_sends_what_became_due_and_knows_when_it_was() {
        let traffic = Traffic::of(&Template::default()).unwrap();
        let pace = Pace::new(Rate::PerSecond(1e6), &traffic, Until::Time(Duration::from_secs(1)));
        assert_eq!(pace.total(), 1_000_000);
        let due: Vec<_> = (0..).map_while(|number| pace.due(number, Nanos(3_500))).collect();
        assert_eq!(due, [Nanos(0), Nanos(1_000), Nanos(2_000), Nanos(3_000)]);
        assert_eq!(pace.due(999_999, Nanos(u64::MAX)), Some(Nanos(999_999_000)));
        assert_eq!(pace.due(1_000_000, Nanos(u64::MAX)), None, "the run is over");
    }

    #[test]
    fn no_rounding_builds_up_over_an_hour() {
        let traffic = Traffic::of(&Template::default()).unwrap();
        let rate = 7_000_003.0;
        let pace = Pace::new(Rate::PerSecond(rate), &traffic, Until::Time(Duration::from_secs(3600)));
        let last = pace.total() - 1;
        let exact = last as f64 / rate * 1e9;
        let Nanos(at) = pace.due(last, Nanos(u64::MAX)).unwrap();
        assert!((at as f64 - exact).abs() < 10.0, "{at} of {exact}");
    }

    #[test]
    fn rates_read_as_people_write_them() {
        let rate = |text: &str| text.parse::<Rate>();
        assert_eq!(rate("1000"), Ok(Rate::PerSecond(1e3)));
        assert_eq!(rate("100k"), Ok(Rate::PerSecond(1e5)));
        assert_eq!(rate("1.5M"), Ok(Rate::PerSecond(1.5e6)));
        assert_eq!(rate("max"), Ok(Rate::Maximum));
        for text in ["", "0", "0.2", "-1", "fast", "k", "2000M", "inf", "nan"] {
            assert_eq!(
                rate(text).unwrap_err().to_string(),
                format!("`{text}` is no rate; give packets a second, as 1000, 100k or 1.5M, from 1 to 1000M, or `max`")
            );
        }
        assert_eq!(
            [999.0, 1e3, 1.5e6].map(|rate| Packets(rate).to_string()),
            ["999.0 pps", "1.000 kpps", "1.500 Mpps"]
        );
    }
}

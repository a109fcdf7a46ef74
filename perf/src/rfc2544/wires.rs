//! The device as the generator sees it: trials between two wires.

use std::net::Ipv4Addr;

use podlane_wire::MacAddr;

use crate::{
    generator::{self, Ended, Rate, Trial, wire::WireError},
    rfc2544::device::{Ask, Device, Frames, Outcome, Pace, Row, Size, Stations, TrialError, Until, failed},
    traffic::{Range, Sizes, Template, Traffic},
};

/// The first source port of flows, and how many follow before the destination port changes.
const FIRST_PORT: u16 = 1024;
const PORTS: u32 = 1 << 15;

/// What addresses that are taught begin with; the row's number follows.
const TAUGHT: [u8; 2] = [0x02, 0x90];

/// The two stations that frames are from and for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// MAC addresses: where frames come from, and where they are sent to, which is a gateway's if the device routes.
    pub macs: [MacAddr; 2],
    /// IP addresses, likewise.
    pub addresses: [Ipv4Addr; 2],
    /// The destination port of the first flow.
    pub service: u16,
}

impl Default for Ends {
    /// Stations of the networks that RFC 2544 (appendix C.2.2) sets aside.
    fn default() -> Self {
        Self {
            macs: [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])],
            addresses: [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 19, 0, 1)],
            service: 9,
        }
    }
}

impl Ends {
    /// What the generator is to make of these frames.
    #[must_use]
    pub fn template(&self, frames: Frames) -> Template {
        let [source_mac, destination_mac] = self.macs.map(Range::of);
        let [source, destination] = self.addresses.map(Range::from);
        let plain = Template {
            sizes: match frames.size {
                Size::Bytes(bytes) => Sizes::One(bytes.into()),
                Size::Imix => Sizes::Imix,
            },
            source_mac,
            destination_mac,
            source,
            destination,
            source_port: Range::of(FIRST_PORT),
            destination_port: Range::of(self.service),
            ..Template::default()
        };
        match frames.stations {
            Stations::Flows(flows) => self.flows(plain, flows.max(1)),
            Stations::Teach(row) => Template { source_mac: macs(row), ..plain },
            Stations::Ask(row) => Template { destination_mac: macs(row), ..plain },
        }
    }

    fn flows(&self, plain: Template, flows: u32) -> Template {
        let (sources, services) = (flows.min(PORTS), flows.div_ceil(PORTS));
        Template {
            source_port: Range { first: FIRST_PORT, last: FIRST_PORT + (sources - 1) as u16 },
            destination_port: Range { first: self.service, last: self.service + (services - 1) as u16 },
            flows: Some(flows.into()),
            ..plain
        }
    }
}

/// The MAC addresses of a row.
fn macs(row: Row) -> Range<MacAddr> {
    let mac = |number: u32| {
        let ([a, b], [c, d, e, f]) = (TAUGHT, number.to_be_bytes());
        MacAddr([a, b, c, d, e, f])
    };
    Range { first: mac(row.first), last: mac(row.first + (row.count.max(1) - 1)) }
}

/// A device between the generator's wires.
pub struct Wires<T> {
    generator: T,
    ends: Ends,
    /// What was sent last: a million flows take a while to lay out.
    ready: Option<(Frames, Traffic)>,
}

impl<T: Trial> Wires<T> {
    /// A device that frames of these ends go through.
    pub const fn new(generator: T, ends: Ends) -> Self {
        Self { generator, ends, ready: None }
    }

    /// Lays the frames out, if they are not those of the trial before.
    fn lay_out(&mut self, frames: Frames) -> Result<(), TrialError> {
        if self.ready.as_ref().is_none_or(|(ready, _)| *ready != frames) {
            self.ready = Some((frames, Traffic::of(&self.ends.template(frames)).map_err(failed)?));
        }
        Ok(())
    }
}

impl<T: Trial> Device for Wires<T> {
    fn trial(&mut self, ask: &Ask) -> Result<Outcome, TrialError> {
        self.lay_out(ask.frames)?;
        let Some((_, traffic)) = &self.ready else { return Err(TrialError::Interrupted) };
        // Before every trial (RFC 2544 section 23): a bridge forgets them after minutes, and then its floods would be measured.
        if matches!(ask.frames.stations, Stations::Flows(_)) {
            self.generator.introduce(traffic).map_err(dead)?;
        }
        let rate = match ask.pace {
            Pace::Rate(rate) => Rate::PerSecond(rate),
            Pace::Full => Rate::Maximum,
        };
        let until = match ask.until {
            Until::Time(length) => generator::Until::Time(length),
            Until::Count(count) => generator::Until::Packets(count),
        };
        told(self.generator.trial(rate, traffic, until))
    }
}

/// What a trial tells, in the words of the measurements.
fn told(outcome: generator::Outcome) -> Result<Outcome, TrialError> {
    match outcome.ended {
        Ended::Interrupted => return Err(TrialError::Interrupted),
        Ended::Broken(error) => return Err(dead(error)),
        Ended::Whole => {}
    }
    let latency = match outcome.latency {
        Some(latency) => latency,
        None => generator::analyse::latencies().map_err(failed)?,
    };
    Ok(Outcome {
        sent: outcome.sent,
        received: outcome.whole,
        duplicated: outcome.duplicated,
        reordered: outcome.reordered,
        corrupted: outcome.corrupted,
        returned: outcome.returned,
        foreign: outcome.foreign,
        overrun: outcome.overrun,
        late: outcome.late,
        endless: outcome.endless,
        reached: outcome.reached,
        latency,
    })
}

fn dead(error: WireError) -> TrialError {
    match error {
        WireError::Gone { device } => TrialError::Vanished { name: device },
        error => failed(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::generator::{analyse::Arrivals, send::Departures};

    /// Counts what it is asked for: introductions and trials.
    #[derive(Default)]
    struct Counted([u32; 2]);

    impl Trial for Counted {
        fn trial(&mut self, offered: Rate, _: &Traffic, _: generator::Until) -> generator::Outcome {
            self.0[1] += 1;
            generator::Outcome::new(offered, None, Departures::default(), Arrivals::default())
        }

        fn introduce(&mut self, _: &Traffic) -> Result<(), WireError> {
            self.0[0] += 1;
            Ok(())
        }
    }

    #[test]
    fn stations_are_introduced_before_every_trial_and_rows_of_addresses_never() {
        let mut wires = Wires::new(Counted::default(), Ends::default());
        let mut trial = |stations| {
            let frames = Frames { size: Size::Bytes(64), stations };
            wires.trial(&Ask { frames, pace: Pace::Full, until: Until::Time(Duration::from_millis(1)) }).unwrap();
            wires.generator.0
        };
        assert_eq!(trial(Stations::Flows(1)), [1, 1]);
        assert_eq!(trial(Stations::Flows(1)), [2, 2]);
        // They would take up room in the table that is measured.
        let row = Row { first: 0, count: 4 };
        assert_eq!([Stations::Teach(row), Stations::Ask(row)].map(&mut trial), [[2, 3], [2, 4]]);
    }
}

//! What one run measures, and how long that will take: said before it begins.

use std::time::Duration;

use crate::rfc2544::{
    device::{SIZES, Size},
    flows::FLOWS,
};

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Measurement {
    /// The no-drop rate and the partial-drop rate; the others build on it.
    Throughput,
    /// Latency at 10, 50 and 90 % of the no-drop rate.
    Latency,
    /// Loss at the generator's limit and below.
    Loss,
    /// The longest burst without loss.
    Burst,
    /// The no-drop rate from one flow to a million.
    Flows,
    /// How many MAC addresses are kept, and how fast they are learned. After all sizes, since another device stands in meanwhile.
    Learning,
}

impl Measurement {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 6] = [Self::Throughput, Self::Latency, Self::Loss, Self::Burst, Self::Flows, Self::Learning];

    /// Trials it takes, about: those of full length, and those that are over as soon as their frames are sent.
    fn trials(self, flows: u32) -> [u32; 2] {
        match self {
            Self::Throughput => [11, 0],
            Self::Latency => [3, 0],
            Self::Loss => [8, 0],
            Self::Burst => [1, 10],
            // Each time with a device that has forgotten.
            Self::Learning => [1, 100],
            Self::Flows => {
                let steps = FLOWS.into_iter().filter(|step| *step <= flows).count() as u32;
                [11 * steps, steps]
            }
        }
    }
}

/// What a trial takes beside its length: waiting for the last frames.
pub(super) const BETWEEN: Duration = Duration::from_millis(150);

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is measured; throughput always is where it is built on.
    pub measurements: Vec<Measurement>,
    /// Frame sizes, in order.
    pub sizes: Vec<Size>,
    /// Whether latency and loss are taken for every size; otherwise for the first and last one and IMIX.
    pub thorough: bool,
    /// How long a trial is.
    pub length: Duration,
    /// The share that may be lost at the partial-drop rate.
    pub partial: f64,
    /// The most flows of the ramp.
    pub flows: u32,
    /// The most MAC addresses that are taught.
    pub addresses: u32,
    /// How often everything is measured.
    pub rounds: u32,
}

impl Plan {
    /// The standard's sizes that a link of this MTU carries, one for the largest packet of a jumbo MTU, and IMIX.
    #[must_use]
    pub fn standard_sizes(mtu: u32, longest: u16) -> Vec<Size> {
        let most = mtu.saturating_add(18).min(longest.into());
        let mut sizes: Vec<Size> =
            SIZES.into_iter().filter(|bytes| u32::from(*bytes) <= most).map(Size::Bytes).collect();
        if most > SIZES[6].into() {
            sizes.push(Size::Bytes(most as u16));
        }
        if most >= SIZES[6].into() {
            sizes.push(Size::Imix);
        }
        sizes
    }

    /// Whether this is measured of frames of this size.
    #[must_use]
    pub fn measures(&self, measurement: Measurement, size: Size) -> bool {
        let wanted = self.measurements.contains(&measurement);
        let lengths = || self.sizes.iter().filter(|size| **size != Size::Imix);
        let chosen = || size == Size::Imix || lengths().next() == Some(&size) || lengths().next_back() == Some(&size);
        match measurement {
            Measurement::Throughput => self.measurements.iter().any(|one| *one <= Measurement::Burst),
            Measurement::Latency | Measurement::Loss => wanted && (self.thorough || chosen()),
            Measurement::Burst => wanted && size != Size::Imix,
            // These are of one size, the first.
            Measurement::Learning | Measurement::Flows => wanted && self.sizes.first() == Some(&size),
        }
    }

    /// How long it will take, about. A device with a rate that is hard to find takes half as long again.
    #[must_use]
    pub fn estimate(&self) -> Duration {
        let each = |size: &Size| {
            let made = Measurement::ALL.into_iter().filter(|measurement| self.measures(*measurement, *size));
            made.map(|measurement| measurement.trials(self.flows)).fold([0, 0], sum)
        };
        let [whole, short] = self.sizes.iter().map(each).fold([0, 0], sum);
        (self.length * whole + BETWEEN * (whole + short)) * self.rounds
    }
}

fn sum([whole, short]: [u32; 2], [more_whole, more_short]: [u32; 2]) -> [u32; 2] {
    [whole + more_whole, short + more_short]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(measurements: &[Measurement]) -> Plan {
        Plan {
            measurements: measurements.to_vec(),
            sizes: Plan::standard_sizes(1500, 3844),
            thorough: false,
            length: Duration::from_millis(850),
            partial: 0.001,
            flows: 1_000_000,
            addresses: 65_536,
            rounds: 2,
        }
    }

    #[test]
    fn the_sizes_are_those_that_the_link_carries() {
        let bytes = |mtu| {
            let sizes = Plan::standard_sizes(mtu, 3844);
            sizes.into_iter().map(|size| if let Size::Bytes(bytes) = size { bytes } else { 0 }).collect::<Vec<_>>()
        };
        assert_eq!(bytes(1500), [64, 128, 256, 512, 1024, 1280, 1518, 0]);
        assert_eq!(bytes(1000), [64, 128, 256, 512]);
        assert_eq!(bytes(9000), [64, 128, 256, 512, 1024, 1280, 1518, 3844, 0]);
    }

    #[test]
    fn latency_and_loss_are_taken_for_the_ends_of_the_sizes_unless_it_is_to_be_thorough() {
        let all = plan(&[Measurement::Latency]);
        let measured =
            |plan: &Plan| plan.sizes.iter().filter(|size| plan.measures(Measurement::Latency, **size)).count();
        assert_eq!((measured(&all), measured(&Plan { thorough: true, ..all.clone() })), (3, 8));
        assert!(
            all.sizes.iter().all(|size| all.measures(Measurement::Throughput, *size)),
            "it is at shares of the rate"
        );
        assert!(!plan(&[Measurement::Flows]).measures(Measurement::Throughput, Size::Bytes(64)));
    }

    #[test]
    fn a_run_says_how_long_it_will_take() {
        // Eleven trials of a second for each of eight sizes, twice; and three for each of three.
        assert_eq!(plan(&[Measurement::Throughput]).estimate().as_secs(), 11 * 8 * 2);
        assert_eq!(plan(&[Measurement::Latency]).estimate().as_secs(), (11 * 8 + 3 * 3) * 2);
    }
}

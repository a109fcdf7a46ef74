//! What one run measures, and how long that will take: said before it begins.

use std::time::Duration;

use clap::ValueEnum;

use crate::{
    rfc2544::{
        device::Size,
        flows::FLOWS,
        learning::{GENTLE, SHORTEST, TIMED},
    },
    traffic::STANDARD_SIZES,
};

/// What can be measured, in the order in which it is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Debug)]
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
    // After all sizes, since another device stands in meanwhile.
    /// MAC addresses: how many are kept, and how fast they are learned (RFC 2889).
    Learning,
}

impl Measurement {
    /// Trials it takes, about: those of full length, and those that are over as soon as their frames are sent.
    fn trials(self, flows: u32) -> [u32; 2] {
        match self {
            Self::Throughput => [11, 0],
            Self::Latency => [3, 0],
            Self::Loss => [8, 0],
            Self::Burst => [1, 10],
            // Its rows of addresses are counted by themselves.
            Self::Learning => [1, 0],
            Self::Flows => {
                let steps = FLOWS.into_iter().filter(|step| *step <= flows).count() as u32;
                [11 * steps, steps]
            }
        }
    }
}

/// Rows of a search for a capacity, or for a rate of learning; and how long they are of the longest, since the search closes in on less.
const ROWS: u32 = 10;
const NARROWING: f64 = 0.7;

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
            STANDARD_SIZES.into_iter().filter(|bytes| u32::from(*bytes) <= most).map(Size::Bytes).collect();
        if most > STANDARD_SIZES[6].into() {
            sizes.push(Size::Bytes(most as u16));
        }
        if most >= STANDARD_SIZES[6].into() {
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

    /// How long it will take, about, with a device that can be made to forget addresses in so long, or not at all. One with a rate that is
    /// hard to find takes half as long again.
    #[must_use]
    pub fn estimate(&self, forgetting: Option<Duration>) -> Duration {
        let each = |size: &Size| {
            let made = Measurement::value_variants().iter().filter(|measurement| self.measures(**measurement, *size));
            made.map(|measurement| measurement.trials(self.flows)).fold([0, 0], sum)
        };
        let [whole, short] = self.sizes.iter().map(each).fold([0, 0], sum);
        let learns = self.measurements.contains(&Measurement::Learning);
        let lessons = if learns { self.lessons(forgetting) } else { Duration::ZERO };
        (self.length * whole + BETWEEN * (whole + short) + lessons) * self.rounds
    }

    /// The rows of addresses that are taught and asked for.
    fn lessons(&self, forgetting: Option<Duration>) -> Duration {
        // Taught, asked for, and a few strangers behind them.
        let row = |addresses: f64| BETWEEN * 3 + Duration::from_secs_f64(addresses / GENTLE);
        let most = f64::from(self.addresses);
        match forgetting {
            Some(forgetting) => {
                // To learn as fast as can be takes next to no time; to be asked does.
                let timed = f64::from(self.addresses.min(2 * TIMED) / 2);
                (row(2.0 * most * NARROWING) + forgetting) * ROWS + (row(timed * NARROWING) + forgetting) * ROWS
            }
            // Rows that double are together twice as long as the last.
            None => row(4.0 * most) + BETWEEN * 3 * (self.addresses / SHORTEST).max(1).ilog2(),
        }
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
        let seconds = |measurements: &[Measurement], forgetting| plan(measurements).estimate(forgetting).as_secs();
        assert_eq!(seconds(&[Measurement::Throughput], None), 11 * 8 * 2);
        assert_eq!(seconds(&[Measurement::Latency], None), (11 * 8 + 3 * 3) * 2);
        // A row of 65,536 addresses is 3.3 s to teach and as long to ask for; and each time the device ages.
        assert!((30..45).contains(&seconds(&[Measurement::Learning], None)));
        let ageing = |seconds| Some(Duration::from_secs(seconds));
        let learning = seconds(&[Measurement::Learning], ageing(0));
        assert!((90..200).contains(&learning), "{learning} s");
        assert_eq!(seconds(&[Measurement::Learning], ageing(300)) - learning, 300 * 2 * 10 * 2);
    }
}

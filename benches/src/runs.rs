//! How a case is measured: a worker's turns, in samples that alternate with what is to be taken off.

use std::time::Duration;

use criterion::{BenchmarkGroup, measurement::WallTime};
use podlane_dataplane::burst::BURST;

use crate::{
    bed::{Bed, FRESH, Lap},
    carousel::Device,
    case::Case,
    measure::Samples,
    verdict::Measured,
};

/// Packets of flows that are in the table, less what the ports cost.
pub fn hit(
    group: &mut BenchmarkGroup<'_, WallTime>,
    (name, target): (&str, Option<f64>),
    case: Case,
    flows: usize,
) -> Measured {
    let (whole, device) = (Samples::default(), Samples::default());
    // Built only if the case is asked for: a million flows take a while.
    let mut made = None;
    group.bench_function(name, |bencher| {
        let (bed, ports) = made.get_or_insert_with(|| (Bed::warm(case, flows), Device::new(case.load(flows))));
        bencher.iter_custom(|bursts| {
            device.take(bursts, |few| (0..few).for_each(|_| ports.turn()));
            whole.take(bursts, |few| bed.turns(few as usize))
        });
    });
    Measured { name: name.to_owned(), whole, device, target }
}

/// Packets of one case, less what the same packets cost in another.
pub fn added(
    group: &mut BenchmarkGroup<'_, WallTime>,
    (name, target): (&str, Option<f64>),
    [with, without]: [Case; 2],
    flows: usize,
) -> Measured {
    let (whole, device) = (Samples::default(), Samples::default());
    let mut made = None;
    group.bench_function(name, |bencher| {
        let (with, without) = made.get_or_insert_with(|| (Bed::warm(with, flows), Bed::warm(without, flows)));
        bencher.iter_custom(|bursts| {
            device.take(bursts, |few| without.turns(few as usize));
            whole.take(bursts, |few| with.turns(few as usize))
        });
    });
    Measured { name: name.to_owned(), whole, device, target }
}

/// Packets of flows that are not in the table: the first of each, or the second. What was remembered is forgotten outside of the time.
pub fn miss(
    group: &mut BenchmarkGroup<'_, WallTime>,
    (name, target): (&str, Option<f64>),
    case: Case,
    lap: Lap,
) -> Measured {
    let (whole, device) = (Samples::default(), Samples::default());
    let mut made = None;
    group.bench_function(name, |bencher| {
        let (bed, ports) =
            made.get_or_insert_with(|| (Bed::fresh(case, lap, FRESH), Device::new(case.opening(lap.flows(FRESH)))));
        bencher.iter_custom(|bursts| {
            device.take(bursts, |few| (0..few).for_each(|_| ports.turn()));
            let (mut left, mut took) = (bursts, Duration::ZERO);
            while left > 0 {
                let next = left.min((FRESH / BURST) as u64);
                took += whole.take(next, |few| bed.turns(few as usize));
                bed.renew(lap);
                left -= next;
            }
            took
        });
    });
    Measured { name: name.to_owned(), whole, device, target }
}

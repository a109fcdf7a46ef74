//! The measurements, against devices whose answers are known.

use std::time::Duration;

use clap::ValueEnum;

use crate::{
    rfc2544::{
        device::{Frames, Size, Stations},
        flows, learning,
        learning::Capacity,
        modelled::{Flaw, Modelled, THROUGH},
        plan::{BETWEEN, Measurement, Plan},
        run::{Findings, run},
        search::Found,
        session::{Ended, Session},
        throughput::{LOADS, Loss, SHARES, Throughput, burst, latency, loss_curve, throughput},
        verdict::Verdict,
    },
    series::Series,
};

const FRAMES: Frames = Frames { size: Size::Bytes(64), stations: Stations::Flows(1) };

fn with<T>(device: &mut Modelled, measure: impl FnOnce(&mut Session<'_>) -> T) -> T {
    let silent = |_: &str| {};
    measure(&mut Session::new(device, Duration::from_millis(500), Duration::from_secs(2), &silent))
}

/// Everything there is for one kind of frames.
fn all(device: &mut Modelled) -> Result<Throughput, Ended> {
    with(device, |session| {
        session.begin(FRAMES)?;
        let found = throughput(session, FRAMES, 0.001)?;
        latency(session, FRAMES, found.no_drop.load().unwrap_or(found.full))?;
        loss_curve(session, FRAMES, found.full)?;
        burst(session, FRAMES, found.full)?;
        learning::capacity(session, 8_192)?;
        flows::ramp(session, FRAMES, 100, 0.001)?;
        Ok(found)
    })
}

fn is_close(found: Found, known: f64, share: f64) -> bool {
    matches!(found, Found::Load(load) if load <= known * (1.0 + 1e-6) && load >= known * (1.0 - share))
}

#[test]
fn the_rates_are_those_of_the_device() {
    let mut device = Modelled::default();
    let found = all(&mut device).unwrap();
    // In half a second the queue takes another 1,000 frames.
    let no_drop = 2e6 + 1_000.0 / 0.5;
    assert!(is_close(found.no_drop, no_drop, 0.011), "{found:?}");
    assert!(is_close(found.partial_drop, no_drop / 0.999, 0.011), "{found:?}");
    assert!((found.delivered / no_drop - 1.0).abs() < 1e-3, "{found:?}");
    assert_eq!(found.full, 5e6);
}

#[test]
fn a_device_faster_than_the_generator_bears_at_least_that() {
    let found = all(&mut Modelled { capacity: 9e6, ..Modelled::default() }).unwrap();
    assert_eq!((found.no_drop, found.partial_drop), (Found::AtLeast(5e6), Found::AtLeast(5e6)));
}

#[test]
fn a_machine_that_loses_a_frame_now_and_then_does_not_lower_the_rates() {
    for trials in 2..7 {
        let mut device = Modelled::with(Flaw::LosesOneTrialOf(trials));
        let found = with(&mut device, |session| throughput(session, FRAMES, 0.001)).unwrap();
        assert!(is_close(found.no_drop, 2.002e6, 0.011), "one of {trials}: {found:?}");
    }
}

#[test]
fn latency_is_taken_at_shares_of_the_rate() {
    let latencies = with(&mut Modelled::default(), |session| latency(session, FRAMES, 2e6)).unwrap();
    let rates: Vec<f64> = latencies.iter().map(|latency| latency.rate).collect();
    assert_eq!(rates, LOADS.map(|share| share * 2e6));
    for latency in &latencies {
        let p99 = latency.histogram.value_at_quantile(0.99);
        assert!(latency.histogram.equivalent(p99, THROUGH), "{p99}");
        assert_eq!(latency.lost, 0.0);
    }
}

#[test]
fn the_loss_curve_ends_after_two_trials_without_loss() {
    let curve = |mut device: Modelled| with(&mut device, |session| loss_curve(session, FRAMES, 5e6)).unwrap();
    let shares = |curve: &[Loss]| curve.iter().map(|loss| loss.share).collect::<Vec<_>>();
    let limited = curve(Modelled::default());
    // It bears 2.002 million frames a second.
    assert_eq!(shares(&limited), [100, 90, 80, 70, 60, 50, 40, 30]);
    assert!((limited[0].lost - (1.0 - 2.002 / 5.0)).abs() < 1e-4, "{limited:?}");
    assert_eq!([limited[6].lost, limited[7].lost], [0.0; 2]);
    assert_eq!(shares(&curve(Modelled { capacity: 6e6, ..Modelled::default() })), [100, 90]);
}

#[test]
fn the_loss_curve_of_a_device_that_bears_next_to_nothing_ends_too() {
    let mut device = Modelled { capacity: 1.0, buffer: 1.0, ..Modelled::default() };
    let curve = with(&mut device, |session| loss_curve(session, FRAMES, 5e6)).unwrap();
    assert_eq!(curve.iter().map(|loss| loss.share).collect::<Vec<_>>(), SHARES);
    assert!(curve.iter().all(|loss| loss.lost > 0.999), "{curve:?}");
}

#[test]
fn the_longest_burst_is_what_the_queue_and_the_work_meanwhile_take() {
    let found = with(&mut Modelled::default(), |session| burst(session, FRAMES, 5e6)).unwrap();
    // Of n frames 2/5 leave while they arrive; the rest is the queue.
    assert!(is_close(found, 1_000.0 / (1.0 - 2.0 / 5.0), 0.025), "{found:?}");
    let all = Modelled { capacity: 6e6, ..Modelled::default() };
    let found = with(&mut all.clone(), |session| burst(session, FRAMES, 5e6)).unwrap();
    assert_eq!(found, Found::AtLeast(2.5e6));
}

#[test]
fn the_table_is_as_large_as_the_device_says() {
    let capacity = |device: &mut Modelled| with(device, |session| learning::capacity(session, 65_536)).unwrap();
    let Capacity::Kept(kept) = capacity(&mut Modelled::default()) else { panic!("a table of 5,000") };
    assert!((4_950..=5_000).contains(&kept), "{kept}");
    assert_eq!(capacity(&mut Modelled { forgets: false, ..Modelled::default() }), Capacity::Kept(5_000));
    for forgets in [true, false] {
        let large = Modelled { table: 1 << 20, forgets, ..Modelled::default() };
        assert_eq!(capacity(&mut large.clone()), Capacity::AtLeast(65_536));
        let none = Modelled { table: 0, forgets, ..Modelled::default() };
        assert_eq!(capacity(&mut none.clone()), Capacity::None);
    }
}

#[test]
fn a_device_that_stops_while_it_is_asked_is_not_said_to_know_every_address() {
    let mut healthy = Modelled::default();
    with(&mut healthy, |session| learning::capacity(session, 8_192)).unwrap();
    // The first trial finds that it floods.
    for trials in 1..healthy.trials {
        let mut device = Modelled::with(Flaw::StopsAfter(trials));
        let ended = with(&mut device, |session| learning::capacity(session, 8_192));
        assert!(matches!(ended, Err(Ended::Verdict(Verdict::Stopped { .. }))), "{trials}: {ended:?}");
    }
}

#[test]
fn addresses_are_learned_as_fast_as_the_device_can() {
    let rate =
        |device: &mut Modelled| with(device, |session| learning::rate(session, Capacity::Kept(5_000), 5e6)).unwrap();
    assert!(is_close(rate(&mut Modelled::default()).unwrap(), 1e5, 0.03));
    assert_eq!(rate(&mut Modelled { forgets: false, ..Modelled::default() }), None, "it would be full of old ones");
}

#[test]
fn the_ramp_shows_where_flows_become_too_many() {
    let mut device = Modelled { flows: 10_000, ..Modelled::default() };
    let steps = with(&mut device, |session| flows::ramp(session, FRAMES, 1_000_000, 0.001)).unwrap();
    let rates: Vec<bool> = steps.iter().map(|step| is_close(step.throughput.no_drop, 2.002e6, 0.011)).collect();
    assert_eq!(rates, [true, true, true, true, true, false, false]);
    let kept = flows::kept(&steps).unwrap();
    assert!((0.09..0.115).contains(&kept), "{kept}");
}

#[test]
fn what_is_wrong_with_a_device_ends_the_run_with_its_name() {
    let verdict = |flaw| match all(&mut Modelled::with(flaw)) {
        Err(Ended::Verdict(verdict)) => verdict,
        other => panic!("{flaw:?}: {other:?}"),
    };
    assert_eq!(verdict(Flaw::ForwardsNothing), Verdict::ForwardsNothing { sent: 2_000 });
    assert_eq!(verdict(Flaw::Doubles), Verdict::Duplicates { sent: 50, duplicated: 50 });
    assert_eq!(verdict(Flaw::Loops), Verdict::Loops { sent: 50, arrivals: 5_000 });
    assert_eq!(verdict(Flaw::Storms), Verdict::Loops { sent: 50, arrivals: 2_500 });
    assert_eq!(verdict(Flaw::Spoils), Verdict::Corrupts { sent: 50, corrupted: 50 });
}

#[test]
fn a_device_that_stops_or_goes_away_ends_the_run_wherever_it_was() {
    let mut healthy = Modelled::default();
    all(&mut healthy).unwrap();
    for trials in 1..healthy.trials {
        let ended = all(&mut Modelled::with(Flaw::VanishesAfter(trials)));
        assert!(matches!(ended, Err(Ended::Verdict(Verdict::Vanished { ref name })) if name == "veth7"), "{ended:?}");
        let mut device = Modelled::with(Flaw::StopsAfter(trials));
        let ended = all(&mut device);
        assert!(matches!(ended, Err(Ended::Verdict(Verdict::Stopped { .. }))), "{trials}: {ended:?}");
        assert!(device.trials < trials + 100, "{trials}: {}", device.trials);
    }
}

#[test]
fn a_whole_run_keeps_its_numbers_as_series_a_sample_a_round() {
    let plan = Plan {
        measurements: Measurement::value_variants().to_vec(),
        sizes: vec![Size::Bytes(64), Size::Bytes(1518), Size::Imix],
        thorough: false,
        length: Duration::from_millis(500),
        partial: 0.001,
        flows: 1_000,
        addresses: 8_192,
        rounds: 2,
    };
    let mut device = Modelled::default();
    let findings = run(&mut device, &plan, Duration::from_secs(1), &|_| {}).unwrap();
    assert_eq!((findings.verdict, findings.notes.len()), (None, 0), "{:?}", findings.notes);
    let labels: Vec<String> = findings.series.iter().map(Series::label).collect();
    for label in [
        "no-drop rate, 64 bytes, Mpps",
        "0.1 % drop rate, 1518 bytes, Mpps",
        "no-drop rate, IMIX, Mpps",
        "latency p99, IMIX, 90 %, us",
        "loss, 64 bytes, 100 %, %",
        "longest burst, 64 bytes, frames",
        "MAC addresses kept, addresses",
        "MAC addresses learned, addresses/s",
        "no-drop rate by flows, 1000 flows, Mpps",
    ] {
        assert!(labels.iter().any(|one| one == label), "{label} is not among {labels:#?}");
    }
    assert!(findings.series.iter().all(|series| series.samples.len() == 2), "one of each round");
    // What was said beforehand is about what it took.
    let (said, took) =
        (plan.estimate(Some(Duration::ZERO)).as_secs_f64(), (device.took + BETWEEN * device.trials).as_secs_f64());
    assert!((0.7..1.4).contains(&(said / took)), "{said} s were said and {took} s taken");
}

#[test]
fn what_stands_in_while_addresses_are_learned_is_in_none_of_the_rates() {
    let plan = Plan {
        measurements: vec![Measurement::Throughput, Measurement::Learning],
        sizes: vec![Size::Bytes(64), Size::Bytes(1518)],
        thorough: false,
        length: Duration::from_millis(500),
        partial: 0.001,
        flows: 1,
        addresses: 8_192,
        rounds: 2,
    };
    let mut device = Modelled { stand_in: true, ..Modelled::default() };
    let findings = run(&mut device, &plan, Duration::from_secs(1), &|_| {}).unwrap();
    let rates: Vec<&Series> = findings.series.iter().filter(|series| series.name == "no-drop rate").collect();
    assert_eq!(rates.len(), 2);
    let samples = rates.iter().flat_map(|series| &series.samples);
    assert!(samples.clone().all(|rate| (1.98..=2.01).contains(rate)), "{rates:?}");
    assert_eq!((samples.count(), device.replaced), (4, false));
}

#[test]
fn a_run_that_ends_early_keeps_what_it_had() {
    let plan = Plan {
        measurements: vec![Measurement::Throughput],
        sizes: vec![Size::Bytes(64), Size::Bytes(128)],
        thorough: false,
        length: Duration::from_millis(500),
        partial: 0.001,
        flows: 1,
        addresses: 1,
        rounds: 1,
    };
    let mut device = Modelled::with(Flaw::VanishesAfter(16));
    let findings = run(&mut device, &plan, Duration::from_secs(1), &|_| {}).unwrap();
    assert_eq!(findings.verdict, Some(Verdict::Vanished { name: "veth7".to_owned() }));
    assert!(findings.series.iter().any(|series| series.label() == "no-drop rate, 64 bytes, Mpps"));
    assert!(!findings.series.iter().any(|series| series.label() == "no-drop rate, 128 bytes, Mpps"));
    assert_eq!(findings.notes.len(), 1);
}

fn throughput_of(device: &mut Modelled, rounds: u32) -> Findings {
    let plan = Plan {
        measurements: vec![Measurement::Throughput, Measurement::Latency, Measurement::Loss],
        sizes: vec![Size::Bytes(64)],
        thorough: false,
        length: Duration::from_millis(500),
        partial: 0.001,
        flows: 1,
        addresses: 1,
        rounds,
    };
    run(device, &plan, Duration::from_secs(1), &|_| {}).unwrap()
}

fn series<'a>(findings: &'a Findings, label: &str) -> &'a Series {
    let found = findings.series.iter().find(|series| series.label() == label);
    found.unwrap_or_else(|| panic!("{label} is not among {:#?}", findings.series))
}

#[test]
fn a_rate_that_is_not_there_is_no_zero_and_is_noted_once() {
    let mut device = Modelled { capacity: 100.0, buffer: 1.0, ..Modelled::default() };
    let findings = throughput_of(&mut device, 3);
    let rate = series(&findings, "no-drop rate, 64 bytes, Mpps");
    assert_eq!((rate.samples.len(), rate.skipped.as_deref()), (0, Some("not even 1000 is borne")));
    let notes = findings.notes.iter().filter(|note| note.contains("there is no no-drop rate"));
    assert_eq!(notes.count(), 1, "{:?}", findings.notes);
}

#[test]
fn what_was_offered_in_truth_is_told_and_a_generator_that_fell_short_is_named() {
    let findings = throughput_of(&mut Modelled::default(), 1);
    let reached = series(&findings, "offered for latency, 64 bytes, 50 %, Mpps").median.unwrap();
    assert!((reached - 1.0).abs() < 0.02, "{reached}");
    assert!((series(&findings, "offered for loss, 64 bytes, 100 %, Mpps").median.unwrap() - 5.0).abs() < 1e-9);
    assert_eq!(findings.notes.len(), 0, "{:?}", findings.notes);
    // Slower than it was when its limit was looked for.
    let mut device = Modelled { tires: true, ..Modelled::default() };
    let notes = throughput_of(&mut device, 2).notes;
    let told = notes
        .iter()
        .filter(|note| note.starts_with("The generator was slower than asked for the loss of 64 bytes at 90 %, "));
    assert_eq!(told.count(), 1, "{notes:?}");
}

#[test]
fn what_the_generators_own_receiver_lost_is_tried_again_and_told_if_it_stays() {
    let mut device = Modelled::with(Flaw::OverrunsOneTrialOf(3));
    let findings = throughput_of(&mut device, 1);
    let rate = series(&findings, "no-drop rate, 64 bytes, Mpps").median.unwrap();
    assert!((1.98..=2.003).contains(&rate), "{rate}");
    assert_eq!(findings.notes.len(), 0, "{:?}", findings.notes);
    let findings = throughput_of(&mut Modelled::with(Flaw::OverrunsOneTrialOf(1)), 1);
    let told = findings.notes.iter().filter(|note| note.contains("found no room at the generator's own receiver"));
    assert_eq!(told.count(), 1, "{:?}", findings.notes);
}

#[test]
fn that_the_generator_was_held_up_is_told() {
    let findings = throughput_of(&mut Modelled::with(Flaw::LateInOneTrialOf(4)), 1);
    let told = findings.notes.iter().filter(|note| note.contains("the generator was held up"));
    assert_eq!(told.count(), 1, "{:?}", findings.notes);
}

//! Searches with devices whose answer is known, lucky, unlucky or of no use.

use proptest::prelude::*;

use super::*;

const EXACT: Terms = Terms { most_lost: 0.0, resolution: 0.01, least: 1_000.0, plainly_lost: 0.05 };

/// Searches with what loses this share at a load, and tells how many trials that took.
fn search(mut search: Search, mut lost: impl FnMut(f64) -> f64) -> (Found, u32, Search) {
    let mut trials = 0;
    loop {
        match search.step() {
            Step::Done(found) => return (found, trials, search),
            Step::Try(load) => {
                trials += 1;
                assert!(trials <= MOST_TRIALS, "a search ends");
                search.learn(lost(load));
            }
        }
    }
}

/// A device that lets through what it can and loses the rest.
fn limited(capacity: f64) -> impl Fn(f64) -> f64 {
    move |load| (1.0 - capacity / load).max(0.0)
}

#[test]
fn a_device_that_bears_everything_is_tried_twice_at_the_ceiling() {
    let (found, trials, _) = search(Search::new(EXACT, 1e6), |_| 0.0);
    assert_eq!((found, trials), (Found::AtLeast(1e6), 2));
}

#[test]
fn a_device_that_loses_at_any_load_bears_less_than_the_least() {
    let (found, trials, _) = search(Search::new(EXACT, 1e6), |_| 0.5);
    assert_eq!(found, Found::LessThan(1_000.0));
    assert!(trials < 20, "{trials}");
    let (found, _, _) = search(Search::new(EXACT, 1e6), |_| 0.001);
    assert_eq!(found, Found::LessThan(1_000.0));
}

#[test]
fn one_lost_trial_is_made_again_and_does_not_count() {
    // Every trial that is the first at its load loses a frame in a thousand.
    let mut last = 0.0;
    let (found, ..) = search(Search::new(EXACT, 3e6), |load| {
        let first = load != last;
        last = load;
        limited(1e6)(load).max(if first { 1e-3 } else { 0.0 })
    });
    assert!(matches!(found, Found::Load(load) if (0.985e6..=1e6).contains(&load)), "{found:?}");
}

#[test]
fn a_lucky_trial_is_found_out_when_it_is_confirmed() {
    // 1.2 times what the device bears went through by luck, once.
    let mut luck = 1;
    let (found, ..) = search(Search::new(EXACT, 1.2e6), |load| {
        if luck > 0 && load > 1.1e6 {
            luck -= 1;
            return 0.0;
        }
        limited(1e6)(load)
    });
    assert!(matches!(found, Found::Load(load) if (0.985e6..=1e6).contains(&load)), "{found:?}");
}

#[test]
fn loss_that_does_not_depend_on_the_load_ends_the_search_without_a_rate_to_rely_on() {
    // Bears every load once, and never again.
    let mut borne = Vec::new();
    let (found, trials, _) = search(Search::new(EXACT, 1e6), |load| {
        if borne.contains(&load) {
            return 0.01;
        }
        borne.push(load);
        0.0
    });
    assert!(matches!(found, Found::Unsettled(_)), "{found:?}");
    assert_eq!(trials, MOST_TRIALS);
}

#[test]
fn what_the_generator_cannot_offer_ends_the_search_with_what_it_reached() {
    let mut search = Search::new(EXACT, 1e6);
    search.cannot_offer(9e5);
    assert_eq!(search.step(), Step::Done(Found::AtLeast(9e5)));
}

#[test]
fn a_second_search_starts_from_what_the_first_one_tried() {
    let device = limited(1e6);
    let (_, first, tried) = search(Search::new(EXACT, 3e6), &device);
    let partial = Terms { most_lost: 0.001, ..EXACT };
    let (found, second, _) = search(Search::after(partial, 3e6, tried.tried()), &device);
    assert!(matches!(found, Found::Load(load) if (0.985e6..=1.002e6).contains(&load)), "{found:?}");
    assert!(second < first, "{second} trials after {first}");
}

proptest! {
    #[test]
    fn the_load_found_is_what_the_device_bears(
        capacity in 2e3..9e6f64,
        ceiling in 1e4..1e7f64,
        most_lost in prop_oneof![Just(0.0), 1e-4..1e-2f64],
    ) {
        let terms = Terms { most_lost, ..EXACT };
        let borne = capacity / (1.0 - most_lost);
        let (found, trials, _) = search(Search::new(terms, ceiling), limited(capacity));
        if borne >= ceiling {
            prop_assert_eq!(found, Found::AtLeast(ceiling));
        } else {
            let Found::Load(load) = found else { return Err(TestCaseError::fail(format!("{found:?}"))) };
            prop_assert!(load <= borne * (1.0 + 1e-9) && load >= borne * 0.989, "{load} of {borne}");
        }
        prop_assert!(trials <= 24, "{trials} trials");
    }

    #[test]
    fn noise_ends_the_search_and_never_finds_more_than_the_device_bears(
        capacity in 2e3..1e6f64,
        noise in proptest::collection::vec(prop_oneof![4 => Just(0.0), 1 => 1e-5..0.3f64], MOST_TRIALS as usize),
    ) {
        let mut noise = noise.into_iter();
        let (found, ..) = search(Search::new(EXACT, 3e6), |load| {
            limited(capacity)(load).max(noise.next().unwrap_or_default())
        });
        if let Some(load) = found.load() {
            prop_assert!(load <= capacity, "{found:?} of {capacity}");
        }
    }

    #[test]
    fn what_other_terms_tried_never_misleads(capacity in 2e3..2e6f64, most_lost in 1e-4..0.2f64) {
        let device = limited(capacity);
        let (_, _, tried) = search(Search::new(EXACT, 3e6), &device);
        let borne = capacity / (1.0 - most_lost);
        let (found, ..) = search(Search::after(Terms { most_lost, ..EXACT }, 3e6, tried.tried()), &device);
        match found {
            Found::Load(load) => prop_assert!(load <= borne * (1.0 + 1e-9) && load >= borne * 0.989, "{load} of {borne}"),
            found => prop_assert!(borne >= 3e6, "{found:?} of {borne}"),
        }
    }
}

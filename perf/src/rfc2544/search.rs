//! The search for the greatest load that a device bears: pure, so that it can be tested against devices whose answer is known.
//!
//! ```text
//!   ceiling ──fails──> what came through of it ──holds──> upward in doubling steps ──fails──┐
//!      │ holds                    └──────────────fails──> downward, the same way ──holds──┐ │
//!      v                                                                                  v v
//!   at least the ceiling                  found <──holds── once more <──close enough── halve what is between
//!                                                             └──fails──> downward from there
//! ```
//!
//! A load *holds* when a trial at it loses no more than the bound. RFC 2544 halves from the start; what a device lets through of far
//! too much is nearly always within a few percent of what it bears, so the first guess is that, and a search takes about eight trials
//! where halving to 1 % takes thirteen.
//!
//! A machine that is shared with others loses packets now and then for which the device is not to blame. Therefore a trial that failed
//! narrowly is made once more, and only two in a row say that a load fails; and because a lucky trial must not decide either, what was
//! found is tried once more before it is reported. If that fails twice the search goes on below it. It ends after [`MOST_TRIALS`] in any case.

/// The longest search, in trials. Any device whose loss depends on the load is done in fewer.
pub const MOST_TRIALS: u32 = 60;

/// The most downward steps may take of a load at once.
const WIDEST: f64 = 0.5;

/// What is searched for, and how closely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// The share of what is sent that may be lost: 0 for a no-drop rate.
    pub most_lost: f64,
    /// How close to each other, as a share, what holds and what fails must come.
    pub resolution: f64,
    /// The least load that is tried.
    pub least: f64,
    /// A trial that lost more than this share failed plainly, and is not made again.
    pub plainly_lost: f64,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A trial at this load.
    Try(f64),
    /// Nothing.
    Done(Found),
}

/// What a search ended with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// This load holds, and nothing above it that differs by more than the resolution.
    Load(f64),
    /// The ceiling holds, so the device bears this and maybe more: what ended the search was the generator.
    AtLeast(f64),
    /// Not even the least load holds.
    LessThan(f64),
    /// Loads hold and fail by turns, so there is no greatest one: the last that held, if any did.
    Unsettled(Option<f64>),
}

impl Found {
    /// The load to go on with, if there is one.
    #[must_use]
    pub const fn load(self) -> Option<f64> {
        match self {
            Self::Load(load) | Self::AtLeast(load) => Some(load),
            Self::Unsettled(load) => load,
            Self::LessThan(_) => None,
        }
    }
}

/// One load and the least that was lost at it. What one search tried serves the next one with another bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// The load.
    pub load: f64,
    /// The share of what was sent that was lost.
    pub lost: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// Nothing is known but the ceiling.
    Ceiling,
    /// The first guess below the ceiling.
    Guess,
    /// Away from what holds, by this share at the next step.
    Up(f64),
    /// Away from what fails.
    Down(f64),
    /// Between the two.
    Halve,
    /// What was found, once more.
    Confirm,
    /// Over.
    Over(Found),
}

/// A search under way. It is asked for a [`Step`] and told what came of it, until it is done.
#[derive(Clone, Debug)]
pub struct Search {
    terms: Terms,
    stage: Stage,
    next: f64,
    /// The ceiling: the generator's own limit, or what is known to fail.
    ceiling: f64,
    held: Option<f64>,
    failed: Option<f64>,
    /// The least lost at `next`, if it was tried already.
    before: Option<f64>,
    tried: Vec<Tried>,
    trials: u32,
}

impl Search {
    /// A search from this load down, the greatest that can be offered.
    #[must_use]
    pub fn new(terms: Terms, ceiling: f64) -> Self {
        let (stage, next) = (Stage::Ceiling, ceiling);
        Self { terms, stage, next, ceiling, held: None, failed: None, before: None, tried: Vec::new(), trials: 0 }
    }

    /// A search that starts from what another one with other terms tried.
    #[must_use]
    pub fn after(terms: Terms, ceiling: f64, tried: &[Tried]) -> Self {
        let mut search = Self::new(terms, ceiling);
        let fails = |tried: &&Tried| tried.lost > terms.most_lost;
        let least = |least: Option<f64>, load: f64| Some(least.map_or(load, |least: f64| least.min(load)));
        search.failed = tried.iter().filter(fails).map(|tried| tried.load).fold(None, least);
        let below = |load: f64| search.failed.is_none_or(|failed| load < failed);
        let holding = tried.iter().filter(|tried| tried.lost <= terms.most_lost && below(tried.load));
        search.held = holding.map(|tried| tried.load).reduce(f64::max);
        match (search.held, search.failed) {
            (None, None) => {}
            (Some(held), None) if held < ceiling => {}
            (Some(held), _) => search.narrow(held),
            (None, Some(failed)) => search.descend(failed, 2.0 * terms.resolution),
        }
        search
    }

    /// What is to be done next.
    #[must_use]
    pub const fn step(&self) -> Step {
        match self.stage {
            Stage::Over(found) => Step::Done(found),
            _ => Step::Try(self.next),
        }
    }

    /// Tells what share of the frames was lost at the load that was asked for.
    pub fn learn(&mut self, lost: f64) {
        self.trials += 1;
        let best = self.before.map_or(lost, |before| before.min(lost));
        let holds = best <= self.terms.most_lost;
        if !holds && self.before.is_none() && lost <= self.terms.plainly_lost {
            self.before = Some(lost);
        } else {
            self.before = None;
            self.tried.push(Tried { load: self.next, lost: best });
            self.conclude(holds, best);
        }
        if self.trials >= MOST_TRIALS && !matches!(self.stage, Stage::Over(_)) {
            self.stage = Stage::Over(Found::Unsettled(self.held));
        }
    }

    /// Tells that the generator cannot offer what was asked for, only this, of which nothing was lost.
    pub fn cannot_offer(&mut self, reached: f64) {
        self.stage = Stage::Over(Found::AtLeast(self.held.map_or(reached, |held| held.max(reached))));
    }

    /// What is searched for.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// What was tried so far.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The load that was tried last holds or fails.
    fn conclude(&mut self, holds: bool, lost: f64) {
        let load = self.next;
        let first_step = 2.0 * self.terms.resolution;
        let confirmed = self.stage == Stage::Confirm && holds;
        if holds {
            self.held = Some(load);
        } else {
            self.failed = Some(load);
            self.held = self.held.filter(|held| *held < load);
        }
        match (self.stage, holds) {
            (Stage::Over(_), _) => {}
            _ if confirmed => {
                let found = if self.failed.is_none() { Found::AtLeast(load) } else { Found::Load(load) };
                self.stage = Stage::Over(found);
            }
            (Stage::Ceiling | Stage::Confirm, true) => self.confirm(load),
            (Stage::Ceiling, false) => {
                // A little below what came through, because what came through of too much is a little less or more than what is borne.
                let guess = load * (1.0 - lost) * (1.0 - self.terms.resolution / 2.0);
                self.ask(Stage::Guess, guess.min(load * (1.0 - self.terms.resolution)).max(self.terms.least));
            }
            (Stage::Guess, true) => self.ascend(load, first_step),
            (Stage::Up(step), true) => self.ascend(load, 2.0 * step),
            (Stage::Guess | Stage::Confirm, false) => {
                self.held = None;
                self.descend(load, first_step);
            }
            (Stage::Down(step), false) => self.descend(load, 2.0 * step),
            (Stage::Up(_) | Stage::Halve, false) | (Stage::Down(_) | Stage::Halve, true) => {
                self.narrow(self.held.unwrap_or(self.terms.least));
            }
        }
    }

    /// Goes up from what holds, no further than half way to what fails.
    fn ascend(&mut self, held: f64, step: f64) {
        let Some(failed) = self.failed else { return self.confirm(held) };
        let next = held * (1.0 + step);
        if next >= f64::midpoint(held, failed) { self.narrow(held) } else { self.ask(Stage::Up(step), next) }
    }

    /// Goes down from what fails.
    fn descend(&mut self, failed: f64, step: f64) {
        let least = self.terms.least;
        if failed <= least {
            self.stage = Stage::Over(Found::LessThan(least));
            return;
        }
        self.ask(Stage::Down(step), (failed * (1.0 - step.min(WIDEST))).max(least));
    }

    /// Halves what is between, until it is narrow enough.
    fn narrow(&mut self, held: f64) {
        let failed = self.failed.unwrap_or(self.ceiling);
        if failed - held <= self.terms.resolution * failed {
            self.confirm(held);
        } else {
            self.ask(Stage::Halve, f64::midpoint(held, failed));
        }
    }

    fn confirm(&mut self, held: f64) {
        self.ask(Stage::Confirm, held);
    }

    fn ask(&mut self, stage: Stage, load: f64) {
        (self.stage, self.next) = (stage, load);
    }
}

#[cfg(test)]
mod tests {
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
}

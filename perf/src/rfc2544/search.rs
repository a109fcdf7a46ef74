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
mod tests;

//! A candidate set of policies, judged beside the live one on the verdicts that workers ask for. Only the live one decides.
//!
//! ```text
//!   worker -> verdict of the live judge ----------------------------> what happens
//!                 \-> Round::saw -> candidate's verdict -> Tally
//!   policy or pods change -> next Round, its candidate brought up to date; the tally of the one before the last is folded into names
//! ```
//!
//! Rules have numbers, which mean something only to the tables they came from, so a tally is of one pair of tables. When the next
//! round begins, all workers have left the one before the last: the publisher waits for them.

mod follower;
pub(crate) mod tally;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use podlane_dataplane::policy::{Opening, Policy, Verdict};
use podlane_policy::model::{Policy as Written, PolicyName};

use crate::enforce::{Judge, Live, Onlooker};
use follower::Follower;
use tally::{Sample, Tally};

/// A live judge, the candidate's beside it, and where they differ.
#[derive(Debug)]
struct Round {
    live: Arc<Judge>,
    candidate: Judge,
    tally: Tally,
}

impl Onlooker for Round {
    fn saw(&self, opening: &Opening, verdict: Verdict) {
        self.tally.note(opening, verdict, self.candidate.verdict(opening));
    }
}

/// A pair of rules by their names, and whether the live one allows.
type Pair = (String, String, bool);

/// A connection with the pods of its ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) sample: Sample,
    pub(crate) from_pod: Option<String>,
    pub(crate) to_pod: Option<String>,
}

/// What was seen, under names.
#[derive(Clone, Default, Debug)]
pub(crate) struct Seen {
    pub(crate) judged: u64,
    pub(crate) different: u64,
    pub(crate) unlisted: u64,
    pub(crate) differences: BTreeMap<Pair, (u64, Option<Named>)>,
}

impl Seen {
    fn fold(&mut self, round: &Round, live: &Live) {
        let [judged, different, unlisted] = round.tally.totals();
        self.judged += judged;
        self.different += different;
        self.unlisted += unlisted;
        let pod = |address: IpAddr| live.compiler().pod_at(address).map(|pod| pod.name.to_string());
        for difference in round.tally.differences() {
            let live = round.live.rule_name(difference.live.rule).unwrap_or_default();
            let candidate = round.candidate.rule_name(difference.candidate.rule).unwrap_or_default();
            let known = self.differences.entry((live, candidate, difference.live.allow)).or_default();
            known.0 += difference.count;
            if let Some(sample) = difference.last {
                known.1 = Some(Named { sample, from_pod: pod(sample.from), to_pod: pod(sample.to) });
            }
        }
    }
}

#[derive(Debug)]
struct Progress {
    follower: Follower,
    /// The last one, and the one before it, in which a worker may still be.
    rounds: [Option<Arc<Round>>; 2],
    folded: Seen,
}

/// A candidate, kept beside the live policy as that changes.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) added: Vec<PolicyName>,
    pub(crate) replaced: Vec<PolicyName>,
    progress: Mutex<Progress>,
}

impl Shadow {
    /// These policies, added to those of a live cluster or put in place of those of their names.
    pub(crate) fn of(policies: Vec<Written>, cluster: podlane_policy::Cluster) -> Self {
        let is_there = |name: &PolicyName| cluster.policies.iter().any(|policy| policy.name == *name);
        let names = policies.iter().map(|policy| policy.name.clone());
        let (replaced, added) = names.partition(is_there);
        let progress =
            Progress { follower: Follower::of(policies, cluster), rounds: [None, None], folded: Seen::default() };
        Self { added, replaced, progress: Mutex::new(progress) }
    }

    /// What looks on beside a new live judge.
    pub(crate) fn beside(&self, judge: &Arc<Judge>, live: &Live) -> Arc<dyn Onlooker> {
        let mut progress = self.lock();
        let compiled = progress.follower.follow(live.compiler().cluster());
        let candidate = Judge::new(compiled, Arc::clone(judge.places()));
        let round = Arc::new(Round { live: Arc::clone(judge), candidate, tally: Tally::default() });
        let [last, before] = std::mem::take(&mut progress.rounds);
        if let Some(left) = before {
            progress.folded.fold(&left, live);
        }
        progress.rounds = [Some(Arc::clone(&round)), last];
        round
    }

    /// What was seen so far.
    pub(crate) fn seen(&self, live: &Live) -> Seen {
        let progress = self.lock();
        let mut seen = progress.folded.clone();
        progress.rounds.iter().rev().flatten().for_each(|round| seen.fold(round, live));
        seen
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

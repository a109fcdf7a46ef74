//! Next hops that have been asked for and have not answered.
//!
//! A next hop is asked for at most once a second (RFC 1122, 2.3.2.1); one that was asked three times in vain is told to
//! senders as unreachable (RFC 1812, 5.2.7.1), and is still asked for: it may yet come.

use crate::flow::learned::Learned;

/// Between two questions for one next hop, milliseconds.
const INTERVAL: u32 = 1000;
/// Questions without an answer before senders are told.
pub const PATIENCE: u64 = 3;
/// A next hop not wanted for so long starts anew, milliseconds.
const FORGOTTEN: u32 = 20_000;
/// Next hops remembered at once; more than that are asked for as often as packets come, up to the network's limit.
const ROOM: usize = 1024;

/// What to do for a packet whose next hop is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advice {
    /// Ask for it.
    pub ask: bool,
    /// Tell the sender that it is unreachable.
    pub tell: bool,
    /// Questions that were asked in vain before.
    pub before: u64,
}

/// A memory of questions: one worker's for what its packets want, all workers' for the next hops of the underlay.
pub struct Asked {
    questions: Learned<3>,
}

impl Default for Asked {
    fn default() -> Self {
        Self::of(ROOM)
    }
}

impl Asked {
    /// A memory for about so many next hops.
    #[must_use]
    pub fn of(room: usize) -> Self {
        Self { questions: Learned::new(room) }
    }

    /// A next hop has answered: the next question for it is a first one.
    pub fn answered(&self, hop: &[u64; 3]) {
        self.questions.remove(hop);
    }

    /// How often a next hop has been asked for in vain.
    #[must_use]
    pub fn unanswered(&self, hop: &[u64; 3]) -> u64 {
        self.questions.lookup(hop).map_or(0, |value| value >> 32)
    }

    /// Forgets all but these.
    pub fn keep(&self, wanted: impl Fn(&[u64; 3]) -> bool) {
        self.questions.forget(0..self.questions.slots(), |hop, _, _| !wanted(hop), |_, _| ());
    }

    /// Makes room: forgets what has not been wanted for long.
    pub fn tidy(&self, now: u32) {
        let old = |_: &[u64; 3], _: u64, seen: u32| now.wrapping_sub(seen) >= FORGOTTEN;
        self.questions.forget(0..self.questions.slots(), old, |_, _| ());
    }

    /// A packet wants this next hop, and it is not known.
    pub fn wanted(&self, hop: &[u64; 3], now: u32) -> Advice {
        let (count, last) = match self.questions.lookup(hop) {
            Some(value) if now.wrapping_sub(value as u32) < FORGOTTEN => (value >> 32, Some(value as u32)),
            _ => (0, None),
        };
        let ask = last.is_none_or(|last| now.wrapping_sub(last) >= INTERVAL);
        if ask {
            self.questions.learn(hop, (count + 1) << 32 | u64::from(now), now);
        }
        Advice { ask, tell: count >= PATIENCE, before: count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_next_hop_is_asked_once_a_second_and_told_after_the_third_time() {
        let asked = Asked::default();
        let mut questions = 0;
        let mut told_at = None;
        for now in (0..5000).step_by(10) {
            let advice = asked.wanted(&[1, 2, 3], now);
            questions += u32::from(advice.ask);
            if advice.tell && told_at.is_none() {
                told_at = Some(now);
            }
        }
        assert_eq!(questions, 5);
        assert_eq!(told_at, Some(2010));
    }

    #[test]
    fn an_answer_makes_the_next_question_a_first_one() {
        let asked = Asked::default();
        for now in [0, 1000, 2000, 3000] {
            asked.wanted(&[1, 2, 3], now);
        }
        assert_eq!(asked.unanswered(&[1, 2, 3]), 4);
        asked.answered(&[1, 2, 3]);
        assert_eq!(asked.unanswered(&[1, 2, 3]), 0);
        assert_eq!(asked.wanted(&[1, 2, 3], 3001), Advice { ask: true, tell: false, before: 0 });
    }

    #[test]
    fn a_next_hop_long_unwanted_starts_anew() {
        let asked = Asked::default();
        for now in [0, 1000, 2000, 3000] {
            asked.wanted(&[1, 2, 3], now);
        }
        assert_eq!(asked.wanted(&[1, 2, 3], 30_000), Advice { ask: true, tell: false, before: 0 });
    }
}

//! How often the gateway speaks: token buckets (RFC 1812, section 4.3.2.8; RFC 4443, section 2.4 (f)).
//!
//! One network's noise must not silence another, nor its pings its path-MTU errors, so there is one [`Limiter`] a
//! network and in it one bucket a [`Kind`]. Ask when a reply has been written and is worth sending, not before: junk
//! that gets no answer costs no token. The clock is the caller's, once a turn; all arithmetic is in integers and
//! loses nothing between two calls however close.

use super::Quiet;

/// What a reply is, for limiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ARP reply or a neighbour advertisement.
    Neighbour,
    /// An ARP request or a neighbour solicitation of the gateway's own.
    Request,
    /// An echo reply.
    Echo,
    /// A time exceeded error.
    TimeExceeded,
    /// An unreachable error of any reason.
    Unreachable,
    /// A packet too big or fragmentation needed error.
    TooBig,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Neighbour, Self::Request, Self::Echo, Self::TimeExceeded, Self::Unreachable, Self::TooBig];
}

/// How much each kind may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Replies a second in the long run; with 0, the burst is all there ever is.
    pub per_second: u32,
    /// Replies at once after silence; with 0, there are none.
    pub burst: u32,
}

impl Default for Rate {
    /// 100 a second, 50 at once.
    fn default() -> Self {
        Self { per_second: 100, burst: 50 }
    }
}

/// What a reply costs. A rate of `n` a second earns `n` of these a millisecond, which is what keeps it all integers.
const TOKEN: u64 = 1000;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    credit: u64,
    suppressed: u64,
}

/// The buckets of one network.
#[derive(Clone, Debug)]
pub struct Limiter {
    rate: Rate,
    /// The latest moment seen, milliseconds.
    now: u64,
    buckets: [Bucket; Kind::ALL.len()],
}

impl Limiter {
    /// Buckets that are full.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let full = Bucket { credit: u64::from(rate.burst) * TOKEN, suppressed: 0 };
        Self { rate, now: 0, buckets: [full; Kind::ALL.len()] }
    }

    /// Pays for one reply of `kind` at `now`, in milliseconds of any clock that does not go back; one that does earns
    /// nothing until it has caught up.
    ///
    /// # Errors
    /// [`Quiet::Limited`] when the bucket is empty; the reply is to be dropped and has been counted.
    pub fn admit(&mut self, kind: Kind, now: u64) -> Result<(), Quiet> {
        self.earn(now);
        let bucket = &mut self.buckets[kind as usize];
        if let Some(left) = bucket.credit.checked_sub(TOKEN) {
            bucket.credit = left;
            Ok(())
        } else {
            bucket.suppressed += 1;
            Err(Quiet::Limited)
        }
    }

    /// How many replies of `kind` were not admitted.
    #[must_use]
    pub fn suppressed(&self, kind: Kind) -> u64 {
        self.buckets[kind as usize].suppressed
    }

    fn earn(&mut self, now: u64) {
        let earned = now.saturating_sub(self.now).saturating_mul(self.rate.per_second.into());
        self.now = self.now.max(now);
        let full = u64::from(self.rate.burst) * TOKEN;
        for bucket in &mut self.buckets {
            bucket.credit = bucket.credit.saturating_add(earned).min(full);
        }
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new(Rate::default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admitted(limiter: &mut Limiter, kind: Kind, now: u64, asked: u32) -> usize {
        (0..asked).filter(|_| limiter.admit(kind, now).is_ok()).count()
    }

    #[test]
    fn the_default_is_fifty_at_once_and_a_hundred_a_second() {
        let mut limiter = Limiter::default();
        assert_eq!(admitted(&mut limiter, Kind::Echo, 5000, 80), 50);
        assert_eq!(limiter.suppressed(Kind::Echo), 30);
        assert_eq!(admitted(&mut limiter, Kind::Echo, 5009, 1), 0);
        assert_eq!(admitted(&mut limiter, Kind::Echo, 5010, 2), 1);
        let second: usize = (5011..6011).map(|now| admitted(&mut limiter, Kind::Echo, now, 3)).sum();
        assert_eq!(second, 100);
        assert_eq!(admitted(&mut limiter, Kind::Echo, 60_000, 80), 50);
    }

    #[test]
    fn one_kind_does_not_silence_another() {
        let mut limiter = Limiter::default();
        admitted(&mut limiter, Kind::Echo, 0, 1000);
        for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Echo) {
            assert_eq!((admitted(&mut limiter, kind, 0, 50), limiter.suppressed(kind)), (50, 0));
        }
    }

    #[test]
    fn a_clock_that_goes_back_earns_nothing_twice() {
        let mut limiter = Limiter::new(Rate { per_second: 1000, burst: 10 });
        assert_eq!(admitted(&mut limiter, Kind::Echo, 100, 20), 10);
        assert_eq!(admitted(&mut limiter, Kind::Echo, 50, 20), 0);
        assert_eq!(admitted(&mut limiter, Kind::Echo, 100, 20), 0);
        assert_eq!(admitted(&mut limiter, Kind::Echo, u64::MAX, 20), 10);
    }

    #[test]
    fn a_rate_of_nothing_is_silence() {
        let mut limiter = Limiter::new(Rate { per_second: 100, burst: 0 });
        assert_eq!(admitted(&mut limiter, Kind::Echo, 1 << 40, 5), 0);
        let mut limiter = Limiter::new(Rate { per_second: 0, burst: 3 });
        assert_eq!(admitted(&mut limiter, Kind::Echo, 1 << 40, 5), 3);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_allow_and_all_is_counted(
            per_second in 0_u32..2000,
            burst in 0_u32..100,
            steps in prop::collection::vec((0_u64..300, 0_u32..60), 0..60),
        ) {
            let mut limiter = Limiter::new(Rate { per_second, burst });
            let (mut now, mut asked, mut given) = (0, 0, 0);
            for (pause, count) in steps {
                now += pause;
                asked += u64::from(count);
                given += admitted(&mut limiter, Kind::TooBig, now, count) as u64;
                prop_assert!(given <= u64::from(burst) + now * u64::from(per_second) / 1000);
            }
            prop_assert_eq!(given + limiter.suppressed(Kind::TooBig), asked);
        }
    }
}

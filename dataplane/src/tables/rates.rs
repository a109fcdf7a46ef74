//! What a port may send, receive and open a second, in the form in which it is held against the clock.
//!
//! A rate is kept as time: what one byte, or one connection, takes at that rate, and for how long the port may be ahead of it. A check
//! is then one multiplication and one comparison, whatever the rate, and what a port has used up outlives a change of it.
//! Time is in fractions of a millisecond, 2^32 of them, which a whole millisecond is a shift away from.

use core::num::{NonZeroU32, NonZeroU64};

/// Fractions in a millisecond, as a power of two.
pub const FRACTION: u32 = 32;

/// Bits that the cost of one unit has besides: at 400 Gbit/s what it leaves out is a byte in six million.
const PRECISION: u32 = 16;

/// Added to every burst: each cost is rounded up, so that a burst would not hold what is exactly as long as it. 15 ns.
const GRAIN: u64 = 1 << 16;

/// No burst is longer than twelve days of its rate, half of what the workers' clock can tell apart.
const LONGEST: u64 = 1 << (FRACTION + 30);

/// How much a second, and how much at once after silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// The time of one unit, in `2^-PRECISION` fractions.
    cost: NonZeroU64,
    /// How far a port may be ahead of its rate, in fractions.
    depth: u64,
}

impl Rate {
    /// So many bits a second; after silence, `burst` bits at once. Its units are bytes, all of a frame's: the Ethernet header counts, as in the
    /// kernel's `tbf`.
    #[must_use]
    pub fn of_bits(per_second: NonZeroU64, burst: u64) -> Self {
        Self::of((8_000, 1_000), per_second, burst)
    }

    /// So many connections a second, and as many at once after silence.
    #[must_use]
    pub fn of_connections(per_second: NonZeroU32) -> Self {
        Self::of((1_000, 1_000), per_second.into(), per_second.get().into())
    }

    /// `unit` and `measure`: the milliseconds that a unit, and that one of what the burst is measured in, take at a rate of one a second.
    fn of((unit, measure): (u64, u64), per_second: NonZeroU64, burst: u64) -> Self {
        let rate = u128::from(per_second.get());
        let cost = (u128::from(unit) << (FRACTION + PRECISION)).div_ceil(rate);
        let depth = ((u128::from(burst) * u128::from(measure)) << FRACTION) / rate;
        let depth = u64::try_from(depth).unwrap_or(LONGEST).min(LONGEST) + GRAIN;
        let cost = u64::try_from(cost).ok().and_then(NonZeroU64::new).unwrap_or(NonZeroU64::MAX);
        Self { cost, depth }
    }

    /// The time that so many units take, in fractions.
    #[inline]
    #[must_use]
    pub(crate) fn time_of(&self, units: u64) -> u64 {
        let time =
            (u128::from(self.cost.get()) * u128::from(units) + u128::from((1_u64 << PRECISION) - 1)) >> PRECISION;
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// How far a port may be ahead, in fractions.
    #[inline]
    #[must_use]
    pub(crate) const fn depth(&self) -> u64 {
        self.depth
    }
}

/// What a port may; each is unlimited where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// What the pod sends.
    pub egress: Option<Rate>,
    /// What the pod receives.
    pub ingress: Option<Rate>,
    /// New connections that the pod opens.
    pub new_connections: Option<Rate>,
}

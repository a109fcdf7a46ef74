//! meter: what a pod sends, receives and opens is held against its rates.
//!
//! A meter is one number, the moment at which the port will have earned all it has used (the "theoretical arrival time" of the GCRA, ITU-T I.371,
//! annex A: a token bucket that stores its empty part as time). One compare-and-swap takes from it, so workers share it without
//! a lock and none of them ever counts on what another is about to add. Moments are worker-clock milliseconds with 32
//! bits behind the point, and wrap with the clock.
//!
//! What is over its rate is dropped, not delayed: the rings in front of the switch are its queue. A burst that conforms costs one check, a port without
//! rates one test.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{
    burst::Line,
    drops::DropReason,
    flow::Program,
    ids::{MAX_PORTS, PortId},
    stage::lookup::rows,
    tables::{
        Tables,
        rates::{FRACTION, Rate},
    },
};

/// How far the clocks of two workers can be apart, which read it once a turn, in fractions; what is further ahead than a full burst and
/// this was left by a longer burst, or by the clock's last round, and counts no more.
const APART: u64 = 1000 << FRACTION;

/// A moment so long past is renewed, in fractions: before the clock comes round to it.
const OLD: u64 = 1 << (FRACTION + 29);

/// One port's moments; a cache line, since neighbours' workers differ.
#[derive(Default)]
#[repr(align(64))]
struct Meter {
    egress: AtomicU64,
    ingress: AtomicU64,
    connections: AtomicU64,
}

/// The meters of all ports, shared by the workers.
pub struct Meters {
    ports: Box<[Meter]>,
}

impl Default for Meters {
    fn default() -> Self {
        Self { ports: (0..MAX_PORTS).map(|_| Meter::default()).collect() }
    }
}

impl Meters {
    /// Whether the pod behind `port` may send so many bytes more; if so, they are taken from its rate.
    #[inline]
    #[must_use]
    pub fn sends(&self, port: PortId, rate: &Rate, bytes: u64, now: u32) -> bool {
        self.ports.get(port.index()).is_none_or(|meter| take(&meter.egress, rate, bytes, now))
    }

    /// Whether the pod behind `port` may receive so many bytes more; if so, they are taken from its rate.
    #[inline]
    #[must_use]
    pub fn receives(&self, port: PortId, rate: &Rate, bytes: u64, now: u32) -> bool {
        self.ports.get(port.index()).is_none_or(|meter| take(&meter.ingress, rate, bytes, now))
    }

    /// Whether the pod behind `port` may open one more connection; if so, it is taken from its rate. A path's port has none.
    #[must_use]
    pub fn opens(&self, tables: &Tables, port: PortId, now: u32) -> bool {
        let Some(rate) = tables.port(port).and_then(|table| table.rates.new_connections.as_ref()) else { return true };
        self.ports.get(port.index()).is_none_or(|meter| take(&meter.connections, rate, 1, now))
    }

    /// Gives a port all it can have earned: its number is another's from now on.
    pub fn reset(&self, port: PortId) {
        let Some(Meter { egress, ingress, connections }) = self.ports.get(port.index()) else { return };
        // As it was before anybody took from it.
        [egress, ingress, connections].into_iter().for_each(|meter| meter.store(0, Ordering::Relaxed));
    }

    /// Keeps the moments of a port that is silent from looking like moments to come, when the clock has gone round. To be called for each port
    /// every few days.
    pub fn renew(&self, port: PortId, now: u32) {
        let Some(Meter { egress, ingress, connections }) = self.ports.get(port.index()) else { return };
        let now = u64::from(now) << FRACTION;
        for meter in [egress, ingress, connections] {
            let earned_at = meter.load(Ordering::Relaxed);
            if (OLD..1 << 63).contains(&now.wrapping_sub(earned_at)) {
                // One that has been changed meanwhile is new.
                let _ = meter.compare_exchange(earned_at, now, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }
}

/// Takes `units` out of what a meter has earned: all of them, or none.
#[inline]
fn take(meter: &AtomicU64, rate: &Rate, units: u64, now: u32) -> bool {
    let (now, cost) = (u64::from(now) << FRACTION, rate.time_of(units));
    // It is all there is to know, so no other memory is ordered by it.
    let mut earned_at = meter.load(Ordering::Relaxed);
    loop {
        let ahead = earned_at.wrapping_sub(now);
        // A moment that has passed is, as it wraps, far ahead.
        let ahead = if ahead > rate.depth() + APART { 0 } else { ahead };
        let Some(then) = ahead.checked_add(cost).filter(|then| *then <= rate.depth()) else { return false };
        let taken = now.wrapping_add(then);
        match meter.compare_exchange_weak(earned_at, taken, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(changed) => earned_at = changed,
        }
    }
}

/// Ends what a pod sends over its rate: the whole burst is checked at once, and packet by packet only where that is too much. What is
/// malformed is dead already, and takes nothing.
#[inline(never)] // registers of its own, as in classify
pub fn egress(line: &mut Line, (port, rate): (PortId, &Rate), meters: &Meters, now: u32) {
    let bytes = rows(line.missing).map(|row| u64::from(line.lengths[row])).sum();
    if meters.sends(port, rate, bytes, now) {
        return;
    }
    for row in rows(line.missing) {
        if !meters.sends(port, rate, line.lengths[row].into(), now) {
            line.programs[row] = Program::drop(DropReason::EgressRate);
            line.missing &= !(1 << row);
        }
    }
}

#[cfg(test)]
mod tests;

//! What policy refused, for the operator: by which rule, between whom, how often, and when last.
//!
//! A fixed table a worker, so that a scan of a million ports costs the memory of none. It keeps those seen last: a newcomer takes the
//! place of the one of its set that was silent longest, and what that had counted goes into [`Denials::forgotten`]. The sum of all counts
//! is therefore always what was denied.

use crate::{
    flow::learned::spread,
    ids::PortId,
    policy::{Opening, Rule},
    tables::underlay::peer_key,
};

/// Sets of the table; a power of two.
const SETS: usize = 64;
/// Places in a set.
const WAYS: usize = 4;

/// Something that was refused: all packets that would have opened the same connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denial {
    /// By which rule.
    pub rule: Rule,
    /// The connection that was not opened.
    pub opening: Opening,
    /// How often.
    pub count: u64,
    /// When last, in milliseconds of the worker's clock.
    pub last: u32,
}

/// One worker's table of what was refused.
#[derive(Clone, Debug)]
pub struct Denials {
    sets: Box<[[Option<Denial>; WAYS]]>,
    forgotten: u64,
}

impl Default for Denials {
    fn default() -> Self {
        Self { sets: vec![[None; WAYS]; SETS].into(), forgotten: 0 }
    }
}

impl Denials {
    /// Counts a refusal.
    pub fn count(&mut self, opening: &Opening, rule: Rule, now: u32) {
        let number = set_of(opening, rule);
        let Some(set) = self.sets.get_mut(number) else { return };
        let known = |denial: &Denial| denial.rule == rule && denial.opening == *opening;
        if let Some(denial) = set.iter_mut().flatten().find(|denial| known(denial)) {
            denial.count += 1;
            denial.last = now;
            return;
        }
        let silent = |place: &Option<Denial>| place.map_or(u32::MAX, |denial| now.wrapping_sub(denial.last));
        let Some(place) = set.iter_mut().max_by_key(|place| silent(place)) else { return };
        self.forgotten += place.map_or(0, |former| former.count);
        *place = Some(Denial { rule, opening: *opening, count: 1, last: now });
    }

    /// What is remembered, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Denial> {
        self.sets.iter().flatten().flatten()
    }

    /// Refusals that are counted here and remembered no more.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

fn set_of(opening: &Opening, rule: Rule) -> usize {
    let [from, to] = [opening.from, opening.to].map(|end| peer_key(end.address));
    let port = |port: PortId| u64::from(port.0);
    let kind = u64::from(opening.protocol) << 16 | u64::from(opening.port) | u64::from(rule.0) << 32;
    let ends = port(opening.from.port) << 16 | port(opening.to.port);
    spread(&[kind, ends, from[1], from[2], to[1], to[2]]) as usize % SETS
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::policy::{End, Leasing};

    fn opening(port: u16) -> Opening {
        let end = |last, port| End { address: IpAddr::from(Ipv4Addr::new(10, 0, 0, last)), port: PortId(port) };
        Opening { from: end(1, 1), to: end(2, 2), protocol: 6, port, leasing: Leasing::Unrelated }
    }

    #[test]
    fn one_refusal_is_one_line_however_often_and_another_rule_is_another() {
        let mut denials = Denials::default();
        for now in 0..5 {
            denials.count(&opening(80), Rule(1), now);
        }
        denials.count(&opening(80), Rule(2), 9);
        let mut lines: Vec<_> = denials.iter().map(|denial| (denial.rule, denial.count, denial.last)).collect();
        lines.sort_unstable();
        assert_eq!(lines, [(Rule(1), 5, 4), (Rule(2), 1, 9)]);
    }

    #[test]
    fn a_scan_costs_no_more_than_the_table_and_loses_no_count() {
        let mut denials = Denials::default();
        for port in 0..10_000 {
            denials.count(&opening(port), Rule(1), u32::from(port));
        }
        assert!(denials.iter().count() <= SETS * WAYS);
        let remembered: u64 = denials.iter().map(|denial| denial.count).sum();
        assert_eq!(remembered + denials.forgotten(), 10_000);
        // The last ones are those that are remembered.
        assert!(denials.iter().any(|denial| denial.opening.port == 9_999));
    }
}

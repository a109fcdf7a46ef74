//! The rules of every subject that has some: the same ones, in the same order, so that whoever looks through them one by one finds
//! the traffic's own last.

use core::net::Ipv4Addr;

use crate::load::traffic::{SERVICE, address};

/// How many there are.
pub const RULES: u16 = 1000;

/// One of them: who may send UDP to which port. What none allows is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowed {
    /// The sender.
    pub from: Ipv4Addr,
    /// The destination port.
    pub port: u16,
}

/// All of them. The traffic's own is the last.
pub fn rules() -> impl Iterator<Item = Allowed> {
    let others = (1..RULES).map(|number| {
        let [high, low] = number.to_be_bytes();
        Allowed { from: Ipv4Addr::new(10, 91, high, low), port: 10_000 + number }
    });
    others.chain([Allowed { from: address(0, 1), port: SERVICE }])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn only_the_last_rule_allows_the_traffic() {
        let rules: Vec<Allowed> = rules().collect();
        assert_eq!(rules.len(), usize::from(RULES));
        assert_eq!(rules.iter().map(|rule| (rule.from, rule.port)).collect::<HashSet<_>>().len(), rules.len());
        let allowing = rules.iter().position(|rule| rule.from == address(0, 1) || rule.port == SERVICE);
        assert_eq!(allowing, Some(rules.len() - 1));
    }
}

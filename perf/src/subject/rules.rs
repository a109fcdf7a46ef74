//! The rules of every subject that has some: the same ones, in the same order, so that whoever looks through them one by one finds
//! the traffic's own last.

use core::net::Ipv4Addr;

use crate::load::traffic::{SERVICE, address};

/// One of them: who may send UDP to which port. What none allows is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Allowed {
    /// The sender.
    pub(super) from: Ipv4Addr,
    /// The destination port.
    pub(super) port: u16,
}

/// So many of them. The traffic's own is the last.
pub(super) fn rules(number: u16) -> impl Iterator<Item = Allowed> {
    let others = (1..number).map(|number| {
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
        let rules: Vec<Allowed> = rules(10_000).collect();
        assert_eq!(rules.len(), 10_000);
        assert_eq!(rules.iter().map(|rule| (rule.from, rule.port)).collect::<HashSet<_>>().len(), rules.len());
        let allowing = rules.iter().position(|rule| rule.from == address(0, 1) || rule.port == SERVICE);
        assert_eq!(allowing, Some(rules.len() - 1));
    }
}

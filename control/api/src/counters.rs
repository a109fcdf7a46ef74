//! The ledger: where every packet went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Packets dropped, by the reason's stable name.
pub type Dropped = BTreeMap<String, u64>;

/// Where packets went: received = sent + dropped + held. At every moment the daemon looks, [`balances`](Self::balances)
/// holds.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Ledger {
    /// Packets that came in by a port, or were made by the switch.
    pub received: u64,
    /// How many of those the switch made itself: its own replies, and the copies of a flood past the first.
    #[serde(default)]
    pub made: u64,
    /// Packets that left by a port.
    pub sent: u64,
    /// Packets still in the switch.
    pub held: u64,
    /// Packets dropped, by reason.
    pub dropped: Dropped,
}

impl Ledger {
    /// Whether every packet is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        let dropped: u64 = self.dropped.values().sum();
        self.received == self.sent + self.held + dropped
    }
}

/// The ledger of the whole switch and of each port.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counters {
    /// All ports together.
    #[serde(flatten)]
    pub total: Ledger,
    /// Whether the total is [balanced](Ledger::balances), as the daemon saw it.
    pub balanced: bool,
    /// Each port's share, by name.
    pub ports: Vec<PortLedger>,
    /// The share of ports that have been removed, all together, without a name.
    #[serde(default, skip_serializing_if = "PortLedger::is_empty")]
    pub gone: PortLedger,
}

/// One port's share of the ledger. What came in by one port leaves by another, so that only the whole balances.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct PortLedger {
    /// The port.
    pub name: String,
    /// Packets that came in by it.
    pub received: u64,
    /// Packets that left by it.
    pub sent: u64,
    /// Packets that wait to leave by it.
    pub held: u64,
    /// Packets that came in by it and were dropped, by reason.
    pub dropped: Dropped,
}

impl PortLedger {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { received, sent, held, dropped, .. } = self;
        *received == 0 && *sent == 0 && *held == 0 && dropped.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_packet_unbalances_the_ledger() {
        let mut ledger = Ledger { received: 11, made: 2, sent: 7, held: 1, dropped: Dropped::new() };
        assert!(!ledger.balances());
        ledger.dropped.insert("runt".to_owned(), 3);
        assert!(ledger.balances());
    }

    #[test]
    fn the_total_stands_beside_its_verdict_in_json() {
        let counters = Counters { total: Ledger::default(), balanced: true, ..Counters::default() };
        let json = serde_json::to_value(&counters).unwrap();
        assert_eq!(json["received"], 0);
        assert_eq!(json["balanced"], true);
        assert_eq!(serde_json::from_value::<Counters>(json).unwrap(), counters);
    }
}

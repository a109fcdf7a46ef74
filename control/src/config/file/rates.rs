//! The keys of a port that say how much the pod behind it may send, receive and open.

use super::super::table::{Entry, Table};
use crate::desired::{BitRate, Burst, ConnectionRate};

/// The keys of a port's rates.
pub(in crate::config) struct RateKeys {
    pub(in crate::config) ingress: BandwidthKeys,
    pub(in crate::config) egress: BandwidthKeys,
    pub(in crate::config) new_connections: Entry<ConnectionRate>,
}

/// The keys of one direction.
pub(in crate::config) struct BandwidthKeys {
    /// What they are called: the rate, and the burst.
    pub(in crate::config) keys: [&'static str; 2],
    pub(in crate::config) rate: Entry<BitRate>,
    pub(in crate::config) burst: Entry<Burst>,
    /// False where the rate is absent for a mistake that is told.
    pub(in crate::config) is_rate_sound: bool,
}

impl RateKeys {
    /// Takes them out of a port's table.
    pub(super) fn of(table: &Table<'_>) -> Self {
        Self {
            ingress: BandwidthKeys::of(table, ["ingress_rate", "ingress_burst"]),
            egress: BandwidthKeys::of(table, ["egress_rate", "egress_burst"]),
            new_connections: table.get("new_connections"),
        }
    }

    /// Notes what the table knows of them when all its keys have been asked for.
    pub(super) fn note(&mut self, table: &Table<'_>) {
        for direction in [&mut self.ingress, &mut self.egress] {
            direction.is_rate_sound = table.is_sound(direction.keys[0]);
        }
    }

    /// Each with its place, where it is written and good.
    pub(in crate::config) fn places(&self) -> [(&'static str, Option<usize>); 5] {
        let Self { ingress, egress, new_connections } = self;
        let [ingress_rate, ingress_burst] = ingress.keys;
        let [egress_rate, egress_burst] = egress.keys;
        [
            (ingress_rate, ingress.rate.at()),
            (ingress_burst, ingress.burst.at()),
            (egress_rate, egress.rate.at()),
            (egress_burst, egress.burst.at()),
            ("new_connections", new_connections.at()),
        ]
    }
}

impl BandwidthKeys {
    fn of(table: &Table<'_>, keys: [&'static str; 2]) -> Self {
        let [rate, burst] = keys;
        Self { keys, rate: table.get(rate), burst: table.get(burst), is_rate_sound: true }
    }
}

//! `[offload]`: what the engines are like that ports and networks can choose.

use super::super::table::Table;
use super::super::value::{Capacity, Every, Family, Field, Insertions, Latency, Protocol};
use crate::desired::{Emulated, Fields};

/// `[offload.emulated]`; every key has the engine's own default.
pub(super) fn emulated(root: &Table<'_>) -> Emulated {
    let offload = root.section("offload");
    let table = offload.section("emulated");
    let default = Emulated::default();
    let families: Option<Vec<Family>> = listed(&table, "families");
    let carries = |family| families.as_ref().is_none_or(|families| families.contains(&family));
    let protocols: Option<Vec<Protocol>> = listed(&table, "protocols");
    let speaks = |protocol| protocols.as_ref().is_none_or(|protocols| protocols.contains(&protocol));
    let ignored: Vec<Field> = listed(&table, "ignores").unwrap_or_default();
    let emulated = Emulated {
        capacity: table.get_or("capacity", Capacity(default.capacity)).value.0,
        eviction: table.get_or("eviction", default.eviction).value,
        matches: ignored.into_iter().fold(Fields::ALL, |fields, Field(ignored)| fields - ignored),
        ipv4: carries(Family::Ipv4),
        ipv6: carries(Family::Ipv6),
        tcp: speaks(Protocol::Tcp),
        udp: speaks(Protocol::Udp),
        sctp: speaks(Protocol::Sctp),
        icmp: speaks(Protocol::Icmp),
        vlan: table.get_or("vlan", default.vlan).value,
        tunnels: table.get_or("tunnels", default.tunnels).value,
        insertions: table.get_or("insertions", Insertions(default.insertions)).value.0,
        latency: table.get_or("latency_ms", Latency(default.latency)).value.0,
        refuse_every: table.get_or("refuse_every", Every(default.refuse_every)).value.0,
        lose_every: table.get_or("lose_every", Every(default.lose_every)).value.0,
        seed: table.get_or("seed", default.seed).value,
    };
    table.end();
    offload.end();
    emulated
}

fn listed<T: super::super::value::FromValue>(table: &Table<'_>, key: &'static str) -> Option<Vec<T>> {
    Some(table.list::<T>(key).into_value()?.into_iter().map(|entry| entry.value).collect())
}

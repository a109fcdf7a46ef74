//! `[policy]`, and the keys of a port that say which pod is behind it.

use podlane_policy::model::PodName;

use super::super::defaults;
use super::super::table::{At, Entry, Table};
use super::super::value::{FilePath, LabelKey, LabelValue, PortName, ServicePort};
use crate::desired::{Policy, Timeouts};

type Pairs<K, V> = Entry<Vec<(At<K>, At<V>)>>;

/// The keys of a port with a pod behind it, or the node.
pub(in crate::config) struct PodKeys {
    pub(in crate::config) pod: Entry<PodName>,
    pub(in crate::config) labels: Pairs<LabelKey, LabelValue>,
    pub(in crate::config) ports: Pairs<PortName, ServicePort>,
    pub(in crate::config) node: Entry<bool>,
    /// False where the pod is absent for a mistake that is told.
    pub(in crate::config) is_pod_sound: bool,
}

impl PodKeys {
    /// Takes them out of a port's table. Whether they are sound, the table knows when all its keys have been asked for.
    pub(super) fn of(table: &Table<'_>) -> Self {
        Self {
            pod: table.get("pod"),
            labels: table.map("labels"),
            ports: table.map("ports"),
            node: table.get("node"),
            is_pod_sound: true,
        }
    }
}

pub(super) fn policy(table: Table<'_>) -> Policy {
    let files = table.list::<FilePath>("files").into_value().unwrap_or_default();
    let policy = Policy {
        files: files.into_iter().map(|file| file.value.0).collect(),
        pick_up: table.get_or("pick_up", defaults::PICK_UP).value,
        connections: table.get_or("connections", defaults::CONNECTIONS).value,
        timeouts: timeouts(table.section("timeouts")),
    };
    table.end();
    policy
}

fn timeouts(table: Table<'_>) -> Timeouts {
    let of = |key, default| table.get_or(key, default).value;
    let timeouts = Timeouts {
        tcp_opening: of("tcp_opening", defaults::TCP_OPENING),
        tcp_established: of("tcp_established", defaults::TCP_ESTABLISHED),
        tcp_closing: of("tcp_closing", defaults::TCP_CLOSING),
        tcp_closed: of("tcp_closed", defaults::TCP_CLOSED),
        udp_opening: of("udp_opening", defaults::UDP_OPENING),
        udp: of("udp", defaults::UDP),
        icmp: of("icmp", defaults::ICMP),
        other: of("other", defaults::OTHER),
    };
    table.end();
    timeouts
}

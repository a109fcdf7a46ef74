//! Rules of `ranges`, `reserved` and `routers`: what pods get lies in a subnet of their network, once, and what is kept back is in it.

use podlane_ipam::Span;

use super::networks::{Subnets, station};
use crate::config::file::{File, NetworkTable};
use crate::config::mistake::{Findings, Mistake};
use crate::config::table::{At, Entry};
use crate::desired::{Gateway, Network, Prefix, Supply};

/// Addresses are only given to pods that are attached.
pub(super) fn needed(file: &File, findings: &Findings<'_>) {
    if file.attachments.is_some() || !file.are_attachments_sound {
        return;
    }
    for table in &file.networks {
        for (key, at) in table.supply.written() {
            findings.add(at, &table.subject, Mistake::NeedsAttachments { key });
        }
    }
}

/// What the network's pods can get. Its gateways are known, and in `subnets`.
pub(super) fn verify(
    table: &NetworkTable,
    network: &Network,
    subnets: &mut Subnets,
    findings: &Findings<'_>,
) -> Supply {
    let routers = written(&table.supply.routers);
    for router in routers {
        if let Some(mistake) = station(router.value).or_else(|| subnets.overlap(router.value, network)) {
            findings.add(router.at, &table.subject, mistake);
        }
        subnets.add(router.value, network);
    }
    let gateways = table.gateways.iter().chain(routers).map(|gateway| gateway.value);
    let prefixes: Vec<Prefix> = gateways.clone().map(Prefix::of).collect();
    let all: Vec<Span> = gateways.filter_map(whole).collect();
    let ranges = written(&table.supply.ranges);
    apart(ranges, table, findings);
    within(ranges, &all, table, findings, |range| Mistake::RangeOutside { range, subnets: prefixes.clone() });
    let reserved = written(&table.supply.reserved);
    apart(reserved, table, findings);
    let given: Vec<Span> = if ranges.is_empty() { all } else { values(ranges) };
    within(reserved, &given, table, findings, |reserved| Mistake::ReservedOutside { reserved, ranges: given.clone() });
    Supply { ranges: values(ranges), reserved: values(reserved), routers: values(routers) }
}

/// Each of `spans` is in one of `room`.
fn within(
    spans: &[At<Span>],
    room: &[Span],
    table: &NetworkTable,
    findings: &Findings<'_>,
    mistake: impl Fn(Span) -> Mistake,
) {
    for span in spans.iter().filter(|span| !room.iter().any(|room| room.covers(span.value))) {
        findings.add(span.at, &table.subject, mistake(span.value));
    }
}

/// None of `spans` is partly another.
fn apart(spans: &[At<Span>], table: &NetworkTable, findings: &Findings<'_>) {
    for (index, span) in spans.iter().enumerate() {
        if let Some(first) = spans[..index].iter().find(|first| first.value.overlaps(span.value)) {
            let mistake = Mistake::RangeTwice { range: span.value, other: first.value, first: findings.line(first.at) };
            findings.add(span.at, &table.subject, mistake);
        }
    }
}

fn whole(gateway: Gateway) -> Option<Span> {
    Span::subnet(gateway.address(), gateway.prefix_len())
}

fn written<T>(entry: &Entry<Vec<At<T>>>) -> &[At<T>] {
    entry.given().map_or(&[], |list| &list.value)
}

fn values<T: Copy>(list: &[At<T>]) -> Vec<T> {
    list.iter().map(|item| item.value).collect()
}

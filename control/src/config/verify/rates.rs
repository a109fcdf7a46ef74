//! Rules of a port's rates: each where it can be kept.

use podlane_api::PortKind;

use super::Networks;
use crate::config::defaults;
use crate::config::file::{BandwidthKeys, PortTable, RateKeys};
use crate::config::mistake::{Findings, Mistake};
use crate::desired::{Bandwidth, Burst, Mtu, Rates};

/// Checks all ports'. `may_enforce`: a policy is there, or is not for a mistake that is told.
pub(super) fn verify(tables: &[PortTable], (networks, may_enforce): (&Networks, bool), findings: &Findings<'_>) {
    for table in tables {
        let RateKeys { ingress, egress, new_connections } = &table.rates;
        if table.kind == PortKind::Uplink && table.is_kind_sound {
            // Many pods' traffic goes by it, and all of it at once is not one's.
            for (key, at) in table.rates.places() {
                if let Some(at) = at {
                    findings.add(at, &table.subject, Mistake::NotForKind { key, kind: table.kind });
                }
            }
            continue;
        }
        let mtu = mtu(table, networks);
        for direction in [ingress, egress] {
            if let Some((at, mistake)) = burst_mistake(direction, mtu) {
                findings.add(at, &table.subject, mistake);
            }
        }
        let Some(at) = new_connections.at() else { continue };
        if table.pod.pod.is_absent() && table.pod.is_pod_sound {
            findings.add(at, &table.subject, Mistake::NeedsPod { key: "new_connections" });
        } else if !may_enforce {
            findings.add(at, &table.subject, Mistake::NeedsPolicy { key: "new_connections" });
        }
    }
}

/// The longest packet of the port's networks.
fn mtu(table: &PortTable, networks: &Networks) -> Mtu {
    let tagged = table.vlans.given().into_iter().flat_map(|vlans| vlans.value.iter().map(|(_, name)| name));
    let names = table.network.given().into_iter().chain(tagged);
    names.filter_map(|name| networks.get(&name.value)).filter_map(|network| network.mtu).max().unwrap_or(defaults::MTU)
}

fn burst_mistake(direction: &BandwidthKeys, mtu: Mtu) -> Option<(usize, Mistake)> {
    let BandwidthKeys { keys: [rate, burst], .. } = *direction;
    let written = direction.burst.given()?;
    let Some(given) = direction.rate.given() else {
        let is_left_out = direction.rate.is_absent() && direction.is_rate_sound;
        return is_left_out.then_some((written.at, Mistake::BurstWithoutRate { burst, rate }));
    };
    let least = Burst::least_of(given.value, mtu);
    let mistake = Mistake::SmallBurst { key: burst, burst: written.value, least, mtu };
    (written.value < least).then_some((written.at, mistake))
}

/// What a port may.
pub(super) fn of(keys: RateKeys) -> Rates {
    let bandwidth = |BandwidthKeys { rate, burst, .. }: BandwidthKeys| {
        let rate = rate.into_value()?;
        Some(Bandwidth { rate, burst: burst.into_value().unwrap_or_else(|| defaults::burst(rate)) })
    };
    Rates {
        ingress: bandwidth(keys.ingress),
        egress: bandwidth(keys.egress),
        new_connections: keys.new_connections.into_value(),
    }
}

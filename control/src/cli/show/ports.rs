//! `podlane ports`

use std::fmt::Write;

use podlane_api::{Bandwidth, KernelDrops, Port, PortState, Ports, Rates, Sharing};

use super::{Show, total};
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::{bits, bytes, count};

impl Show for Ports {
    fn show(&self, paint: Paint) -> String {
        let columns = [
            ("PORT", Left),
            ("KIND", Left),
            ("DEVICE", Left),
            ("NETWORK", Left),
            ("STATE", Left),
            ("MODE", Left),
            ("QUEUES", Right),
            ("RECEIVED", Right),
            ("", Right),
            ("SENT", Right),
            ("", Right),
            ("DROPPED", Right),
            ("HELD", Right),
        ];
        let mut table = Table::new(columns, paint);
        for port in &self.ports {
            let dropped = total(&port.dropped);
            table.row([
                port.name.as_str().into(),
                port.kind.to_string().into(),
                Cell::or_dash(port.device.as_deref()),
                networks(port, &self.underlay).into(),
                Cell::styled(port.state.to_string(), state_style(port.state, paint)),
                mode(port),
                port.queues.to_string().into(),
                count(port.received.packets).into(),
                bytes(port.received.bytes).into(),
                count(port.sent.packets).into(),
                bytes(port.sent.bytes).into(),
                Cell::styled(count(dropped), if dropped == 0 { paint.good } else { paint.odd }),
                count(port.held).into(),
            ]);
        }
        let mut text = table.to_string();
        for line in self.ports.iter().flat_map(remarks) {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

fn state_style(state: PortState, paint: Paint) -> anstyle::Style {
    match state {
        PortState::Up => paint.good,
        PortState::Waiting => paint.odd,
        PortState::Gone | PortState::Failed => paint.bad,
    }
}

/// `blue`, `10:blue 20:green`, or both; `(underlay)` for an uplink that tunnels go by, which no network is named like; behind
/// them `(shared by mac)` for one that the host has too.
fn networks(port: &Port, underlay: &[String]) -> String {
    if underlay.contains(&port.name) {
        return "(underlay)".to_owned();
    }
    let tagged = port.vlans.iter().map(|(vlan, network)| format!("{vlan}:{network}"));
    let shared = port.sharing.map(|sharing| match sharing {
        Sharing::Mac => "(shared by mac)".to_owned(),
        Sharing::Ip => "(shared by ip)".to_owned(),
    });
    port.network.clone().into_iter().chain(tagged).chain(shared).collect::<Vec<_>>().join(" ")
}

/// `copy native`, `zero-copy native checksum`.
fn mode(port: &Port) -> Cell {
    let checksum = port.checksum_offload.then_some("checksum");
    let words =
        [port.mode.map(|mode| mode.to_string()), port.xdp.map(|xdp| xdp.to_string()), checksum.map(str::to_owned)];
    let words: Vec<String> = words.into_iter().flatten().collect();
    Cell::or_dash((!words.is_empty()).then(|| words.join(" ")))
}

/// What its pod may at most, in the words of the counters.
fn rates(port: &Port) -> impl Iterator<Item = String> {
    let Rates { ingress, egress, new_connections } = port.rates;
    let bandwidth = |verb, of: Bandwidth| format!("{verb} at most {}/s, {} at once", bits(of.rate), bits(of.burst));
    let lines = [
        ingress.map(|of| bandwidth("receives", of)),
        egress.map(|of| bandwidth("sends", of)),
        new_connections.map(|rate| format!("opens at most {} connections a second", count(rate.into()))),
    ];
    lines.into_iter().flatten()
}

/// What does not fit a row: why a port is not up, what its pod may, and what the kernel lost.
fn remarks(port: &Port) -> Vec<String> {
    let KernelDrops { rx_dropped, rx_ring_full, fill_ring_empty, rx_invalid, tx_invalid, .. } = port.kernel;
    let lost = [
        (rx_dropped, "dropped"),
        (rx_ring_full, "found the receive ring full"),
        (fill_ring_empty, "found the fill ring empty"),
        (rx_invalid, "had an invalid fill descriptor"),
        (tx_invalid, "had an invalid transmit descriptor"),
    ];
    let lost = lost.iter().filter(|(packets, _)| *packets > 0);
    let reason = port.reason.iter().map(|reason| format!("{}: {}: {reason}", port.name, port.state));
    let netns = port.netns.iter().map(|netns| format!("{}: in namespace {}", port.name, netns.display()));
    reason
        .chain(netns)
        .chain(rates(port).map(|rate| format!("{}: {rate}", port.name)))
        .chain(lost.map(|(packets, what)| format!("{}: in the kernel, {} packets {what}", port.name, count(*packets))))
        .collect()
}

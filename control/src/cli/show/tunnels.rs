//! `podlane tunnels`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use podlane_api::{NextHop, NextHopState, PathMtu, PortState, Tunnel, Tunnels, Uplink};

use super::Show;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::{bytes, count, milliseconds, some};

impl Show for Tunnels {
    fn show(&self, paint: Paint) -> String {
        if self.uplinks.is_empty() {
            return "no tunnels: the configuration has no [underlay]\n".to_owned();
        }
        let hops = self.tunnels.iter().flat_map(|tunnel| &tunnel.next_hops);
        let hops: BTreeMap<(&str, IpAddr), &NextHop> =
            hops.map(|hop| ((hop.uplink.as_str(), hop.address), hop)).collect();
        let mut text = tunnels(&self.tunnels, paint).to_string();
        let heard = |tunnel: &Tunnel| tunnel.path_mtu.map(|path_mtu| (tunnel.peer.clone(), path_mtu));
        // One a peer, not one a network.
        let heard: BTreeMap<String, PathMtu> = self.tunnels.iter().filter_map(heard).collect();
        for (peer, PathMtu { mtu, age_ms }) in heard {
            // Writing into a String cannot fail; so here and below.
            let _ = writeln!(text, "{peer}: the way there carries {mtu} bytes, heard {} ago", milliseconds(age_ms));
        }
        let peers: BTreeSet<&str> = self.tunnels.iter().map(|tunnel| tunnel.peer.as_str()).collect();
        let _ = writeln!(
            text,
            "{} to {}: out of them {} packets, {}; into them {} packets, {}",
            some(self.tunnels.len(), "tunnel"),
            some(peers.len(), "peer"),
            count(self.received.packets),
            bytes(self.received.bytes),
            count(self.sent.packets),
            bytes(self.sent.bytes),
        );
        if !hops.is_empty() {
            let _ = write!(text, "\n{}", next_hops(hops.into_values(), paint));
        }
        let _ = write!(text, "\n{}", uplinks(&self.uplinks, paint));
        text
    }
}

fn tunnels(tunnels: &[Tunnel], paint: Paint) -> Table<15> {
    let columns = [
        ("PEER", Left),
        ("VTEP", Left),
        ("NETWORK", Left),
        ("VNI", Right),
        ("AS", Left),
        ("LOCAL VTEP", Left),
        ("NEXT HOPS", Left),
        ("MTU", Right),
        ("INNER", Right),
        ("OUT OF", Right),
        ("", Right),
        ("INTO", Right),
        ("", Right),
        ("STATED", Right),
        ("LEARNED", Right),
    ];
    let mut table = Table::new(columns, paint);
    for tunnel in tunnels {
        let shared = if tunnel.local_vtep_shared { "shared" } else { "own" };
        table.row([
            tunnel.peer.as_str().into(),
            tunnel.vtep.to_string().into(),
            tunnel.network.as_str().into(),
            tunnel.vni.to_string().into(),
            tunnel.encapsulation.to_string().into(),
            format!("{} {shared}", tunnel.local_vtep).into(),
            states(&tunnel.next_hops, paint),
            Cell::or_dash(tunnel.mtu),
            Cell::or_dash(tunnel.inner_mtu),
            count(tunnel.received.packets).into(),
            bytes(tunnel.received.bytes).into(),
            count(tunnel.sent.packets).into(),
            bytes(tunnel.sent.bytes).into(),
            count(tunnel.stated).into(),
            count(tunnel.learned).into(),
        ]);
    }
    table
}

/// `2 reachable`, `1 reachable, 1 silent`, or `none`.
fn states(next_hops: &[NextHop], paint: Paint) -> Cell {
    let states = [NextHopState::Reachable, NextHopState::Asking, NextHopState::Silent];
    let numbers = states.map(|state| (next_hops.iter().filter(|hop| hop.state == state).count(), state));
    let words = numbers.iter().filter(|(number, _)| *number > 0).map(|(number, state)| format!("{number} {state}"));
    let words: Vec<String> = words.collect();
    let style = match numbers {
        [(1.., _), (0, _), (0, _)] => paint.good,
        [(0, _), (0, _), _] => paint.bad,
        _ => paint.odd,
    };
    Cell::styled(if words.is_empty() { "none".to_owned() } else { words.join(", ") }, style)
}

/// The next hops of the underlay, one a row.
pub(super) fn next_hops<'h>(hops: impl Iterator<Item = &'h NextHop>, paint: Paint) -> Table<5> {
    let columns = [("UPLINK", Left), ("NEXT HOP", Left), ("MAC", Left), ("STATE", Left), ("AGE", Right)];
    let mut table = Table::new(columns, paint);
    for hop in hops {
        let style = match hop.state {
            NextHopState::Reachable => paint.good,
            NextHopState::Asking => paint.odd,
            NextHopState::Silent => paint.bad,
        };
        table.row([
            hop.uplink.as_str().into(),
            hop.address.to_string().into(),
            Cell::or_dash(hop.mac),
            Cell::styled(hop.state.to_string(), style),
            Cell::or_dash(hop.age_ms.map(milliseconds)),
        ]);
    }
    table
}

fn uplinks(uplinks: &[Uplink], paint: Paint) -> Table<13> {
    let columns = [
        ("UPLINK", Left),
        ("STATE", Left),
        ("MODE", Left),
        ("MAC", Left),
        ("MTU", Right),
        ("RECEIVED", Right),
        ("", Right),
        ("SENT", Right),
        ("", Right),
        ("VLAN", Right),
        ("CLAIMED", Right),
        ("PASSED", Right),
        ("FRAGMENTS", Right),
    ];
    let mut table = Table::new(columns, paint);
    for uplink in uplinks {
        let style = if uplink.state == PortState::Up { paint.good } else { paint.odd };
        table.row([
            uplink.name.as_str().into(),
            Cell::styled(uplink.state.to_string(), style),
            Cell::or_dash(uplink.mode),
            Cell::or_dash(uplink.mac),
            Cell::or_dash(uplink.mtu),
            count(uplink.received.packets).into(),
            bytes(uplink.received.bytes).into(),
            count(uplink.sent.packets).into(),
            bytes(uplink.sent.bytes).into(),
            Cell::or_dash(uplink.vlan),
            Cell::or_dash(uplink.judged.map(|judged| count(judged.claimed))),
            Cell::or_dash(uplink.judged.map(|judged| count(judged.passed))),
            Cell::or_dash(uplink.judged.map(|judged| count(judged.fragments))),
        ]);
    }
    table
}

//! `podlane flows`

use std::fmt::Write;
use std::net::IpAddr;

use podlane_api::{Flow, FlowTunnel, Flows, MacAddr};

use super::Show;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::{bytes, count, milliseconds};

impl Show for Flows {
    fn show(&self, paint: Paint) -> String {
        let columns = [
            ("NETWORK", Left),
            ("FROM", Left),
            ("TO", Left),
            ("PROTOCOL", Left),
            ("SOURCE", Left),
            ("DESTINATION", Left),
            ("PACKETS", Right),
            ("BYTES", Right),
            ("IDLE", Right),
            ("ACTION", Left),
        ];
        let mut table = Table::new(columns, paint);
        for flow in &self.flows {
            let action = if flow.out_port.is_some() { paint.good } else { paint.odd };
            table.row([
                flow.network.as_str().into(),
                from(flow).into(),
                Cell::or_dash(to(flow)),
                protocol(flow).into(),
                end(flow.src, flow.sport, flow.src_mac).into(),
                end(flow.dst, flow.dport, flow.dst_mac).into(),
                count(flow.packets).into(),
                bytes(flow.bytes).into(),
                milliseconds(flow.idle_ms).into(),
                Cell::styled(flow.action.as_str(), action),
            ]);
        }
        let mut text = table.to_string();
        let shown = u64::try_from(self.flows.len()).unwrap_or(u64::MAX);
        if shown < self.matched {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{} of {} flows; --limit shows more", count(shown), count(self.matched));
        }
        text
    }
}

/// `red`, or `node2 vni 7` for what comes out of a tunnel.
fn from(flow: &Flow) -> String {
    flow.in_tunnel.as_ref().map_or_else(|| flow.in_port.clone(), tunnel)
}

/// `green`, or `node2 vni 7 by up0` for what goes into a tunnel.
fn to(flow: &Flow) -> Option<String> {
    let port = flow.out_port.as_deref()?;
    Some(flow.out_tunnel.as_ref().map_or_else(|| port.to_owned(), |into| format!("{} by {port}", tunnel(into))))
}

fn tunnel(FlowTunnel { peer, vni }: &FlowTunnel) -> String {
    format!("{peer} vni {vni}")
}

fn protocol(flow: &Flow) -> String {
    flow.protocol.clone().unwrap_or_else(|| format!("0x{:04x}", flow.ethertype))
}

/// `10.1.0.2:80`, `[fd00::2]:80`, `10.1.0.2`, or the MAC address of what is not IP.
fn end(address: Option<IpAddr>, port: Option<u16>, mac: MacAddr) -> String {
    match (address, port) {
        (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        (Some(address), None) => address.to_string(),
        (None, _) => mac.to_string(),
    }
}

//! `podlane connections`

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use podlane_api::{ConnectionRecord, ConnectionState, ConnectionTable, Connections};

use super::Show;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::{count, milliseconds};

impl Show for Connections {
    fn show(&self, paint: Paint) -> String {
        let columns = [
            ("STATE", Left),
            ("PROTOCOL", Left),
            ("OPENED BY", Left),
            ("", Left),
            ("TO", Left),
            ("", Left),
            ("AGE", Right),
            ("IDLE", Right),
            ("RULE", Left),
        ];
        let mut table = Table::new(columns, paint);
        for known in &self.connections {
            table.row([
                Cell::styled(known.state.to_string(), style(known, paint)),
                known.protocol.as_str().into(),
                Cell::or_dash(known.from_pod.as_ref()),
                end(known.from, known.from_port).into(),
                Cell::or_dash(known.to_pod.as_ref()),
                end(known.to, known.to_port).into(),
                milliseconds(known.age_ms).into(),
                milliseconds(known.idle_ms).into(),
                Cell::or_dash(known.rule.as_ref()),
            ]);
        }
        let mut text = table.to_string();
        let shown = self.connections.len() as u64;
        // Writing into a String cannot fail; so here and below.
        if shown < self.matched {
            let _ = writeln!(text, "{} of {} connections; --limit shows more", count(shown), count(self.matched));
        }
        let _ = writeln!(text, "{}", fill(&self.table));
        text
    }
}

fn style(known: &ConnectionRecord, paint: Paint) -> anstyle::Style {
    match known.state {
        ConnectionState::Established => paint.good,
        ConnectionState::Opening | ConnectionState::Answered => paint.odd,
        ConnectionState::Closing | ConnectionState::Closed => paint.faint,
    }
}

/// `connection table: 1,200 of 262,144 used, 3 opening`
pub(super) fn fill(table: &ConnectionTable) -> String {
    let ConnectionTable { capacity, used, opening } = *table;
    format!("connection table: {} of {} used, {} opening", count(used), count(capacity), count(opening))
}

/// `10.1.0.2:80`, `[fd00::2]:80`, or `10.1.0.2`.
pub(super) fn end(address: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}

//! `podlane neighbours`

use std::fmt::Write;

use podlane_api::{Neighbours, Origin, Station};

use super::Show;
use super::tunnels::next_hops;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::{count, milliseconds};

impl Show for Neighbours {
    fn show(&self, paint: Paint) -> String {
        let columns = [
            ("NETWORK", Left),
            ("ADDRESS", Left),
            ("MAC", Left),
            ("WHERE", Left),
            ("KNOWN", Left),
            ("GENERATION", Right),
            ("AGE", Right),
        ];
        let mut table = Table::new(columns, paint);
        for station in &self.stations {
            let origin = if station.origin == Origin::Stated { paint.good } else { paint.odd };
            table.row([
                station.network.as_str().into(),
                Cell::or_dash(station.address),
                station.mac.to_string().into(),
                Cell::or_dash(place(station)),
                Cell::styled(station.origin.to_string(), origin),
                Cell::or_dash(station.generation),
                Cell::or_dash(station.age_ms.map(milliseconds)),
            ]);
        }
        let mut text = table.to_string();
        let shown = u64::try_from(self.stations.len()).unwrap_or(u64::MAX);
        if shown < self.matched {
            // Writing into a String cannot fail; so here and below.
            let _ = writeln!(text, "{} of {} stations; --limit shows more", count(shown), count(self.matched));
        }
        if !self.next_hops.is_empty() {
            let _ = write!(text, "\n{}", next_hops(self.next_hops.iter(), paint));
        }
        text
    }
}

/// `port red`, or `peer node2`.
fn place(station: &Station) -> Option<String> {
    let port = station.port.as_ref().map(|port| format!("port {port}"));
    port.or_else(|| station.peer.as_ref().map(|peer| format!("peer {peer}")))
}

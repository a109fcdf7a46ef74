//! `podlane offload`

use std::fmt::Write;

use podlane_api::{Offload, OffloadEngine};

use super::Show;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::{bytes, count};

impl Show for Offload {
    fn show(&self, paint: Paint) -> String {
        if self.engines.is_empty() {
            return "no offload: no port or network has an engine (`offload` under [[port]] or [[network]])\n"
                .to_owned();
        }
        let mut text = engines(&self.engines, paint).to_string();
        for engine in &self.engines {
            let OffloadEngine { name, offered, taken, unheard, evicted, lost, aged, .. } = engine;
            let [offered, taken, unheard] = [offered, taken, unheard].map(|flows| count(*flows));
            let [evicted, lost, aged] = [evicted, lost, aged].map(|flows| count(*flows));
            // Writing into a String cannot fail; so here and below.
            let _ = writeln!(
                text,
                "{name}: {offered} flows offered, {taken} taken, {unheard} not offered at once; \
                 {evicted} put out, {lost} lost, {aged} aged"
            );
            for refusal in &engine.refused {
                let _ = writeln!(text, "  {} refused, {}: {}", count(refusal.flows), refusal.reason, refusal.means);
            }
        }
        text
    }
}

fn engines(engines: &[OffloadEngine], paint: Paint) -> Table<7> {
    let columns = [
        ("ENGINE", Left),
        ("FLOWS", Right),
        ("OF", Right),
        ("CARRIED", Right),
        ("", Right),
        ("LOOKED UP", Right),
        ("HITS", Right),
    ];
    let mut table = Table::new(columns, paint);
    for engine in engines {
        let share = |all| format!("{:.1} %", engine.hits as f64 * 100.0 / all as f64);
        let share = Some(engine.looked_up).filter(|all| *all > 0).map(share);
        table.row([
            engine.name.as_str().into(),
            count(engine.flows).into(),
            count(engine.capacity).into(),
            count(engine.carried.packets).into(),
            bytes(engine.carried.bytes).into(),
            count(engine.looked_up).into(),
            Cell::or_dash(share),
        ]);
    }
    table
}

//! `podlane counters`

use std::fmt::Write;

use podlane_api::{Counters, Dropped};
use podlane_dataplane::DropReason;

use super::{Show, total};
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::paint::Paint;
use crate::units::count;

impl Show for Counters {
    fn show(&self, paint: Paint) -> String {
        let columns = [("PORT", Left), ("RECEIVED", Right), ("SENT", Right), ("DROPPED", Right), ("HELD", Right)];
        let mut table = Table::new(columns, paint);
        let mut row = |name: Cell, numbers: [u64; 4]| {
            let [received, sent, dropped, held] = numbers.map(|number| Cell::from(count(number)));
            table.row([name, received, sent, dropped, held]);
        };
        for port in &self.ports {
            row(port.name.as_str().into(), [port.received, port.sent, total(&port.dropped), port.held]);
        }
        if !self.gone.is_empty() {
            row("(removed)".into(), [self.gone.received, self.gone.sent, total(&self.gone.dropped), self.gone.held]);
        }
        let all = &self.total;
        row("(switch)".into(), [all.made, 0, dropped_by_none(self), 0]);
        row(Cell::styled("all", paint.strong), [all.received, all.sent, total(&all.dropped), all.held]);
        let mut text = table.to_string();
        let (style, verdict) = if self.balanced { (paint.good, "is") } else { (paint.bad, "IS NOT") };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "\nall received {style}{verdict}{style:#} sent + dropped + held");
        let _ = writeln!(
            text,
            "{}received came in by the port, sent left by it; the switch's own are replies and copies of floods{:#}",
            paint.faint, paint.faint
        );
        text + &reasons(&all.dropped, paint)
    }
}

/// What was dropped of the packets that the switch made itself.
fn dropped_by_none(counters: &Counters) -> u64 {
    let by_ports: u64 = counters.ports.iter().chain([&counters.gone]).map(|port| total(&port.dropped)).sum();
    total(&counters.total.dropped).saturating_sub(by_ports)
}

/// Each reason with its sentence; nothing when nothing was dropped.
fn reasons(dropped: &Dropped, paint: Paint) -> String {
    let mut table = Table::new([("DROPPED", Right), ("REASON", Left), ("MEANING", Left)], paint);
    let mut any = false;
    for (name, packets) in dropped.iter().filter(|(_, packets)| **packets > 0) {
        // A daemon of another release may know other reasons.
        let known = DropReason::ALL.into_iter().find(|reason| reason.name() == name);
        let sentence = known.map_or("", DropReason::sentence);
        table.row([count(*packets).into(), name.as_str().into(), Cell::styled(sentence, paint.faint)]);
        any = true;
    }
    if any { format!("\n{table}") } else { String::new() }
}

//! `podlane counters`

use std::fmt::Write;

use podlane_api::{Counters, Ledger};

use super::{Show, total};
use crate::cli::paint::Paint;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::{Cell, Table};
use crate::cli::units::count;

impl Show for Counters {
    fn show(&self, paint: Paint) -> String {
        let columns = [
            ("PORT", Left),
            ("RECEIVED", Right),
            ("MADE", Right),
            ("SENT", Right),
            ("DROPPED", Right),
            ("HELD", Right),
        ];
        let mut table = Table::new(columns, paint);
        let mut row = |name: Cell, ledger: &Ledger| {
            let numbers = [ledger.received, ledger.made, ledger.sent, total(&ledger.dropped), ledger.held];
            let [received, made, sent, dropped, held] = numbers.map(|number| Cell::from(count(number)));
            table.row([name, received, made, sent, dropped, held]);
        };
        for port in &self.ports {
            row(port.name.as_str().into(), &port.ledger);
        }
        row(Cell::styled("all", paint.strong), &self.total);
        let mut text = table.to_string();
        let (style, verdict) = if self.balanced { (paint.good, "is") } else { (paint.bad, "IS NOT") };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "\nreceived + made {style}{verdict}{style:#} sent + dropped + held");

        let dropped = self.total.dropped.iter().filter(|(_, packets)| **packets > 0);
        let mut reasons = Table::new([("DROPPED", Right), ("REASON", Left)], paint);
        let mut any = false;
        for (reason, packets) in dropped {
            reasons.row([count(*packets).into(), reason.as_str().into()]);
            any = true;
        }
        if any {
            let _ = write!(text, "\n{reasons}");
        }
        text
    }
}

//! `podlane addresses`

use podlane_api::{Leases, MAX_LEASES, Pool};

use super::Show;
use crate::cli::table::Cell;
use crate::cli::table::Lean::{Left, Right};
use crate::cli::table::Table;
use crate::paint::Paint;
use crate::units::{count, seconds};

impl Show for Leases {
    fn show(&self, paint: Paint) -> String {
        if self.pools.is_empty() {
            return "no network has addresses to give (state a gateway, or `ranges`)\n".to_owned();
        }
        let mut text = pools(&self.pools, paint);
        if self.leases.is_empty() {
            return text;
        }
        let columns = [("NETWORK", Left), ("ADDRESS", Left), ("OWNER", Left), ("FREE IN", Right)];
        let mut table = Table::new(columns, paint);
        for lease in &self.leases {
            table.row([
                lease.network.as_str().into(),
                lease.address.to_string().into(),
                lease.owner.as_str().into(),
                lease.free_in_s.map_or_else(|| "-".into(), |left| Cell::styled(seconds(left), paint.odd)),
            ]);
        }
        text.push('\n');
        text.push_str(&table.to_string());
        let all: usize = self.pools.iter().map(|pool| pool.held + pool.quarantined).sum();
        if all > self.leases.len() && self.leases.len() == MAX_LEASES {
            text.push_str(&format!("the first {MAX_LEASES} of {all}\n"));
        }
        text
    }
}

fn pools(pools: &[Pool], paint: Paint) -> String {
    let columns = [("NETWORK", Left), ("FREE", Right), ("HELD", Right), ("QUARANTINED", Right), ("RANGES", Left)];
    let mut table = Table::new(columns, paint);
    for pool in pools {
        let free = if pool.free == u64::MAX { "plenty".to_owned() } else { count(pool.free) };
        let is_empty = pool.free == 0 && !pool.ranges.is_empty();
        table.row([
            pool.network.as_str().into(),
            if is_empty { Cell::styled(free, paint.bad) } else { free.into() },
            count(pool.held as u64).into(),
            count(pool.quarantined as u64).into(),
            Cell::or_dash((!pool.ranges.is_empty()).then(|| pool.ranges.join(" "))),
        ]);
    }
    table.to_string()
}

//! The hot modules one by one, a file each.
//!
//! `cargo bench -p podlane-benches --bench modules -- lpm` measures those with that in their name. One program and not eight, because linking
//! is most of what building a bench takes.

mod apply;
mod checksum;
mod classify;
mod descriptors;
mod hash;
mod lookup;
mod lpm;
mod parse;

fn main() {
    let mut criterion = podlane_benches::measure::configured();
    parse::bench(&mut criterion);
    classify::bench(&mut criterion);
    hash::bench(&mut criterion);
    lookup::bench(&mut criterion);
    apply::bench(&mut criterion);
    lpm::bench(&mut criterion);
    checksum::bench(&mut criterion);
    descriptors::bench(&mut criterion);
    criterion.final_summary();
}

//! What the table costs when nothing of it is in a cache. Run with `--release -- --ignored --nocapture speed`.
//!
//! Each figure is of a thousand calls in a row: the quickest thousand of a million is what the table takes, the median what it takes
//! beside whatever else the machine does.

use std::{hint::black_box, io::Write as _, time::Instant};

use super::*;

const COUNT: u32 = 1 << 20;
const CHUNK: usize = 1024;

fn measure<T, R>(what: &str, of: &[T], mut call: impl FnMut(&T) -> R) {
    let mut each: Vec<_> = of
        .chunks(CHUNK)
        .map(|chunk| {
            let since = Instant::now();
            for one in chunk {
                black_box(call(one));
            }
            since.elapsed().as_nanos() as f64 / chunk.len() as f64
        })
        .collect();
    each.sort_by(f64::total_cmp);
    let _ = writeln!(std::io::stderr(), "{what}: {:.0} ns, median {:.0} ns", each[0], each[each.len() / 2]);
}

#[test]
#[ignore = "measures; has nothing to assert"]
fn speed_of_a_million_connections() {
    let table = Arc::new(Connections::new(COUNT as usize, Settings::default(), HashSeed::random()).unwrap());
    let mut writer = ConnectionWriter::new(table.clone(), WorkerId(0));
    // Even: IPv4. In an order in which neighbours are far from each other.
    let keys: Vec<_> = (0..COUNT).map(|number| key(TCP, number.wrapping_mul(0x9e37_79b1) << 1)).collect();
    let opened = opened_by(segment(Side::Low, TcpFlags::SYN, 1000, 0), 0);
    let answer = segment(Side::High, TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0), 9000, 1001);
    for round in ["open into fresh memory", "open"] {
        measure(round, &keys, |key| writer.open(key, &opened));
        measure("find", &keys, |key| table.find(key, 1));
        let mut before = 0;
        // Each waits for the one before: the latency of a look-up, not how many overlap.
        measure("find, one by one", &keys, |key| {
            let known = table.find(key, 1 + (before >> 31));
            before = known.map_or(0, |known| known.id.0);
            before
        });
        let ids: Vec<_> = keys.iter().filter_map(|key| Some((*key, table.find(key, 1)?.id))).collect();
        measure("segment", &ids, |(key, id)| table.segment(*id, key, &answer, None, 1));
        let slices = vec![(); COUNT as usize / 64];
        measure("sweep of 64", &slices, |()| writer.sweep(100_000, 64));
    }
}

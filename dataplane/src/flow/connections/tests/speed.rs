//! What the table costs when nothing of it is in a cache. Run with `--release -- --ignored --nocapture speed`.

use std::{hint::black_box, io::Write as _, time::Instant};

use super::*;

#[test]
#[ignore = "measures; has nothing to assert"]
fn speed_of_a_million_connections() {
    const COUNT: u32 = 1 << 20;
    let table = Arc::new(Connections::new(COUNT as usize, Settings::default(), HashSeed::random()).unwrap());
    let mut writer = ConnectionWriter::new(table.clone(), WorkerId(0));
    // Even: IPv4. In an order in which neighbours are far from each other.
    let keys: Vec<_> = (0..COUNT).map(|number| key(TCP, number.wrapping_mul(0x9e37_79b1) << 1)).collect();
    let opened = opened_by(segment(Side::Low, TcpFlags::SYN, 1000, 0), 0);
    let answer = segment(Side::High, TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0), 9000, 1001);
    let report = |what: &str, since: Instant| {
        let each = since.elapsed().as_nanos() as f64 / f64::from(COUNT);
        let _ = writeln!(std::io::stderr(), "{what}: {each:.1} ns");
    };
    for round in ["first touch", "again"] {
        let since = Instant::now();
        for key in &keys {
            let _ = black_box(writer.open(key, &opened));
        }
        report(&format!("open, {round}"), since);
        let since = Instant::now();
        let found = keys.iter().filter(|key| black_box(table.find(key, 1)).is_some()).count();
        report(&format!("find, {found} of {COUNT}"), since);
        let since = Instant::now();
        let mut at = 0;
        for _ in 0..COUNT {
            // Each look-up waits for the one before: the latency, not the throughput.
            let number = table.find(&keys[at], 1).map_or(0, |known| known.id.0);
            at = (at + 1 + (number as usize & 1)) % keys.len();
        }
        report("find, one after the other", since);
        let ids: Vec<_> = keys.iter().filter_map(|key| Some((key, table.find(key, 1)?.id))).collect();
        let since = Instant::now();
        for (key, id) in &ids {
            let _ = black_box(table.segment(*id, key, &answer, None, 1));
        }
        report("segment", since);
        let since = Instant::now();
        writer.sweep(100_000, COUNT as usize);
        report("sweep, all over", since);
    }
}

//! How long a pod takes to come and to go, without the plugin and the socket: printed, and held to nothing, since others use the machine too.

use std::time::{Duration, Instant};

use crate::bed::{Bed, key, order};

#[test]
#[ignore = "measures; run it alone: cargo test --release -p podlane --test attach pace -- --ignored --nocapture"]
fn pace() {
    let Some(bed) = Bed::new("pace") else { return };
    let running = bed.start();
    let pod = bed.pod();
    let (mut adds, mut dels) = (Vec::new(), Vec::new());
    for round in 0..100 {
        let name = format!("c{round}");
        let (add, del) = bed.within(|| {
            let began = Instant::now();
            running.attachments.attach(order(&name, &pod)).unwrap();
            let add = began.elapsed();
            let began = Instant::now();
            running.attachments.detach(&key(&name)).unwrap();
            (add, began.elapsed())
        });
        adds.push(add);
        dels.push(del);
        crate::bed::eventually("the link is gone", || pod.link("eth0").is_none());
    }
    println!("ADD {}, DEL {}", told(adds), told(dels));
    let pods: Vec<_> = (0..100).map(|_| bed.pod()).collect();
    let attachments = &running.attachments;
    let began = Instant::now();
    bed.within(|| {
        std::thread::scope(|scope| {
            for (n, pod) in pods.iter().enumerate() {
                scope.spawn(move || attachments.attach(order(&format!("m{n}"), pod)).unwrap());
            }
        });
    });
    println!("100 at once: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    running.stop();
}

fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

//! Offload, as people see it.

use podlane_api::{Offload, OffloadEngine, OffloadRefusal};

use super::*;

#[test]
fn offload_shows_what_is_carried_and_why_the_rest_is_not() {
    let refusal =
        |reason: &str, means: &str, flows| OffloadRefusal { reason: reason.to_owned(), means: means.to_owned(), flows };
    let engine = OffloadEngine {
        name: "emulated".to_owned(),
        capacity: 65_536,
        flows: 1_200,
        offered: 4_000,
        unheard: 3,
        taken: 3_000,
        carried: Traffic { packets: 1_234_567, bytes: 987_654_321 },
        looked_up: 2_000_000,
        hits: 1_234_600,
        evicted: 17,
        lost: 1,
        aged: 1_782,
        refused: vec![
            refusal("rate", "A rate is set for the pod at one of its ends.", 900),
            refusal("full", "The engine's table is full.", 100),
        ],
    };
    let idle = OffloadEngine { looked_up: 0, hits: 0, refused: Vec::new(), ..engine.clone() };
    insta::assert_snapshot!(shown(&Offload { engines: vec![engine, idle] }));
    assert!(shown(&Offload::default()).starts_with("no offload"));
}

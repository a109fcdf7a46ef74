//! An entry between two connections of one key: what was meant for the former does nothing to the latter, whatever it was about to do.

use zerocopy::FromZeros as _;

use super::*;
use crate::flow::connections::{entry::Birth, tcp::Track};

const ACK: TcpFlags = TcpFlags::ACK;

/// An entry whose connection was replaced by its equal after a glance at the former.
fn replaced() -> (Entry, ConnectionKey, Glance) {
    let entry = Entry::new_zeroed();
    let key = key(TCP, 2);
    let track = Track::open(State::new(&key, Side::Low), &segment(Side::Low, TcpFlags::SYN, 1000, 0));
    let birth = Birth { key: &key, track, generation: FIRST, rule: RULE, places: PLACES, owner: WorkerId(0), now: 5 };
    entry.write(&birth);
    let former = entry.glance(&key).unwrap();
    assert!(entry.empty(former.state));
    assert!(entry.glance(&key).is_none(), "empty");
    entry.write(&birth);
    (entry, key, former)
}

#[test]
fn a_late_word_on_a_former_connection_is_not_heard() {
    let (entry, key, former) = replaced();
    let before = entry.record();
    entry.judge(&former, &judgement(Generation(9), Rule(9)));
    assert_eq!(entry.change(former.version, State::close), None);
    let answer = segment(Side::High, TcpFlags::SYN.with(ACK), 9000, 1001);
    assert_eq!(entry.follow(former.version, &answer, None), Err(DropReason::NoConnection));
    assert_eq!(entry.record(), before);

    entry.link(former.version, Side::Low, 77);
    let now = entry.glance(&key).unwrap();
    assert_ne!(now.version, former.version);
    assert_eq!(now.places, PLACES);
    assert_eq!((entry.linked(now.version, Side::Low), entry.linked(former.version, Side::High)), (None, None));
}

#[test]
fn the_same_words_on_the_present_one_are() {
    let (entry, key, _) = replaced();
    let now = entry.glance(&key).unwrap();
    entry.judge(&now, &judgement(Generation(9), Rule(9)));
    entry.link(now.version, Side::Low, 77);
    assert_eq!(entry.linked(now.version, Side::Low), Some(77));
    let answer = segment(Side::High, TcpFlags::SYN.with(ACK), 9000, 1001);
    entry.follow(now.version, &answer, None).unwrap();
    let known = entry.glance(&key).unwrap();
    assert_eq!((known.generation, known.rule, known.state.phase()), (Generation(9), Rule(9), Phase::Answered));
    assert_eq!(known.places, judgement(FIRST, RULE).places);
    assert!(!entry.empty(now.state), "whoever moves it on keeps it");
}

//! TCP, scene by scene: what each segment makes of the connection, and which must not pass.

use super::{
    Side::{High, Low},
    *,
};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const RST: TcpFlags = TcpFlags::RST;
const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
const RST_ACK: TcpFlags = TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0);

/// One connection, its opener low, and the time.
struct Scene {
    table: Arc<Connections>,
    writer: ConnectionWriter,
    key: ConnectionKey,
    id: ConnectionId,
    now: u32,
}

impl Scene {
    fn opening_with(first: Segment) -> Self {
        let (table, mut writer) = bed();
        let key = key(TCP, 2);
        let id = writer.open(&key, &opened_by(first, 0)).unwrap();
        Self { table, writer, key, id, now: 0 }
    }

    /// The low side's numbers start at 1000, the high side's at 9000.
    fn established() -> Self {
        let scene = Self::opening_with(segment(Low, SYN, 1000, 0));
        assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 1001)), Ok(Phase::Answered));
        assert_eq!(scene.see(segment(Low, ACK, 1001, 9001)), Ok(Phase::Established));
        scene
    }

    fn see(&self, segment: Segment) -> Result<Phase, DropReason> {
        self.table.segment(self.id, &self.key, &segment, None, self.now)
    }

    fn phase(&self) -> Option<Phase> {
        self.table.find(&self.key, self.now).map(|known| known.phase)
    }

    /// After how much silence it ends.
    fn lifetime(&self) -> u32 {
        let lives = |age| self.table.find(&self.key, self.now.wrapping_add(age)).is_some();
        let times = [10_000, 20_000, 60_000, 7_440_000];
        *times.iter().find(|time| lives(**time - 1) && !lives(**time)).unwrap()
    }
}

#[test]
fn a_connection_opens_in_three_steps_and_lives_longer_with_the_last() {
    let scene = Scene::opening_with(segment(Low, SYN, u32::MAX, 0));
    assert_eq!((scene.phase(), scene.lifetime()), (Some(Phase::Opening), 20_000));
    assert_eq!(scene.see(segment(Low, SYN, u32::MAX, 0)), Ok(Phase::Opening), "repeated");
    assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 0)), Ok(Phase::Answered));
    assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 0)), Ok(Phase::Answered), "repeated");
    assert_eq!(scene.see(segment(Low, SYN, u32::MAX, 0)), Ok(Phase::Answered), "late");
    assert_eq!((scene.lifetime(), scene.table.fill().opening), (20_000, 1));
    assert_eq!(scene.see(segment(Low, ACK, 0, 9001)), Ok(Phase::Established));
    assert_eq!((scene.lifetime(), scene.table.fill().opening), (7_440_000, 0));
}

#[test]
fn only_what_acknowledges_a_syn_answers_it() {
    let scene = Scene::opening_with(segment(Low, SYN, 1000, 0));
    assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 1000)), Ok(Phase::Opening), "an old duplicate");
    assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 1001)), Ok(Phase::Answered));
    assert_eq!(scene.see(segment(Low, ACK, 1001, 9000)), Ok(Phase::Answered), "a guess");
    assert_eq!(scene.see(segment(Low, ACK, 1001, 9001 + (1 << 16))), Ok(Phase::Answered), "another");
    assert_eq!(scene.see(segment(Low, ACK, 1001, 9001)), Ok(Phase::Established));
}

#[test]
fn a_syn_may_carry_data_that_is_acknowledged_or_not() {
    for acknowledged in [1001, 1501] {
        let scene = Scene::opening_with(Segment { payload: 500, ..segment(Low, SYN, 1000, 0) });
        assert_eq!(scene.see(segment(High, SYN_ACK, 9000, acknowledged)), Ok(Phase::Answered));
        assert_eq!(scene.see(segment(Low, ACK, 1501, 9701)), Ok(Phase::Established));
    }
}

#[test]
fn another_attempt_of_the_opener_replaces_the_first() {
    let scene = Scene::opening_with(segment(Low, SYN, 1000, 0));
    assert_eq!(scene.see(segment(Low, SYN, 70_000_000, 0)), Ok(Phase::Opening));
    assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 1001)), Ok(Phase::Opening));
    assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 70_000_001)), Ok(Phase::Answered));
}

#[test]
fn both_sides_may_open_at_once() {
    let scene = Scene::opening_with(segment(Low, SYN, 1000, 0));
    assert_eq!(scene.see(segment(High, SYN, 9000, 0)), Ok(Phase::Opening));
    assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 1001)), Ok(Phase::Answered));
    assert_eq!(scene.see(segment(High, SYN, 9000, 0)), Ok(Phase::Answered), "repeated");
    assert_eq!(scene.see(segment(Low, SYN_ACK, 1000, 9001)), Ok(Phase::Established));
    assert_eq!(scene.see(segment(High, SYN, 9000, 0)), Err(DropReason::UnexpectedSyn));
}

#[test]
fn the_side_that_did_not_open_it_may_not_open_it_after_that() {
    let scene = Scene::opening_with(segment(Low, SYN, 1000, 0));
    assert_eq!(scene.see(segment(High, SYN_ACK, 9000, 1001)), Ok(Phase::Answered));
    assert_eq!(scene.see(segment(High, SYN, 7777, 0)), Err(DropReason::UnexpectedSyn));
    assert_eq!(scene.see(segment(Low, ACK, 1001, 9001)), Ok(Phase::Established));
    assert_eq!(scene.see(segment(High, SYN, 9000, 0)), Err(DropReason::UnexpectedSyn));
    assert_eq!(scene.see(segment(High, FIN_ACK, 9001, 1001)), Ok(Phase::Closing));
    assert_eq!(scene.see(segment(High, SYN, 9000, 0)), Err(DropReason::UnexpectedSyn));
    assert_eq!(scene.see(segment(Low, SYN, 5000, 0)), Ok(Phase::Closing), "the ends sort that out (RFC 5961, 4)");
}

#[test]
fn two_fins_close_it_and_their_acknowledgements_shorten_its_time() {
    let scene = Scene::established();
    assert_eq!(scene.see(Segment { payload: 10, ..segment(Low, FIN_ACK, 1001, 9001) }), Ok(Phase::Closing));
    assert_eq!(scene.lifetime(), 60_000);
    assert_eq!(scene.see(segment(High, ACK, 9001, 1012)), Ok(Phase::Closing), "half closed");
    assert_eq!(scene.see(Segment { payload: 99, ..segment(High, ACK, 9001, 1012) }), Ok(Phase::Closing));
    assert_eq!(scene.see(segment(High, FIN_ACK, 9100, 1012)), Ok(Phase::Closed));
    assert_eq!(scene.lifetime(), 60_000);
    assert_eq!(scene.see(segment(Low, ACK, 1012, 9100)), Ok(Phase::Closed), "all but the FIN");
    assert_eq!(scene.lifetime(), 60_000);
    assert_eq!(scene.see(segment(Low, ACK, 1012, 9101)), Ok(Phase::Closed));
    assert_eq!(scene.lifetime(), 10_000);
}

#[test]
fn a_fin_beyond_what_the_other_side_takes_ends_nothing() {
    let scene = Scene::established();
    assert_eq!(scene.see(segment(High, FIN_ACK, 9001 + 2000, 1001)), Ok(Phase::Established));
    assert_eq!(scene.see(segment(High, FIN_ACK, 9001 - 2000, 1001)), Ok(Phase::Established));
    assert_eq!(scene.see(segment(High, FIN_ACK, 9001 + 1000, 1001)), Ok(Phase::Closing), "it needs no room");
}

#[test]
fn a_syn_after_the_end_is_judged_as_a_new_opening_from_either_side() {
    for opener in [Low, High] {
        let mut scene = Scene::established();
        scene.see(segment(Low, FIN_ACK, 1001, 9001)).unwrap();
        scene.see(segment(High, FIN_ACK, 9001, 1002)).unwrap();
        assert_eq!(scene.phase(), Some(Phase::Closed));
        let syn = segment(opener, SYN, 400, 0);
        assert_eq!(scene.see(syn), Err(DropReason::UnexpectedSyn), "not by the old leave");
        let again = Opened { generation: Generation(5), rule: Rule(6), ..opened_by(syn, 3) };
        scene.id = scene.writer.open(&scene.key, &again).unwrap();
        let known = scene.table.find(&scene.key, 3).unwrap();
        assert_eq!((known.opener, known.phase, known.answered), (opener, Phase::Opening, false));
        assert_eq!((known.generation, known.rule), (Generation(5), Rule(6)));
        assert_eq!(scene.see(segment(opener.other(), SYN_ACK, 1, 401)), Ok(Phase::Answered));
        assert_eq!(scene.table.fill(), Fill { used: 1, opening: 1, capacity: 1024 });
    }
}

#[test]
fn a_reset_counts_just_where_the_receiver_stands() {
    let scene = Scene::established();
    for beside in [9000, 9001 + 1001, 9001 + (1 << 31), 0] {
        assert_eq!(scene.see(segment(High, RST, beside, 0)), Err(DropReason::BadReset), "{beside}");
    }
    assert_eq!((scene.phase(), scene.lifetime()), (Some(Phase::Established), 7_440_000));
    assert_eq!(scene.see(segment(High, RST, 9001, 0)), Ok(Phase::Closed));
    assert_eq!(scene.lifetime(), 10_000);
}

#[test]
fn a_reset_elsewhere_in_the_window_ends_it_unless_it_goes_on_for_long() {
    for somebody in 0..3 {
        let mut scene = Scene::established();
        scene.now = 5;
        assert_eq!(scene.see(segment(High, RST, 9001 + 1000, 0)), Ok(Phase::Established));
        assert_eq!((scene.lifetime(), scene.table.fill().opening), (60_000, 0));
        for (now, lifetime) in [(10_005, 60_000), (10_006, 7_440_000)] {
            scene.now = now;
            match somebody {
                0 => drop(scene.see(segment(Low, ACK, 1001, 9001)).unwrap()),
                1 => drop(scene.see(segment(High, ACK, 9001, 1001)).unwrap()),
                _ => scene.table.confirm(&scene.key, now),
            }
            assert_eq!(scene.lifetime(), lifetime, "what was on its way says nothing");
        }
    }
}

#[test]
fn the_windows_shift_counts_when_both_sides_announced_one() {
    for (opener, answer, shift) in
        [(Some(2), Some(7), 2), (Some(3), Some(0), 3), (Some(2), None, 0), (None, Some(7), 0)]
    {
        let scene = Scene::opening_with(Segment { scale: opener, ..segment(Low, SYN, 1000, 0) });
        scene.see(Segment { scale: answer, ..segment(High, SYN_ACK, 9000, 1001) }).unwrap();
        scene.see(segment(Low, ACK, 1001, 9001)).unwrap();
        let most = 9001 + (1000 << shift);
        assert_eq!(scene.see(segment(High, RST, most + 1, 0)), Err(DropReason::BadReset));
        assert_eq!(scene.see(segment(High, RST, most, 0)), Ok(Phase::Established));
    }
}

#[test]
fn the_callers_word_on_the_receiver_counts_where_it_is_further() {
    let scene = Scene::established();
    let reset = |seq, ack| {
        let said = Acknowledged { ack, window: 10 };
        scene.table.segment(scene.id, &scene.key, &segment(High, RST, seq, 0), Some(said), 0)
    };
    assert_eq!(reset(9001, 12_000), Err(DropReason::BadReset));
    assert_eq!(reset(12_011, 12_000), Err(DropReason::BadReset));
    assert_eq!(reset(9002, 8000), Ok(Phase::Established));
    assert_eq!(reset(12_000, 12_000), Ok(Phase::Closed));
}

#[test]
fn while_it_opens_a_reset_must_answer_the_syn_or_take_it_back() {
    let opening = || Scene::opening_with(segment(Low, SYN, 1000, 0));
    assert_eq!(opening().see(segment(High, RST, 0, 0)), Err(DropReason::BadReset), "acknowledges nothing");
    assert_eq!(opening().see(segment(High, RST, 0, 1001)), Err(DropReason::BadReset), "does not say so");
    assert_eq!(opening().see(segment(High, RST_ACK, 0, 1000)), Err(DropReason::BadReset), "acknowledges another");
    assert_eq!(opening().see(segment(High, RST_ACK, 0, 1001)), Ok(Phase::Closed), "connection refused");
    assert_eq!(opening().see(segment(Low, RST, 1001, 0)), Ok(Phase::Closed), "taken back");
    assert_eq!(opening().see(segment(Low, RST, 999, 0)), Err(DropReason::BadReset));
    let stray = opening();
    stray.see(segment(Low, ACK, 1, 2)).unwrap();
    assert_eq!(
        stray.see(segment(High, RST_ACK, 0, 1001)),
        Ok(Phase::Closed),
        "whatever came by of a former connection"
    );
    let answered = opening();
    answered.see(segment(High, SYN_ACK, 9000, 1001)).unwrap();
    assert_eq!(answered.see(segment(Low, RST, 1002, 0)), Ok(Phase::Answered), "near, so perhaps");
    assert_eq!(answered.see(segment(High, RST, 9001, 0)), Ok(Phase::Closed), "its opener stands there");
}

#[test]
fn a_half_open_connection_is_found_out_and_opened_anew() {
    let mut scene = Scene::established();
    let syn = segment(Low, SYN, 555_555_555, 0);
    assert_eq!(scene.see(syn), Ok(Phase::Established), "the opener has lost its memory");
    assert_eq!(scene.see(segment(High, ACK, 9001, 1001)), Ok(Phase::Established), "the other asks back");
    assert_eq!(scene.see(segment(Low, RST, 1001, 0)), Ok(Phase::Closed), "and is told (RFC 9293, 3.5.1)");
    scene.id = scene.writer.open(&scene.key, &opened_by(syn, 0)).unwrap();
    assert_eq!(scene.see(segment(High, SYN_ACK, 1, 555_555_556)), Ok(Phase::Answered));

    let scene = Scene::opening_with(syn);
    assert_eq!(scene.see(segment(High, ACK, 9001, 1001)), Ok(Phase::Opening), "of a connection from before the table");
    assert_eq!(
        scene.see(segment(High, SYN_ACK, 1, 555_555_556)),
        Ok(Phase::Answered),
        "what was said before does not count"
    );
    assert_eq!(scene.see(segment(Low, RST, 1001, 0)), Err(DropReason::BadReset));
    assert_eq!(scene.see(segment(Low, RST, 555_555_556, 0)), Ok(Phase::Closed));
}

#[test]
fn what_is_picked_up_counts_as_established_and_has_to_prove_it() {
    let scene = Scene::opening_with(Segment { payload: 10, ..segment(Low, ACK, 1001, 9001) });
    assert_eq!((scene.phase(), scene.lifetime(), scene.table.fill().opening), (Some(Phase::Established), 20_000, 1));
    assert_eq!(scene.see(segment(Low, ACK, 1011, 9001)), Ok(Phase::Established));
    assert_eq!(scene.lifetime(), 20_000, "anybody can send; only two can talk");
    assert_eq!(scene.see(segment(High, ACK, 9001, 1011)), Ok(Phase::Established));
    assert_eq!((scene.lifetime(), scene.table.fill().opening), (7_440_000, 0));
    assert_eq!(scene.see(segment(Low, RST, 1010, 0)), Err(DropReason::BadReset));
    assert_eq!(scene.see(segment(Low, RST, 1011 + (1000 << 14) + 1, 0)), Err(DropReason::BadReset));
    assert_eq!(scene.see(segment(Low, RST, 1011, 0)), Ok(Phase::Closed));

    let scene = Scene::opening_with(segment(Low, FIN_ACK, 1001, 9001));
    assert_eq!(scene.phase(), Some(Phase::Closing));
    assert_eq!(scene.see(segment(High, FIN_ACK, 9001, 1002)), Ok(Phase::Closed));
}

#[test]
fn an_answer_may_be_the_first_that_is_seen() {
    let (table, mut writer) = bed();
    let key = key(TCP, 2);
    let answer = segment(High, SYN_ACK, 9000, 1001);
    let id = writer.open(&key, &Opened { opener: Low, ..opened_by(answer, 0) }).unwrap();
    let known = table.find(&key, 0).unwrap();
    assert_eq!((known.opener, known.phase, known.answered), (Low, Phase::Answered, true));
    let last = segment(Low, ACK, 1001, 9001);
    assert_eq!(table.segment(id, &key, &last, None, 0), Ok(Phase::Established));
}

#[test]
fn what_is_closed_is_kept_alive_by_nothing() {
    let scene = Scene::established();
    scene.see(segment(High, RST, 9001, 0)).unwrap();
    scene.table.confirm(&scene.key, 9_999);
    assert_eq!(
        scene.table.segment(scene.id, &scene.key, &segment(High, ACK, 9001, 1001), None, 9_999),
        Ok(Phase::Closed)
    );
    assert_eq!(scene.lifetime(), 10_000);
}

//! The same random traffic with and without an engine: policies that change, tunnels, both families, TCP from SYN to FIN and RST, UDP, stations that
//! move, ports that come and go, under every fault the engine can have.

use podlane_dataplane::{
    DropReason,
    offload::emulated::{Eviction, Settings},
    testbed::Moved,
};
use podlane_wire::{Icmpv4Type, Icmpv6Type};

use crate::{
    offload::twins::{A, ALSO_OPEN, B, C, Conversation, D, E, FLAGS, OPEN, Twins, tunnelled},
    packets::{BLUE, Field, GREEN, RED, arp_request, echo4, echo6},
    policy::bed::ACK,
    tunnel::UPLINK,
};

/// Dice that fall the same at each run.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// One between each two kinds of places, and in both families.
fn conversations() -> Vec<Conversation> {
    let ends = [
        ((A, RED), (B, BLUE)),
        ((B, BLUE), (A, RED)),
        ((A, RED), (C, GREEN)),
        ((C, GREEN), (B, BLUE)),
        ((A, RED), (D, OPEN)),
        ((A, RED), (E, UPLINK)),
    ];
    let of = |(number, (one, other))| {
        [false, true].map(|v6| Conversation::new(one, other, (40_000 + number as u16, 80 + number as u16), v6))
    };
    ends.into_iter().enumerate().flat_map(of).collect()
}

/// So many steps. Returns what died, and how many packets the engine carried.
fn run(settings: &Settings, seed: u64, steps: u32) -> (Vec<Moved>, u64) {
    let mut twins = Twins::new(settings);
    let mut dice = Dice(seed);
    let mut talks = conversations();
    for _ in 0..steps {
        let at = dice.roll(talks.len() as u64) as usize;
        match dice.roll(160) {
            0..2 => twins.enforce(),
            2..4 => twins.publish(),
            4..10 => twins.wait(100 * (1 + dice.roll(8) as u32)),
            10 => twins.plug_again([RED, BLUE, GREEN][dice.roll(3) as usize]),
            11..14 => {
                // It announces itself: by what else it says where it was before, a switch learns no sooner than it looks at its old flows.
                let to = [OPEN, ALSO_OPEN][at % 2];
                talks.iter_mut().skip(8).take(2).for_each(|talk| talk.move_other(to));
                twins.receive(to, &arp_request(D, D.v4), 1);
            }
            14..22 => talks[at].open(&mut twins),
            _ => speak(&mut twins, &mut talks[at], &mut dice),
        }
    }
    twins.close()
}

/// One side says something, often enough to be worth carrying.
fn speak(twins: &mut Twins, talk: &mut Conversation, dice: &mut Dice) {
    let (back, what) = (dice.roll(2) == 1, dice.roll(32));
    let times = 1 + dice.roll(24) as usize;
    let (port, packet) = match what {
        0..10 => talk.tcp(back, ACK, 0),
        10..13 => {
            // Where the sender is, in the window, or nowhere near it.
            let ahead = [0, 1, 400, 70_000][dice.roll(4) as usize];
            talk.tcp(back, FLAGS[dice.roll(6) as usize], ahead)
        }
        13..26 => {
            let field = [Field::Finished, Field::Unfinished][dice.roll(2) as usize];
            let length = [20, 1400, 1476][(dice.roll(12) / 5) as usize];
            talk.udp(back, length, [64, 1][(dice.roll(12) / 11) as usize], field)
        }
        26 => (RED, echo4(A, B, Icmpv4Type::ECHO_REQUEST)),
        27 => (BLUE, echo4(B, A, Icmpv4Type::ECHO_REPLY)),
        28 => (RED, echo6(A, B, Icmpv6Type::ECHO_REQUEST)),
        29 => (BLUE, echo6(B, A, Icmpv6Type::ECHO_REPLY)),
        _ => talk.udp(back, 20, 64, Field::Finished),
    };
    let packet = if port == UPLINK { tunnelled(&packet) } else { packet };
    twins.receive(port, &packet, times);
    if what < 10 {
        // What was just said, and acknowledged by the other's next word.
        talk.advance(back, 10);
    }
}

/// Runs engines of these settings; what they carried together is not nothing.
fn all_agree(settings: &Settings, seeds: core::ops::Range<u64>) {
    let (mut carried, mut died) = (0, Vec::new());
    for seed in seeds {
        let (dead, hits) = run(settings, seed * 0x9e37_79b9 + 1, 300);
        carried += hits;
        died.extend(dead);
    }
    assert!(carried > 100, "the engine carried {carried} packets: this compares nothing");
    for reason in [DropReason::PolicyDenied, DropReason::TooBig] {
        assert!(died.iter().any(|line| matches!(line, Moved::Dropped(met, _) if *met == reason)), "no {reason:?} met");
    }
}

#[test]
fn an_engine_without_faults_changes_no_delivery_and_no_drop() {
    all_agree(&Settings::default(), 0..4);
}

#[test]
fn nor_does_one_that_puts_flows_out_for_others() {
    for eviction in [Eviction::LeastRecentlyUsed, Eviction::Random] {
        all_agree(&Settings { capacity: 3, eviction, ..Settings::default() }, 10..12);
    }
    all_agree(&Settings { capacity: 1, ..Settings::default() }, 12..14);
}

#[test]
fn nor_does_one_that_is_slow_or_fails() {
    let faults = Settings { refuse_every: 3, lose_every: 2, ..Settings::default() };
    all_agree(&faults, 20..22);
    let slow = Settings { insertions: 5, latency: 150, ..Settings::default() };
    all_agree(&slow, 23..25);
}

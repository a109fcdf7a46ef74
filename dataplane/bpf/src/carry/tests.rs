//! The pod's program, run by the kernel on packets made up here (`BPF_PROG_TEST_RUN`), and the words it is told.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use aya::programs::{TestRun, TestRunOptions};
use proptest::prelude::*;

use super::words::{FlowBytes, flow_bytes, read_flow};
use super::*;

mod decided;
mod packets;

use packets::{BLUE, Packet, RED};

const DROP: u32 = 2;
const REDIRECT: u32 = 7;

/// The kernel runs packets as if they had come in by the loopback, if no other device is named.
const LOOPBACK: u32 = 1;
const SEAT: u16 = 7;
const GENERATION: u64 = 3;

/// The index of a pod's host end; nothing is sent there, only said to be.
const TARGET: u32 = 77;

/// The programs in the kernel, attached to nothing.
struct Bed {
    carrier: Carrier,
}

/// What became of a packet: the verdict, and the frame as it is then.
struct Ran {
    verdict: u32,
    frame: Vec<u8>,
}

impl Bed {
    fn or_skip(test: &str, capacity: u32) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            writeln!(std::io::stderr(), "skipped: {test}: loading a program needs root").unwrap();
            return None;
        }
        let mut carrier = Carrier::open(None, Room { flows: capacity, permits: 4 }).unwrap();
        carrier.set_generation(GENERATION).unwrap();
        let target = Target::Pod { ifindex: LOOPBACK, mac: BLUE };
        carrier.seat(SEAT, &Seat { origin: Origin::Device(LOOPBACK), trunk: TARGET, target }).unwrap();
        Some(Self { carrier })
    }

    /// With an order for the packets that `packet` is one of.
    fn deciding(test: &str, packet: &Packet) -> Option<Self> {
        let mut bed = Self::or_skip(test, 8)?;
        bed.carrier.insert(&packet.key(), &to_red(), GENERATION).unwrap();
        Some(bed)
    }

    fn run(&mut self, frame: &[u8]) -> Ran {
        self.run_with(frame, None)
    }

    fn run_with(&mut self, frame: &[u8], ctx_in: Option<&[u8]>) -> Ran {
        let mut out = vec![0; frame.len() + 64];
        let program = self.carrier.hooks.program(Role::Pod);
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ctx_in, ..TestRunOptions::new() };
        let ran = program.test_run(options).unwrap();
        out.truncate(ran.data_size_out as usize);
        Ran { verdict: ran.return_value, frame: out }
    }

    /// Runs a packet and says why it was not carried; `None` if it was, in which case it is counted.
    fn judge(&mut self, frame: &[u8]) -> Option<Event> {
        let before = self.carrier.events().unwrap();
        let verdict = self.run(frame).verdict;
        let after = self.carrier.events().unwrap();
        let counted = after.iter().zip(&before).filter(|(after, before)| after.1 != before.1);
        let counted: Vec<_> = counted.map(|(after, before)| (after.0, after.1 - before.1)).collect();
        match counted[..] {
            [] => {
                assert_eq!(verdict, REDIRECT);
                None
            }
            [(event, 1)] => {
                assert_eq!(verdict, if event.is_drop() { DROP } else { REDIRECT });
                Some(event)
            }
            _ => panic!("one packet was counted as {counted:?}"),
        }
    }

    fn carried(&self, packet: &Packet) -> (u64, u64) {
        let counters = self.carrier.counters(&packet.key()).unwrap().unwrap();
        (counters.packets, counters.bytes)
    }
}

/// Into the pod RED, as it is.
fn to_red() -> Order {
    Order { target: Target::Pod { ifindex: TARGET, mac: RED }, mtu: 1500, rewrite: None, permit: None }
}

#[test]
fn the_programs_are_small_enough_to_be_read_and_verified_quickly() {
    let Some(mut bed) = Bed::or_skip("the_programs_are_small_enough_to_be_read_and_verified_quickly", 8) else {
        return;
    };
    // (role, bytes of instructions, instructions the verifier walked): a quarter above what clang 14 and Linux 6.18 make of them.
    for (role, most_bytes, most_walked) in
        [(Role::Pod, 6_600, 1_310), (Role::Tunnel, 7_200, 1_460), (Role::Trunk, 2_400, 310)]
    {
        let info = bed.carrier.hooks.program(role).info().unwrap();
        let (bytes, walked) = (info.size_translated().unwrap(), info.verified_instruction_count().unwrap());
        writeln!(std::io::stderr(), "{role:?}: {bytes} bytes, {walked} instructions verified").unwrap();
        assert!(bytes <= most_bytes, "{role:?} has {bytes} bytes of instructions");
        assert!(walked <= most_walked, "{role:?}: {walked} instructions were verified");
    }
}

#[test]
fn a_full_table_and_what_no_packet_could_be_are_errors_by_name_and_change_nothing() {
    let test = "a_full_table_and_what_no_packet_could_be_are_errors_by_name_and_change_nothing";
    let Some(mut bed) = Bed::or_skip(test, 2) else { return };
    let flow = |port: u16| Packet { port, ..Packet::udp() }.key();
    for port in [1, 2] {
        bed.carrier.insert(&flow(port), &to_red(), GENERATION).unwrap();
    }
    let mut refused = |key: Key, order: Order| bed.carrier.insert(&key, &order, GENERATION).unwrap_err();
    let error = refused(flow(3), to_red());
    assert!(matches!(error, CarryError::Full { capacity: 2 }), "{error}");
    assert!(matches!(refused(flow(1), to_red()), CarryError::Known));
    let mixed = Key { source: Ipv6Addr::LOCALHOST.into(), ..flow(3) };
    assert!(matches!(refused(mixed, to_red()), CarryError::Families { .. }));
    let wide = Key { from: Origin::Tunnel { vni: 1 << 24, peer: Ipv4Addr::LOCALHOST.into() }, ..flow(3) };
    assert!(matches!(refused(wide, to_red()), CarryError::Vni { vni: 0x100_0000 }));
    let stray = Order { target: Target::Pod { ifindex: TARGET, mac: BLUE }, ..to_red() };
    let error = refused(flow(3), stray);
    assert!(matches!(error, CarryError::NotTheirs { mac: BLUE, arrives: RED }), "{error}");
    assert_eq!((bed.carrier.len(), bed.carrier.flows().unwrap().len()), (2, 2));

    bed.carrier.remove(&flow(1)).unwrap().unwrap();
    bed.carrier.insert(&flow(3), &to_red(), GENERATION).unwrap();
    assert_eq!(bed.carrier.remove(&flow(1)).unwrap(), None, "twice is no error");
    assert_eq!((bed.carrier.len(), bed.carrier.capacity()), (2, 2));
}

#[test]
fn a_place_has_one_number_the_last_it_was_given() {
    let test = "a_place_has_one_number_the_last_it_was_given";
    let Some(mut bed) = Bed::or_skip(test, 8) else { return };
    let (origin, target) = (Origin::Device(LOOPBACK), Target::Host { ifindex: TARGET });
    let seat = Seat { origin, trunk: TARGET, target };
    bed.carrier.seat(SEAT + 1, &seat).unwrap();
    assert_eq!(bed.judge(&Packet::udp().bytes()), Some(Event::NoFlow));
    assert_eq!(bed.carrier.seats().collect::<Vec<_>>(), [(SEAT + 1, &seat)]);
    bed.carrier.unseat(SEAT).unwrap();
    assert_eq!(bed.judge(&Packet::udp().bytes()), Some(Event::NoFlow), "it was the other's already");
    bed.carrier.unseat(SEAT + 1).unwrap();
    assert_eq!(bed.judge(&Packet::udp().bytes()), Some(Event::NoOrigin));
}

#[test]
fn what_a_process_left_half_done_is_removed_by_the_next() {
    let test = "what_a_process_left_half_done_is_removed_by_the_next";
    if Bed::or_skip(test, 1).is_none() {
        return;
    }
    let bpffs = Path::new("/sys/fs/bpf");
    crate::ensure_bpffs(bpffs).unwrap();
    let pins = bpffs.join(format!("podlane-half-{}", std::process::id()));
    let room = |flows| Room { flows, permits: 4 };
    let mut first = Carrier::open(Some(&pins), room(4)).unwrap();
    let target = Target::Host { ifindex: TARGET };
    for number in [1, 2] {
        let origin = Origin::Device(number.into());
        first.seat(number, &Seat { origin, trunk: TARGET, target }).unwrap();
    }
    first.insert(&Packet::udp().key(), &to_red(), GENERATION).unwrap();
    first.maps.half_a_seat(2);
    drop(first);
    let mut second = Carrier::open(Some(&pins), room(4)).unwrap();
    assert_eq!(second.seats().map(|(number, _)| number).collect::<Vec<_>>(), [1]);
    assert_eq!((second.len(), second.maps.seats().unwrap().len()), (1, 1));
    drop(second);
    // A table of another size is another table.
    let third = Carrier::open(Some(&pins), room(8)).unwrap();
    assert_eq!((third.len(), third.capacity(), third.seats().count()), (0, 8, 1));
    third.remove_all().unwrap();
    assert!(!pins.exists());
}

fn address(ipv6: bool) -> BoxedStrategy<IpAddr> {
    if ipv6 {
        // No first four bytes alone, which no node has.
        any::<(u128, u8)>().prop_map(|(bits, last)| Ipv6Addr::from_bits(bits | u128::from(last) | 1).into()).boxed()
    } else {
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()).boxed()
    }
}

prop_compose! {
    fn flows()(ipv6 in any::<bool>(), outer_ipv6 in any::<bool>())(
        source in address(ipv6), destination in address(ipv6), peer in address(outer_ipv6), device in 1_u32..1 << 31, vni in 0..=MAX_VNI,
        (from_tunnel, rewritten, hop) in any::<(bool, bool, bool)>(), macs in any::<[[u8; 6]; 4]>(),
        (protocol, ports, mtu) in any::<(u8, [u8; 4], u16)>(), target in 0..3, (generation, slot, entry, stamp) in any::<(u64, u32, u32, u32)>(),
    ) -> (Key, Order, u64, u32) {
        let [destination_mac, source_mac, new_destination, new_source] = macs;
        let from = if from_tunnel { Origin::Tunnel { vni, peer } } else { Origin::Device(device) };
        let target = match target {
            0 => Target::Pod { ifindex: device, mac: destination_mac },
            1 => Target::Host { ifindex: device },
            _ => Target::Remote { ifindex: device, vni, peer },
        };
        let rewrite = Rewrite { destination_mac: new_destination, source_mac: new_source, hop };
        let key = Key { from, destination_mac, source_mac, source, destination, protocol, ports };
        let permit = NonZeroU32::new(stamp % 3).map(|stamp| Permit { entry, stamp });
        (key, Order { target, mtu, rewrite: rewritten.then_some(rewrite), permit }, generation, slot)
    }
}

proptest! {
    /// A next process reads what this one wrote.
    #[test]
    fn what_is_written_is_read((key, order, generation, slot) in flows()) {
        let bytes: FlowBytes = flow_bytes(&key.bytes().unwrap(), &key, &order, (generation, slot));
        prop_assert_eq!(read_flow(&bytes), Some((key, order, generation, slot)));
        prop_assert_eq!(Origin::of_key(&key.from.key()), key.from);
        prop_assert_eq!(Target::of_bytes(&order.target.bytes()), Some(order.target));
    }
}

#[test]
fn a_carrier_may_move_to_another_thread() {
    fn moves<T: Send + 'static>() {}
    moves::<Carrier>();
}

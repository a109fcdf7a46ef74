//! The format against pcap-parser, both ways, and a replay against files that are broken, slow or full.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::PathBuf, time::Duration};

use pcap_parser::PcapBlockOwned;
use podlane_rings::{FrameSize, HugePages, Umem, UmemConfig};
use proptest::prelude::*;

use super::*;
use crate::burst::BURST;

fn memory(frames: u32) -> FramePool {
    let config = UmemConfig { frames, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
    Umem::create(&config).unwrap().1
}

/// A file of this test alone, removed at its end.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("podlane-replay-{}-{test}", std::process::id())))
    }

    fn holding(test: &str, bytes: &[u8]) -> Self {
        let place = Self::new(test);
        std::fs::write(&place.0, bytes).unwrap();
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file as the oracle's own model has it, in any of the four dialects.
fn file(big_endian: bool, nanoseconds: bool, packets: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let magic = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let version = if big_endian { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let mut bytes = [word(magic), version, word(0), word(0), word(65_535), word(1)].concat();
    for (seconds, fraction, packet) in packets {
        let length = packet.len() as u32;
        for value in [*seconds, *fraction, length, length] {
            bytes.extend(word(value));
        }
        bytes.extend(packet);
    }
    bytes
}

fn micro(packets: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    file(false, false, packets)
}

fn one_packet() -> Vec<u8> {
    micro(&[(1, 0, vec![7; 60])])
}

/// What the oracle reads from a file.
fn oracle(bytes: &[u8]) -> Vec<(Duration, Vec<u8>)> {
    let mut reader = pcap_parser::create_reader(1 << 20, bytes).unwrap();
    let (mut packets, mut nanoseconds) = (Vec::new(), false);
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => nanoseconds = header.is_nanosecond_precision(),
                    PcapBlockOwned::Legacy(block) => {
                        let unit = if nanoseconds { 1 } else { 1000 };
                        let fraction = Duration::from_nanos(u64::from(block.ts_usec) * unit);
                        packets.push((Duration::from_secs(block.ts_sec.into()) + fraction, block.data.to_vec()));
                    }
                    PcapBlockOwned::NG(_) => unreachable!("not in a classic file"),
                }
                reader.consume(used);
            }
            Err(pcap_parser::PcapError::Eof) => return packets,
            Err(pcap_parser::PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("the oracle cannot read it: {error:?}"),
        }
    }
}

proptest! {
    #[test]
    fn a_file_of_any_dialect_reads_as_the_oracle_reads_it(
        big_endian: bool,
        nanoseconds: bool,
        packets in proptest::collection::vec(
            (1_000u32..2_000, 0u32..1_000_000, proptest::collection::vec(any::<u8>(), 1..200)), 1..20),
    ) {
        let bytes = file(big_endian, nanoseconds, &packets);
        let expected = oracle(&bytes);
        let capture = Capture::parse(bytes).unwrap();
        prop_assert_eq!(capture.len(), expected.len());
        for (number, (time, packet)) in expected.iter().enumerate() {
            prop_assert_eq!(capture.packet(number).unwrap(), packet);
            prop_assert_eq!(capture.after(number), time.saturating_sub(expected[0].0));
        }
    }

    #[test]
    fn a_file_we_wrote_reads_as_it_was_meant(
        packets in proptest::collection::vec(
            (0u64..4_000_000_000, 0u32..1_000_000_000, proptest::collection::vec(any::<u8>(), 0..200)), 0..20),
    ) {
        let mut bytes = Vec::new();
        capture::write_header(&mut bytes);
        let mut expected = Vec::new();
        for (seconds, nanos, packet) in packets {
            let time = Duration::new(seconds, nanos);
            let (head, tail) = packet.split_at(packet.len() / 2);
            capture::write_record(&mut bytes, time, packet.len(), [head, tail].into_iter());
            expected.push((time, packet));
        }
        prop_assert_eq!(oracle(&bytes), expected);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        header: bool,
    ) {
        if header {
            bytes = [&one_packet()[..24], &bytes].concat();
        }
        let _ = Capture::parse(bytes);
    }
}

#[test]
fn broken_files_are_refused_by_what_is_wrong_with_them() {
    let good = one_packet();
    let patched = |at: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        bytes
    };
    let parse = |bytes: &[u8]| Capture::parse(bytes.to_vec()).err();
    assert_eq!(parse(&good), None);
    assert_eq!(parse(&good[..24]), None);
    assert_eq!(parse(&[]), Some(BadCapture::NoHeader));
    assert_eq!(parse(&good[..23]), Some(BadCapture::NoHeader));
    assert_eq!(parse(&good[..25]), Some(BadCapture::Cut { record: 1 }));
    assert_eq!(parse(&good[..good.len() - 1]), Some(BadCapture::Cut { record: 1 }));
    assert_eq!(parse(&[&good[..], &[0]].concat()), Some(BadCapture::Cut { record: 2 }));
    assert_eq!(parse(&patched(0, 0x0a0d_0d0a)), Some(BadCapture::Pcapng));
    assert_eq!(parse(&patched(0, 0xcafe_f00d)), Some(BadCapture::Magic { found: 0xcafe_f00d }));
    assert_eq!(parse(&patched(20, 113)), Some(BadCapture::LinkType { found: 113 }));
    assert_eq!(parse(&patched(20, 1 | 0x2400_0000)), Some(BadCapture::LinkType { found: 0x2400_0001 }));
    assert_eq!(parse(&patched(32, u32::MAX)), Some(BadCapture::TooLong { record: 1, length: u32::MAX }));
}

#[test]
fn an_error_names_the_file_and_what_to_do() {
    let cooked = Place::holding("cooked", &{
        let mut bytes = one_packet();
        bytes[20] = 113;
        bytes
    });
    let config = ReplayConfig { input: Some(cooked.0.clone()), ..ReplayConfig::default() };
    let told = ReplayPort::open(&config).err().unwrap().to_string();
    assert!(told.contains(cooked.0.to_str().unwrap()), "{told}");
    assert!(told.contains("Linux cooked") && told.contains("capture on an Ethernet device"), "{told}");

    let absent = ReplayConfig { input: Some("/nonexistent/in.pcap".into()), ..ReplayConfig::default() };
    assert!(
        matches!(ReplayPort::open(&absent), Err(PortError::Capture { path, .. }) if path == "/nonexistent/in.pcap")
    );
    let nowhere = ReplayConfig { output: Some("/nonexistent/out.pcap".into()), ..ReplayConfig::default() };
    assert!(
        matches!(ReplayPort::open(&nowhere), Err(PortError::Capture { path, .. }) if path == "/nonexistent/out.pcap")
    );
}

#[test]
fn a_file_too_large_to_hold_is_refused_before_it_is_read() {
    let place = Place::holding("large", &one_packet());
    OpenOptions::new().write(true).open(&place.0).unwrap().set_len((1 << 30) + 1).unwrap();
    let error = Capture::read(&place.0).err().unwrap();
    assert_eq!(error.downcast::<BadCapture>().unwrap(), BadCapture::TooLarge);
}

#[test]
fn a_file_is_not_written_over_itself() {
    let place = Place::holding("same", &one_packet());
    let config =
        ReplayConfig { input: Some(place.0.clone()), output: Some(place.0.clone()), ..ReplayConfig::default() };
    assert!(matches!(ReplayPort::open(&config), Err(PortError::Capture { .. })));
    assert_eq!(std::fs::read(&place.0).unwrap(), one_packet());
}

/// Takes one burst and gives its frames back; returns the first byte of each.
fn pull(port: &mut ReplayPort, pool: &mut FramePool) -> Vec<u8> {
    let mut burst = Burst::new();
    port.receive(pool, &mut burst);
    let firsts = burst.frames().iter().map(|frame| frame.bytes()[0]).collect();
    for frame in burst.drain() {
        pool.give(frame);
    }
    firsts
}

fn playing(test: &str, bytes: &[u8], repeat: u32, pace: Pace) -> ReplayPort {
    let place = Place::holding(test, bytes);
    ReplayPort::open(&ReplayConfig { input: Some(place.0.clone()), repeat, pace, ..ReplayConfig::default() }).unwrap()
}

#[test]
fn an_input_is_played_as_often_as_asked() {
    let mut pool = memory(128);
    let three = micro(&[(1, 0, vec![1; 60]), (1, 1, vec![2; 60]), (1, 2, vec![3; 60])]);
    let mut twice = playing("twice", &three, 2, Pace::AsFast);
    assert_eq!(pull(&mut twice, &mut pool), [1, 2, 3, 1, 2, 3]);
    assert_eq!(pull(&mut twice, &mut pool), []);
    let mut always = playing("always", &three, 0, Pace::AsFast);
    for _ in 0..10 {
        assert_eq!(pull(&mut always, &mut pool).len(), BURST);
    }
    let mut nothing = playing("nothing", &three[..24], 0, Pace::AsFast);
    assert_eq!(pull(&mut nothing, &mut pool), []);
}

#[test]
fn recorded_pace_keeps_the_distances() {
    let mut pool = memory(16);
    // The third was captured before the second, by a clock that was set back: it comes with it.
    let spaced = micro(&[(1, 0, vec![1; 60]), (1, 50_000, vec![2; 60]), (0, 0, vec![3; 60])]);
    let mut port = playing("spaced", &spaced, 2, Pace::Recorded);
    let began = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < 6 {
        assert!(began.elapsed() < Duration::from_secs(5), "{seen:?}");
        seen.extend(pull(&mut port, &mut pool).into_iter().map(|first| (first, began.elapsed())));
    }
    assert_eq!(seen.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3]);
    let times: Vec<_> = seen.iter().map(|(_, at)| *at >= Duration::from_millis(50)).collect();
    assert_eq!(times, [false, true, true, true, true, true]);
    assert!(seen[4].1 >= Duration::from_millis(100), "{seen:?}");
}

#[test]
fn a_packet_waits_for_its_frame_and_a_long_one_that_finds_too_few_is_counted() {
    let mut pool = memory(2);
    let mut port = playing("short", &micro(&[(1, 0, vec![1; 9000]), (1, 0, vec![2; 60])]), 1, Pace::AsFast);
    let kept = [pool.take().unwrap(), pool.take().unwrap()];
    assert_eq!(pull(&mut port, &mut pool), []);
    assert_eq!(port.statistics(), PortStatistics::default());
    for frame in kept {
        pool.give(frame);
    }
    assert_eq!(pull(&mut port, &mut pool), [2]);
    assert_eq!(port.statistics(), PortStatistics { fill_ring_empty: 1, ..PortStatistics::default() });
}

fn fill(queue: &mut OutQueue, pool: &mut FramePool, number: usize) {
    for _ in 0..number {
        let frame = pool.write_packet(&[9; 1500]).unwrap();
        let length = frame.len();
        queue.push(frame, length).unwrap();
    }
}

#[test]
fn a_slow_file_leaves_packets_queued_and_loses_none() {
    // Nobody reads this FIFO at first, and it holds 64 KiB.
    let place = Place::new("fifo");
    nix::unistd::mkfifo(&place.0, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut far = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&place.0).unwrap();
    let mut pool = memory(1024);
    let config = ReplayConfig { output: Some(place.0.clone()), ..ReplayConfig::default() };
    let mut port = Box::new(ReplayPort::open(&config).unwrap());
    let mut queue = OutQueue::new(1024);
    let mut sent = 0;
    while queue.is_empty() {
        fill(&mut queue, &mut pool, BURST);
        sent += BURST;
        port.transmit(&mut pool, &mut queue);
        assert!(sent < 10_000, "a file that nobody reads took everything");
    }
    port.settle(&mut pool).unwrap();
    let reader = std::thread::spawn(move || {
        let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
        loop {
            match io::Read::read(&mut far, &mut piece) {
                Ok(0) if !bytes.is_empty() => return bytes,
                Ok(length) => bytes.extend(&piece[..length]),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    });
    while !queue.is_empty() {
        port.transmit(&mut pool, &mut queue);
        std::thread::yield_now();
    }
    port.close(&mut pool);
    assert_eq!(oracle(&reader.join().unwrap()).len(), sent);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn a_full_disk_ends_the_port_by_name() {
    let mut pool = memory(1024);
    let config = ReplayConfig { output: Some("/dev/full".into()), ..ReplayConfig::default() };
    let mut port = Box::new(ReplayPort::open(&config).unwrap());
    let mut queue = OutQueue::new(1024);
    fill(&mut queue, &mut pool, BURST);
    port.transmit(&mut pool, &mut queue);
    let began = Instant::now();
    let error = loop {
        match port.health() {
            Ok(()) => assert!(began.elapsed() < Duration::from_secs(5), "the write failed unheard"),
            Err(error) => break error,
        }
    };
    let told = error.to_string();
    assert!(told.starts_with("capture /dev/full: No space left on device"), "{told}");
    assert!(port.settle(&mut pool).is_err());
    port.close(&mut pool);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn a_look_at_its_health_brings_the_file_up_to_date() {
    let mut pool = memory(16);
    let place = Place::new("tail");
    let config = ReplayConfig { output: Some(place.0.clone()), ..ReplayConfig::default() };
    let mut port = ReplayPort::open(&config).unwrap();
    let mut queue = OutQueue::new(16);
    fill(&mut queue, &mut pool, 3);
    port.transmit(&mut pool, &mut queue);
    port.health().unwrap();
    let began = Instant::now();
    while oracle(&whole_header(&place)).len() < 3 {
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

/// The file so far; before its header is written, one without packets.
fn whole_header(place: &Place) -> Vec<u8> {
    match std::fs::read(&place.0).unwrap() {
        short if short.len() < 24 => one_packet()[..24].to_vec(),
        bytes => bytes,
    }
}

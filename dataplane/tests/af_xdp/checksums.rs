//! Checksums a pod's kernel leaves unfinished are right on the far side, in every combination, with default offloads.
//!
//! A kernel drops what has a wrong checksum, so a datagram that arrives is the proof; for streams, which send again, the kernels'
//! own counts of wrong checksums are looked at too.

use podlane_host::lab::skip;

use crate::{
    bed::{Bed, Family, Setup},
    talk::{checksum_errors, echo, stream},
};

/// Odd ones end in half a word.
const SIZES: [usize; 5] = [1, 2, 100, 101, 1400];
/// More than one frame.
const JUMBO: [usize; 2] = [8000, 8001];
/// Enough for the window to open and segments of every size to be sent.
const STREAM: usize = 4 << 20;

fn every_combination(metadata: bool, mtu: u16) {
    let mut failures = Vec::new();
    let sizes = if mtu > 1500 { [&SIZES[..], &JUMBO[..]].concat() } else { SIZES.to_vec() };
    for routed in [false, true] {
        let way = if routed { "routed" } else { "bridged" };
        let bed = Bed::new(Setup { mtu, metadata, routed, ..Setup::default() });
        for family in [Family::V4, Family::V6] {
            for (protocol, outcome) in
                [("UDP", echo(&bed, (0, 1), family, &sizes)), ("TCP", stream(&bed, (0, 1), family, STREAM))]
            {
                failures.extend(outcome.err().map(|error| format!("{way} {protocol} over {family}: {error}")));
            }
        }
        for pod in &bed.pods {
            let wrong = checksum_errors(pod);
            if wrong > 0 {
                failures.push(format!("{way}: {} refused {wrong} checksums", pod.host_ifname));
            }
        }
        for port in bed.settled().iter().flat_map(|report| &report.ports) {
            assert_eq!(port.facts.finishes_checksums, metadata, "the kernel is asked only with the metadata");
        }
        bed.close();
    }
    assert!(failures.is_empty(), "metadata {metadata}, MTU {mtu}: {failures:#?}");
}

#[test]
fn checksums_are_right_with_metadata_at_1500() {
    if !skip("checksums_are_right_with_metadata_at_1500") {
        every_combination(true, 1500);
    }
}

#[test]
fn checksums_are_right_without_metadata_at_1500() {
    if !skip("checksums_are_right_without_metadata_at_1500") {
        every_combination(false, 1500);
    }
}

#[test]
fn checksums_are_right_with_metadata_at_9000() {
    if !skip("checksums_are_right_with_metadata_at_9000") {
        every_combination(true, 9000);
    }
}

#[test]
fn checksums_are_right_without_metadata_at_9000() {
    if !skip("checksums_are_right_without_metadata_at_9000") {
        every_combination(false, 9000);
    }
}

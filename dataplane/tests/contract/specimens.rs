//! The kinds of port, each with its far end.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use podlane_dataplane::{
    burst::BURST,
    port::{
        PortFacts, PortMode,
        af_xdp::{Device, DeviceConfig},
        fault::{FaultConfig, FaultPort},
        memory::{MemoryPort, Wire},
        replay::{ReplayConfig, ReplayPort},
    },
};
use podlane_host::lab;

use crate::{
    suite::{FarEnd, RING, Specimen, Subject, memory},
    wire::PodEnd,
};

/// A port in memory.
pub(crate) struct Memory;

impl Subject for Memory {
    fn facts(&self) -> PortFacts {
        PortFacts { mode: PortMode::Memory, queues: 1, finishes_checksums: false }
    }

    fn room(&self) -> Option<usize> {
        Some(RING as usize)
    }

    fn open(&self, incoming: &[Vec<u8>]) -> Specimen {
        let wire = Wire::default();
        incoming.iter().for_each(|packet| wire.send(packet.as_slice()));
        Specimen { pool: memory(), port: Box::new(MemoryPort::new(wire.clone())), far: Box::new(Far(wire)) }
    }
}

struct Far(Wire);

impl FarEnd for Far {
    fn stall(&mut self, packets: usize) {
        self.0.take_at_most(packets);
    }

    fn resume(&mut self) {
        self.0.take_at_most(usize::MAX);
    }

    fn received(&mut self, _closed: bool) -> Vec<Vec<u8>> {
        self.0.receive()
    }
}

/// A port of files. It always takes what a test sends, because its buffers hold more; a slow disk is a test of its own.
pub(crate) struct Replay;

impl Subject for Replay {
    fn facts(&self) -> PortFacts {
        PortFacts { mode: PortMode::Memory, queues: 1, finishes_checksums: false }
    }

    fn room(&self) -> Option<usize> {
        None
    }

    fn open(&self, incoming: &[Vec<u8>]) -> Specimen {
        let files = Files::new();
        std::fs::write(&files.input, pcap(incoming)).unwrap();
        let config = ReplayConfig {
            name: "test".to_owned(),
            input: Some(files.input.clone()),
            output: Some(files.output.clone()),
            repeat: 1,
            ..ReplayConfig::default()
        };
        Specimen { pool: memory(), port: Box::new(ReplayPort::open(&config).unwrap()), far: Box::new(files) }
    }
}

/// Two files of one specimen, removed with it.
struct Files {
    input: PathBuf,
    output: PathBuf,
}

impl Files {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = |side| std::env::temp_dir().join(format!("podlane-ports-{}-{number}.{side}", std::process::id()));
        Self { input: file("in"), output: file("out") }
    }
}

impl FarEnd for Files {
    fn received(&mut self, closed: bool) -> Vec<Vec<u8>> {
        if !closed {
            return Vec::new();
        }
        let bytes = std::fs::read(&self.output).unwrap();
        let (mut rest, header) = pcap_parser::parse_pcap_header(&bytes).unwrap();
        assert!(header.is_nanosecond_precision() && header.network == pcap_parser::Linktype::ETHERNET);
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let (behind, block) = pcap_parser::parse_pcap_frame(rest).unwrap();
            let age = Duration::from_secs(block.ts_sec.into()).abs_diff(now());
            assert!(age < Duration::from_secs(60), "a packet's time is {age:?} off");
            packets.push(block.data.to_vec());
            rest = behind;
        }
        packets
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for file in [&self.input, &self.output] {
            let _ = std::fs::remove_file(file);
        }
    }
}

fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}

/// A little-endian file of microseconds.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [0xa1b2_c3d4u32, 4 << 16 | 2, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for packet in packets {
        let length = packet.len() as u32;
        bytes.extend([1, 0, length, length].map(u32::to_le_bytes).concat());
        bytes.extend(packet);
    }
    bytes
}

/// Another port behind a wire that could be bad and is not.
pub(crate) struct Fault<S>(pub(crate) S);

impl<S: Subject> Subject for Fault<S> {
    fn skip(&self, test: &str) -> bool {
        self.0.skip(test)
    }

    fn facts(&self) -> PortFacts {
        self.0.facts()
    }

    fn room(&self) -> Option<usize> {
        self.0.room().map(|room| room + BURST)
    }

    fn open(&self, incoming: &[Vec<u8>]) -> Specimen {
        let Specimen { pool, port, far } = self.0.open(incoming);
        Specimen { pool, port: Box::new(FaultPort::new(port, FaultConfig::default())), far }
    }
}

/// AF_XDP over a veth.
pub(crate) struct AfXdp {
    pub(crate) checksum_offload: bool,
}

impl Default for AfXdp {
    fn default() -> Self {
        Self { checksum_offload: true }
    }
}

impl Subject for AfXdp {
    fn skip(&self, test: &str) -> bool {
        lab::skip(test)
    }

    fn facts(&self) -> PortFacts {
        PortFacts { mode: PortMode::Copy, queues: 1, finishes_checksums: self.checksum_offload }
    }

    fn room(&self) -> Option<usize> {
        Some(RING as usize)
    }

    fn open(&self, incoming: &[Vec<u8>]) -> Specimen {
        let mut far = PodEnd::new();
        let config = DeviceConfig { checksum_offload: self.checksum_offload, ..far.config() };
        let mut pools = [memory()];
        let port = far.attach(|| {
            let (device, mut ports) = Device::open(&config, &mut pools).unwrap();
            (device, ports.remove(0).1)
        });
        far.send(incoming);
        let [pool] = pools;
        Specimen { pool, port: Box::new(port), far: Box::new(far) }
    }
}

//! What a configuration asks of the workers and of what they share: sizes, times and memory.

use std::time::Duration;

use podlane_dataplane::flow::HashSeed;
use podlane_dataplane::flow::connections::{Connections, Settings};
use podlane_dataplane::worker::WorkerConfig;
use podlane_dataplane::worker::idle::Poll;
use podlane_rings::{FramePool, FrameSize, HugePages, Umem, UmemConfig};

use super::error::StartError;
use crate::desired::{Desired, FrameBytes, Policy};

/// The longest time that a connection can be silent, milliseconds.
const MOST: u32 = i32::MAX as u32 - 60_000;

/// The table of connections that the policy asks for; without one there are none to follow.
pub(super) fn connections(policy: Option<&Policy>) -> std::io::Result<Connections> {
    let capacity = policy.map_or(0, |policy| policy.connections.get() as usize);
    Connections::new(capacity, settings(policy), HashSeed::random())
}

/// How the policy has connections followed.
pub(super) fn settings(policy: Option<&Policy>) -> Settings {
    let Some(policy) = policy else { return Settings::default() };
    // Ages are told up to half the clock, 24 days: longer is as long as that.
    let milliseconds = |time: Duration| u32::try_from(time.as_millis()).map_or(MOST, |time| time.min(MOST));
    let timeouts = policy.timeouts;
    Settings {
        pick_up: policy.pick_up,
        tcp_opening: milliseconds(timeouts.tcp_opening),
        tcp_established: milliseconds(timeouts.tcp_established),
        tcp_closing: milliseconds(timeouts.tcp_closing),
        closed: milliseconds(timeouts.tcp_closed),
        udp_opening: milliseconds(timeouts.udp_opening),
        udp: milliseconds(timeouts.udp),
        icmp: milliseconds(timeouts.icmp),
        other: milliseconds(timeouts.other),
        ..Settings::default()
    }
}

/// A worker's packet memory.
pub(super) fn memory(desired: &Desired) -> UmemConfig {
    UmemConfig {
        frames: desired.workers.frames.get(),
        frame_size: match desired.workers.frame_bytes {
            FrameBytes::TwoKiB => FrameSize::Bytes2048,
            FrameBytes::FourKiB => FrameSize::Bytes4096,
        },
        huge_pages: HugePages::Prefer,
    }
}

/// Each worker's settings.
pub(super) fn configs(desired: &Desired, halted: bool) -> impl Iterator<Item = WorkerConfig> {
    let poll = match desired.workers.poll {
        podlane_api::Poll::Adaptive => Poll::Adaptive,
        podlane_api::Poll::Busy => Poll::Busy,
    };
    let flow_idle = u32::try_from(desired.flows.idle.as_millis()).unwrap_or(u32::MAX);
    desired.workers.cores.iter().map(move |core| WorkerConfig { core: Some(*core), poll, flow_idle, halted })
}

/// Each worker's settings and packet memory.
pub(super) fn setups(desired: &Desired) -> Result<Vec<(WorkerConfig, FramePool)>, StartError> {
    let memory = memory(desired);
    let setup = |(worker, config)| {
        let (_, pool) = Umem::create(&memory).map_err(|source| StartError::Memory { worker, source })?;
        Ok((config, pool))
    };
    configs(desired, false).enumerate().map(setup).collect()
}

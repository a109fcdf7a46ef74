//! Packets at the greatest rate the kernel can put them on a veth: live frames of `BPF_PROG_TEST_RUN` (Linux 5.18), 64 at once.
//!
//! Refused: an AF_XDP socket on the pod's end. It makes one skb a packet and runs the far end's receive path once a packet,
//! which gave 1.2 Mpps where this gives 8 to 10 (Linux 6.18, two shared cores), so that it was the generator that was measured.
//! A generator must be faster than what it measures.

use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunAttrs, TestRunOptions,
    programs::{ProgramError, Xdp},
};
use podlane_host::NetnsError;
use thiserror::Error;

use crate::{
    bed::HostEnd,
    load::traffic::{Cycle, FIRST_PORT, FLOW_BITS, SERVICE},
};

const OBJECT: &[u8] = include_bytes!("../../xdp/generate.o");
const PROGRAM: &str = "generate";

/// Frames at once: what the far end receives in one poll.
const BATCH: u32 = 64;

/// Why packets could not be made.
#[derive(Debug, Error)]
pub enum GeneratorError {
    /// The program was refused.
    #[error("the kernel refuses the generator's program: {0}; it must be Linux 5.18 or later, and the user root")]
    Load(#[from] aya::EbpfError),
    /// The program did not run.
    #[error("the generator's program cannot be run: {0}; it must be Linux 5.18 or later, and the user root")]
    Run(#[from] ProgramError),
    /// The object has no such program: it was built wrong.
    #[error("the generator's object has no program {PROGRAM}; rebuild xdp/generate.o")]
    Object,
    /// The pod's namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
}

/// A generator of one cycle on one pod's link.
pub(crate) struct Generator {
    ebpf: Ebpf,
    packet: Vec<u8>,
}

impl Generator {
    /// Loads the program for a pod's link. Call [`Self::send`] in that pod.
    pub(crate) fn new(link: &HostEnd, cycle: Cycle) -> Result<Self, GeneratorError> {
        let mut ebpf = EbpfLoader::new()
            .override_global("LINK", &link.ifindex, true)
            .override_global("FLOWS", &cycle.flows, true)
            .override_global("FIRST_PORT", &u32::from(FIRST_PORT), true)
            .override_global("FLOW_PORT", &(cycle.port_at as u32), true)
            .override_global("FIRST_SERVICE", &u32::from(SERVICE), true)
            .override_global("SERVICE_PORT", &(cycle.service_at as u32), true)
            .override_global("FLOW_BITS", &FLOW_BITS, true)
            .override_global("OUTER_SOURCE_PORT", &(cycle.outer_port_at.unwrap_or_default() as u32), true)
            .load(OBJECT)?;
        program(&mut ebpf)?.load()?;
        Ok(Self { ebpf, packet: cycle.packet })
    }

    /// Sends so many packets, and returns when they are on the link.
    pub(crate) fn send(&mut self, packets: u32) -> Result<(), GeneratorError> {
        let options = TestRunOptions {
            data_in: Some(&self.packet),
            repeat: packets,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH.min(packets)),
            ..TestRunOptions::new()
        };
        program(&mut self.ebpf)?.test_run(options)?;
        Ok(())
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, GeneratorError> {
    let program = ebpf.program_mut(PROGRAM).ok_or(GeneratorError::Object)?;
    Ok(program.try_into()?)
}

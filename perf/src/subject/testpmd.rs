//! DPDK's testpmd in `io` mode on `net_af_xdp`: the least that DPDK can do with two veths.
//!
//! Its main thread waits for the end of its standard input, which therefore must have none before it is to end.

use std::{process::Command, time::Duration};

use crate::{
    bed::Bed,
    subject::{
        Duty, Running, Subject, SubjectError,
        folder::Folder,
        tools::{Service, Tool},
    },
};

const TESTPMD: Tool = Tool {
    program: "dpdk-testpmd",
    install: "apt-get install dpdk-dev librte-net-af-xdp23, or build DPDK with libxdp",
    manual: "the testpmd user guide of DPDK",
};

/// The subject.
pub struct Testpmd;

impl Subject for Testpmd {
    fn name(&self) -> &'static str {
        "DPDK testpmd io, net_af_xdp"
    }

    fn takes(&self, duty: &Duty) -> bool {
        duty.is_plain() && duty.silent == 0
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn start(&self, bed: &Bed, _: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        let folder = Folder::make("testpmd")?;
        let mut command = Command::new(TESTPMD.program);
        command.env("RUNTIME_DIRECTORY", folder.path()).args(arguments(bed));
        Ok(Box::new(Forwarding { service: TESTPMD.serve(bed.switch(), command)?, _folder: folder }))
    }
}

fn arguments(bed: &Bed) -> Vec<String> {
    let lcores = format!("0@{},1@{}", bed.cores.load, bed.cores.switch);
    let prefix = format!("--file-prefix=podlane-perf-{}", std::process::id());
    let mut arguments: Vec<String> =
        ["--lcores", &lcores, "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", &prefix]
            .map(str::to_owned)
            .into();
    for (number, link) in bed.host_ends().iter().enumerate() {
        arguments.push(format!("--vdev=net_af_xdp{number},iface={}", link.name));
    }
    arguments.extend(
        ["--", "--forward-mode=io", "--no-mlockall", "--total-num-mbufs=32768", "--rxd=2048", "--txd=2048"]
            .map(str::to_owned),
    );
    arguments
}

struct Forwarding {
    service: Service,
    _folder: Folder,
}

impl Running for Forwarding {
    fn check(&mut self) -> Result<(), SubjectError> {
        self.service.check()
    }

    fn stop(mut self: Box<Self>) -> Result<(), SubjectError> {
        self.service.check()
    }
}

//! DPDK's testpmd in `io` mode on `net_af_xdp`: the least that DPDK can do with two veths.
//!
//! Its main thread waits for the end of its standard input, so it ends with this process, however that ends.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    bed::Bed,
    subject::{Duty, Running, Subject, SubjectError, folder::Folder},
};

const PROGRAM: &str = "dpdk-testpmd";

/// How long it may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

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
        let mut command = Command::new(PROGRAM);
        command.env("RUNTIME_DIRECTORY", folder.path());
        command.args(arguments(bed)).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A child is born in the namespace of the thread that starts it.
        match bed.switch().run(|| command.spawn())? {
            Ok(child) => Ok(Box::new(Forwarding { child, _folder: folder })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(SubjectError::Absent {
                program: PROGRAM,
                remedy: "apt-get install dpdk-dev librte-net-af-xdp23, or build DPDK with libxdp",
            }),
            Err(source) => Err(SubjectError::Start { name: PROGRAM, source }),
        }
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
    child: Child,
    _folder: Folder,
}

impl Forwarding {
    /// Ends the process: by closing its input, and by force if that is not enough.
    fn end(&mut self) -> bool {
        let ended_before = matches!(self.child.try_wait(), Ok(Some(_)));
        drop(self.child.stdin.take());
        let deadline = Instant::now() + FAREWELL;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // It may have ended just now.
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        !ended_before
    }
}

impl Running for Forwarding {
    fn check(&mut self) -> Result<(), SubjectError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(SubjectError::Ended { name: PROGRAM }),
        }
    }

    fn stop(mut self: Box<Self>) -> Result<(), SubjectError> {
        if self.end() { Ok(()) } else { Err(SubjectError::Ended { name: PROGRAM }) }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.end();
    }
}

//! VPP with its `af_xdp` plugin: one worker on the switch's core, both links in one bridge domain.
//!
//! Written from its command line reference (`create interface af_xdp`, `set interface l2 bridge`) and its configuration reference (sections
//! `unix`, `cpu`, `plugins`). It is in no Debian; where it is not installed it is skipped by name, and it has not been run by this file.

use std::{fmt::Write, process::Command, time::Duration};

use crate::{
    bed::Bed,
    subject::{
        Duty, Running, Subject, SubjectError,
        folder::Folder,
        tools::{Service, Tool},
    },
};

const VPP: Tool = Tool {
    program: "vpp",
    install: "packages of fd.io, or build it; Debian has none",
    manual: "its command line reference, af_xdp",
};

/// Slots of each ring: with fewer its TCP figures are lower, with these they are its best.
const RING: u16 = 2048;

/// The subject.
pub struct Vpp;

impl Subject for Vpp {
    fn name(&self) -> &'static str {
        "VPP af_xdp"
    }

    fn takes(&self, duty: &Duty) -> bool {
        Duty { silent: 0, peopled: false, ..*duty } == Duty::BRIDGED
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn start(&self, bed: &Bed, _: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        let folder = Folder::make("vpp")?;
        let links: Vec<String> =
            bed.host_ends().iter().chain(bed.silent_ends()).map(|link| link.name.clone()).collect();
        folder.write("commands", &commands(&links))?;
        let startup = folder.write("startup.conf", &configuration(&folder, [bed.cores.load, bed.cores.switch]))?;
        let mut run = Command::new(VPP.program);
        run.arg("-c").arg(&startup);
        Ok(Box::new(Switching { service: VPP.serve(bed.switch(), run)?, _folder: folder }))
    }
}

/// What it reads before it starts: no huge pages, which the machine may not have, and only the plugin that is needed.
fn configuration(folder: &Folder, [main, worker]: [usize; 2]) -> String {
    let path = folder.path().display();
    format!(
        "unix {{ nodaemon cli-listen {path}/cli.sock exec {path}/commands }}\n\
         api-segment {{ prefix {} }}\n\
         statseg {{ socket-name {path}/stats.sock }}\n\
         cpu {{ main-core {main} corelist-workers {worker} }}\n\
         buffers {{ page-size default }}\n\
         memory {{ main-heap-page-size default }}\n\
         plugins {{ plugin default {{ disable }} plugin af_xdp_plugin.so {{ enable }} }}\n",
        folder.path().file_name().unwrap_or_default().display()
    )
}

/// What it is told once it runs: its interface for a link is `xdp-` and the link's name.
fn commands(links: &[String]) -> String {
    let mut text = String::new();
    for link in links {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "create interface af_xdp host-if {link} name xdp-{link} rx-queue-size {RING} tx-queue-size {RING} num-rx-queues all\n\
             set interface state xdp-{link} up\n\
             set interface l2 bridge xdp-{link} 1\n"
        );
    }
    text
}

struct Switching {
    service: Service,
    _folder: Folder,
}

impl Running for Switching {
    fn check(&mut self) -> Result<(), SubjectError> {
        self.service.check()
    }

    fn stop(mut self: Box<Self>) -> Result<(), SubjectError> {
        self.service.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_is_opened_brought_up_and_bridged() {
        let text = commands(&["from".to_owned(), "to".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "create interface af_xdp host-if from name xdp-from rx-queue-size 2048 tx-queue-size 2048 num-rx-queues all",
                "set interface state xdp-from up",
                "set interface l2 bridge xdp-from 1",
            ]
        );
        assert_eq!((lines.len(), lines[5]), (6, "set interface l2 bridge xdp-to 1"));
    }
}

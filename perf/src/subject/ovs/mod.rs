//! Open vSwitch with its userspace datapath: a poll-mode thread on the switch's core, and one more for each further worker, on ports of its own AF_XDP driver or of DPDK's.
//!
//! What it is not told otherwise it does as it is delivered: a bridge that learns, where there is nothing but a bridge to do. Its database and daemon are this subject's own, in a folder of its own; the system's are neither used nor disturbed.

mod tracking;
mod tunnel;

use std::{process::Command, time::Duration};

use crate::{
    bed::{Bed, HostEnd},
    subject::{
        Duty, Running, Subject, SubjectError, Way,
        folder::Folder,
        tools::{Service, Tool},
    },
};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

const VSWITCHD: Tool = Tool {
    program: "ovs-vswitchd",
    install: "apt-get install openvswitch-switch",
    manual: "Documentation/intro/install/afxdp.rst of Open vSwitch",
};
const WITH_DPDK: Tool = Tool {
    program: "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk",
    install: "apt-get install openvswitch-switch-dpdk",
    manual: "Documentation/intro/install/dpdk.rst of Open vSwitch",
};
const DATABASE: Tool = Tool { program: "ovsdb-server", ..VSWITCHD };
const DATABASE_TOOL: Tool = Tool { program: "ovsdb-tool", ..VSWITCHD };
const CONFIGURE: Tool = Tool { program: "ovs-vsctl", ..VSWITCHD };
const CONTROL: Tool = Tool { program: "ovs-appctl", ..VSWITCHD };
const RULES: Tool = Tool { program: "ovs-ofctl", ..VSWITCHD };

/// How long its database may take to listen.
const SETTLED: Duration = Duration::from_secs(5);

/// How long it may take until it forwards.
const PATIENCE: Duration = Duration::from_secs(15);

/// The bridge of the pods' network.
const PODS: &str = "br-pods";

/// The subject: by whose driver its ports are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ovs {
    /// Its own, on AF_XDP.
    AfXdp,
    /// DPDK's `net_af_xdp`.
    Dpdk,
}

impl Subject for Ovs {
    fn name(&self) -> &'static str {
        match self {
            Self::AfXdp => "OVS AF_XDP",
            Self::Dpdk => "OVS-DPDK net_af_xdp",
        }
    }

    fn takes(&self, duty: &Duty) -> bool {
        let forwards = Duty { silent: 0, peopled: false, workers: 1, ..*duty } == Duty::BRIDGED;
        match self {
            Self::AfXdp => duty.is_tunnel() || duty.is_policy() || forwards,
            // DPDK is told of a device's queues and threads when it starts; one of each is what is compared.
            Self::Dpdk => duty.is_policy() || forwards && duty.workers == 1 && duty.silent == 0,
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        let mut switching = Switching::start(*self, bed, duty.workers)?;
        let configured = match (duty.way, duty.rules) {
            (Way::Encapsulated | Way::Decapsulated, _) => tunnel::configure(&mut switching, bed, duty.way),
            (_, Some(rules)) => tracking::configure(&mut switching, bed, rules),
            (Way::Bridged | Way::Routed, None) => learn(&mut switching, bed),
        };
        // Who talks to a daemon that ended only says that nobody answers.
        switching.check()?;
        configured?;
        Ok(Box::new(switching))
    }
}

/// A bridge of all links that learns.
fn learn(switching: &mut Switching, bed: &Bed) -> Result<(), SubjectError> {
    switching.add_bridge(bed, PODS, &[])?;
    bed.host_ends().iter().chain(bed.silent_ends()).try_for_each(|link| switching.add_link(bed, PODS, link))
}

/// Its processes. They end in this order, and then the folder goes.
struct Switching {
    switch: Service,
    database: Service,
    folder: Folder,
    driver: Ovs,
    /// Threads that poll, and queues of each port for them to share: Open vSwitch opens one queue unless told.
    workers: u16,
    /// How many ports of DPDK there are.
    devices: u16,
}

impl Switching {
    fn start(driver: Ovs, bed: &Bed, workers: u16) -> Result<Self, SubjectError> {
        let folder = Folder::make("ovs")?;
        let netns = bed.switch();
        let mut create = command(DATABASE_TOOL, &folder);
        create.arg("create").arg(folder.file("conf.db")).arg(SCHEMA);
        DATABASE_TOOL.run(netns, create)?;
        let mut serve = command(DATABASE, &folder);
        serve.arg(folder.file("conf.db")).arg(format!("--remote=punix:{}", folder.file("db.sock").display()));
        let database = DATABASE.serve(netns, serve)?;
        wait_for(&folder, "db.sock")?;
        let cores = [bed.cores.switch, bed.cores.load];
        let mask = cores.iter().take(workers.into()).fold(0, |mask, core| mask | 1_u128 << (core % 128));
        let mask = format!("other_config:pmd-cpu-mask=0x{mask:x}");
        let mut prepare = command(CONFIGURE, &folder);
        prepare.arg(at_database(&folder)).args(["--no-wait", "init", "--", "set", "Open_vSwitch", ".", &mask]);
        let program = match driver {
            Ovs::AfXdp => VSWITCHD,
            Ovs::Dpdk => {
                let prefix = format!("--file-prefix=podlane-perf-ovs-{}", std::process::id());
                let extra =
                    format!("other_config:dpdk-extra=--no-huge --legacy-mem -m 1024 --no-pci --no-telemetry {prefix}");
                let core = format!("other_config:dpdk-lcore-mask=0x{:x}", 1_u128 << (bed.cores.load % 128));
                prepare.args(["other_config:dpdk-init=true", &core, &extra]);
                WITH_DPDK
            }
        };
        CONFIGURE.run(netns, prepare)?;
        let mut run = command(program, &folder);
        run.arg(format!("unix:{}", folder.file("db.sock").display()));
        run.arg(format!("--unixctl={}", folder.file("control").display())).args(["-vconsole:off", "-vsyslog:off"]);
        let switch = program.serve(netns, run)?;
        wait_for(&folder, "control")?;
        Ok(Self { switch, database, folder, driver, workers, devices: 0 })
    }

    /// A bridge of its datapath.
    fn add_bridge(&self, bed: &Bed, bridge: &str, settings: &[&str]) -> Result<(), SubjectError> {
        let words = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"];
        self.set(bed, &[&words, settings].concat()).map(drop)
    }

    /// Adds rules to a bridge, one a line.
    fn add_rules(&self, bed: &Bed, bridge: &str, rules: &str) -> Result<(), SubjectError> {
        let mut command = command(RULES, &self.folder);
        command.args(["add-flows", bridge, "-"]);
        RULES.feed(bed.switch(), command, rules).map(drop)
    }

    /// That it still runs.
    fn check(&mut self) -> Result<(), SubjectError> {
        self.database.check()?;
        self.switch.check()
    }

    /// A link as a port. That it could not be opened is only written down.
    fn add_link(&mut self, bed: &Bed, bridge: &str, link: &HostEnd) -> Result<(), SubjectError> {
        let words = ["add-port", bridge, &link.name, "--", "set", "interface", &link.name];
        let device = format!("options:dpdk-devargs=net_af_xdp{},iface={}", self.devices, link.name);
        self.devices += 1;
        // Silent links have one.
        let queues = if bed.silent_ends().contains(link) { 1 } else { self.workers };
        let queues = format!("options:n_rxq={queues}");
        let kind: &[&str] = match self.driver {
            Ovs::AfXdp => &["type=afxdp", &queues],
            Ovs::Dpdk => &["type=dpdk", &device],
        };
        self.set(bed, &[&words, kind].concat())?;
        let error = self.set(bed, &["get", "interface", &link.name, "error"])?;
        let error = error.trim_matches(['"', '[', ']']);
        if error.is_empty() {
            Ok(())
        } else {
            Err(VSWITCHD.unable(format!("open {} ({})", link.name, kind.join(" ")), error.to_owned()))
        }
    }

    /// Tells the database, and waits until the switch has done it.
    fn set(&self, bed: &Bed, words: &[&str]) -> Result<String, SubjectError> {
        let mut command = command(CONFIGURE, &self.folder);
        command.arg(at_database(&self.folder)).arg("--timeout=25").args(words);
        CONFIGURE.run(bed.switch(), command)
    }
}

impl Running for Switching {
    fn check(&mut self) -> Result<(), SubjectError> {
        Self::check(self)
    }

    fn stop(mut self: Box<Self>) -> Result<(), SubjectError> {
        self.check()
    }
}

/// A program that sees the files of a folder as the only ones.
fn command(tool: Tool, folder: &Folder) -> Command {
    let mut command = Command::new(tool.program);
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "RUNTIME_DIRECTORY"] {
        command.env(variable, folder.path());
    }
    command
}

/// What tells a program where the database is.
fn at_database(folder: &Folder) -> String {
    format!("--db=unix:{}", folder.file("db.sock").display())
}

/// Waits until a daemon listens.
fn wait_for(folder: &Folder, name: &str) -> Result<(), SubjectError> {
    folder
        .wait_for(name, SETTLED)
        .ok_or_else(|| VSWITCHD.unable(format!("listen at {}", folder.file(name).display()), "nothing".to_owned()))
}

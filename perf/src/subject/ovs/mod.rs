//! Open vSwitch with its userspace datapath on AF_XDP: one poll-mode thread on the switch's core.
//!
//! Its database and daemon are this subject's own, in a folder of its own; the system's are neither used nor disturbed.

pub mod tracking;
pub mod tunnel;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    bed::{Bed, HostEnd},
    subject::{
        Running, SubjectError,
        tools::{Service, Tool},
    },
};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

const VSWITCHD: Tool = Tool {
    program: "ovs-vswitchd",
    install: "apt-get install openvswitch-switch",
    manual: "Documentation/intro/install/afxdp.rst of Open vSwitch",
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

/// Its processes. They end in this order, and then the folder goes.
struct Switching {
    switch: Service,
    database: Service,
    folder: Folder,
}

impl Switching {
    fn start(bed: &Bed) -> Result<Self, SubjectError> {
        let folder = Folder::make()?;
        let netns = bed.switch();
        let mut create = folder.command(DATABASE_TOOL);
        create.arg("create").arg(folder.file("conf.db")).arg(SCHEMA);
        DATABASE_TOOL.run(netns, create)?;
        let mut serve = folder.command(DATABASE);
        serve.arg(folder.file("conf.db")).arg(format!("--remote=punix:{}", folder.file("db.sock").display()));
        let database = DATABASE.serve(netns, serve)?;
        folder.wait_for("db.sock")?;
        let mask = format!("other_config:pmd-cpu-mask=0x{:x}", 1_u128 << (bed.cores.switch % 128));
        let mut prepare = folder.command(CONFIGURE);
        prepare.arg(folder.database()).args(["--no-wait", "init", "--", "set", "Open_vSwitch", ".", &mask]);
        CONFIGURE.run(netns, prepare)?;
        let mut run = folder.command(VSWITCHD);
        run.arg(format!("unix:{}", folder.file("db.sock").display()));
        run.arg(format!("--unixctl={}", folder.file("control").display())).args(["-vconsole:off", "-vsyslog:off"]);
        let switch = VSWITCHD.serve(netns, run)?;
        folder.wait_for("control")?;
        Ok(Self { switch, database, folder })
    }

    /// A bridge of its datapath.
    fn add_bridge(&self, bed: &Bed, bridge: &str, settings: &[&str]) -> Result<(), SubjectError> {
        let words = ["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"];
        self.set(bed, &[&words, settings].concat()).map(drop)
    }

    /// Adds rules to a bridge, one a line.
    fn add_rules(&self, bed: &Bed, bridge: &str, rules: &str) -> Result<(), SubjectError> {
        let mut command = self.folder.command(RULES);
        command.args(["add-flows", bridge, "-"]);
        RULES.feed(bed.switch(), command, rules).map(drop)
    }

    /// That it still runs.
    fn check(&mut self) -> Result<(), SubjectError> {
        self.database.check()?;
        self.switch.check()
    }

    /// A link as an AF_XDP port. That it could not be opened is only written down.
    fn add_link(&self, bed: &Bed, bridge: &str, link: &HostEnd) -> Result<(), SubjectError> {
        self.set(bed, &["add-port", bridge, &link.name, "--", "set", "interface", &link.name, "type=afxdp"])?;
        let error = self.set(bed, &["get", "interface", &link.name, "error"])?;
        let error = error.trim_matches(['"', '[', ']']);
        if error.is_empty() {
            Ok(())
        } else {
            Err(VSWITCHD.unable(format!("open {} with afxdp", link.name), error.to_owned()))
        }
    }

    /// Tells the database, and waits until the switch has done it.
    fn set(&self, bed: &Bed, words: &[&str]) -> Result<String, SubjectError> {
        let mut command = self.folder.command(CONFIGURE);
        command.arg(self.folder.database()).arg("--timeout=10").args(words);
        CONFIGURE.run(bed.switch(), command)
    }
}

impl Running for Switching {
    fn stop(mut self: Box<Self>) -> Result<(), SubjectError> {
        self.check()
    }
}

/// Where one pair of daemons has its files. Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, SubjectError> {
        let path = std::env::temp_dir().join(format!("podlane-perf-ovs-{}", std::process::id()));
        fs::create_dir(&path).map_err(|source| SubjectError::Folder { path: path.clone(), source })?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn database(&self) -> String {
        format!("--db=unix:{}", self.file("db.sock").display())
    }

    /// A program that sees these files as the only ones.
    fn command(&self, tool: Tool) -> Command {
        let mut command = Command::new(tool.program);
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, &self.0);
        }
        command
    }

    fn wait_for(&self, name: &str) -> Result<(), SubjectError> {
        wait_until(&self.file(name))
            .ok_or_else(|| VSWITCHD.unable(format!("listen at {}", self.file(name).display()), "nothing".to_owned()))
    }
}

fn wait_until(file: &Path) -> Option<()> {
    let deadline = std::time::Instant::now() + SETTLED;
    while !file.exists() {
        if std::time::Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(())
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Another may have cleared the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

//! Open vSwitch with its userspace datapath on AF_XDP: one poll-mode thread on the switch's core, and a VXLAN port whose packets leave
//! by a second bridge, as its manual has it ("Userspace Datapath - Native Tunneling").
//!
//! Its database and daemon are this subject's own, in a folder of its own; the system's are neither used nor disturbed. Its
//! rules are the least there are, one a port, so that it is its tunnel that is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use podlane_host::Links;

use crate::{
    bed::{Bed, HostEnd},
    load::{
        traffic::Traffic,
        underlay::{PEER, PREFIX, VNI, VTEP, peer_mac, uplink_mac},
    },
    subject::{
        Running, Subject, SubjectError,
        tools::{Service, Tool},
        tunnel::{Direction, Ends},
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

/// The bridge of the pod's network, and the one whose own address the tunnel's packets have.
const PODS: &str = "br-pods";
const UNDERLAY: &str = "br-underlay";

/// The subject.
pub struct Ovs {
    /// Its row in the table.
    pub name: &'static str,
    /// Which way.
    pub direction: Direction,
}

impl Subject for Ovs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn traffic(&self) -> Traffic {
        self.direction.traffic()
    }

    fn arriving(&self) -> usize {
        self.direction.arriving()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn start(&self, bed: &Bed) -> Result<Box<dyn Running>, SubjectError> {
        let ends = self.direction.ends(bed)?;
        let mut switching = Switching::start(bed)?;
        switching.configure(bed, &ends)?;
        Ok(Box::new(switching))
    }
}

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

    fn configure(&mut self, bed: &Bed, ends: &Ends) -> Result<(), SubjectError> {
        let Ends { pod, uplink } = ends;
        let hwaddr = format!("other_config:hwaddr=\"{}\"", uplink_mac());
        let (near, far) = (format!("options:local_ip={VTEP}"), format!("options:remote_ip={PEER}"));
        let key = format!("options:key={VNI}");
        self.set(bed, &["add-br", PODS, "--", "set", "bridge", PODS, "datapath_type=netdev", "fail_mode=secure"])?;
        self.set(bed, &["add-br", UNDERLAY, "--", "set", "bridge", UNDERLAY, "datapath_type=netdev", &hwaddr])?;
        for (bridge, link) in [(PODS, pod), (UNDERLAY, uplink)] {
            self.add_link(bed, bridge, link)?;
        }
        self.set(
            bed,
            &["add-port", PODS, "vxlan0", "--", "set", "interface", "vxlan0", "type=vxlan", &near, &far, &key],
        )?;
        let mut links = Links::open_in(bed.switch())?;
        links.add_address(UNDERLAY, VTEP.into(), PREFIX)?;
        links.set_up(UNDERLAY)?;
        let mut neighbour = self.folder.command(CONTROL);
        neighbour.arg("-t").arg(self.folder.file("control"));
        neighbour.args(["tnl/neigh/set", UNDERLAY, &PEER.to_string(), &peer_mac().to_string()]);
        CONTROL.run(bed.switch(), neighbour)?;
        for (from, to) in [(pod.name.as_str(), "vxlan0"), ("vxlan0", pod.name.as_str())] {
            let mut rule = self.folder.command(RULES);
            rule.args(["add-flow", PODS, &format!("in_port={from},actions=output:{to}")]);
            RULES.run(bed.switch(), rule)?;
        }
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
        self.switch.check()?;
        self.database.check()
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

//! A node to attach pods to: a switch in a namespace of its own, with a journal in a directory of its own, in this process.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use podlane::attach::{Addressing, Attachment, Attachments, Key, Kind, Order, Origin, Remembered};
use podlane::config::{self, Machine};
use podlane::reconcile::Engine;
use podlane_host::lab::skip;
use podlane_host::{HostError, Link, LinkAddress, Links, Netns, Route};

/// How long anything that should happen may take: generous, because both cores may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

static BEDS: AtomicU32 = AtomicU32::new(0);

/// The node.
pub(crate) struct Bed {
    pub(crate) host: Netns,
    name: String,
    directory: PathBuf,
    /// What is added to the configuration.
    pub(crate) more: &'static str,
}

/// A switch that runs on the node, and what is attached to it.
pub(crate) struct Running {
    pub(crate) attachments: Attachments,
    pub(crate) engine: Arc<Engine>,
}

/// A pod's network namespace, with a path.
pub(crate) struct PodBed {
    pub(crate) netns: Netns,
}

impl Bed {
    /// A node; none where this host cannot have one, which is then said on standard error.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if skip(test) {
            return None;
        }
        let name = format!("at{}-{}", std::process::id(), BEDS.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(format!("podlane-{name}"));
        fs::create_dir_all(&directory).unwrap();
        Some(Self { host: Netns::anonymous().unwrap(), name, directory, more: "" })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The configuration: one network, `blue`, with few addresses.
    pub(crate) fn config(&self) -> String {
        let core = core_affinity::get_core_ids().unwrap().last().unwrap().id;
        let Self { name, directory, more, .. } = self;
        let directory = directory.display();
        format!(
            "[daemon]\nsocket = \"{directory}/socket\"\ninstance = \"{name}\"\n[workers]\ncores = [{core}]\nframes = 16384\n\
             [attachments]\njournal = \"{directory}/journal.redb\"\nvhost_sockets = \"{directory}/vhost\"\n\
             [[network]]\nname = \"blue\"\ngateways = [\"10.1.0.1/24\", \"fd00:1::1/64\"]\n{more}"
        )
    }

    /// Starts the switch, and takes up what the journal remembers.
    pub(crate) fn start(&self) -> Running {
        self.within(|| {
            let mut desired = config::parse(&self.config(), &Machine::this()).unwrap();
            let remembered = Remembered::recall(&mut desired).unwrap().unwrap();
            let engine = Arc::new(Engine::start(desired).unwrap());
            let attachments = Attachments::start(remembered, Arc::clone(&engine)).unwrap();
            Running { attachments, engine }
        })
    }

    /// Does something in the node's namespace.
    pub(crate) fn within<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        self.host.run(what).unwrap()
    }

    pub(crate) fn links(&self) -> Links {
        Links::open_in(&self.host).unwrap()
    }

    /// A pod's namespace.
    pub(crate) fn pod(&self) -> PodBed {
        PodBed { netns: Netns::anonymous().unwrap() }
    }

    /// Where the daemon's pins are.
    pub(crate) fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf/podlane").join(&self.name)
    }

    /// The netdevs of the node, but for `lo`.
    pub(crate) fn netdevs(&self) -> Vec<String> {
        self.links().list().unwrap().into_iter().map(|link| link.name).filter(|name| name != "lo").collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        let pins = self.pins();
        if podlane_bpf::sweep(&pins, &[]).is_ok() {
            let _ = fs::remove_dir(pins);
        }
    }
}

impl Running {
    /// Attaches from the node's namespace, as its daemon would.
    pub(crate) fn attach(&self, bed: &Bed, order: Order) -> Result<Attachment, podlane::attach::AttachError> {
        bed.within(|| self.attachments.attach(order))
    }

    pub(crate) fn detach(&self, bed: &Bed, key: &Key) {
        bed.within(|| self.attachments.detach(key)).unwrap();
    }

    /// Ends as a daemon that is told to.
    pub(crate) fn stop(self) {
        self.attachments.close();
        drop(self.attachments);
        drop(self.engine);
    }

    /// How many addresses are held.
    pub(crate) fn held(&self) -> usize {
        self.attachments.addresses(|ipam, _| ipam.leases().filter(|lease| lease.until.is_none()).count())
    }
}

impl PodBed {
    /// Of no name that others could take away.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.netns.as_fd().as_raw_fd()).into()
    }

    pub(crate) fn links(&self) -> Links {
        Links::open_in(&self.netns).unwrap()
    }

    pub(crate) fn link(&self, name: &str) -> Option<Link> {
        match self.links().by_name(name) {
            Ok(link) => Some(link),
            Err(HostError::NoSuchLink { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The addresses of an interface, but for link-local ones.
    pub(crate) fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let is_own = |own: &LinkAddress| !matches!(own.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        self.links().addresses(name).unwrap().into_iter().filter(is_own).map(|own| own.address).collect()
    }

    pub(crate) fn routes(&self, name: &str) -> Vec<Route> {
        self.links().routes(name).unwrap()
    }

    /// Whether a datagram comes from here to there within the bound.
    pub(crate) fn reaches(&self, other: &Self, address: IpAddr) -> bool {
        let bind = move || {
            let socket = UdpSocket::bind((address, 7000)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket
        };
        let there = other.netns.run(bind).unwrap();
        let any: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
        let here = self.netns.run(move || UdpSocket::bind((any, 0)).unwrap()).unwrap();
        let deadline = Instant::now() + SOON;
        let mut room = [0; 16];
        while Instant::now() < deadline {
            // Without a route yet there is an error, which passes.
            let _ = here.send_to(b"podlane", (address, 7000));
            if there.recv(&mut room).is_ok() {
                return true;
            }
        }
        false
    }
}

/// A key of the node's only list.
pub(crate) fn key(container: &str) -> Key {
    let [list, interface] = ["blues", "eth0"].map(str::to_owned);
    Key { origin: Origin::Cni, list, container: container.to_owned(), interface }
}

/// A plain order of a container.
pub(crate) fn order(container: &str, pod: &PodBed) -> Order {
    Order {
        key: key(container),
        kind: Kind::Veth,
        netns: Some(pod.path()),
        network: "blue".to_owned(),
        mac: None,
        addressing: Addressing::Own { wished: Vec::new() },
        mtu: None,
        default_route: true,
        routes: Vec::new(),
        rates: Default::default(),
        pod: None,
        labels: Default::default(),
        notes: Default::default(),
    }
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

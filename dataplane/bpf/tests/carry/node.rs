//! A node whose pods are assisted: pods on veths, a trunk with an AF_XDP socket at its far end, and a worker that is a loop.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "without its bed a test has failed")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use podlane_bpf::carry::{
    AskHook, Carrier, Device, Event, Hooked, Key, Order, Origin, Role, Room, Seat, Target, carry_pin,
};
use podlane_bpf::{AskMode, Attachment, Program, Request, ensure_bpffs};
use podlane_host::lab::{Lab, Pod, PodSpec};
use podlane_rings::{Frame, FramePool, FrameSize, HugePages, Socket, SocketConfig, Umem, UmemConfig};

pub(crate) use podlane_host::lab::skip;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for what is not to arrive.
pub(crate) const NOTHING: Duration = Duration::from_millis(150);
pub(crate) const GENERATION: u64 = 1;
pub(crate) const PORT: u16 = 7000;

/// The numbers of the pods on the trunk, and of the other node's pod.
pub(crate) const BLUE: u16 = 0xb1e5;
pub(crate) const RED: u16 = 12;

pub(crate) const BPFFS: &str = "/sys/fs/bpf";
const UDP: u8 = 17;
const TCP: u8 = 6;

pub(crate) struct Node {
    pub(crate) lab: Lab,
    pub(crate) carrier: Option<Carrier>,
    pub(crate) trunk: Pod,
    instance: PathBuf,
    pinned: bool,
}

impl Node {
    /// A node without pods. What it pins is in a directory of the test's name.
    pub(crate) fn new(test: &str, pinned: bool) -> Self {
        let mut lab = Lab::new().unwrap();
        // Room for a pod's own tag beside the number.
        let trunk = lab.pod(&PodSpec { mtu: 1508, ..PodSpec::named("trunk") }).unwrap();
        let instance = Path::new(BPFFS).join(format!("podlane-{}-{test}", std::process::id()));
        if pinned {
            ensure_bpffs(Path::new(BPFFS)).unwrap();
        }
        let mut node = Self { lab, carrier: None, trunk, instance, pinned };
        node.start();
        node.carrier().set_generation(GENERATION).unwrap();
        node
    }

    /// A process's beginning: the carrier is opened, the trunk attached.
    pub(crate) fn start(&mut self) -> Hooked {
        let pins = carry_pin(&self.instance);
        self.carrier = Some(Carrier::open(self.pinned.then_some(&*pins), Room { flows: 64, permits: 64 }).unwrap());
        let (ifindex, name) = (self.trunk.host_ifindex, self.trunk.host_ifname.clone());
        self.attach(ifindex, &name, Role::Trunk, AskHook::Auto)
    }

    /// A process's end, without any farewell.
    pub(crate) fn die(&mut self) {
        drop(self.carrier.take());
    }

    pub(crate) fn carrier(&mut self) -> &mut Carrier {
        self.carrier.as_mut().unwrap()
    }

    pub(crate) fn attach(&mut self, ifindex: u32, name: &str, role: Role, hook: AskHook) -> Hooked {
        let device = Device { ifindex, name, role, hook };
        let (lab, carrier) = (&self.lab, self.carrier.as_mut().unwrap());
        lab.switch().run(|| carrier.attach(&device)).unwrap().unwrap()
    }

    pub(crate) fn detach(&mut self, ifindex: u32) {
        let (lab, carrier) = (&self.lab, self.carrier.as_mut().unwrap());
        lab.switch().run(|| carrier.detach(ifindex)).unwrap().unwrap();
    }

    pub(crate) fn plain_pod(&mut self, name: &str, host: u8) -> Pod {
        let mac = [2, 0, 0, 0, 0, host];
        self.lab.pod(&PodSpec { ipv4: Some((address(host), 24)), mac: Some(mac), ..PodSpec::named(name) }).unwrap()
    }

    /// A pod at 10.7.0.`host`, assisted, with its number.
    pub(crate) fn pod(&mut self, name: &str, host: u8, number: u16) -> Pod {
        let pod = self.plain_pod(name, host);
        self.attach(pod.host_ifindex, name, Role::Pod, AskHook::Auto);
        self.seat(&pod, number);
        pod
    }

    pub(crate) fn seat(&mut self, pod: &Pod, number: u16) {
        let (origin, trunk) = (Origin::Device(pod.host_ifindex), self.trunk.host_ifindex);
        self.carrier().seat(number, &Seat { origin, trunk, target: into(pod) }).unwrap();
    }

    pub(crate) fn blue_and_red(&mut self) -> (Pod, Pod) {
        let (blue, red) = (self.pod("blue", 1, BLUE), self.pod("red", 2, RED));
        know(&blue, &red);
        (blue, red)
    }

    /// How many packets were not carried for this reason.
    pub(crate) fn events(&mut self, event: Event) -> u64 {
        let events = self.carrier().events().unwrap();
        events.iter().find(|(named, _)| *named == event).unwrap().1
    }

    /// How many packets were not carried, for whatever reason.
    pub(crate) fn not_carried(&mut self) -> u64 {
        self.carrier().events().unwrap().iter().map(|(_, count)| count).sum()
    }

    /// Has the kernel carry a flow and its answers.
    pub(crate) fn decide(&mut self, key: &Key, target: Target, back: Target) {
        let order = |target| Order { target, mtu: 1500, rewrite: None, permit: None };
        self.carrier().insert(key, &order(target), GENERATION).unwrap();
        let Target::Pod { ifindex, .. } = target else { return };
        self.carrier().insert(&reversed(key, Origin::Device(ifindex)), &order(back), GENERATION).unwrap();
    }

    /// A worker that hands what comes with one number to the other, until it is dropped.
    pub(crate) fn worker(&self, pairs: &[(u16, u16)]) -> Worker {
        Worker::start(&self.trunk, pairs.to_vec())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(carrier) = self.carrier.take()
            && self.pinned
        {
            let lab = &self.lab;
            // A failing test has more to say than this.
            let _ = lab.switch().run(|| carrier.remove_all());
        }
        let _ = std::fs::remove_dir(&self.instance);
    }
}

pub(crate) fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 7, 0, host)
}

pub(crate) fn into(pod: &Pod) -> Target {
    Target::Pod { ifindex: pod.host_ifindex, mac: pod.mac }
}

/// Tells two pods each other's MAC address.
pub(crate) fn know(one: &Pod, other: &Pod) {
    for (here, there) in [(one, other), (other, one)] {
        let (ip, _) = there.spec.ipv4.unwrap();
        here.links().unwrap().add_neighbour("eth0", ip.into(), there.mac).unwrap();
    }
}

/// A flow between two pods.
pub(crate) fn flow(from: &Pod, to: &Pod, protocol: u8, ports: (u16, u16)) -> Key {
    let [[a, b], [c, d]] = [ports.0.to_be_bytes(), ports.1.to_be_bytes()];
    let ip = |pod: &Pod| IpAddr::from(pod.spec.ipv4.unwrap().0);
    Key {
        from: Origin::Device(from.host_ifindex),
        destination_mac: to.mac,
        source_mac: from.mac,
        source: ip(from),
        destination: ip(to),
        protocol,
        ports: [a, b, c, d],
    }
}

pub(crate) fn udp_flow(from: &Pod, to: &Pod) -> Key {
    flow(from, to, UDP, (PORT, PORT))
}

pub(crate) fn tcp_flow(from: &Pod, to: &Pod, ports: (u16, u16)) -> Key {
    flow(from, to, TCP, ports)
}

pub(crate) fn reversed(key: &Key, from: Origin) -> Key {
    let [a, b, c, d] = key.ports;
    Key {
        from,
        destination_mac: key.source_mac,
        source_mac: key.destination_mac,
        source: key.destination,
        destination: key.source,
        protocol: key.protocol,
        ports: [c, d, a, b],
    }
}

/// A UDP socket in each of two pods.
pub(crate) struct Talk {
    pub(crate) blue: UdpSocket,
    pub(crate) red: UdpSocket,
}

impl Talk {
    pub(crate) fn new(blue: &Pod, red: &Pod) -> Self {
        let open = |pod: &Pod| {
            let (ip, _) = pod.spec.ipv4.unwrap();
            pod.run(move || UdpSocket::bind(SocketAddrV4::new(ip, PORT)).unwrap()).unwrap()
        };
        Self { blue: open(blue), red: open(red) }
    }

    /// Whether what blue sends is what red hears.
    pub(crate) fn carries(&self, text: &[u8]) -> bool {
        self.arrives(text, PATIENCE)
    }

    /// Whether it is lost, as far as a test can wait for nothing.
    pub(crate) fn loses(&self, text: &[u8]) -> bool {
        !self.arrives(text, NOTHING)
    }

    fn arrives(&self, text: &[u8], within: Duration) -> bool {
        self.blue.send_to(text, self.red.local_addr().unwrap()).unwrap();
        self.red.set_read_timeout(Some(within)).unwrap();
        let mut buffer = vec![0; 65_536];
        self.red.recv(&mut buffer).is_ok_and(|length| buffer[..length] == *text)
    }

    /// Whether red's answer is heard as well.
    pub(crate) fn goes_round(&self, text: &[u8]) -> bool {
        let back = Talk { blue: self.red.try_clone().unwrap(), red: self.blue.try_clone().unwrap() };
        self.carries(text) && back.carries(text)
    }
}

/// A TCP connection from blue to red.
pub(crate) fn connect(blue: &Pod, red: &Pod) -> (TcpStream, TcpStream) {
    let (ip, _) = red.spec.ipv4.unwrap();
    let listener = red.run(move || TcpListener::bind(SocketAddrV4::new(ip, PORT)).unwrap()).unwrap();
    let to = listener.local_addr().unwrap();
    let near = blue.run(move || TcpStream::connect_timeout(&to, PATIENCE).unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    (near, far)
}

/// What a worker has seen: for each frame its number, its length, and what follows the number.
pub(crate) type Seen = Vec<(u16, usize, Vec<u8>)>;

/// A loop over the far end of a trunk.
pub(crate) struct Worker {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(trunk: &Pod, pairs: Vec<(u16, u16)>) -> Self {
        let config = UmemConfig { frames: 4096, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Prefer };
        let (_, mut pool) = Umem::create(&config).unwrap();
        let (attachment, socket) = trunk
            .run(|| {
                let ifindex = trunk.links().unwrap().by_name("eth0").unwrap().index;
                let (program, mode) = (Program::PolicedPod, AskMode::Native);
                let request = Request { ifindex, name: "eth0", program, queues: 1, pin: None, mode };
                let mut attachment = Attachment::attach(&request).unwrap();
                let rings =
                    SocketConfig { rx: 2048, tx: 2048, fill: 2048, completion: 2048, ..SocketConfig::new(ifindex, 0) };
                let socket = Socket::open(&mut pool, &rings).unwrap();
                attachment.register(0, socket.as_fd()).unwrap();
                (attachment, socket)
            })
            .unwrap();
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let mut run = Relay { socket, pool, pairs, seen: Arc::clone(&seen), _attachment: attachment };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if run.turn() == 0 {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
            run.socket.close(&mut run.pool);
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// What it has seen since the last call.
    pub(crate) fn seen(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Waits for the next it sees, after what was seen before.
    pub(crate) fn next(&self) -> (u16, usize, Vec<u8>) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(first) = self.seen().into_iter().next() {
                return first;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the worker saw nothing");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A worker that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Relay {
    socket: Socket,
    pool: FramePool,
    pairs: Vec<(u16, u16)>,
    seen: Arc<Mutex<Seen>>,
    _attachment: Attachment,
}

impl Relay {
    fn turn(&mut self) -> usize {
        let mut back = VecDeque::new();
        let mut received = Vec::new();
        let count = self.socket.receive(&mut self.pool, 64, |frame| received.push(frame));
        for mut frame in received {
            let bytes = frame.bytes_mut();
            assert_eq!(bytes[12..14], [0x88, 0xa8], "every frame has a number");
            let number = u16::from_be_bytes([bytes[14], bytes[15]]);
            self.seen.lock().unwrap().push((number, bytes.len(), bytes[16..].to_vec()));
            match self.pairs.iter().find(|(from, _)| *from == number) {
                Some((_, to)) => {
                    bytes[14..16].copy_from_slice(&to.to_be_bytes());
                    finish(&mut frame);
                    back.push_back(frame);
                }
                None => self.pool.give(frame),
            }
        }
        while !back.is_empty() {
            self.socket.transmit(&mut self.pool, &mut back);
            self.socket.settle(&mut self.pool).unwrap();
        }
        self.socket.settle(&mut self.pool).unwrap();
        count
    }
}

/// Asks for the checksum that the sender's kernel has left open, behind one tag.
fn finish(frame: &mut Frame) {
    let bytes = frame.bytes();
    if bytes.len() >= 46 && bytes[16..19] == [8, 0, 0x45] {
        match bytes[27] {
            UDP => frame.request_checksum(38, 6).unwrap(),
            TCP => frame.request_checksum(38, 16).unwrap(),
            _ => {}
        }
    }
}

/// Sends a frame out of a pod as it stands.
pub(crate) fn send_raw(pod: &Pod, frame: &[u8]) {
    let config = UmemConfig { frames: 64, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Prefer };
    let (_, mut pool) = Umem::create(&config).unwrap();
    let ifindex = pod.links().unwrap().by_name("eth0").unwrap().index;
    let rings = SocketConfig { rx: 16, tx: 16, fill: 16, completion: 16, ..SocketConfig::new(ifindex, 0) };
    let mut socket = pod.run(|| Socket::open(&mut pool, &rings).unwrap()).unwrap();
    let mut queue: VecDeque<Frame> = pool.write_packet(frame).into_iter().collect();
    let deadline = Instant::now() + PATIENCE;
    while !queue.is_empty() || socket.in_flight().tx > 0 {
        assert!(Instant::now() < deadline, "the frame does not leave");
        socket.transmit(&mut pool, &mut queue);
        socket.settle(&mut pool).unwrap();
    }
    socket.close(&mut pool);
}

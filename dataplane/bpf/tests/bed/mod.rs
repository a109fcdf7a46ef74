//! A place to attach programs in: two anonymous network namespaces with a veth between them, and
//! a mount namespace with a BPF file system that nobody else sees. All of it ends with the thread.
//!
//! It speaks just enough rtnetlink for that. The crate for namespaces and links belongs to the
//! control side, and the dataplane does not depend on it, not even in tests.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "without its bed a test has failed")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use podlane_bpf::{AskMode, Attachment, Program, Request, ensure_bpffs, port_pin};

const BPFFS: &str = "/sys/fs/bpf";

/// The near end of the veth: what programs are attached to.
pub(crate) const NEAR: &str = "near";
pub(crate) const FAR: &str = "far";
pub(crate) const NEAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 1);
pub(crate) const FAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 2);

/// The UDP port of a [`Wire`].
pub(crate) const WIRE_PORT: u16 = 7000;

const VETH_INFO_PEER: u16 = 1; // uapi/linux/veth.h

/// Two namespaces; the calling thread is in the near one.
pub(crate) struct Bed {
    far: File,
}

/// How the veth is made.
pub(crate) struct Veth {
    pub(crate) mtu: u32,
    /// Transmit queues of the far end; the near end has one receive queue.
    pub(crate) far_queues: u32,
    /// The near end's index; 0 lets the kernel count, as it does for every other test: of two devices with one index, whoever is
    /// first has the slot in the map that a process's pods share.
    pub(crate) index: u32,
}

impl Default for Veth {
    fn default() -> Self {
        Self { mtu: 1500, far_queues: 1, index: 0 }
    }
}

impl Bed {
    /// Enters new namespaces, or says on stderr why the test is skipped.
    pub(crate) fn enter(test: &str) -> Option<Self> {
        let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
        if let Err(errno) = unshare(flags) {
            skipped(test, &format!("namespaces need root ({errno})"));
            return None;
        }
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        while umount2(BPFFS, MntFlags::MNT_DETACH).is_ok() {}
        let far = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Some(Self { far: far.join().unwrap() })
    }

    /// Enters new namespaces with the veth up and a BPF file system mounted.
    pub(crate) fn with_veth(test: &str) -> Option<Self> {
        Self::with_veth_of(test, 0)
    }

    /// As [`with_veth`](Self::with_veth), with an index for the near end.
    pub(crate) fn with_veth_of(test: &str, index: u32) -> Option<Self> {
        let bed = Self::enter(test)?;
        ensure_bpffs(Path::new(BPFFS)).unwrap();
        bed.add_veth(NEAR, &Veth { index, ..Veth::default() });
        Some(bed)
    }

    /// Makes a veth, both ends up, the far end in the far namespace.
    pub(crate) fn add_veth(&self, near: &str, veth: &Veth) {
        let far = if near == NEAR { FAR.to_owned() } else { format!("{near}-far") };
        let peer = [
            ifinfo(0, 0),
            attribute(libc::IFLA_IFNAME, far.as_bytes()),
            attribute(libc::IFLA_MTU, &veth.mtu.to_ne_bytes()),
            attribute(libc::IFLA_NUM_TX_QUEUES, &veth.far_queues.to_ne_bytes()),
            attribute(libc::IFLA_NET_NS_FD, &self.far.as_raw_fd().to_ne_bytes()),
        ];
        let data = attribute(VETH_INFO_PEER, &peer.concat());
        let info = [attribute(libc::IFLA_INFO_KIND, b"veth"), attribute(libc::IFLA_INFO_DATA, &data)];
        let link = [
            ifinfo(veth.index, 0),
            attribute(libc::IFLA_IFNAME, near.as_bytes()),
            attribute(libc::IFLA_MTU, &veth.mtu.to_ne_bytes()),
            attribute(libc::IFLA_NUM_RX_QUEUES, &1_u32.to_ne_bytes()),
            // Without it the kernel starts both ends with one, whatever the peer was given.
            attribute(libc::IFLA_NUM_TX_QUEUES, &1_u32.to_ne_bytes()),
            attribute(libc::IFLA_LINKINFO, &info.concat()),
        ];
        let create = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        netlink(libc::RTM_NEWLINK, create, &link.concat());
        up(near);
        self.in_far(|| up(&far));
    }

    /// Runs in the far namespace.
    pub(crate) fn in_far<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let far = scope.spawn(|| {
                setns(&self.far, CloneFlags::CLONE_NEWNET).unwrap();
                run()
            });
            far.join().unwrap()
        })
    }

    /// Gives both ends addresses and opens a socket at each. The kernels have to reach each other
    /// at this moment.
    pub(crate) fn wire(&self) -> Wire {
        add_address(NEAR, NEAR_ADDRESS);
        self.in_far(|| add_address(FAR, FAR_ADDRESS));
        // A new link has its queues up to a second late. And from here on the neighbours are known,
        // so that no frame of a test waits for an ARP reply that a program swallowed. The port is
        // one that no test claims.
        let first = self.open_wire(WIRE_PORT + 1);
        assert!((0..20).any(|_| !first.loses(1)), "the veth does not come up");
        self.open_wire(WIRE_PORT)
    }

    fn open_wire(&self, port: u16) -> Wire {
        let open = |address| UdpSocket::bind(SocketAddrV4::new(address, port)).unwrap();
        let near = open(NEAR_ADDRESS);
        Wire { near, far: self.in_far(|| open(FAR_ADDRESS)) }
    }
}

/// A UDP socket at each end of the veth.
pub(crate) struct Wire {
    near: UdpSocket,
    far: UdpSocket,
}

impl Wire {
    /// Whether the near kernel gets what the far one sends, on a busy machine too.
    pub(crate) fn carries(&self, bytes: usize) -> bool {
        self.arrives(bytes, Duration::from_secs(2))
    }

    /// Whether it does not, as far as a test can wait for nothing.
    pub(crate) fn loses(&self, bytes: usize) -> bool {
        !self.arrives(bytes, Duration::from_millis(200))
    }

    /// Whether the near kernel has got nothing that was not read yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.near.set_nonblocking(true).unwrap();
        let nothing = self.near.recv(&mut [0; 1]).is_err();
        self.near.set_nonblocking(false).unwrap();
        nothing
    }

    /// Sends from the far end and does not look whether it arrives.
    pub(crate) fn send(&self) {
        self.far.send_to(&[0; 100], self.near.local_addr().unwrap()).unwrap();
    }

    fn arrives(&self, bytes: usize, within: Duration) -> bool {
        let to = self.near.local_addr().unwrap();
        self.far.send_to(&vec![0; bytes], to).unwrap();
        self.near.set_read_timeout(Some(within)).unwrap();
        let mut buffer = vec![0; bytes + 1];
        self.near.recv(&mut buffer).is_ok_and(|received| received == bytes)
    }
}

/// Says that a test did not run. Not `eprintln!`, which the test harness captures; and in one
/// write, since the others of the harness's threads may be saying the same.
pub(crate) fn skipped(test: &str, reason: &str) {
    let line = format!("skipped: {test}: {reason}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The pin directory of a port of this test's only instance.
pub(crate) fn pin(port: &str) -> PathBuf {
    port_pin(&instance(), port)
}

pub(crate) fn instance() -> PathBuf {
    Path::new(BPFFS).join("podlane/test")
}

pub(crate) fn index(name: &str) -> u32 {
    if_nametoindex(name).unwrap()
}

/// A request for a device of the near namespace.
pub(crate) fn request<'a>(name: &'a str, program: Program, pin: Option<&'a Path>) -> Request<'a> {
    Request { ifindex: index(name), name, program, queues: 1, pin, mode: AskMode::Auto }
}

/// Attaches the pod program, which has to work.
pub(crate) fn attach(name: &str, pin: Option<&Path>) -> Attachment {
    Attachment::attach(&request(name, Program::Pod, pin)).unwrap()
}

/// Attaches the program of a pod under policy, which has to work.
pub(crate) fn attach_policed(name: &str, pin: Option<&Path>) -> Attachment {
    Attachment::attach(&request(name, Program::PolicedPod, pin)).unwrap()
}

/// An AF_XDP socket, bound to nothing: enough for a slot of the socket map.
pub(crate) fn xdp_socket() -> OwnedFd {
    let domain = socket2::Domain::from(libc::AF_XDP);
    socket2::Socket::new(domain, socket2::Type::RAW, None).unwrap().into()
}

pub(crate) fn delete(name: &str) {
    netlink(libc::RTM_DELLINK, 0, &ifinfo(index(name), 0));
}

fn up(name: &str) {
    netlink(libc::RTM_NEWLINK, 0, &ifinfo(index(name), libc::IFF_UP as u32));
}

fn add_address(name: &str, address: Ipv4Addr) {
    let prefix_bits = 24;
    let mut body = vec![libc::AF_INET as u8, prefix_bits, 0, 0];
    body.extend(index(name).to_ne_bytes());
    body.extend(attribute(libc::IFA_LOCAL, &address.octets()));
    body.extend(attribute(libc::IFA_ADDRESS, &address.octets()));
    netlink(libc::RTM_NEWADDR, libc::NLM_F_CREATE, &body);
}

/// `struct ifinfomsg`; flags are both set and marked as changed.
fn ifinfo(index: u32, flags: u32) -> Vec<u8> {
    [0, index, flags, flags].into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from((value.len() as u16 + 4).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends one request in the calling thread's namespace and panics on the kernel's refusal.
fn netlink(kind: u16, flags: i32, body: &[u8]) {
    let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkRoute);
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    let mut socket = File::from(socket);
    let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut message = Vec::from((body.len() as u32 + 16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    socket.write_all(&message).unwrap();
    let mut reply = [0; 4096];
    let length = socket.read(&mut reply).unwrap();
    assert!(length >= 20, "a short acknowledgement");
    let errno = -i32::from_ne_bytes(*reply[16..].first_chunk().unwrap());
    assert_eq!(errno, 0, "{}", io::Error::from_raw_os_error(errno));
}

//! A netdev's rings by way of libxdp: for hosts where its dispatcher must share the NIC with programs of others.
//!
//! It is the second choice. libxdp has a packet memory of its own, so each packet is copied at this port's edge, once in and
//! once out, and the kernel finishes no checksums for it. What one gains is libxdp's *dispatcher*: its program takes a
//! place beside other XDP programs on the device, where ours would find the device taken.
//!
//! That program redirects everything a queue receives. So it is no choice for an uplink, of which Podlane claims only its
//! own, nor for packets of several segments, which it does not take: there, and where the dispatcher does not load, our own
//! program steers to libxdp's sockets. [`XskRsDevice::steering`] tells which it became.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use nix::sched::{CloneFlags, setns};
use podlane_bpf::{Attachment, Claim, Program, Request};
use podlane_rings::{
    FramePool, QueueId, SocketError,
    xsk_rs::{self as rings, Sent, XskRsConfig, XskRsSocket},
};

use crate::{
    burst::{Burst, OutQueue},
    ids::WorkerId,
    port::{
        Port, PortError, PortFacts, PortMode, PortStatistics,
        af_xdp::{DeviceConfig, attach_error, socket_error},
    },
};

/// Who is asked to steer packets to the sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AskSteering {
    /// libxdp where its dispatcher loads, else our own program.
    #[default]
    Auto,
    /// libxdp or an error.
    Libxdp,
    /// Our own program or an error.
    Own,
}

/// Who steers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Steering {
    /// libxdp's program, in its dispatcher: other programs may share the device.
    Dispatcher,
    /// libxdp's program alone. Its dispatcher takes a bpffs at `/sys/fs/bpf` and a kernel that lets programs be replaced
    /// inside others. The program stays after a SIGKILL, and then passes everything to the kernel.
    Alone,
    /// Our own.
    Own,
}

/// The control side's half of a device.
pub struct XskRsDevice {
    name: String,
    steering: Steering,
    /// None where libxdp steers.
    attachment: Option<Attachment>,
}

impl XskRsDevice {
    /// Opens the sockets, in the calling thread's network namespace, and gives each of `workers` its share. `checksum_offload`
    /// is not heeded: libxdp's memory has no room for the request.
    ///
    /// # Errors
    /// [`PortError`], naming the device; nothing is left attached or open then.
    pub fn open(
        config: &DeviceConfig,
        ask: AskSteering,
        workers: usize,
    ) -> Result<(Self, Vec<(WorkerId, XskRsPort)>), PortError> {
        // Without a socket its program passes, which is not for pods under policy.
        let suits = config.program == Program::Pod && !config.multi_buffer;
        match ask {
            AskSteering::Libxdp if !suits => {
                let at = QueueId { ifindex: config.ifindex, queue: 0 };
                let source = io::ErrorKind::Unsupported.into();
                Err(socket_error(&config.name, SocketError::LibxdpProgram { at, source }))
            }
            AskSteering::Libxdp => Self::steered_by(rings::Steering::Libxdp, config, workers),
            AskSteering::Auto if suits => {
                match Self::steered_by(rings::Steering::Libxdp, config, workers) {
                    Ok((device, ports)) if device.steering == Steering::Dispatcher => return Ok((device, ports)),
                    // Alone, its program gains nothing over ours, which does not outlive us.
                    Ok(alone) => drop(alone),
                    Err(PortError::Socket { source: SocketError::LibxdpProgram { .. }, .. }) => {}
                    Err(error) => return Err(error),
                }
                Self::steered_by(rings::Steering::Caller, config, workers)
            }
            AskSteering::Auto | AskSteering::Own => Self::steered_by(rings::Steering::Caller, config, workers),
        }
    }

    /// Who steers.
    #[must_use]
    pub const fn steering(&self) -> Steering {
        self.steering
    }

    /// What an uplink's program takes for us. Where libxdp steers, the device is a pod's and everything is taken.
    ///
    /// # Errors
    /// The device has the program of a pod port, or the kernel refuses.
    pub fn claim(&mut self, claim: &Claim<'_>) -> Result<(), PortError> {
        let claimed = self.attachment.as_mut().map_or(Ok(()), |attachment| attachment.claim(claim));
        claimed.map_err(|source| attach_error(&self.name, source))
    }

    /// Takes our program off the device, and the pins away. libxdp takes its own off with the last port.
    ///
    /// # Errors
    /// The pins cannot be removed.
    pub fn close(self) -> Result<(), PortError> {
        let Self { name, attachment, .. } = self;
        attachment.map_or(Ok(()), Attachment::detach).map_err(|source| attach_error(&name, source))
    }

    fn steered_by(
        steering: rings::Steering,
        config: &DeviceConfig,
        workers: usize,
    ) -> Result<(Self, Vec<(WorkerId, XskRsPort)>), PortError> {
        let attachment = match steering {
            rings::Steering::Libxdp => None,
            rings::Steering::Caller => {
                let attached = Attachment::attach(&Request {
                    ifindex: config.ifindex,
                    name: &config.name,
                    program: config.program,
                    queues: config.queues,
                    pin: config.pin.as_deref(),
                    mode: config.attach,
                });
                Some(attached.map_err(|source| attach_error(&config.name, source))?)
            }
        };
        let mut device = Self { name: config.name.clone(), steering: Steering::Own, attachment };
        match device.open_ports(steering, config, workers) {
            Ok(ports) => {
                if device.attachment.is_none() {
                    device.steering = by_libxdp(config.ifindex);
                }
                Ok((device, ports))
            }
            Err(error) => {
                // The first error is the one to tell; a program that cannot be detached dies with this process.
                let _ = device.close();
                Err(error)
            }
        }
    }

    fn open_ports(
        &mut self,
        steering: rings::Steering,
        config: &DeviceConfig,
        workers: usize,
    ) -> Result<Vec<(WorkerId, XskRsPort)>, PortError> {
        let mut ports: Vec<XskRsPort> = (0..workers).map(|_| XskRsPort::new(&config.name)).collect();
        if steering == rings::Steering::Libxdp {
            for port in &mut ports {
                port.home = Some(own_namespace(&config.name)?);
            }
        }
        for queue in 0..config.queues.min(podlane_bpf::MAX_QUEUES) {
            let asked = XskRsConfig {
                device: &config.name,
                ifindex: config.ifindex,
                queue,
                ring: config.ring,
                mode: config.mode,
                multi_buffer: config.multi_buffer,
                steering,
            };
            let socket = match XskRsSocket::open(&asked) {
                Ok(socket) => socket,
                // The device has fewer queues in use than it was made with.
                Err(SocketError::NoQueue { .. }) if queue > 0 => break,
                Err(source) => return Err(socket_error(&config.name, source)),
            };
            if let Some(attachment) = &mut self.attachment {
                let registered = attachment.register(queue, socket.as_fd());
                registered.map_err(|source| attach_error(&config.name, source))?;
            }
            // Devices with one queue are spread over the workers by their index.
            ports[(config.ifindex as usize + queue as usize) % workers].sockets.push(socket);
        }
        let with_queues = ports.into_iter().enumerate().filter(|(_, port)| !port.sockets.is_empty());
        Ok(with_queues.map(|(worker, port)| (WorkerId(worker as u16), port)).collect())
    }
}

/// How libxdp came to steer: it does not say, but a dispatcher is pinned under its netdev's number.
fn by_libxdp(ifindex: u32) -> Steering {
    let bpffs = std::env::var_os("LIBXDP_BPFFS").unwrap_or_else(|| "/sys/fs/bpf".into());
    let pins = Path::new(&bpffs).join("xdp").read_dir().into_iter().flatten().flatten();
    let pin = format!("dispatch-{ifindex}-");
    let pinned = pins.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(&pin));
    if pinned { Steering::Dispatcher } else { Steering::Alone }
}

/// A handle on the calling thread's network namespace.
fn own_namespace(device: &str) -> Result<File, PortError> {
    let path = "/proc/thread-self/ns/net";
    File::open(path).map_err(|source| PortError::Namespace {
        device: device.to_owned(),
        netns: path.to_owned(),
        source,
    })
}

/// One worker's sockets of a device.
pub struct XskRsPort {
    device: String,
    sockets: Vec<XskRsSocket>,
    /// Where libxdp takes its program off again: it knows the device by its number there, and elsewhere that number is another
    /// device's.
    home: Option<File>,
    /// The socket that is asked first, so that none starves.
    turn: usize,
    /// Packets for which there were too few frames.
    unframed: u64,
    unsendable: u64,
}

impl XskRsPort {
    fn new(device: &str) -> Self {
        Self { device: device.to_owned(), sockets: Vec::new(), home: None, turn: 0, unframed: 0, unsendable: 0 }
    }
}

impl Port for XskRsPort {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        let sockets = self.sockets.len();
        for step in 0..sockets {
            // What is taken off libxdp's ring cannot be put back: no more is than there are frames for.
            let room = burst.room().min(pool.free());
            if room == 0 {
                break;
            }
            let socket = &mut self.sockets[(self.turn + step) % sockets];
            socket.receive(room, |packet| match pool.write_packet(packet) {
                Some(frame) => burst.push(frame),
                // A packet of several segments may take the frames of others.
                None => self.unframed += 1,
            });
        }
        self.turn = self.turn.wrapping_add(1);
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        for socket in &mut self.sockets {
            while let Some(frame) = queue.frames().front_mut() {
                let umem = pool.umem();
                umem.finish_checksum(frame);
                match socket.transmit(umem.packet_len(frame), umem.segments(frame)) {
                    Sent::Copied => {}
                    Sent::Full => break,
                    Sent::Unsendable => self.unsendable += 1,
                }
                if let Some(frame) = queue.frames().pop_front() {
                    pool.give(frame);
                }
            }
        }
    }

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        for socket in &mut self.sockets {
            socket.settle().map_err(|source| socket_error(&self.device, source))?;
        }
        Ok(())
    }

    /// No frame of the pool ever is; but the kernel may want to be woken again.
    fn outstanding(&self) -> bool {
        self.sockets.iter().any(XskRsSocket::outstanding)
    }

    fn health(&mut self) -> Result<(), PortError> {
        for socket in &mut self.sockets {
            socket.health().map_err(|source| socket_error(&self.device, source))?;
        }
        Ok(())
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }

    fn facts(&self) -> PortFacts {
        PortFacts { mode: PortMode::EdgeCopy, queues: self.sockets.len() as u32, finishes_checksums: false }
    }

    fn statistics(&self) -> PortStatistics {
        let mut total =
            PortStatistics { fill_ring_empty: self.unframed, tx_invalid: self.unsendable, ..PortStatistics::default() };
        // A socket whose device is gone has no statistics left.
        for kernel in self.sockets.iter().filter_map(|socket| socket.statistics().ok()) {
            total.merge(&PortStatistics {
                rx_dropped: kernel.rx_dropped,
                rx_ring_full: kernel.rx_ring_full,
                fill_ring_empty: kernel.fill_ring_empty,
                tx_invalid: kernel.tx_invalid,
                refused: kernel.refused,
                ..PortStatistics::default()
            });
        }
        total
    }

    fn close(self: Box<Self>, _pool: &mut FramePool) {
        let Self { sockets, home: Some(home), .. } = *self else { return };
        let away = std::thread::spawn(move || {
            // If it cannot go there libxdp finds no program of its own to take off, and says so. The one that is left
            // passes everything to the kernel.
            let _ = setns(home, CloneFlags::CLONE_NEWNET);
            drop(sockets);
        });
        // It does nothing that panics.
        let _ = away.join();
    }
}

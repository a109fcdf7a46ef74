//! A netdev's rings: AF_XDP sockets on a NIC or on the host end of a veth.
//!
//! A device has two halves. The [`Device`] stays with the control side: the XDP program that steers packets to the sockets, and what
//! takes long to open and close. The [`AfXdpPort`]s go to the workers, one each, with the sockets of the queues that
//! are theirs: queue `q` belongs to worker `q mod workers`, so with enough queues every worker has rings of its own and
//! nothing is handed between threads.

use std::os::fd::{AsFd, BorrowedFd};

use podlane_bpf::{AttachError, Attachment, Claim, Program, Request};
use podlane_rings::{AskMode, FramePool, Mode, Promiscuous, Socket, SocketConfig, SocketError};

use crate::{
    burst::{Burst, OutQueue},
    ids::WorkerId,
    port::{Port, PortError, PortFacts, PortMode, PortStatistics},
};

/// What to open, and how.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// The netdev's name.
    pub name: String,
    /// Its index in the calling thread's network namespace.
    pub ifindex: u32,
    /// Which XDP program steers it.
    pub program: Program,
    /// The directory for pins, if the attachment is to outlive the process.
    pub pin: Option<std::path::PathBuf>,
    /// Where XDP runs: in the driver or before the stack.
    pub attach: podlane_bpf::AskMode,
    /// How packets reach memory.
    pub mode: AskMode,
    /// Slots of the receive, transmit and completion rings, a power of two.
    pub ring: u32,
    /// Slots of the fill ring, a power of two: so many frames each queue keeps for what may arrive.
    pub fill: u32,
    /// The most queues to serve, at least one; the device may have fewer.
    pub queues: u32,
    /// Whether packets may span frames (an MTU beyond one frame).
    pub multi_buffer: bool,
    /// Whether to leave checksums to the kernel or device where it can.
    pub checksum_offload: bool,
}

/// The control side's half of a device.
pub struct Device {
    name: String,
    program: Program,
    attachment: Attachment,
    /// An uplink's. No pod needs it, and to close its socket takes an RCU grace period.
    promiscuous: Option<Promiscuous>,
}

impl Device {
    /// Attaches the program and opens the sockets, in the calling thread's network namespace. Takes about a millisecond for a pod with one
    /// queue, and tens of milliseconds for any other device. `pools` are what each worker lent for its fill rings: one ring's worth of frames a queue.
    ///
    /// # Errors
    /// [`PortError`], naming the device; nothing is left attached or open then, but for what [`give_up`](Self::give_up) leaves.
    pub fn open(
        config: &DeviceConfig,
        pools: &mut [FramePool],
    ) -> Result<(Self, Vec<(WorkerId, AfXdpPort)>), PortError> {
        let mut device = Self::attach(config)?;
        match device.open_sockets(config, pools) {
            Ok(ports) => Ok((device, ports)),
            Err(error) => {
                // The first error is the one to tell; a program that cannot be detached dies with this process.
                let _ = device.give_up();
                Err(error)
            }
        }
    }

    /// Goes on with a device of a former daemon, in the calling thread's network namespace: its pinned program, and the sockets it
    /// has, which stay registered or are registered again: those of all workers, each with its queue.
    ///
    /// # Errors
    /// [`PortError`], naming the device.
    pub fn inherit(config: &DeviceConfig, sockets: &[(u32, BorrowedFd<'_>)]) -> Result<Self, PortError> {
        let mut device = Self::attach(config)?;
        for (queue, socket) in sockets {
            let registered = device.attachment.register(*queue, *socket);
            registered.map_err(|source| attach_error(&config.name, source))?;
        }
        Ok(device)
    }

    /// The program on its device, without sockets.
    fn attach(config: &DeviceConfig) -> Result<Self, PortError> {
        let request = Request {
            ifindex: config.ifindex,
            name: &config.name,
            program: config.program,
            queues: config.queues,
            pin: config.pin.as_deref(),
            mode: config.attach,
        };
        // Here, because the namespace is the device's here.
        let promiscuous = match config.program {
            Program::Pod | Program::PolicedPod => None,
            Program::Uplink => {
                Some(Promiscuous::open(config.ifindex).map_err(|source| socket_error(&config.name, source))?)
            }
        };
        let attachment = Attachment::attach(&request).map_err(|source| attach_error(&config.name, source))?;
        Ok(Self { name: config.name.clone(), program: config.program, attachment, promiscuous })
    }

    /// Whether a former daemon's attachment was taken over.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.attachment.adopted()
    }

    /// Where the program runs.
    #[must_use]
    pub fn attach_mode(&self) -> podlane_bpf::AttachMode {
        self.attachment.mode()
    }

    /// What an uplink's program takes for us. Given whole, the device hears every address: the pods' are not its own.
    ///
    /// # Errors
    /// The device has the program of a pod port, or the kernel refuses.
    pub fn claim(&mut self, claim: &Claim<'_>) -> Result<(), PortError> {
        self.attachment.claim(claim).map_err(|source| attach_error(&self.name, source))?;
        match &mut self.promiscuous {
            Some(promiscuous) => promiscuous.set(claim.whole).map_err(|source| socket_error(&self.name, source)),
            None => Ok(()),
        }
    }

    /// What an uplink's program has judged so far.
    ///
    /// # Errors
    /// The device has the program of a pod port, or the kernel refuses.
    pub fn counters(&self) -> Result<podlane_bpf::UplinkCounters, PortError> {
        self.attachment.counters().map_err(|source| attach_error(&self.name, source))
    }

    /// Takes the program off the device and the pins away.
    ///
    /// # Errors
    /// The pins cannot be removed.
    pub fn close(self) -> Result<(), PortError> {
        let Self { name, attachment, .. } = self;
        attachment.detach().map_err(|source| attach_error(&name, source))
    }

    /// As [`close`](Self::close), of a device that is to be opened again after a failure: the pinned program of a pod under policy stays,
    /// so that the pod meanwhile reaches nobody, and not the host.
    ///
    /// # Errors
    /// The pins cannot be removed.
    pub fn give_up(self) -> Result<(), PortError> {
        match self.program {
            Program::PolicedPod => Ok(()),
            Program::Pod | Program::Uplink => self.close(),
        }
    }

    fn open_sockets(
        &mut self,
        config: &DeviceConfig,
        pools: &mut [FramePool],
    ) -> Result<Vec<(WorkerId, AfXdpPort)>, PortError> {
        let mut ports: Vec<AfXdpPort> = pools.iter().map(|_| AfXdpPort::new(&config.name)).collect();
        let opened = self.fill(&mut ports, config, pools);
        if let Err(error) = opened {
            for (port, pool) in ports.into_iter().zip(pools) {
                Box::new(port).close(pool);
            }
            return Err(error);
        }
        let with_queues = ports.into_iter().enumerate().filter(|(_, port)| !port.sockets.is_empty());
        Ok(with_queues.map(|(worker, port)| (WorkerId(worker as u16), port)).collect())
    }

    /// Opens one socket a queue, in the ports of the workers in turn.
    fn fill(
        &mut self,
        ports: &mut [AfXdpPort],
        config: &DeviceConfig,
        pools: &mut [FramePool],
    ) -> Result<(), PortError> {
        for queue in 0..config.queues.min(podlane_bpf::MAX_QUEUES) {
            // Devices with one queue are spread over the workers by their index.
            let worker = (config.ifindex as usize + queue as usize) % pools.len();
            let socket = match Socket::open(&mut pools[worker], &socket_config(config, queue)) {
                Ok(socket) => socket,
                // The device has fewer queues in use than it was made with.
                Err(SocketError::NoQueue { .. }) if queue > 0 => break,
                Err(source) => return Err(socket_error(&config.name, source)),
            };
            let registered = self.attachment.register(queue, socket.as_fd());
            ports[worker].sockets.push(socket);
            registered.map_err(|source| attach_error(&config.name, source))?;
        }
        Ok(())
    }
}

fn socket_config(config: &DeviceConfig, queue: u32) -> SocketConfig {
    SocketConfig {
        rx: config.ring,
        tx: config.ring,
        fill: config.fill,
        completion: config.ring,
        mode: config.mode,
        multi_buffer: config.multi_buffer,
        checksum_offload: config.checksum_offload,
        ..SocketConfig::new(config.ifindex, queue)
    }
}

pub(super) fn attach_error(device: &str, source: AttachError) -> PortError {
    PortError::Attach { device: device.to_owned(), source }
}

pub(super) fn socket_error(device: &str, source: SocketError) -> PortError {
    match source {
        SocketError::DeviceGone { .. } | SocketError::NoDevice { .. } => PortError::Gone { device: device.to_owned() },
        source => PortError::Socket { device: device.to_owned(), source },
    }
}

/// One worker's sockets of a device.
pub struct AfXdpPort {
    device: String,
    sockets: Vec<Socket>,
    /// The socket that is asked first, so that none starves.
    turn: usize,
}

impl AfXdpPort {
    fn new(device: &str) -> Self {
        Self { device: device.to_owned(), sockets: Vec::new(), turn: 0 }
    }

    /// The sockets of a device that another process's worker had.
    #[must_use]
    pub fn inherit(device: &str, sockets: Vec<Socket>) -> Self {
        Self { device: device.to_owned(), sockets, turn: 0 }
    }
}

impl Port for AfXdpPort {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        let sockets = self.sockets.len();
        for step in 0..sockets {
            let room = burst.room();
            if room == 0 {
                break;
            }
            let socket = &mut self.sockets[(self.turn + step) % sockets];
            socket.receive(pool, room, |frame| burst.push(frame));
        }
        self.turn = self.turn.wrapping_add(1);
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        // By one socket alone: by another one, a flow's packets could overtake each other.
        if let Some(socket) = self.sockets.first_mut() {
            socket.transmit(pool, queue.frames());
        }
    }

    fn settle(&mut self, pool: &mut FramePool) -> Result<(), PortError> {
        for socket in &mut self.sockets {
            socket.settle(pool).map_err(|source| socket_error(&self.device, source))?;
        }
        Ok(())
    }

    fn outstanding(&self) -> bool {
        self.sockets.iter().any(|socket| socket.in_flight().tx > 0)
    }

    fn lent(&self) -> (u64, u64) {
        let in_flight = self.sockets.iter().map(Socket::in_flight);
        in_flight.fold((0, 0), |(fill, tx), out| (fill + out.fill as u64, tx + out.tx as u64))
    }

    fn health(&mut self) -> Result<(), PortError> {
        for socket in &self.sockets {
            socket.health().map_err(|source| socket_error(&self.device, source))?;
        }
        Ok(())
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }

    fn sockets(&self) -> &[Socket] {
        &self.sockets
    }

    fn can_be_handed_over(&self) -> bool {
        true
    }

    fn pause(&mut self, pool: &mut FramePool) {
        self.sockets.iter_mut().for_each(|socket| socket.pause(pool));
    }

    fn facts(&self) -> PortFacts {
        let zero_copy = self.sockets.iter().all(|socket| socket.mode() == Mode::ZeroCopy);
        PortFacts {
            mode: if zero_copy { PortMode::ZeroCopy } else { PortMode::Copy },
            queues: self.sockets.len() as u32,
            finishes_checksums: self.sockets.iter().all(Socket::checksum_offload),
        }
    }

    fn statistics(&self) -> PortStatistics {
        let mut total = PortStatistics::default();
        // A socket whose device is gone has no statistics left.
        for kernel in self.sockets.iter().filter_map(|socket| socket.statistics().ok()) {
            total.merge(&PortStatistics {
                rx_dropped: kernel.rx_dropped,
                rx_ring_full: kernel.rx_ring_full,
                fill_ring_empty: kernel.fill_ring_empty,
                tx_invalid: kernel.tx_invalid + kernel.unsendable,
                refused: kernel.refused,
                ..PortStatistics::default()
            });
        }
        total
    }

    fn close(self: Box<Self>, pool: &mut FramePool) {
        for socket in self.sockets {
            socket.close(pool);
        }
    }
}

//! A netdev as a wire: AF_XDP sockets on our own rings, zero-copy where the driver has it.
//!
//! What is to be received needs an XDP program on the device, which takes everything that arrives there away from the kernel as long as the
//! wire is open. What only sends leaves the device as it is. Both are gone when the wire is dropped, and with the process.

use std::{collections::VecDeque, os::fd::AsFd};

use podlane_bpf::{Attachment, Program, Request};
use podlane_host::{Link, Links, Netns};
use podlane_rings::{
    AskMode, Frame, FramePool, FrameSize, HugePages, Mode, Socket, SocketConfig, SocketError, Umem, UmemConfig,
};

use super::{BURST, Wire, WireError};

/// Slots of the rings of what is used: 2,048, as the switch has them.
const RING: u32 = 2048;

/// Slots of the rings of what is not: a socket cannot be without.
const UNUSED: u32 = 64;

/// Bytes of a slot that are kept before a packet.
const HEADROOM: usize = 256;

/// Bytes of an Ethernet header with a tag, which the MTU does not count.
const HEADER: usize = 18;

/// What a wire is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To send. What arrives stays the kernel's.
    Send,
    /// To receive.
    Receive,
    /// Both.
    Both,
}

/// Which netdev, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Its name.
    pub device: &'a str,
    /// Its namespace.
    pub netns: &'a Netns,
    /// What for.
    pub used: Use,
    /// The longest packet to be sent, in bytes.
    pub longest: usize,
    /// Zero-copy or copy; `Auto` takes zero-copy where it is to be had.
    pub mode: AskMode,
}

/// A netdev.
pub struct AfXdpWire {
    device: String,
    sockets: Vec<Socket>,
    attachment: Option<Attachment>,
    pool: FramePool,
    /// The longest packet that the MTU allows.
    longest: usize,
    /// Packets that are ready and found no room on the ring.
    ready: VecDeque<Frame>,
    arrived: Vec<Frame>,
    /// The socket that is asked first, so that none starves.
    turn: usize,
}

impl AfXdpWire {
    /// Opens a netdev: a socket on every queue to receive, on the first one to send.
    ///
    /// # Errors
    /// [`WireError`], naming the device; nothing is left open then.
    pub fn open(ask: &Ask<'_>) -> Result<Self, WireError> {
        let link = Links::open_in(ask.netns)?.by_name(ask.device)?;
        let queues = match ask.used {
            Use::Send => 1,
            Use::Receive | Use::Both => link.rx_queues.min(link.tx_queues).clamp(1, podlane_bpf::MAX_QUEUES),
        };
        // What arrives may be as long as the MTU allows, and a tag longer.
        let longest = link.mtu as usize + HEADER;
        let large = longest.max(ask.longest) > FrameSize::Bytes2048.bytes() - HEADROOM;
        let frame_size = if large { FrameSize::Bytes4096 } else { FrameSize::Bytes2048 };
        let frames = queues * 2 * RING + 2 * BURST as u32;
        let (_, pool) = Umem::create(&UmemConfig { frames, frame_size, huge_pages: HugePages::Prefer })?;
        let (ready, arrived) = (VecDeque::with_capacity(BURST), Vec::with_capacity(BURST));
        let device = ask.device.to_owned();
        let mut wire = Self { device, sockets: Vec::new(), attachment: None, pool, longest, ready, arrived, turn: 0 };
        ask.netns.run(|| wire.fill(ask, &link, queues))??;
        Ok(wire)
    }

    /// Opens the sockets, in the device's namespace.
    fn fill(&mut self, ask: &Ask<'_>, link: &Link, queues: u32) -> Result<(), WireError> {
        let (index, device) = (link.index, ask.device);
        if ask.used != Use::Send {
            let mode = podlane_bpf::AskMode::Auto;
            let request = Request { ifindex: index, name: device, program: Program::Pod, queues, pin: None, mode };
            self.attachment = Some(Attachment::attach(&request).map_err(|source| attach_error(device, source))?);
        }
        for queue in 0..queues {
            let config = socket_config(ask, index, queue);
            let socket = match Socket::open(&mut self.pool, &config) {
                Ok(socket) => socket,
                // The device has fewer queues in use than it was made with.
                Err(SocketError::NoQueue { .. }) if queue > 0 => break,
                Err(source) => return Err(socket_error(device, source)),
            };
            let registered =
                self.attachment.as_mut().map_or(Ok(()), |attachment| attachment.register(queue, socket.as_fd()));
            self.sockets.push(socket);
            registered.map_err(|source| attach_error(device, source))?;
        }
        Ok(())
    }

    /// Whether the device reads and writes packet memory itself.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.sockets.first().map(Socket::mode)
    }
}

fn socket_config(ask: &Ask<'_>, ifindex: u32, queue: u32) -> SocketConfig {
    let [rx, tx] = match ask.used {
        Use::Send => [UNUSED, RING],
        Use::Receive => [RING, UNUSED],
        Use::Both => [RING, RING],
    };
    SocketConfig {
        rx,
        tx,
        fill: rx,
        completion: tx,
        mode: ask.mode,
        multi_buffer: false,
        // Every checksum is finished before a packet leaves.
        checksum_offload: false,
        ..SocketConfig::new(ifindex, queue)
    }
}

fn attach_error(device: &str, source: podlane_bpf::AttachError) -> WireError {
    WireError::Attach { device: device.to_owned(), source }
}

fn socket_error(device: &str, source: SocketError) -> WireError {
    match source {
        SocketError::DeviceGone { .. } => WireError::Gone { device: device.to_owned() },
        source => WireError::Socket { device: device.to_owned(), source },
    }
}

impl Wire for AfXdpWire {
    fn send(&mut self, mut write: impl FnMut(&mut [u8]) -> Option<usize>) -> Result<usize, WireError> {
        let Self { device, sockets, pool, ready, .. } = self;
        let Some(socket) = sockets.first_mut() else { return Ok(0) };
        let room = RING as usize - (socket.in_flight().tx + ready.len()).min(RING as usize);
        let mut taken = 0;
        while taken < room.min(BURST) {
            let Some(mut frame) = pool.take() else { break };
            // All of the slot: how long the packet is, its writer says.
            let _ = frame.set_len(frame.tailroom());
            match write(frame.bytes_mut()) {
                Some(length) => {
                    let _ = frame.set_len(length);
                    ready.push_back(frame);
                    taken += 1;
                }
                None => {
                    pool.give(frame);
                    break;
                }
            }
        }
        if !ready.is_empty() {
            socket.transmit(pool, ready);
        }
        if socket.in_flight().tx > 0 {
            socket.settle(pool).map_err(|source| socket_error(device, source))?;
        }
        Ok(taken)
    }

    fn receive(&mut self, mut read: impl FnMut(&[u8])) -> Result<usize, WireError> {
        let Self { device, sockets, attachment, pool, arrived, turn, .. } = self;
        if attachment.is_none() {
            return Ok(0);
        }
        let count = sockets.len();
        let mut received = 0;
        for step in 0..count {
            let socket = &mut sockets[(*turn + step) % count];
            let now = socket.receive(pool, BURST - received, |frame| arrived.push(frame));
            received += now;
            for frame in arrived.drain(..) {
                read(frame.bytes());
                pool.give(frame);
            }
            if now > 0 {
                socket.settle(pool).map_err(|source| socket_error(device, source))?;
            }
        }
        *turn = turn.wrapping_add(1);
        Ok(received)
    }

    fn waiting(&self) -> usize {
        self.ready.len() + self.sockets.first().map_or(0, |socket| socket.in_flight().tx)
    }

    fn health(&mut self) -> Result<(), WireError> {
        let Self { device, sockets, pool, .. } = self;
        for socket in sockets {
            socket.health().map_err(|source| socket_error(device, source))?;
            socket.settle(pool).map_err(|source| socket_error(device, source))?;
        }
        Ok(())
    }

    fn overrun(&self) -> u64 {
        // A socket that does not tell is dead or dying, which is told elsewhere.
        let told = self.sockets.iter().filter_map(|socket| socket.statistics().ok());
        told.map(|counts| counts.rx_ring_full + counts.fill_ring_empty).sum()
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn describe(&self) -> String {
        let mode = match self.mode() {
            Some(Mode::ZeroCopy) => "zero-copy",
            Some(Mode::Copy) | None => "copy",
        };
        let queues = self.sockets.len();
        let queues = if queues > 1 { format!(", {queues} queues") } else { String::new() };
        format!("{} (AF_XDP, {mode}{queues})", self.device)
    }
}

impl Drop for AfXdpWire {
    fn drop(&mut self) {
        let Self { sockets, pool, ready, .. } = self;
        ready.drain(..).for_each(|frame| pool.give(frame));
        sockets.drain(..).for_each(|socket| socket.close(pool));
    }
}

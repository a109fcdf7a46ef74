//! One socket on one link, opened as the switch opens its ports: the same rings, sizes and options.

use std::os::fd::AsFd;

use podlane_bpf::{Attachment, Program, Request};
use podlane_host::Netns;
use podlane_rings::{AskMode, FramePool, Socket, SocketConfig};

use crate::{bed::HostEnd, subject::SubjectError};

/// Slots of each ring: the daemon's default.
pub const RING: u32 = 2048;

/// How the switch opens a socket on a veth of MTU 1500.
#[must_use]
pub fn socket_config(ifindex: u32) -> SocketConfig {
    SocketConfig {
        rx: RING,
        tx: RING,
        fill: RING,
        completion: RING,
        mode: AskMode::Auto,
        multi_buffer: false,
        checksum_offload: true,
        ..SocketConfig::new(ifindex, 0)
    }
}

/// A socket, and the XDP program that steers packets to it if it receives.
pub struct End {
    /// The socket.
    pub socket: Socket,
    attachment: Option<Attachment>,
}

impl End {
    /// Opens a socket that receives and sends.
    ///
    /// # Errors
    /// [`SubjectError`], naming the link.
    pub fn open(netns: &Netns, link: &HostEnd, pool: &mut FramePool) -> Result<Self, SubjectError> {
        let mut end = Self::open_to_send(netns, link, pool)?;
        let descriptor = end.socket.as_fd();
        let attached = netns.run(|| {
            let request = Request {
                ifindex: link.ifindex,
                name: &link.name,
                program: Program::Pod,
                queues: 1,
                pin: None,
                mode: podlane_bpf::AskMode::Native,
            };
            let mut attachment = Attachment::attach(&request)?;
            attachment.register(0, descriptor)?;
            Ok::<_, podlane_bpf::AttachError>(attachment)
        });
        match attached.map_err(SubjectError::from).and_then(|made| made.map_err(SubjectError::from)) {
            Ok(attachment) => {
                end.attachment = Some(attachment);
                Ok(end)
            }
            Err(error) => {
                end.close(pool);
                Err(error)
            }
        }
    }

    /// Opens a socket that only sends; the link keeps its receive path.
    ///
    /// # Errors
    /// [`SubjectError`], naming the link.
    pub fn open_to_send(netns: &Netns, link: &HostEnd, pool: &mut FramePool) -> Result<Self, SubjectError> {
        let socket = netns.run(|| Socket::open(pool, &socket_config(link.ifindex)))??;
        Ok(Self { socket, attachment: None })
    }

    /// Closes the socket and takes the program off the link.
    pub fn close(self, pool: &mut FramePool) {
        self.socket.close(pool);
        drop(self.attachment);
    }
}

//! One netlink socket: a request goes out, its replies come back, within a bound.
//!
//! The messages are `netlink-bindings`'; the socket is `netlink-sys`'. The socket that comes with
//! the former was refused: it opens itself at the first request (so in whichever namespace the
//! thread then is), waits for ever, and trusts the lengths it reads. Here every length is checked,
//! a message that is not from the kernel is ignored, and a reply out of sequence is skipped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_bindings::builtin::{NlmsgerrAttrs, Nlmsghdr};
use netlink_bindings::consts;
use netlink_bindings::traits::NetlinkRequest;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::KernelSays;

/// The longest wait for one reply. The kernel has answered by the time `send` returns; this bound
/// is for a kernel that breaks that habit.
const REPLY_WITHIN: Duration = Duration::from_secs(5);

/// Room for one datagram: the kernel's dumps use at most 32 KiB, its events less.
const DATAGRAM: usize = 64 * 1024;

/// A dump that the tables moved under is taken again, this many times.
const DUMP_ATTEMPTS: u32 = 8;

const HEADER: usize = Nlmsghdr::len();
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const FIRST_PAYLOAD_TYPE: u16 = 16;

/// Why a request did not succeed; the caller adds what it was about.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The kernel said no.
    Errno(Errno, KernelSays),
    /// The reply does not parse.
    Malformed(&'static str),
    /// A system call on the socket failed.
    Io(io::Error),
    /// No reply within the bound.
    TimedOut(Duration),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A netlink socket of one protocol, in the namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Box<[u8]>,
}

/// How a stream of replies ended.
enum End {
    Complete,
    Interrupted,
}

impl Netlink {
    /// Opens a socket in the calling thread's namespace.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        socket.set_ext_ack(true)?;
        // The kernel then does not echo the request into a refusal.
        socket.set_cap_ack(true)?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; DATAGRAM].into_boxed_slice(),
        })
    }

    /// Subscribes to a multicast group, with room for `bytes` of events not yet read.
    pub(crate) fn subscribe(&self, group: u32, bytes: u32) -> io::Result<()> {
        self.socket.set_rx_buf_sz(bytes)?;
        self.socket.add_membership(group)
    }

    /// Sends `request` as a message of `message_type`, and hands each reply's payload to `each`.
    ///
    /// Replies of an interrupted dump are handed over again from the first: `each` is told by
    /// [`Reply::Restart`].
    pub(crate) fn ask<R: NetlinkRequest>(
        &mut self,
        message_type: u16,
        request: &R,
        mut each: impl FnMut(Reply<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        for _ in 0..DUMP_ATTEMPTS {
            each(Reply::Restart)?;
            let sequence = self.send(message_type, request)?;
            if let End::Complete = self.collect(sequence, &mut each)? {
                return Ok(());
            }
        }
        Err(Refusal::Errno(Errno::EINTR, KernelSays::default()))
    }

    fn send<R: NetlinkRequest>(&mut self, message_type: u16, request: &R) -> Result<u32, Refusal> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let payload = request.payload();
        let mut header = Nlmsghdr::new();
        header.len = u32::try_from(HEADER + payload.len())
            .map_err(|_| Refusal::Malformed("the request is too long"))?;
        header.r#type = message_type;
        header.flags = request.flags() | (consts::NLM_F_REQUEST | consts::NLM_F_ACK) as u16;
        header.seq = self.sequence;

        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend_from_slice(header.as_slice());
        message.extend_from_slice(payload);
        loop {
            match self.socket.send_to(&message, &SocketAddr::new(0, 0), 0) {
                Ok(_) => return Ok(self.sequence),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn collect(
        &mut self,
        sequence: u32,
        each: &mut impl FnMut(Reply<'_>) -> Result<(), Refusal>,
    ) -> Result<End, Refusal> {
        let deadline = Instant::now() + REPLY_WITHIN;
        let mut interrupted = false;
        loop {
            let Some(datagram) = self.receive(deadline)? else {
                return Err(Refusal::TimedOut(REPLY_WITHIN));
            };
            for message in Messages(datagram) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                interrupted |= message.flags & consts::NLM_F_DUMP_INTR as u16 != 0;
                match message.message_type {
                    MESSAGE_ERROR | MESSAGE_DONE => {
                        verdict(&message)?;
                        return Ok(if interrupted {
                            End::Interrupted
                        } else {
                            End::Complete
                        });
                    }
                    FIRST_PAYLOAD_TYPE.. => each(Reply::Message(message))?,
                    _ => {}
                }
            }
        }
    }

    /// The next datagram from the kernel, or `None` once `deadline` has passed.
    pub(crate) fn receive(&mut self, deadline: Instant) -> io::Result<Option<&[u8]>> {
        loop {
            let mut room: &mut [u8] = &mut self.buffer;
            match self.socket.recv_from(&mut room, 0) {
                Ok((length, from)) if from.port_number() == 0 => {
                    let length = length.min(self.buffer.len());
                    return Ok(Some(&self.buffer[..length]));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.readable(deadline)? {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn readable(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up: a wait of 0.4 ms must not become a spin.
            let left = left.as_micros().div_ceil(1000);
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(0) if Instant::now() >= deadline => return Ok(false),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What [`Netlink::ask`] hands to its caller.
pub(crate) enum Reply<'a> {
    /// Forget the replies so far: the first follows.
    Restart,
    /// One reply.
    Message(Message<'a>),
}

/// One message, its length checked against the datagram it came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) message_type: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of one datagram.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let datagram = std::mem::take(&mut self.0);
        if datagram.len() < HEADER {
            return Some(Err(Refusal::Malformed("a header is cut short")));
        }
        let header = Nlmsghdr::new_from_zeroed(&datagram[..HEADER]);
        let length = header.len as usize;
        if length < HEADER || length > datagram.len() {
            return Some(Err(Refusal::Malformed(
                "a length does not fit its datagram",
            )));
        }
        self.0 = datagram.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok(Message {
            message_type: header.r#type,
            flags: header.flags,
            sequence: header.seq,
            payload: &datagram[HEADER..length],
        }))
    }
}

/// What an error or end-of-dump message says: zero is success.
fn verdict(message: &Message<'_>) -> Result<(), Refusal> {
    let Some((code, rest)) = message.payload.split_first_chunk::<4>() else {
        // A dump may end without a code.
        return if message.message_type == MESSAGE_DONE {
            Ok(())
        } else {
            Err(Refusal::Malformed("an acknowledgement is cut short"))
        };
    };
    let code = i32::from_ne_bytes(*code);
    if code == 0 {
        return Ok(());
    }
    let mut says = None;
    if message.flags & consts::NLM_F_ACK_TLVS as u16 != 0 {
        // A refusal repeats the request's header before its attributes; the end of a dump does not.
        let skip = if message.message_type == MESSAGE_ERROR {
            HEADER
        } else {
            0
        };
        let attributes = rest.get(skip..).unwrap_or(&[]);
        let sentence = NlmsgerrAttrs::new(attributes).get_msg();
        says = sentence
            .ok()
            .map(|said| said.to_string_lossy().into_owned());
    }
    Err(Refusal::Errno(
        Errno::from_raw(code.saturating_neg()),
        KernelSays(says),
    ))
}

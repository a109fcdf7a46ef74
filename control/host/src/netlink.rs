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
use nix::sys::socket::{setsockopt, sockopt};

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
    /// What was listed changed at every attempt.
    Unsettled,
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
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM].into_boxed_slice() })
    }

    /// Subscribes to a multicast group, with room for `bytes` of events not yet read, or for as
    /// many as the host allows where that needs a capability that the caller lacks.
    pub(crate) fn subscribe(&self, group: u32, bytes: usize) -> io::Result<()> {
        setsockopt(&self.socket, sockopt::RcvBufForce, &bytes)
            .or_else(|_| setsockopt(&self.socket, sockopt::RcvBuf, &bytes))?;
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
        Err(Refusal::Unsettled)
    }

    fn send<R: NetlinkRequest>(&mut self, message_type: u16, request: &R) -> Result<u32, Refusal> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let payload = request.payload();
        let mut header = Nlmsghdr::new();
        header.len =
            u32::try_from(HEADER + payload.len()).map_err(|_| Refusal::Malformed("the request is too long"))?;
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
        let deadline = deadline(REPLY_WITHIN);
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
                        return Ok(if interrupted { End::Interrupted } else { End::Complete });
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

/// The moment `bound` from now; for a bound beyond reckoning, some years from now.
pub(crate) fn deadline(bound: Duration) -> Instant {
    const YEARS: Duration = Duration::from_secs(1 << 28);
    Instant::now() + bound.min(YEARS)
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
            return Some(Err(Refusal::Malformed("a length does not fit its datagram")));
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
        let skip = if message.message_type == MESSAGE_ERROR { HEADER } else { 0 };
        let attributes = rest.get(skip..).unwrap_or(&[]);
        let sentence = NlmsgerrAttrs::new(attributes).get_msg();
        says = sentence.ok().map(|said| said.to_string_lossy().into_owned());
    }
    Err(Refusal::Errno(Errno::from_raw(code.saturating_neg()), KernelSays(says)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(message_type: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut header = Nlmsghdr::new();
        header.len = u32::try_from(HEADER + payload.len()).unwrap();
        header.r#type = message_type;
        header.flags = flags;
        header.seq = 7;
        let mut bytes = header.as_slice().to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// A refusal as the kernel sends it when told not to echo the request.
    fn refusal(code: i32, sentence: &str) -> Vec<u8> {
        let mut payload = code.to_ne_bytes().to_vec();
        payload.extend_from_slice(&message(16, 0, &[]));
        let length = u16::try_from(4 + sentence.len() + 1).unwrap();
        payload.extend_from_slice(&length.to_ne_bytes());
        payload.extend_from_slice(&1_u16.to_ne_bytes());
        payload.extend_from_slice(sentence.as_bytes());
        payload.push(0);
        message(MESSAGE_ERROR, consts::NLM_F_ACK_TLVS as u16, &payload)
    }

    #[test]
    fn a_refusal_keeps_the_number_and_the_sentence() {
        let bytes = refusal(-17, "it is there");
        let parsed = Messages(&bytes).next().unwrap().unwrap();
        let Err(Refusal::Errno(errno, says)) = verdict(&parsed) else {
            panic!("not a refusal");
        };
        assert_eq!(errno, Errno::EEXIST);
        assert_eq!(says, KernelSays(Some("it is there".to_owned())));
    }

    #[test]
    fn zero_is_success_and_an_end_without_a_code_too() {
        for (message_type, payload) in [(MESSAGE_ERROR, &[0; 4][..]), (MESSAGE_DONE, &[])] {
            let bytes = message(message_type, 0, payload);
            let parsed = Messages(&bytes).next().unwrap().unwrap();
            assert!(verdict(&parsed).is_ok());
        }
        let bytes = message(MESSAGE_ERROR, 0, &[0; 3]);
        let parsed = Messages(&bytes).next().unwrap().unwrap();
        assert!(matches!(verdict(&parsed), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_lying_length_ends_the_datagram_with_an_error() {
        for length in [0_u32, 15, 17, 4096, u32::MAX] {
            let mut bytes = message(16, 0, &[]);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            let parsed: Vec<_> = Messages(&bytes).collect();
            assert!(matches!(parsed[..], [Err(Refusal::Malformed(_))]), "{length}: {parsed:?}");
        }
    }

    #[test]
    fn a_bound_beyond_reckoning_is_some_years() {
        assert!(deadline(Duration::MAX) > Instant::now() + Duration::from_secs(86_400 * 365));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)
        ) {
            let mut datagram = Vec::new();
            for (n, payload) in payloads.iter().enumerate() {
                datagram.extend(message(16 + n as u16, n as u16, payload));
            }
            let parsed: Vec<_> = Messages(&datagram).map(Result::unwrap).collect();
            prop_assert_eq!(parsed.len(), payloads.len());
            for (n, (read, written)) in parsed.iter().zip(&payloads).enumerate() {
                prop_assert_eq!(read.message_type, 16 + n as u16);
                prop_assert_eq!(read.flags, n as u16);
                prop_assert_eq!(read.payload, &written[..]);
            }
        }

        #[test]
        fn no_datagram_can_panic_or_go_on_for_ever(
            datagram in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let mut seen = 0;
            for message in Messages(&datagram) {
                seen += 1;
                if let Ok(message) = message {
                    let _ = verdict(&message);
                    let _ = crate::Link::decode(message.payload);
                    let _ = crate::LinkCounters::decode(message.payload);
                }
            }
            prop_assert!(seen <= datagram.len() / HEADER + 1);
        }

        #[test]
        fn no_payload_can_panic_a_decoder(payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = crate::Link::decode(&payload);
            let _ = crate::LinkCounters::decode(&payload);
            let _ = verdict(&Message { message_type: MESSAGE_ERROR, flags: u16::MAX, sequence: 0, payload: &payload });
        }
    }
}

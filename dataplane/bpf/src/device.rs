//! What the kernel says about a device and the XDP program on it.
//!
//! The BPF calls answer with an errno and no more. To say which program stands in the way, in which
//! mode ours runs, or whether a pinned link is really the one on this device, rtnetlink has to be
//! asked. Program ids are unique on a host, so of a program that one device has alone "the link's
//! program is the device's program" tells more than an ifindex: indices repeat between network
//! namespaces and are given again after a restart.

use std::fs::File;
use std::io::{self, Read, Write};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use crate::AttachMode;

pub(crate) const HEADER_BYTES: usize = 16; // struct nlmsghdr
const IFINFO_BYTES: usize = 16; // struct ifinfomsg
const ATTRIBUTE_BYTES: usize = 4; // struct rtattr
const NESTED_TYPE_MASK: u16 = 0x3fff; // NLA_TYPE_MASK

// uapi/linux/if_link.h, where libc has no name for them.
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;

/// One answer about one device.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// Bytes of payload a frame may carry.
    pub(crate) mtu: u32,
    /// The id of the program in the driver, 0 for none.
    native: u32,
    /// The id of the program in the stack, 0 for none.
    generic: u32,
}

impl Device {
    /// Asks the kernel, in the calling thread's network namespace.
    pub(crate) fn query(ifindex: u32) -> io::Result<Self> {
        answer(&exchange(SockProtocol::NetlinkRoute, &question(ifindex))?)
    }

    /// The program on the device and where it runs.
    pub(crate) fn program(&self) -> Option<(u32, AttachMode)> {
        match (self.native, self.generic) {
            (0, 0) => None,
            (0, id) => Some((id, AttachMode::Generic)),
            (id, _) => Some((id, AttachMode::Native)),
        }
    }
}

/// Makes a veth, both ends down and named by the kernel, in the calling thread's network namespace.
pub(crate) fn make_veth() -> io::Result<()> {
    let (mut body, mut info) = (vec![0; IFINFO_BYTES], Vec::new());
    push(&mut info, libc::IFLA_INFO_KIND, b"veth");
    push(&mut body, libc::IFLA_LINKINFO, &info);
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
    let reply = exchange(SockProtocol::NetlinkRoute, &message(libc::RTM_NEWLINK, flags, &body))?;
    refusal(&reply)
}

/// An RTM_GETLINK for one index, statistics left out.
fn question(ifindex: u32) -> Vec<u8> {
    let mut body = vec![0; 4]; // family, device type
    body.extend(ifindex.to_ne_bytes());
    body.extend([0; 8]); // flags, change
    push(&mut body, libc::IFLA_EXT_MASK, &(libc::RTEXT_FILTER_SKIP_STATS as u32).to_ne_bytes());
    message(libc::RTM_GETLINK, 0, &body)
}

/// A netlink message.
pub(crate) fn message(kind: u16, flags: i32, body: &[u8]) -> Vec<u8> {
    let length = HEADER_BYTES + body.len();
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
    message.extend([0; 8]); // sequence and port: one question, one socket
    message.extend(body);
    message
}

/// Adds an attribute, padded.
pub(crate) fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(((ATTRIBUTE_BYTES + value.len()) as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Sends one request and returns the first reply.
pub(crate) fn exchange(protocol: SockProtocol, message: &[u8]) -> io::Result<Vec<u8>> {
    receive(&mut ask(protocol, message)?)
}

/// Sends a request for all of something, and returns the messages of the answer.
pub(crate) fn dump(message: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = ask(SockProtocol::NetlinkRoute, message)?;
    let mut messages = Vec::new();
    loop {
        let reply = receive(&mut socket)?;
        let mut rest = &reply[..];
        while let Some(length) = u32_at(rest, 0) {
            let length = (length as usize).clamp(HEADER_BYTES, rest.len().max(HEADER_BYTES));
            let message = rest.get(..length).ok_or(Errno::EBADMSG)?;
            if u16_at(message, 4).map(i32::from) == Some(libc::NLMSG_DONE) {
                return Ok(messages);
            }
            refusal(message)?;
            messages.push(message.to_vec());
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn ask(protocol: SockProtocol, message: &[u8]) -> io::Result<File> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let mut socket = File::from(socket);
    socket.write_all(message)?;
    Ok(socket)
}

fn receive(socket: &mut File) -> io::Result<Vec<u8>> {
    // One link without statistics is under 2 KiB; a reply is cut, never split, when it is not.
    let mut reply = vec![0; 32 * 1024];
    let length = socket.read(&mut reply)?;
    reply.truncate(length);
    Ok(reply)
}

/// The error that a reply is, if it is one.
pub(crate) fn refusal(reply: &[u8]) -> io::Result<()> {
    let kind = u16_at(reply, 4).ok_or(Errno::EBADMSG)?;
    if i32::from(kind) != libc::NLMSG_ERROR {
        return Ok(());
    }
    match u32_at(reply, HEADER_BYTES).ok_or(Errno::EBADMSG)? as i32 {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
    }
}

fn answer(message: &[u8]) -> io::Result<Device> {
    refusal(message)?;
    let mut device = Device::default();
    let attributes = message.get(HEADER_BYTES + IFINFO_BYTES..);
    for (kind, value) in Attributes(attributes.ok_or(Errno::EBADMSG)?) {
        match kind {
            libc::IFLA_MTU => device.mtu = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_XDP => {
                for (kind, value) in Attributes(value) {
                    let id = u32_at(value, 0).unwrap_or(0);
                    match kind {
                        IFLA_XDP_DRV_PROG_ID => device.native = id,
                        IFLA_XDP_SKB_PROG_ID => device.generic = id,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(device)
}

/// Walks `rtattr`s; a length that lies ends the walk.
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & NESTED_TYPE_MASK;
        let value = self.0.get(ATTRIBUTE_BYTES..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_an_mtu_and_no_program() {
        let device = Device::query(1).unwrap();
        assert!(device.mtu > 0);
        assert_eq!(device.program(), None);
    }

    #[test]
    fn an_index_nobody_has_is_enodev() {
        let error = Device::query(0x7fff_fff0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn a_lying_attribute_length_ends_the_walk() {
        let lying = [0xff, 0xff, 4, 0, 1, 2, 3, 4];
        assert_eq!(Attributes(&lying).count(), 0);
        let short = [3, 0, 4, 0];
        assert_eq!(Attributes(&short).count(), 0);
    }
}

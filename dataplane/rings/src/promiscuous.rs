//! A NIC that hears every address. An uplink given whole carries frames for the pods behind it, whose addresses its NIC
//! does not know: its filter would drop them before XDP sees one. A veth has no such filter, so only a NIC shows it.
//!
//! It is asked for through a packet socket's membership and not through the interface's own flag, because the kernel
//! counts memberships and ends them with their process: a killed daemon leaves no NIC promiscuous.

use std::fmt;
use std::os::fd::OwnedFd;

use crate::error::SocketError;
use crate::sys;

/// Whether a netdev passes on frames for addresses that are not its own, as far as we want it to. Ends when dropped.
pub struct Promiscuous {
    socket: OwnedFd,
    ifindex: u32,
    on: bool,
}

impl Promiscuous {
    /// For a netdev of the calling thread's network namespace, where it stays whatever namespace the thread goes to. Off
    /// at first.
    ///
    /// # Errors
    /// [`SocketError::Promiscuous`]: no packet socket may be had.
    pub fn open(ifindex: u32) -> Result<Self, SocketError> {
        // Protocol 0: the socket itself receives nothing.
        let socket = sys::socket(libc::AF_PACKET, 0).map_err(|source| SocketError::Promiscuous { ifindex, source })?;
        Ok(Self { socket, ifindex, on: false })
    }

    /// Asks for it, or asks no longer. The netdev stays promiscuous while anybody else asks.
    ///
    /// # Errors
    /// [`SocketError::Promiscuous`] with the kernel's answer; nothing has changed then.
    pub fn set(&mut self, on: bool) -> Result<(), SocketError> {
        if on == self.on {
            return Ok(());
        }
        let ifindex = self.ifindex;
        let membership = libc::packet_mreq {
            mr_ifindex: ifindex as libc::c_int,
            mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let change = if on { libc::PACKET_ADD_MEMBERSHIP } else { libc::PACKET_DROP_MEMBERSHIP };
        sys::set_option(&self.socket, libc::SOL_PACKET, change, &membership)
            .map_err(|source| SocketError::Promiscuous { ifindex, source })?;
        self.on = on;
        Ok(())
    }
}

impl fmt::Debug for Promiscuous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promiscuous").field("ifindex", &self.ifindex).field("on", &self.on).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Loopback is interface 1 of every network namespace, and nobody minds what it hears.
    const LOOPBACK: u32 = 1;
    const IFF_PROMISC: u32 = 0x100;

    fn loopback_is_promiscuous() -> bool {
        let flags = std::fs::read_to_string("/sys/class/net/lo/flags").unwrap();
        u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap() & IFF_PROMISC != 0
    }

    fn opened(test: &str, ifindex: u32) -> Option<Promiscuous> {
        let opened = Promiscuous::open(ifindex);
        if let Err(error) = &opened {
            let _ = writeln!(std::io::stderr(), "skipped: {test}: {error}");
        }
        opened.ok()
    }

    #[test]
    fn a_netdev_is_promiscuous_while_it_is_asked_to_be_and_no_longer() {
        let test = "a_netdev_is_promiscuous_while_it_is_asked_to_be_and_no_longer";
        let Some(mut promiscuous) = opened(test, LOOPBACK) else { return };
        if loopback_is_promiscuous() {
            let _ = writeln!(std::io::stderr(), "skipped: {test}: another program made lo promiscuous");
            return;
        }
        promiscuous.set(true).unwrap();
        promiscuous.set(true).unwrap();
        assert!(loopback_is_promiscuous());
        promiscuous.set(false).unwrap();
        assert!(!loopback_is_promiscuous(), "asking twice was asking once");
        promiscuous.set(true).unwrap();
        drop(promiscuous);
        assert!(!loopback_is_promiscuous(), "what is dropped asks for nothing");
    }

    #[test]
    fn a_netdev_that_is_none_is_refused_by_its_number() {
        let Some(mut promiscuous) = opened("a_netdev_that_is_none_is_refused_by_its_number", 0x7fff_fff0) else {
            return;
        };
        let refused = promiscuous.set(true).unwrap_err().to_string();
        assert!(refused.starts_with("interface 2147483632 "), "{refused}");
    }
}

//! Too large: an ICMP echo that may not be fragmented and does not fit the path. What must come back is the ICMP error that names the
//! path's MTU and quotes the echo (RFC 1191, section 4; RFC 8201).
//!
//! The sender's kernel believes its own link's MTU, so it sets DF on what fits that, and learns better from the very
//! error this meter waits for: a second echo of the size would leave in fragments.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::echo::echo_request;
use super::{GLANCE, MeterError, PATIENCE, Pair, finish, is_pause};

/// Bytes in front of the echo's payload, ICMP's header included.
const HEADERS_V4: usize = 20 + 8;
const HEADERS_V6: usize = 40 + 8;

/// How often it is sent again: whoever answers may have had to look for a neighbour first.
const AGAIN: Duration = Duration::from_millis(300);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLarge {
    /// Bytes of the whole IP packet.
    pub(crate) packet: usize,
}

impl TooLarge {
    /// Sends it, and returns the MTU that the error names.
    pub(crate) fn measure(self, pair: &Pair) -> Result<u32, MeterError> {
        thread::scope(|scope| {
            let asking = pair.from.start(scope, || self.ask(pair.target));
            finish(asking, "path MTU probe")
        })
    }

    fn ask(self, to: IpAddr) -> Result<u32, MeterError> {
        let (domain, protocol) = match to {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        // not connected: a router's error comes from the router
        let socket = Socket::new(domain, Type::RAW, Some(protocol))
            .and_then(|socket| socket.set_read_timeout(Some(GLANCE)).map(|()| socket))
            .map_err(MeterError::socket("ask for ICMP echoes", to))?;
        let headers = if to.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
        let mut request = vec![0; 8 + self.packet.saturating_sub(headers)];
        let begun = Instant::now();
        let mut asked = 0_u16;
        let mut sent = None;
        while begun.elapsed() < PATIENCE {
            if sent.is_none_or(|sent: Instant| sent.elapsed() > AGAIN) {
                asked += 1;
                echo_request(&mut request, to.is_ipv4(), IDENTIFIER, asked);
                let target = SocketAddr::new(to, 0).into();
                socket.send_to(&request, &target).map_err(MeterError::socket("ask for ICMP echoes", to))?;
                sent = Some(Instant::now());
            }
            let mut room = [0; 2048];
            match (&socket).read(&mut room) {
                Ok(length) => {
                    if let Some(mtu) = named_mtu(&room[..length], to) {
                        return Ok(mtu);
                    }
                }
                Err(error) if is_pause(&error) => {}
                Err(source) => return Err(MeterError::socket("hear ICMP errors", to)(source)),
            }
        }
        Err(MeterError::NoTooLarge { to, packet: self.packet })
    }
}

/// Tells the probe's echoes from others of this namespace.
const IDENTIFIER: u16 = 0x706d;

/// The MTU in an ICMP error about an echo of ours to this address, as a raw socket reads it.
fn named_mtu(read: &[u8], to: IpAddr) -> Option<u32> {
    match to {
        IpAddr::V4(to) => {
            let message = read.get(usize::from(read.first()? & 0xf) * 4..)?;
            let quoted = message.get(8..)?;
            let echo = quoted.get(usize::from(quoted.first()? & 0xf) * 4..)?;
            let ours = message.starts_with(&[3, 4]) && quoted.get(16..20)? == to.octets() && is_echo(echo, 8);
            ours.then(|| u16::from_be_bytes([message[6], message[7]]).into())
        }
        IpAddr::V6(to) => {
            let quoted = read.get(8..)?;
            let ours = read.starts_with(&[2, 0]) && quoted.get(24..40)? == to.octets();
            (ours && is_echo(quoted.get(40..)?, 128)).then(|| u32::from_be_bytes([read[4], read[5], read[6], read[7]]))
        }
    }
}

fn is_echo(echo: &[u8], request: u8) -> bool {
    echo.first() == Some(&request) && echo.get(4..6) == Some(&IDENTIFIER.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoting_v4(to: [u8; 4]) -> Vec<u8> {
        let mut read = vec![0x45; 20];
        read.extend([3, 4, 0, 0, 0, 0, 0x05, 0xaa]);
        let mut quoted = vec![0x45; 20];
        quoted[16..].copy_from_slice(&to);
        let mut echo = vec![0; 8];
        echo_request(&mut echo, true, IDENTIFIER, 1);
        [read, quoted, echo].concat()
    }

    #[test]
    fn an_error_about_our_echo_names_the_mtu() {
        let to = [10, 77, 0, 13];
        assert_eq!(named_mtu(&quoting_v4(to), to.into()), Some(1450));
    }

    #[test]
    fn what_is_no_error_about_our_echo_names_nothing() {
        let to = [10, 77, 0, 13];
        assert_eq!(named_mtu(&quoting_v4([10, 77, 0, 14]), to.into()), None, "another destination");
        let mut answer = quoting_v4(to);
        answer[20] = 0;
        assert_eq!(named_mtu(&answer, to.into()), None, "another message");
        let mut foreign = quoting_v4(to);
        foreign[52] ^= 1;
        assert_eq!(named_mtu(&foreign, to.into()), None, "another's echo");
        for cut in 0..quoting_v4(to).len() - 2 {
            assert_eq!(named_mtu(&quoting_v4(to)[..cut], to.into()), None);
        }
        for cut in 0..60 {
            assert_eq!(named_mtu(&[2; 60][..cut], IpAddr::V6([0; 16].into())), None);
        }
    }
}

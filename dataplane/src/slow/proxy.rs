//! Speaking for a remote endpoint: ARP and neighbour discovery suppression (RFC 9161).
//!
//! A question for an address whose owner is known never crosses the underlay; the switch answers it, in the owner's
//! name and with the owner's own MAC address. That is what sets it apart from the proxy of RFC 4861, section 7.2.8, who
//! answers with an address of its own and leaves the override flag out, so that the owner wins where both are heard. Here
//! the owner does not hear the question, nobody else speaks, and what the tables say is newer than any cache: an
//! endpoint that came back with another MAC address must be reachable by it at once. So the flag is set, as RFC 9161 has
//! it for every address that is not anycast.

use core::net::{IpAddr, Ipv6Addr};

use podlane_wire::MacAddr;
use smoltcp::wire::EthernetProtocol;

use super::{Gateway, Quiet, Reply, Role, arp, asks_for_neighbour, ndp, packet};

/// Answers an ARP request or a neighbour solicitation for `address` as the endpoint at `mac` that has it.
///
/// Answered are questions to everyone and to `mac`; who would have the endpoint itself answer the latter does not ask
/// here. A station that probes whether it may take the address (RFC 5227, RFC 4862) is answered, so it does not take it.
/// The endpoint's own probes are not: it may have come to this node while the tables still tell the other, and must not
/// be told that its address is taken. Nor are announcements, which ask for nothing.
///
/// # Errors
/// Why nothing was written to `out`: [`Quiet::NotOurs`] when the question is for another address.
pub fn proxy_answer(address: IpAddr, mac: MacAddr, frame: &[u8], out: &mut [u8]) -> Result<Reply, Quiet> {
    let frame = packet::frame(frame)?;
    let owner = packet::ethernet(mac);
    if frame.src_addr() == owner {
        return Err(Quiet::BadSource);
    }
    if frame.dst_addr() != owner && !frame.dst_addr().is_multicast() {
        return Err(Quiet::NotOurs);
    }
    let nowhere = Gateway { mac, ipv4: &[], ipv6: &[], link_local: Ipv6Addr::UNSPECIFIED, mtu: u16::MAX };
    match (frame.ethertype(), address) {
        (EthernetProtocol::Arp, IpAddr::V4(v4)) => {
            if arp::is_announcement(&frame) {
                return Err(Quiet::Unanswered);
            }
            arp::answer(&Gateway { ipv4: &[(v4, 32)], ..nowhere }, &frame, out)
        }
        (EthernetProtocol::Ipv6, IpAddr::V6(v6)) => {
            let received = packet::ipv6(frame.payload())?;
            if !asks_for_neighbour(received.next_header(), received.payload()) {
                return Err(Quiet::Unanswered);
            }
            let endpoint = Gateway { link_local: v6, ..nowhere };
            ndp::answer((&endpoint, Role::Host), &frame, &received, out)
        }
        (EthernetProtocol::Arp, IpAddr::V6(_)) => Err(Quiet::NotOurs),
        _ => Err(Quiet::Unanswered),
    }
}

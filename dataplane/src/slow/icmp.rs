//! Echo: the gateway can be pinged (RFC 792 and RFC 1122, section 3.2.2.6; RFC 4443, section 4.2).
//!
//! The data comes back as it was sent, whatever its length. Fragments are not answered, because nothing is reassembled
//! here; IPv4 options of the request are not reflected.

use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv6Packet};

use super::{
    Gateway, Quiet, Reply,
    limit::Kind,
    packet::{self, Draft, Frame, HOPS},
};

/// What a packet to the gateway that is not the ICMP of its family comes to.
fn other(protocol: IpProtocol) -> Quiet {
    match protocol {
        IpProtocol::Udp => Quiet::ClosedPort,
        IpProtocol::Ipv6Frag => Quiet::Fragment,
        _ => Quiet::Unanswered,
    }
}

/// Answers an echo request over IPv4.
pub(super) fn answer_v4(gateway: &Gateway<'_>, frame: &Frame<'_>, out: &mut [u8]) -> Result<Reply, Quiet> {
    let received = packet::ipv4(frame.payload())?;
    let (source, destination) = (received.src_addr(), received.dst_addr());
    if frame.dst_addr().is_multicast() || !gateway.has(destination.into()) {
        return Err(Quiet::NotOurs);
    }
    if !gateway.is_host(source.into()) {
        return Err(Quiet::BadSource);
    }
    if received.more_frags() || received.frag_offset() != 0 {
        return Err(Quiet::Fragment);
    }
    if received.next_header() != IpProtocol::Icmp {
        return Err(other(received.next_header()));
    }
    let request = Icmpv4Packet::new_checked(received.payload()).map_err(|_| Quiet::Malformed)?;
    if !request.verify_checksum() {
        return Err(Quiet::Checksum);
    }
    if request.msg_type() != Icmpv4Message::EchoRequest || request.msg_code() != 0 {
        return Err(Quiet::Unanswered);
    }
    // RFC 1812, section 4.3.2.5: the type of service is the request's; congestion marks are not an answer's to copy.
    let tos = received.dscp() << 2;
    let draft = Draft { gateway, to: frame.src_addr(), out };
    let (body, len) = draft.icmpv4((destination, source), tos, received.payload().len())?;
    body.copy_from_slice(received.payload());
    let mut reply = Icmpv4Packet::new_unchecked(body);
    reply.set_msg_type(Icmpv4Message::EchoReply);
    reply.fill_checksum();
    Ok(Reply { len, kind: Kind::Echo })
}

/// Answers an echo request over IPv6.
pub(super) fn answer_v6(
    gateway: &Gateway<'_>,
    frame: &Frame<'_>,
    received: &Ipv6Packet<&[u8]>,
    out: &mut [u8],
) -> Result<Reply, Quiet> {
    let (source, destination) = (received.src_addr(), received.dst_addr());
    if frame.dst_addr().is_multicast() || !gateway.has(destination.into()) {
        return Err(Quiet::NotOurs);
    }
    if !gateway.is_host(source.into()) {
        return Err(Quiet::BadSource);
    }
    if received.next_header() != IpProtocol::Icmpv6 {
        return Err(other(received.next_header()));
    }
    let request = Icmpv6Packet::new_checked(received.payload()).map_err(|_| Quiet::Malformed)?;
    if !request.verify_checksum(&source, &destination) {
        return Err(Quiet::Checksum);
    }
    if request.msg_type() != Icmpv6Message::EchoRequest || request.msg_code() != 0 {
        return Err(Quiet::Unanswered);
    }
    let draft = Draft { gateway, to: frame.src_addr(), out };
    let (body, len) = draft.icmpv6((destination, source), HOPS, received.payload().len())?;
    body.copy_from_slice(received.payload());
    let mut reply = Icmpv6Packet::new_unchecked(body);
    reply.set_msg_type(Icmpv6Message::EchoReply);
    reply.fill_checksum(&destination, &source);
    Ok(Reply { len, kind: Kind::Echo })
}

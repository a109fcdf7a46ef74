//! ICMP errors under policy: one that quotes a packet of a known connection belongs to it, if a router says it or whom the packet was for;
//! any other is held to policy as what it is, ICMP.
//!
//! An error goes to the sender of the packet it quotes. So only what a station sent itself lets an error through to it, and a quoted packet
//! that never was opens nothing (RFC 5927, 4). A port under policy has a pod behind it and no router: a pod speaks of its own connections.

use core::net::IpAddr;

use podlane_wire::{IpProtocol, Ipv4, Ipv6};

use crate::{
    drops::DropReason,
    flow::connections::{ConnectionKey, Side},
    headers::{ICMP, ICMPV6},
    stage::police::{Passage, Police, Subject, parties::Parties},
};

/// How much of an error stands before the packet it quotes (RFC 792, RFC 4443).
const HEADER: usize = 8;

/// Whether a message of ICMP is an error that quotes a packet of somebody's connection: unreachable, time exceeded, parameter problem, and
/// packet too big.
pub(super) const fn is_error(protocol: u8, kind: u8) -> bool {
    match protocol {
        ICMP => matches!(kind, 3 | 11 | 12),
        ICMPV6 => matches!(kind, 1..=4),
        _ => false,
    }
}

impl Police<'_> {
    /// Judges an error. It is never remembered: the next with the same key may quote another packet.
    #[cold]
    pub(super) fn error(&mut self, subject: &Subject<'_>) -> Result<Passage, DropReason> {
        let quote = subject.bytes.get(subject.l4 + HEADER..).unwrap_or_default();
        if !self.quotes_known(quote, &subject.parties) {
            self.admit(&subject.parties.forward())?;
        }
        Ok(Passage::Once)
    }

    fn quotes_known(&self, quote: &[u8], parties: &Parties) -> bool {
        let Some(Quoted { key, sender, to }) = quoted(quote, parties) else { return false };
        let Some(known) = self.pass.shared.connections.find(&key, self.pass.now) else { return false };
        let from = parties.from;
        let may_say = !self.pass.tables.is_policed(from.port)
            || from.address == to && known.places.at(sender.other()) == from.port;
        may_say && !self.is_outdated(&known)
    }
}

/// A packet as an error quotes it.
struct Quoted {
    /// Its connection.
    key: ConnectionKey,
    /// Which end sent it.
    sender: Side,
    /// Whom it was for.
    to: IpAddr,
}

/// What is quoted, if it was sent by whom the error is for.
fn quoted(quote: &[u8], error: &Parties) -> Option<Quoted> {
    let (from, to, protocol, rest, first) = match error.to.address {
        IpAddr::V4(_) => {
            let (ipv4, rest) = Ipv4::parse_quoted(quote).ok()?;
            let first = ipv4.fragment_offset() == 0;
            (ipv4.source().into(), ipv4.destination().into(), ipv4.protocol(), rest, first)
        }
        IpAddr::V6(_) => {
            let (ipv6, rest) = Ipv6::parse_quoted(quote).ok()?;
            let upper = ipv6.upper(rest).ok()?;
            let first = !upper.is_later_fragment();
            (ipv6.source().into(), ipv6.destination().into(), upper.protocol, upper.payload, first)
        }
    };
    let (mut one, mut other) = (error.to, error.from);
    (one.address, other.address) = (from, to);
    let IpProtocol(protocol) = protocol;
    let parties = Parties { zone: error.zone, from: one, to: other, protocol, ports: (0, 0) };
    if from != error.to.address {
        return None;
    }
    let (key, sender) = if first {
        let [a, b, c, d] = *rest.first_chunk()?;
        parties.with_ports((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))).key()
    } else {
        parties.key_of_fragments()
    };
    Some(Quoted { key, sender, to })
}

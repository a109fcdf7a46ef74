//! Fragments under policy: only the first one says which ports the packet is for.
//!
//! The first one is held to policy like the whole packet, and opens a way for the others of the same addresses and protocol. They follow it
//! within the time a connection lives that nobody has answered; what comes before the first, or without one, is dropped. None is
//! remembered in the flow table, in which all fragments are one flow.

use podlane_wire::{IpProtocol, Ipv4, Ipv6};

use crate::{
    drops::DropReason,
    flow::connections::{First, Judgement},
    headers::TCP,
    policy::Rule,
    stage::{
        police::{Passage, Police, Subject, parties::Parties},
        resolve::Miss,
    },
};

/// Where in a packet a transport header begins that a later fragment would write over (RFC 1858, 3): its flags.
const FLAGS_FRAGMENT: u16 = 8;

impl Police<'_> {
    /// Judges a fragment.
    #[cold]
    pub(super) fn fragment(&mut self, miss: &Miss<'_>, parties: &Parties) -> Result<Passage, DropReason> {
        let Some((l4, protocol)) = transport_of(miss)? else { return self.later(parties) };
        let header = miss.bytes.get(l4..).ok_or(DropReason::L4Truncated)?;
        let ports = header.first_chunk().ok_or(DropReason::L4Truncated)?;
        let [a, b, c, d] = *ports;
        let whole = Parties { protocol, ..*parties };
        let whole = whole.with_ports((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
        self.transport(&Subject { bytes: miss.bytes, l3: miss.layout.l3.into(), l4, parties: whole })?;
        let leader = self.pass.shared.connections.find(&whole.key().0, self.pass.now);
        self.lead(parties, leader.map_or_else(Rule::default, |known| known.rule))?;
        Ok(Passage::Once)
    }

    /// Lets fragments follow a first one, which may pass by `rule`.
    fn lead(&mut self, parties: &Parties, rule: Rule) -> Result<(), DropReason> {
        let (key, side) = parties.key_of_fragments();
        let (shared, now) = (self.pass.shared, self.pass.now);
        if let Some(known) = shared.connections.find(&key, now) {
            let judgement = Judgement { generation: self.pass.generation, rule, places: parties.places(side) };
            shared.connections.judged(known.id, &key, judgement);
            shared.connections.packet(known.id, &key, side, now);
            return Ok(());
        }
        self.open(&key, (side, parties.places(side)), First::Packet, rule)
    }

    /// A fragment other than the first.
    fn later(&self, parties: &Parties) -> Result<Passage, DropReason> {
        let (key, side) = parties.key_of_fragments();
        let leader = self.pass.shared.connections.find(&key, self.pass.now);
        match leader {
            Some(known) if (known.opener == side || known.answered) && self.holds(&known, parties, side) => {
                Ok(Passage::Once)
            }
            _ => Err(DropReason::StrayFragment),
        }
    }
}

/// Where the transport header of a fragment is, and of which protocol: the key knows only what the fragment header says, which may be
/// an extension header more. `None` if it is in another fragment.
fn transport_of(miss: &Miss<'_>) -> Result<Option<(usize, u8)>, DropReason> {
    let l3 = usize::from(miss.layout.l3);
    let packet = miss.bytes.get(l3..).unwrap_or_default();
    let (first, offset, protocol) = match packet.first().map(|byte| byte >> 4) {
        Some(4) => {
            let (ipv4, _) = Ipv4::parse_quoted(packet).map_err(|_| DropReason::StrayFragment)?;
            (l3 + ipv4.header_len(), ipv4.fragment_offset(), ipv4.protocol())
        }
        _ => {
            let (ipv6, rest) = Ipv6::parse_quoted(packet).map_err(|_| DropReason::StrayFragment)?;
            let upper = ipv6.upper(rest).map_err(|_| DropReason::StrayFragment)?;
            let offset = upper.fragment.map_or(0, |fragment| fragment.offset);
            (l3 + Ipv6::LEN + upper.extensions_len, offset, upper.protocol)
        }
    };
    if protocol == IpProtocol(TCP) && offset == FLAGS_FRAGMENT {
        return Err(DropReason::StrayFragment);
    }
    let IpProtocol(protocol) = protocol;
    Ok((offset == 0).then_some((first, protocol)))
}

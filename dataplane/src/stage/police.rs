//! police: whether a packet under policy may go where resolve would send it. On a miss, and when track wants a closer look; never on
//! what a hit of an established connection does.
//!
//! ```text
//!   the far end asks for an address? --and this is no answer--> drop: born closed
//!   an end under policy? --no--> as resolved
//!     -> a policy in force? --no--> drop: born closed
//!     -> connection known?  --yes--> judged by this generation, between these ports? else again, in its opener's direction
//!                                    -> follow its state -> pass, remember
//!                           --no---> may this packet open one? -> the opener's rate -> verdict -> open -> pass, once
//! ```
//!
//! A flow is remembered only from its second packet on, when its connection was there before: so what is only tried (a scan, a flood of
//! SYNs) costs the flow table nothing. A connection that policy no longer allows stays known, and its packets are asked about and dropped, until
//! it has been silent for its time: forgotten at once, its other end could have it picked up again the other way round.

mod copies;
mod fragments;
mod parties;
mod related;

use podlane_wire::{Tcp, TcpFlags, tcp::TcpOption};

pub(crate) use copies::admits_copy;
pub(crate) use parties::Parties;

use crate::{
    drops::DropReason,
    flow::{
        Class, Op, Program, Watch,
        connections::{
            Acknowledged, ConnectionId, ConnectionKey, ConnectionWriter, First, Judgement, Known, Opened, Phase,
            Places, Segment, Side,
        },
    },
    headers::{ICMP, ICMPV6, TCP},
    ids::PortId,
    policy::{Opening, Rule},
    stage::{apply::Pass, dhcp, dispatch::Exits, resolve::Miss, track},
    tables::Tables,
};

/// Whether packets of a flow pass, and what is to be remembered of it.
pub(crate) enum Passage {
    /// Policy has no word on it.
    Free,
    /// This one passes; the next one is to be asked about again.
    Once,
    /// It passes, and so do others of its flow, as long as somebody watches them like this.
    Bound(Bond),
}

/// The connection that a flow is one direction of.
pub(crate) struct Bond {
    pub(crate) id: ConnectionId,
    pub(crate) key: ConnectionKey,
    pub(crate) side: Side,
    pub(crate) watch: Watch,
}

/// A packet with a transport header, or the part of one that has it.
pub(crate) struct Subject<'a> {
    bytes: &'a [u8],
    l3: usize,
    l4: usize,
    parties: Parties,
}

/// What decides, and what it writes to.
pub(crate) struct Police<'a> {
    pub(crate) pass: &'a Pass<'a>,
    pub(crate) connections: &'a mut ConnectionWriter,
    pub(crate) exits: &'a mut Exits,
}

/// Where a packet would go on to.
#[derive(Clone, Copy)]
pub(crate) struct Onward {
    to: PortId,
    routed: bool,
}

/// Where a packet that came in by the port `from` would go, if a pod under policy is at either end, or at the far one a pod without an address. What
/// the switch drops or answers needs nobody's leave; a flood asks for each copy.
#[inline]
pub(crate) fn concerns(tables: &Tables, from: PortId, program: &Program) -> Option<Onward> {
    let (to, routed) = match program.op() {
        Op::Bridge | Op::Readdress => (program.egress(), false),
        Op::Route => (program.egress(), true),
        Op::Encapsulate => (program.path().port(), false),
        Op::RouteEncapsulate => (program.path().port(), true),
        Op::Drop | Op::Answer | Op::Flood => return None,
    };
    (tables.is_policed_between(from, to) || tables.is_asking(to)).then_some(Onward { to, routed })
}

impl Police<'_> {
    /// Whether a packet may go on to where [`concerns`] told.
    pub(crate) fn ask(&mut self, miss: &Miss<'_>, Onward { to, routed }: Onward) -> Result<Passage, DropReason> {
        let tables = self.pass.tables;
        if !dhcp::lets_in(tables, to, miss.key) {
            return Err(DropReason::PortClosed);
        }
        if !tables.is_policed_between(miss.key.port(), to) {
            return Ok(Passage::Free);
        }
        let closed = self.pass.policy.is_none();
        match miss.key.kind().class {
            _ if closed => return Err(DropReason::PolicyDenied),
            Class::Ipv4 | Class::Ipv6 => {}
            // Discovery is of one link: what a router would carry on is none (RFC 4861, 7.1).
            Class::Nd if routed => return Err(DropReason::PolicyDenied),
            Class::Arp | Class::Nd => return Ok(Passage::Free),
            // No policy can speak of it, a second VLAN tag with IP behind it included.
            Class::Other => return Err(DropReason::PolicyDenied),
        }
        let parties = self.pass.zone(miss.key).and_then(|zone| Parties::of(miss.key, zone, to));
        let parties = parties.ok_or(DropReason::PolicyDenied)?;
        if miss.layout.l4 == 0 {
            return self.fragment(miss, &parties);
        }
        let (l3, l4) = (miss.layout.l3.into(), miss.layout.l4.into());
        self.transport(&Subject { bytes: miss.bytes, l3, l4, parties })
    }

    fn transport(&mut self, subject: &Subject<'_>) -> Result<Passage, DropReason> {
        match subject.parties.protocol {
            TCP => self.segment(subject),
            protocol @ (ICMP | ICMPV6) => {
                let kind = subject.bytes.get(subject.l4).copied().ok_or(DropReason::L4Truncated)?;
                if related::is_error(protocol, kind) { self.error(subject) } else { self.message(&subject.parties) }
            }
            _ => self.datagram(&subject.parties),
        }
    }

    /// UDP, SCTP and all that has no ports: the first packet opens, and answers are let through.
    fn datagram(&mut self, parties: &Parties) -> Result<Passage, DropReason> {
        let (key, side) = parties.key();
        if let Some(known) = self.known(parties, &key, side)? {
            self.pass.shared.connections.packet(known.id, &key, side, self.pass.now);
            return Ok(Passage::Bound(Bond { id: known.id, key, side, watch: Watch::None }));
        }
        let rule = self.admit_new(&parties.forward())?;
        self.open(&key, (side, parties.places(side)), First::Packet, rule)?;
        Ok(Passage::Once)
    }

    /// ICMP that is no error: a question opens, its answer is let through; an answer that nobody asked for is a packet like any other.
    fn message(&mut self, parties: &Parties) -> Result<Passage, DropReason> {
        let (key, _) = parties.key();
        let asked = self.pass.shared.connections.find(&key, self.pass.now).is_some();
        if asked { self.datagram(parties) } else { self.datagram(&parties.unasked()) }
    }

    fn segment(&mut self, subject: &Subject<'_>) -> Result<Passage, DropReason> {
        let parties = &subject.parties;
        let (key, side) = parties.key();
        let segment = read(subject, side)?;
        let anew = segment.flags.contains(TcpFlags::SYN) && !segment.flags.contains(TcpFlags::ACK);
        let connections = &self.pass.shared.connections;
        match self.known(parties, &key, side)? {
            // The same two ports, a new connection. The former one gives way when this one is opened: one that is refused must not make it
            // unknown, to be picked up the other way round.
            Some(known) if known.phase == Phase::Closed && anew => {}
            Some(known) => {
                let heard = self.heard(known.id, &key, side.other());
                let phase = connections.segment(known.id, &key, &segment, heard, self.pass.now)?;
                let watch = if phase == Phase::Established { Watch::Acknowledged } else { Watch::Each };
                return Ok(Passage::Bound(Bond { id: known.id, key, side, watch }));
            }
            None => {}
        }
        let (opener, rule) = self.opener(parties, side, segment.flags)?;
        self.open(&key, (opener, parties.places(side)), First::Segment(segment), rule)?;
        Ok(Passage::Once)
    }

    /// Who opens a connection of which this is the first segment to be seen, and by whose leave.
    fn opener(&mut self, parties: &Parties, side: Side, flags: TcpFlags) -> Result<(Side, Rule), DropReason> {
        let (syn, ack) = (flags.contains(TcpFlags::SYN), flags.contains(TcpFlags::ACK));
        if syn && !ack {
            return Ok((side, self.admit_new(&parties.forward())?));
        }
        // All segments of a connection that was opened acknowledge something (RFC 9293, 3.10.7.4); others are a scanner's.
        if flags.contains(TcpFlags::RST) || !ack || !self.pass.shared.connections.settings().pick_up {
            return Err(DropReason::NoConnection);
        }
        // Who sends it pays for it, whoever opened: it is the sender that could send a flood of them.
        self.may_open(parties.from.port)?;
        let (forward, backward) = (parties.forward(), parties.backward());
        if syn {
            return Ok((side.other(), self.admit(&backward)?));
        }
        // Services have the lower ports (RFC 6335, 6), so the other side is likelier to have opened.
        let (mut likely, mut less) = ((forward, side), (backward, side.other()));
        if parties.ports.0 < parties.ports.1 {
            core::mem::swap(&mut likely, &mut less);
        }
        match self.verdict(&likely.0) {
            Ok(rule) => Ok((likely.1, rule)),
            Err(against) => match self.verdict(&less.0) {
                Ok(rule) => Ok((less.1, rule)),
                Err(_) => Err(self.denied(&likely.0, against)),
            },
        }
    }

    /// The connection of a packet, if there is one and policy allows it still.
    fn known(&mut self, parties: &Parties, key: &ConnectionKey, side: Side) -> Result<Option<Known>, DropReason> {
        let connections = &self.pass.shared.connections;
        let Some(known) = connections.find(key, self.pass.now) else { return Ok(None) };
        if !self.holds(&known, parties, side) {
            let opening = if known.opener == side { parties.forward() } else { parties.backward() };
            let rule = self.admit(&opening)?;
            let judgement = Judgement { generation: self.pass.generation, rule, places: parties.places(side) };
            connections.judged(known.id, key, judgement);
        }
        Ok(Some(known))
    }

    /// Whether the verdict on a connection is one on these parties: it may be an older one, or one on somebody who has the same address.
    fn holds(&self, known: &Known, parties: &Parties, side: Side) -> bool {
        known.places == parties.places(side) && !self.is_outdated(known)
    }

    /// Whether a connection was judged under an older generation. Another worker may be ahead: its verdict is the newer one.
    fn is_outdated(&self, known: &Known) -> bool {
        (known.generation.0.wrapping_sub(self.pass.generation.0) as i32) < 0
    }

    /// What a side of a connection acknowledged last, as far as its flow is remembered.
    fn heard(&self, id: ConnectionId, key: &ConnectionKey, side: Side) -> Option<Acknowledged> {
        let shared = self.pass.shared;
        let entry = shared.connections.linked(id, key, side)?;
        shared.flows.acknowledged(entry, id.0).map(track::acknowledged)
    }

    fn open(
        &mut self,
        key: &ConnectionKey,
        (opener, places): (Side, Places),
        first: First,
        rule: Rule,
    ) -> Result<(), DropReason> {
        let Pass { generation, now, .. } = *self.pass;
        let opened = Opened { opener, first, generation, rule, places, now };
        self.connections.open(key, &opened).map_err(|_| DropReason::ConnectionsFull)?;
        self.exits.counters.opened += 1;
        Ok(())
    }

    /// The rule by which a connection may be opened now.
    fn admit_new(&mut self, opening: &Opening) -> Result<Rule, DropReason> {
        self.may_open(opening.from.port)?;
        self.admit(opening)
    }

    /// Whether the pod behind a port may open one more connection by its rate.
    fn may_open(&self, port: PortId) -> Result<(), DropReason> {
        let Pass { tables, shared, now, .. } = *self.pass;
        if shared.meters.opens(tables, port, now) { Ok(()) } else { Err(DropReason::ConnectionLimit) }
    }

    /// The rule by which a connection may be.
    fn admit(&mut self, opening: &Opening) -> Result<Rule, DropReason> {
        self.verdict(opening).map_err(|against| self.denied(opening, against))
    }

    /// The rule for a connection, or the one against it.
    fn verdict(&self, opening: &Opening) -> Result<Rule, Rule> {
        let Some(enforcement) = self.pass.policy else { return Err(Rule::default()) };
        let verdict = enforcement.policy.verdict(opening);
        if verdict.allow { Ok(verdict.rule) } else { Err(verdict.rule) }
    }

    #[cold]
    fn denied(&mut self, opening: &Opening, against: Rule) -> DropReason {
        self.exits.denials.count(opening, against, self.pass.now);
        DropReason::PolicyDenied
    }
}

/// What a TCP header says of its connection.
fn read(subject: &Subject<'_>, from: Side) -> Result<Segment, DropReason> {
    let header = subject.bytes.get(subject.l4..).ok_or(DropReason::L4Truncated)?;
    let (tcp, _) = Tcp::parse(header).map_err(|_| DropReason::L4Truncated)?;
    let flags = tcp.flags();
    let offered = |option| match option {
        Ok(TcpOption::WindowScale(shift)) => Some(shift),
        _ => None,
    };
    let scale = if flags.contains(TcpFlags::SYN) { tcp.options().find_map(offered) } else { None };
    let behind = (subject.end() - subject.l4).saturating_sub(tcp.header_len());
    Ok(Segment {
        from,
        flags,
        seq: tcp.sequence(),
        ack: tcp.acknowledgement(),
        window: tcp.window(),
        payload: behind as u32,
        scale,
    })
}

impl Subject<'_> {
    /// Where the packet ends, by its IP header; the first segment of a long one may end before.
    fn end(&self) -> usize {
        let word = |at: usize| {
            let pair = self.bytes.get(self.l3 + at..).and_then(|rest| rest.first_chunk::<2>());
            usize::from(pair.map_or(0, |pair| u16::from_be_bytes(*pair)))
        };
        let end = match self.bytes.get(self.l3).map(|first| first >> 4) {
            Some(4) => word(2),
            _ => word(4) + crate::headers::IPV6,
        };
        (self.l3 + end).max(self.l4)
    }
}

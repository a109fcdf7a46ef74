//! Who speaks to whom in a packet: what policy is asked about it, and which connection it belongs to.
//!
//! ICMP has no ports, but a question and its answer have two sides. The side that asks bears the question's type where others have
//! a port, and the side that answers bears 0. So that one pod may ping another is one connection, and the other way round is another.

use crate::{
    flow::{
        FlowKey,
        connections::{ConnectionKey, Places, Side},
    },
    headers::{ICMP, ICMPV6, SCTP, TCP, UDP},
    ids::{PortId, VrfId},
    policy::{End, Leasing, Opening},
};

/// Marks a side of which only the type of its messages is known: nobody answers them.
const UNASKED: u16 = 0x100;

/// Two ends, as one packet names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parties {
    pub(super) zone: VrfId,
    pub(super) from: End,
    pub(super) to: End,
    pub(super) protocol: u8,
    /// Source and destination port; for ICMP the roles of both.
    pub(super) ports: (u16, u16),
}

impl Parties {
    /// Those of an IP packet that goes on to the port `to`. `None` if it is not IP.
    pub(crate) fn of(key: &FlowKey, zone: VrfId, to: PortId) -> Option<Self> {
        let (source, destination) = key.addresses()?;
        let protocol = key.kind().protocol;
        let from = End { address: source, port: key.port() };
        let parties = Self { zone, from, to: End { address: destination, port: to }, protocol, ports: key.ports() };
        Some(parties.with_ports(key.ports()))
    }

    /// The same parties, these being the first four bytes of the transport header as two numbers.
    pub(super) fn with_ports(mut self, ports: (u16, u16)) -> Self {
        self.ports = match self.protocol {
            TCP | UDP | SCTP => ports,
            ICMP | ICMPV6 => roles(self.protocol, (ports.0 >> 8) as u8),
            _ => (0, 0),
        };
        self
    }

    /// The same parties as those of a message that answers nothing.
    pub(crate) fn unasked(mut self) -> Self {
        if let ICMP | ICMPV6 = self.protocol
            && self.ports.0 == 0
        {
            self.ports = (UNASKED | self.ports.1, UNASKED);
        }
        self
    }

    /// What policy is asked, if the sender opens.
    pub(super) fn forward(&self) -> Opening {
        let leasing = Leasing::of(self.protocol, self.ports);
        Opening { from: self.from, to: self.to, protocol: self.protocol, port: self.port(self.ports.1), leasing }
    }

    /// What policy is asked, if the receiver opened.
    pub(super) fn backward(&self) -> Opening {
        let leasing = Leasing::of(self.protocol, (self.ports.1, self.ports.0));
        Opening { from: self.to, to: self.from, protocol: self.protocol, port: self.port(self.ports.0), leasing }
    }

    /// The connection's key, and which of its ends the sender is.
    pub(crate) fn key(&self) -> (ConnectionKey, Side) {
        let [from, to] = [(self.from.address, self.ports.0), (self.to.address, self.ports.1)];
        ConnectionKey::of(self.zone, self.protocol, from, to)
    }

    /// Behind which port either end of the connection is, as this packet has it. The sender is at `side`.
    pub(crate) fn places(&self, side: Side) -> Places {
        Places::of(side, self.from.port, self.to.port)
    }

    /// The key under which a first fragment lets later ones follow, and which of its ends the sender is.
    pub(super) fn key_of_fragments(&self) -> (ConnectionKey, Side) {
        ConnectionKey::of_fragments(self.zone, self.protocol, self.from.address, self.to.address)
    }

    const fn port(&self, port: u16) -> u16 {
        match self.protocol {
            TCP | UDP | SCTP => port,
            _ => 0,
        }
    }
}

/// The roles of sender and receiver in a message of ICMP.
const fn roles(protocol: u8, kind: u8) -> (u16, u16) {
    let wide = kind as u16;
    match (protocol, kind) {
        // Echo, timestamp, information, address mask (RFC 792, RFC 950).
        (ICMP, 8 | 13 | 15 | 17) => (wide, 0),
        (ICMP, 0) => (0, 8),
        (ICMP, 14 | 16 | 18) => (0, wide - 1),
        // Echo, node information (RFC 4443, 4; RFC 4620, 4).
        (ICMPV6, 128 | 139) => (wide, 0),
        (ICMPV6, 129 | 140) => (0, wide - 1),
        _ => (UNASKED | wide, UNASKED),
    }
}

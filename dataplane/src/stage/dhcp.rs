//! dhcp: what passes a port whose pod has no address yet and asks a server for one (RFC 2131). Its questions go out and answers to them come
//! in; to everything else the port is as closed as it was born. Asked on a miss alone, and for each copy of a flood.

use crate::{
    flow::{Class, FlowKey},
    headers::UDP,
    ids::PortId,
    tables::{Dhcp, PortTable, Tables},
};

/// Where servers listen (RFC 2131, 4.1).
const SERVER: u16 = 67;
/// Where clients do.
const CLIENT: u16 = 68;

/// Whether a packet may come from a port.
pub(super) fn lets_out(port: &PortTable, key: &FlowKey) -> bool {
    port.dhcp != Dhcp::Asking || is_between(key, (CLIENT, SERVER))
}

/// Whether a packet may go to a port.
pub(super) fn lets_in(tables: &Tables, to: PortId, key: &FlowKey) -> bool {
    !tables.is_asking(to) || is_between(key, (SERVER, CLIENT))
}

fn is_between(key: &FlowKey, ports: (u16, u16)) -> bool {
    let kind = key.kind();
    (kind.class, kind.protocol, key.ports()) == (Class::Ipv4, UDP, ports)
}

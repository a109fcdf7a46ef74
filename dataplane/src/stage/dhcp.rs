//! dhcp: what passes a port whose pod has no address yet and asks a server for one (RFC 2131). Its questions go out and answers to them come
//! in; to everything else the port is as closed as it was born. Asked on a miss alone, and for each copy of a flood.

use crate::{
    flow::{Class, FlowKey},
    ids::PortId,
    policy::Leasing,
    tables::{Dhcp, PortTable, Tables},
};

/// Whether a packet may come from a port.
pub(super) fn lets_out(port: &PortTable, key: &FlowKey) -> bool {
    port.dhcp != Dhcp::Asking || leasing(key) == Leasing::Asking
}

/// Whether a packet may go to a port.
pub(super) fn lets_in(tables: &Tables, to: PortId, key: &FlowKey) -> bool {
    !tables.is_asking(to) || leasing(key) == Leasing::Answering
}

fn leasing(key: &FlowKey) -> Leasing {
    let kind = key.kind();
    if kind.class == Class::Ipv4 { Leasing::of(kind.protocol, key.ports()) } else { Leasing::Unrelated }
}

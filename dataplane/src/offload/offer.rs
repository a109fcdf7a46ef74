//! What is offered to an engine: a flow, its program, and all else that carrying it takes.

use core::{
    net::IpAddr,
    ops::{BitOr, Sub},
};

use podlane_wire::MacAddr;

use crate::{
    flow::{FlowKey, Program},
    ids::{Generation, PathId, PortId, Vni, WorkerId},
    offload::{EngineId, Permit},
    tunnel::Template,
};

/// Fields of a packet, as a set: what an engine tells flows apart by, or what a flow's verdict rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fields(u8);

impl Fields {
    /// Receiving port, VLAN tag and EtherType. Every engine tells by these.
    pub const PLACE: Self = Self(1);
    /// Both MAC addresses.
    pub const MACS: Self = Self(1 << 1);
    /// Both IP addresses.
    pub const ADDRESSES: Self = Self(1 << 2);
    /// IP protocol and ports.
    pub const PORTS: Self = Self(1 << 3);
    /// All there are.
    pub const ALL: Self = Self(0xf);

    /// A key without what is not among them.
    #[must_use]
    pub fn of(self, key: &FlowKey) -> FlowKey {
        const MAC: u64 = (1 << 48) - 1;
        const PORTS: u64 = (1 << 40) - 1;
        let mut words = *key.words();
        if !self.contain(Self::MACS) {
            words[0] &= !MAC;
            // Untagged, what follows the destination is the source.
            words[1] &= if key.vlan().is_tagged() { !MAC } else { 0 };
        }
        if !self.contain(Self::ADDRESSES) {
            for word in [2, 4, 5, 6] {
                words[word] = 0;
            }
        }
        if !self.contain(Self::PORTS) {
            words[3] &= !PORTS;
        }
        FlowKey::from_words(words)
    }

    /// Whether all of these are among them.
    #[must_use]
    pub const fn contain(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }
}

impl BitOr for Fields {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sub for Fields {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The tunnel a flow goes into.
#[derive(Clone, Debug)]
pub struct IntoTunnel {
    /// The path, for the ledger.
    pub path: PathId,
    /// The outer headers.
    pub template: Template,
    /// The other node's address, for an engine that builds outer headers itself.
    pub peer: IpAddr,
    /// What the network is called on the wire.
    pub vni: Vni,
    /// The inner source of what is routed into the tunnel.
    pub gateway_mac: MacAddr,
    /// What the outer source port is made of ([`Patch::entropy`](crate::tunnel::template::Patch)).
    pub entropy: u64,
}

/// A flow that may be carried.
#[derive(Clone, Debug)]
pub struct Offer {
    /// To which engine.
    pub engine: EngineId,
    /// By which worker, whose flow it is.
    pub worker: WorkerId,
    /// What allows it; looked at for every packet.
    pub permit: Permit,
    /// Which packets.
    pub key: FlowKey,
    /// What is done to them.
    pub program: Program,
    /// The tables and policy this was decided by; held against the engine's gate for every packet.
    pub generation: Generation,
    /// The epoch of the program's shard, see [`FlowTable::epoch`](crate::flow::FlowTable::epoch).
    pub epoch: u32,
    /// The fields its verdict rests on.
    pub needs: Fields,
    /// The port its packets come in by: of a path, the uplink.
    pub ingress: PortId,
    /// Whether its sender leaves checksums to be finished.
    pub unfinished_checksums: bool,
    /// The longest frame that is carried, bytes; what is longer is the worker's.
    pub longest: u32,
    /// The tunnel it goes into.
    pub into: Option<Box<IntoTunnel>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_the_fields_of_the_set_and_no_other() {
        let head: [u8; 38] = core::array::from_fn(|at| at as u8 + 1);
        let key = FlowKey::plain_ipv4(PortId(7), &head, 17);
        assert_eq!(Fields::ALL.of(&key), key);
        let without_ports = (Fields::ALL - Fields::PORTS).of(&key);
        assert_eq!((without_ports.ports(), without_ports.kind().protocol), ((0, 0), 0));
        assert_eq!((without_ports.addresses(), without_ports.port()), (key.addresses(), PortId(7)));
        let without_macs = (Fields::ALL - Fields::MACS).of(&key);
        assert_eq!((without_macs.source_mac(), without_macs.destination_mac()), Default::default());
        assert_eq!((without_macs.kind(), without_macs.ports()), (key.kind(), key.ports()));
        let place = Fields::PLACE.of(&key);
        assert_eq!(
            (place.port(), place.kind().class, place.kind().ethertype),
            (PortId(7), key.kind().class, key.kind().ethertype)
        );
        assert_eq!(place.words()[2], 0);
    }

    #[test]
    fn a_set_of_fields_contains_what_was_put_in() {
        let fewer = Fields::ALL - Fields::PORTS;
        assert!(Fields::ALL.contain(fewer) && !fewer.contain(Fields::ALL));
        assert!(fewer.contain(Fields::MACS | Fields::PLACE) && !fewer.contain(Fields::PORTS));
        assert_eq!(fewer | Fields::PORTS, Fields::ALL);
    }
}

//! What the daemon tells of its flows, under the names of the configuration.

use podlane_api::{Flow, FlowQuery, FlowTunnel, Flows, MacAddr, Refusal};
use podlane_dataplane::flow::{Class, FlowKey, FlowRecord, Op, Program, TagEdit};
use podlane_dataplane::ids::PathId;
use podlane_dataplane::tables::Tables;
use podlane_policy::model::Protocol;

use super::answers::{name, near};
use super::moment::Moment;
use crate::desired::{self, Name};

impl Moment<'_> {
    pub(super) fn flows(&self, query: &FlowQuery) -> Result<Flows, Refusal> {
        let ports = &self.desired().ports;
        self.check_network(query.network.as_deref())?;
        if let Some(name) = query.port.as_deref().filter(|name| !ports.contains_key(*name)) {
            return Err(Refusal::UnknownPort { name: name.to_owned(), nearest: near(name, ports.keys()) });
        }
        let numbers = self.numbers();
        let port = query.port.as_deref().and_then(|name| ports.get_key_value(name)).map(|(name, _)| numbers.port(name));
        let tables = self.engine().facts().tables;
        let in_network = |key: &FlowKey| {
            let is = |wanted| self.network_of(key, &tables).is_some_and(|network| network.as_str() == wanted);
            query.network.as_deref().is_none_or(is)
        };
        let by_port = |flow: &FlowRecord| {
            let comes_from = |port| match flow.key.port().path() {
                // Which uplink a tunnelled packet came by is not part of its flow: it may be any.
                Some(_) => tables.underlay.uplink_at(port).is_some(),
                None => flow.key.port() == port,
            };
            port.is_none_or(|port| comes_from(port) || (carried(flow) && flow.program.egress() == port))
        };
        let mut records = self.engine().shared().flows.records(usize::MAX, in_network);
        records.retain(by_port);
        let matched = records.len() as u64;
        // The busiest first: that is what one looks for. A full table holds millions; only what is shown is sorted and named.
        let packets = |flow: &FlowRecord| core::cmp::Reverse(flow.packets);
        if query.limit < records.len() {
            records.select_nth_unstable_by_key(query.limit, packets);
            records.truncate(query.limit);
        }
        records.sort_by_key(packets);
        Ok(Flows { matched, flows: records.iter().map(|record| self.flow(record, &tables)).collect() })
    }

    /// The network a flow came in by.
    fn network_of(&self, key: &FlowKey, tables: &Tables) -> Option<&Name> {
        if let Some(path) = key.port().path() {
            return self.numbers().network_name(tables.underlay.path(path)?.network);
        }
        let membership = &self.desired().ports.get(self.numbers().port_name(key.port())?)?.membership;
        let tagged = key.vlan().id().and_then(desired::VlanId::new).map(|id| membership.tagged.get(&id));
        tagged.unwrap_or(membership.untagged.as_ref())
    }

    fn flow(&self, record: &FlowRecord, tables: &Tables) -> Flow {
        let (key, program) = (&record.key, &record.program);
        let numbers = self.numbers();
        let addresses = key.addresses();
        let ports = has_ports(key.kind().protocol).then(|| key.ports());
        Flow {
            network: name(self.network_of(key, tables)),
            in_port: name(numbers.port_name(key.port())),
            in_tunnel: key.port().path().and_then(|path| self.flow_tunnel(path, tables)),
            out_tunnel: is_tunnelled(program).then(|| self.flow_tunnel(program.path(), tables)).flatten(),
            out_port: carried(record).then(|| name(numbers.port_name(program.egress()))),
            src_mac: MacAddr(key.source_mac().0),
            dst_mac: MacAddr(key.destination_mac().0),
            ethertype: key.kind().ethertype,
            src: addresses.map(|(source, _)| source),
            dst: addresses.map(|(_, destination)| destination),
            protocol: (key.kind().class != Class::Other).then(|| protocol(key.kind().protocol)),
            sport: ports.map(|(source, _)| source),
            dport: ports.map(|(_, destination)| destination),
            packets: record.packets,
            bytes: record.bytes,
            idle_ms: self.since(record.seen),
            action: action(program),
        }
    }

    fn flow_tunnel(&self, path: PathId, tables: &Tables) -> Option<FlowTunnel> {
        let path = tables.underlay.path(path)?;
        Some(FlowTunnel { peer: name(self.numbers().peer_name(path.peer)), vni: path.vni.0 })
    }
}

/// Whether a flow's packets leave by the port its program names.
fn carried(flow: &FlowRecord) -> bool {
    matches!(flow.program.op(), Op::Bridge | Op::Route | Op::Readdress) || is_tunnelled(&flow.program)
}

fn is_tunnelled(program: &Program) -> bool {
    matches!(program.op(), Op::Encapsulate | Op::RouteEncapsulate)
}

/// Whether a protocol has ports: TCP, UDP and SCTP do.
pub(super) const fn has_ports(protocol: u8) -> bool {
    Protocol::of_number(protocol).number().is_some()
}

/// A protocol as it is answered.
pub(super) fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}

/// What is done with packets, as it is answered.
pub(super) fn action(program: &Program) -> String {
    let tag = match program.tag() {
        TagEdit::Keep => String::new(),
        TagEdit::Pop => ", pop tag".to_owned(),
        TagEdit::Push(id) => format!(", push vlan {id}"),
        TagEdit::Set(id) => format!(", set vlan {id}"),
    };
    match program.op() {
        Op::Bridge => format!("bridge{tag}"),
        Op::Route => format!("route to {}{tag}", program.next_hop()),
        Op::Readdress => format!("bridge to {} as {}{tag}", program.next_hop(), program.source()),
        Op::Encapsulate => format!("encapsulate to {}{tag}", program.next_hop()),
        Op::RouteEncapsulate => {
            format!("route to {}, encapsulate to {}{tag}", program.inner_next_hop(), program.next_hop())
        }
        Op::Flood => "flood".to_owned(),
        Op::Answer => "answer".to_owned(),
        Op::Drop => format!("drop {}", program.reason().name()),
    }
}

//! The switch's port that goes with an attachment.

use podlane_policy::model::{Labels, PodName};

use super::record::Record;
use super::{Kind, Order, OrderError};
use crate::config::defaults;
use crate::desired::{
    Bandwidth, Behind, BitRate, Burst, ConnectionRate, Description, Desired, Device, DeviceName, Dhcp, Inhabitant,
    Membership, Mode, Name, Port, Queues, Rates, Role, Xdp,
};

/// The port that an attachment has; none for what does not go through the switch, and for what this switch can have no port for yet.
///
/// # Errors
/// The order asks for what no port can be.
pub(super) fn port(record: &Record, desired: &Desired) -> Result<Option<Port>, OrderError> {
    let attachment = &record.attachment;
    let order = &attachment.order;
    let (device, mode) = match &order.kind {
        // A veth copies; to ask for anything else first takes time.
        Kind::Veth => (attachment.port.as_str(), Mode::Copy),
        Kind::Taken { host } => (host.as_str(), Mode::Auto),
        Kind::VhostUser | Kind::HostDevice { .. } => return Ok(None),
    };
    let device = Device {
        name: DeviceName::new(device).ok_or_else(|| OrderError::Interface(device.to_owned()))?,
        netns: None,
        role: Role::Pod,
        sharing: None,
        queues: if order.kind == Kind::Veth { Queues::First(1) } else { Queues::All },
        mode,
        xdp: Xdp::Auto,
        checksum_offload: true,
        ring: defaults::RING,
    };
    let name = |text: &str| Name::new(text).ok_or_else(|| OrderError::Interface(text.to_owned()));
    Ok(Some(Port {
        name: name(&attachment.port)?,
        behind: Behind::Device(device),
        membership: Membership { untagged: Some(name(&order.network)?), tagged: Default::default() },
        mac: attachment.pod.as_ref().map(|pod| pod.mac),
        addresses: attachment.addresses.iter().map(|own| own.address.address()).collect(),
        generation: 0,
        pod: inhabitant(record, desired)?,
        node: false,
        dhcp: dhcp(record),
        rates: rates(order)?,
        offload: None,
        fault: None,
    }))
}

/// The pod behind the port, as policies know it: by every port that it has, since policy speaks of the pod and not of its interfaces.
fn inhabitant(record: &Record, desired: &Desired) -> Result<Option<Inhabitant>, OrderError> {
    let order = &record.attachment.order;
    let Some((namespace, name)) = &order.pod else { return Ok(None) };
    if namespace.is_empty() || name.is_empty() {
        return Err(OrderError::Pod { namespace: namespace.clone(), name: name.clone() });
    }
    if desired.policy.is_none() {
        return Ok(None);
    }
    let name = PodName::new(namespace, name);
    let labels: Labels = order.labels.clone();
    Ok(Some(Inhabitant { name, description: Some(Description { labels, ports: Vec::new() }), attached: true }))
}

/// How far the pod's addresses are, where they come over the link itself.
fn dhcp(record: &Record) -> Dhcp {
    match record.attachment.addresses.is_empty() {
        _ if !record.speaks_dhcp() => Dhcp::Unused,
        true => Dhcp::Asking,
        false => Dhcp::Leased,
    }
}

fn rates(order: &Order) -> Result<Rates, OrderError> {
    let bandwidth = |what: &'static str, of: Option<podlane_api::Bandwidth>| {
        let Some(of) = of else { return Ok(None) };
        let (rate, burst) = (BitRate::new(of.rate), Burst::new(of.burst));
        let (Some(rate), Some(burst)) = (rate, burst) else { return Err(OrderError::Rate(what)) };
        Ok(Some(Bandwidth { rate, burst }))
    };
    let asked = order.rates;
    let new_connections = match asked.new_connections {
        Some(number) => Some(ConnectionRate::new(number).ok_or(OrderError::Rate("a rate of no connections"))?),
        None => None,
    };
    Ok(Rates {
        ingress: bandwidth("the ingress rate", asked.ingress)?,
        egress: bandwidth("the egress rate", asked.egress)?,
        new_connections,
    })
}

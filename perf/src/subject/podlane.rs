//! Podlane: polling workers, ports and tables as its daemon makes them.

use std::num::NonZero;

use podlane_dataplane::{
    PortId, VrfId,
    tables::{PortTable, Tables},
    testbed::Plan,
    worker::idle::Poll,
};

use crate::{
    bed::{Bed, station_mac},
    load::traffic::{GATEWAY, address, gateway_mac},
    nodes::Nodes,
    subject::{
        Duty, Running, Subject, SubjectError, Way,
        end::RING,
        overlay, policed,
        switch::{FRAMES, Switch},
    },
};

/// The port by which packets come in, and the one by which they leave.
pub const PORTS: [PortId; 2] = [PortId(1), PortId(2)];

/// The first silent port's number.
pub const FIRST_SILENT: u16 = 10;

/// Frames lent to each silent port: the least the daemon lends.
const FILL: u32 = 64;

/// The subject.
pub struct Podlane;

impl Subject for Podlane {
    fn name(&self) -> &'static str {
        "podlane"
    }

    fn takes(&self, duty: &Duty) -> bool {
        duty.is_tunnel() || duty.is_policy() || duty.rules.is_none() && matches!(duty.way, Way::Bridged | Way::Routed)
    }

    fn finishes_checksums(&self) -> bool {
        true
    }

    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        let switch = match (duty.way, duty.rules) {
            (Way::Encapsulated | Way::Decapsulated, _) => overlay::start(bed, duty.way)?,
            (_, Some(rules)) => policed::start(bed, duty, rules)?,
            (Way::Bridged | Way::Routed, None) => switch_pair(bed, duty, tables(duty))?,
        };
        Ok(Box::new(Switching([switch])))
    }

    fn spans_nodes(&self) -> bool {
        true
    }

    fn span(&self, nodes: &Nodes) -> Result<Box<dyn Running>, SubjectError> {
        Ok(Box::new(Switching(overlay::span(nodes)?)))
    }
}

/// Starts a switch on the bed's links. One worker has a core to itself and polls; the second one has to share the load's, and spinning
/// would starve it.
pub(crate) fn switch_pair(bed: &Bed, duty: &Duty, tables: Tables) -> Result<Switch, SubjectError> {
    let silent = bed.silent_ends();
    let frames = FRAMES.max(FRAMES / 2 + silent.len() as u32 * FILL);
    let frames = NonZero::new(frames).unwrap_or(NonZero::<u32>::MIN);
    let both = [bed.cores.switch, bed.cores.load];
    let (cores, poll) = if duty.workers > 1 { (&both[..], Poll::Adaptive) } else { (&both[..1], Poll::Busy) };
    let mut switch = Switch::start(cores, poll, frames)?;
    switch.take_packets_of(duty.mtu);
    attach_pair(&mut switch, bed)?;
    for (link, number) in silent.iter().zip(FIRST_SILENT..) {
        switch.attach(bed.switch(), link, PortId(number), FILL)?;
    }
    switch.publish(tables)?;
    Ok(switch)
}

/// Attaches the bed's two links.
///
/// # Errors
/// As [`Switch::attach`].
pub fn attach_pair(switch: &mut Switch, bed: &Bed) -> Result<(), SubjectError> {
    for (link, port) in bed.host_ends().iter().zip(PORTS) {
        switch.attach(bed.switch(), link, port, RING)?;
    }
    Ok(())
}

/// Tables that let packets cross from the first link to the second.
#[must_use]
pub fn tables(duty: &Duty) -> Tables {
    let stated = |network, number| PortTable {
        mac: Some(station_mac(number)),
        addresses: vec![address(network, number).into()],
        mtu: duty.mtu,
        unfinished_checksums: true,
        ..PortTable::default()
    };
    let mut plan = Plan::new(2);
    let routed = duty.way == Way::Routed;
    if routed {
        plan = plan.network(1, |network| network.vrf = VrfId(0));
        for network in 0..2 {
            plan = plan.gateway(network.into(), gateway_mac(), &[(address(network, GATEWAY).into(), 24)]);
        }
    }
    let far = u8::from(routed);
    plan.port(PORTS[0], 0, stated(0, 1)).port(PORTS[1], far.into(), stated(far, 2)).build()
}

/// One switch, or one on each node.
pub(super) struct Switching<const N: usize>(pub(super) [Switch; N]);

impl<const N: usize> Running for Switching<N> {
    fn check(&mut self) -> Result<(), SubjectError> {
        self.0.iter().try_for_each(|switch| switch.report().map(drop))
    }

    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        // All are stopped, whatever one of them says.
        let stopped = self.0.map(Switch::stop);
        stopped.into_iter().collect()
    }
}

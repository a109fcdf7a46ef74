//! Podlane: one polling worker, ports and tables as its daemon makes them.

use std::num::NonZero;

use podlane_dataplane::{
    PortId, VrfId,
    tables::{PortTable, Tables},
    testbed::Plan,
    worker::idle::Poll,
};

use crate::{
    bed::{Bed, station_mac},
    load::traffic::{GATEWAY, Traffic, address, gateway_mac},
    subject::{
        Running, Subject, SubjectError,
        end::RING,
        switch::{FRAMES, Switch},
    },
};

/// The port by which packets come in, and the one by which they leave.
pub const PORTS: [PortId; 2] = [PortId(1), PortId(2)];

/// The subject.
pub struct Podlane;

impl Subject for Podlane {
    fn start(&self, bed: &Bed, traffic: Traffic) -> Result<Box<dyn Running>, SubjectError> {
        Ok(Box::new(Switching(switch_pair(bed, tables(traffic))?)))
    }
}

/// Starts a worker that polls, on the bed's two links.
pub(super) fn switch_pair(bed: &Bed, tables: Tables) -> Result<Switch, SubjectError> {
    let frames = NonZero::new(FRAMES).unwrap_or(NonZero::<u32>::MIN);
    let mut switch = Switch::start(bed.cores.switch, Poll::Busy, frames)?;
    attach_pair(&mut switch, bed)?;
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

/// Tables that let this traffic cross from the first link to the second.
#[must_use]
pub fn tables(traffic: Traffic) -> Tables {
    let stated = |network, number| PortTable {
        mac: Some(station_mac(number)),
        addresses: vec![address(network, number).into()],
        unfinished_checksums: true,
        ..PortTable::default()
    };
    let mut plan = Plan::new(2);
    if traffic.routed {
        plan = plan.network(1, |network| network.vrf = VrfId(0));
        for network in 0..2 {
            plan = plan.gateway(network.into(), gateway_mac(), &[(address(network, GATEWAY).into(), 24)]);
        }
    }
    let far = traffic.far_network();
    plan.port(PORTS[0], 0, stated(0, 1)).port(PORTS[1], far.into(), stated(far, 2)).build()
}

pub(super) struct Switching(pub(super) Switch);

impl Running for Switching {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        self.0.stop()
    }
}

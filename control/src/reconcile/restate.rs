//! Addresses that a port has only now: its pod asked for them over the port itself, which was closed to all else meanwhile.

use std::net::IpAddr;
use std::sync::Arc;

use super::apply::Batch;
use super::change::{ChangeError, fits, unknown};
use super::pass::Reconciler;
use super::requests::Back;
use crate::compile::Numbers;
use crate::desired::{Desired, Dhcp, Name, Port};

impl Reconciler {
    /// Takes into a batch that a port has its addresses now.
    pub(super) fn restate(
        &mut self,
        (name, addresses): (Name, Vec<IpAddr>),
        back: Back,
        batch: &mut Batch,
    ) -> Result<(), ChangeError> {
        let Some(former) = batch.desired.ports.remove(&name) else {
            return Err(unknown("port", &name, batch.desired.ports.keys()));
        };
        let port = Port { addresses, dhcp: Dhcp::Leased, ..Port::clone(&former) };
        let outcome = fits(&port, &batch.desired).and_then(|()| self.rehouse(&former, &port, batch));
        let now = if outcome.is_ok() { Arc::new(port) } else { Arc::clone(&former) };
        batch.desired.ports.insert(name.clone(), now);
        outcome?;
        tracing::info!(port = %name, "port has its addresses");
        self.due.note((batch.numbers.port(&name), Arc::clone(&former)));
        batch.waiting.restated.push((former, back));
        Ok(())
    }

    /// Gives the pod of a port its place as the port is now, or leaves it where it was.
    fn rehouse(&self, former: &Port, port: &Port, batch: &mut Batch) -> Result<(), ChangeError> {
        let id = batch.numbers.port(&port.name);
        let Some(enforcer) = &self.enforcer else { return Ok(()) };
        enforcer.unhouse(id, former);
        let housed = self.house(id, port, batch);
        if housed.is_err() {
            // It fitted before.
            self.house(id, former, batch)?;
        }
        housed
    }

    /// Has a port that is still there state what it did.
    pub(super) fn state_as_before(&self, former: &Arc<Port>, desired: &mut Desired, numbers: &Numbers) {
        let Some(now) = desired.ports.insert(former.name.clone(), Arc::clone(former)) else {
            // It was removed in the same batch.
            desired.ports.remove(&former.name);
            return;
        };
        if let Some(enforcer) = &self.enforcer {
            let id = numbers.port(&former.name);
            enforcer.unhouse(id, &now);
            if let Err(misfit) = enforcer.house(id, former) {
                tracing::error!(port = %former.name, %misfit, "a pod is in no policy any more, and closed");
            }
        }
    }
}

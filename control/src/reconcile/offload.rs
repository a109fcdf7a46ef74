//! The roster of offload engines, and the thread that has them.

use std::sync::Arc;

use podlane_dataplane::offload::emulated::Emulated;
use podlane_dataplane::offload::{Engine, Exchange, Offloader};
use podlane_dataplane::stage::shared::Shared;

use super::error::StartError;
use crate::desired::Desired;

/// The engines that may be chosen, in the order of their numbers, before there are workers to meet them. None where none is chosen: then
/// nothing of offload is there.
pub(super) fn prepare(desired: &Desired, shared: &Shared) -> Result<Option<Offloader>, StartError> {
    if !desired.offloads() {
        return Ok(None);
    }
    let (workers, flows) = (desired.workers.cores.len(), &shared.flows);
    let emulated = Emulated::new(desired.emulated.clone(), workers, Arc::clone(flows));
    // In the order of `compile::EMULATED` and those to come.
    let engines: Vec<Box<dyn Engine>> = vec![Box::new(emulated)];
    let offloader = Offloader::new(workers, Arc::clone(flows), engines).map_err(StartError::Flows)?;
    let exchange: &Arc<Exchange> = offloader.exchange();
    // What workers share is new, so nobody was faster.
    let _ = shared.offload.set(Arc::clone(exchange));
    Ok(Some(offloader))
}

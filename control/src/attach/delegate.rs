//! IPAM plugins of others, which give a pod its addresses in our place.

use thiserror::Error;

use super::{Address, Addressing, Order, PodRoute};

/// What a plugin gave.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Delegated {
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<PodRoute>,
}

/// Why a plugin gave nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// It is not run.
    #[error("the IPAM plugin {plugin} is not run by this daemon; leave \"ipam\" out, or give it the type \"podlane\"")]
    NotRun {
        /// Its name.
        plugin: String,
    },
}

/// Has the plugin give the pod addresses; none where the order names no plugin.
pub(super) fn add(order: &Order) -> Result<Option<Delegated>, DelegateError> {
    match &order.addressing {
        Addressing::Delegated { plugin, .. } => Err(DelegateError::NotRun { plugin: plugin.clone() }),
        _ => Ok(None),
    }
}

/// Has the plugin take them back; also what it never gave.
pub(super) fn del(_order: &Order) -> Result<(), DelegateError> {
    Ok(())
}

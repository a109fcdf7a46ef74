//! What the adapters of other callers ask of attachments.
//!
//! Docker's and Podman's protocols are translated by code that this trait keeps apart from namespaces, journals and workers: so what it
//! says to the daemon can be held to what the caller meant without any of them.

use std::fmt::Display;
use std::net::IpAddr;

use podlane_api::Gateway;

use super::{Attachment, Key, MadeNetwork, Order};

/// Attaches pods, makes networks and gives out addresses: the daemon's attachments.
pub trait Attaches: Send + Sync {
    /// What could not be done, and what to do.
    type Error: Display;

    /// Attaches; the same key twice is one attachment.
    ///
    /// # Errors
    /// The attachment could not be made, and nothing of it is left.
    fn attach(&self, order: Order) -> Result<Attachment, Self::Error>;

    /// Takes away an attachment; one that is not there is as good.
    ///
    /// # Errors
    /// It could not be taken away, or that not be written down.
    fn detach(&self, key: &Key) -> Result<(), Self::Error>;

    /// All that is attached.
    fn attached(&self) -> Vec<Attachment>;

    /// Makes a network; one that is the same already is as good.
    ///
    /// # Errors
    /// It cannot be, or could not be written down.
    fn make_network(&self, network: MadeNetwork) -> Result<(), Self::Error>;

    /// Takes away a network that was made; one that is not there is as good.
    ///
    /// # Errors
    /// Something is attached to it, or it could not be written down.
    fn remove_network(&self, name: &str) -> Result<(), Self::Error>;

    /// The networks that were made.
    fn made(&self) -> Vec<MadeNetwork>;

    /// All networks, those of the configuration too, by name and with their gateways.
    fn networks(&self) -> Vec<(String, Vec<Gateway>)>;

    /// Gives out an address of `network`: `wished`, or one of the family of `subnet`.
    ///
    /// # Errors
    /// It is somebody's, or all are.
    fn lease(&self, network: &str, subnet: Gateway, wished: Option<IpAddr>) -> Result<IpAddr, Self::Error>;

    /// Takes an address back; one that was not given out is as good.
    ///
    /// # Errors
    /// It could not be written down.
    fn release(&self, network: &str, address: IpAddr) -> Result<(), Self::Error>;
}

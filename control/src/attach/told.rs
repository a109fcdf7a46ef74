//! What a caller says that an attachment is, to be held against what it really is.

use std::path::PathBuf;

use podlane_api::MacAddr;

use super::{Address, PodRoute};

/// What a caller was told when it asked, or what others made of it since.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Told {
    /// The addresses of the pod end, of which others may have added some.
    pub addresses: Vec<Address>,
    /// The routes, of which others may have added some.
    pub routes: Vec<PodRoute>,
    /// The netdevs, with those of other plugins.
    pub interfaces: Vec<ToldInterface>,
}

/// A netdev as a caller knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldInterface {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: Option<MacAddr>,
    /// The network namespace it is in; none for the daemon's own.
    pub netns: Option<PathBuf>,
    /// The largest IP packet.
    pub mtu: Option<u32>,
}

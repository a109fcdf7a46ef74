//! What is known of the ways to other nodes: who the next hops are and since when, what the way to a peer carries.
//!
//! All workers share it, without a lock. Resolve reads it; what an uplink hears and worker 0's upkeep write it. Every change
//! has all flows resolved anew: any of them may use the way.

use core::net::IpAddr;

use podlane_wire::MacAddr;

use crate::{
    flow::{
        key::{mac_word, word_mac},
        learned::Lesson,
    },
    ids::PortId,
    stage::resolve::Shared,
    tables::underlay::{hop_key, peer_key},
};

/// A next hop, as an operator wants to see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HopState {
    /// Its MAC address; `None` while it does not answer: then no packet goes there.
    pub mac: Option<MacAddr>,
    /// When it last said so, in worker-clock milliseconds.
    pub confirmed: Option<u32>,
    /// Questions it has not answered since.
    pub unanswered: u64,
}

impl Shared {
    /// The MAC address of an underlay next hop.
    #[must_use]
    pub fn hop(&self, uplink: PortId, address: IpAddr) -> Option<MacAddr> {
        self.hops.lookup(&hop_key(uplink, address)).map(word_mac)
    }

    /// What is known of an underlay next hop.
    #[must_use]
    pub fn hop_state(&self, uplink: PortId, address: IpAddr) -> HopState {
        let key = hop_key(uplink, address);
        let (mac, confirmed) = self.hops.sighting(&key).unzip();
        HopState { mac: mac.map(word_mac), confirmed, unanswered: self.hop_questions.unanswered(&key) }
    }

    /// Hears that an underlay next hop has `mac`.
    pub fn learn_hop(&self, uplink: PortId, address: IpAddr, mac: MacAddr, now: u32) {
        let key = hop_key(uplink, address);
        self.hop_questions.answered(&key);
        match self.hops.learn(&key, mac_word(mac) | 1 << 63, now) {
            Lesson::New | Lesson::Moved(_) => self.flows.forget_all(),
            Lesson::Known | Lesson::Refused => {}
        }
    }

    /// Gives an underlay next hop up: flows take another, where there is one.
    pub(crate) fn forget_hop(&self, uplink: PortId, address: IpAddr) {
        self.hops.remove(&hop_key(uplink, address));
        self.flows.forget_all();
    }

    /// The longest outer IP packet towards a peer, where less was heard of than `mtu`.
    #[must_use]
    pub fn path_mtu(&self, peer: IpAddr, mtu: u16) -> u16 {
        self.path_mtus.lookup(&peer_key(peer)).map_or(mtu, |heard| mtu.min(heard as u16))
    }

    /// Hears that the way to a peer carries outer IP packets of `mtu` bytes (not 0) only. It never comes back to more this way
    /// (RFC 1191, 6.3: only time does that).
    pub fn lower_path_mtu(&self, peer: IpAddr, mtu: u16, now: u32) {
        let key = peer_key(peer);
        if self.path_mtus.lookup(&key).is_some_and(|known| known < u64::from(mtu)) {
            return;
        }
        match self.path_mtus.learn(&key, mtu.into(), now) {
            Lesson::New | Lesson::Moved(_) => self.flows.forget_all(),
            Lesson::Known | Lesson::Refused => {}
        }
    }
}

//! What is known of the ways to other nodes: who the next hops are and since when, what the way to a peer carries.
//!
//! All workers share it, without a lock. Resolve reads it; what an uplink hears and worker 0's upkeep write it. Every change
//! has all flows resolved anew, since any of them may use the way: a few at once, those that follow closely
//! a little later. Who can make a next hop seem to move, or forge news of path MTUs, can therefore not keep all flows from being hits.

use core::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use podlane_wire::MacAddr;

use crate::{
    flow::{
        key::{mac_word, word_mac},
        learned::Lesson,
    },
    ids::PortId,
    stage::shared::Shared,
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

/// All flows are resolved anew once in so many milliseconds, in the long run.
const PACE: u32 = 100;

/// And so many times more at once: a router that fails moves many things together.
const BURST: u32 = 8;

/// When all flows are to be resolved anew.
#[derive(Debug, Default)]
pub struct Renewal {
    /// When it would be the next one's time if all kept to the pace, worker-clock milliseconds.
    next: AtomicU32,
    due: AtomicBool,
}

impl Renewal {
    /// Whether now is the time, for something that changed now.
    fn is_asked(&self, now: u32) -> bool {
        self.due.store(true, Ordering::Relaxed);
        self.is_due(now)
    }

    /// Whether now is the time, for something that changed before. Workers that ask at the same moment may both be told yes.
    fn is_due(&self, now: u32) -> bool {
        if !self.due.load(Ordering::Relaxed) {
            return false;
        }
        let next = self.next.load(Ordering::Relaxed);
        let ahead = (next.wrapping_sub(now) as i32).max(0) as u32;
        let allowed = ahead < PACE * BURST;
        if allowed {
            self.due.store(false, Ordering::Relaxed);
            self.next.store(now.wrapping_add(ahead + PACE), Ordering::Relaxed);
        }
        allowed
    }
}

impl Shared {
    /// Has all flows resolved anew, because of something that changed now.
    fn renew_flows(&self, now: u32) {
        if self.renewal.is_asked(now) {
            self.flows.forget_all();
        }
    }

    /// Has all flows resolved anew, if that was put off and is due.
    pub(crate) fn renew_flows_if_due(&self, now: u32) {
        if self.renewal.is_due(now) {
            self.flows.forget_all();
        }
    }

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
            Lesson::New | Lesson::Moved(_) => self.renew_flows(now),
            Lesson::Known | Lesson::Refused => {}
        }
    }

    /// Gives an underlay next hop up: flows take another, where there is one.
    pub(crate) fn forget_hop(&self, uplink: PortId, address: IpAddr, now: u32) {
        self.hops.remove(&hop_key(uplink, address));
        self.renew_flows(now);
    }

    /// Forgets path MTUs that were heard of long ago, among the slots in `range`.
    pub(crate) fn forget_path_mtus(&self, range: core::ops::Range<usize>, age: u32, now: u32) {
        let old = |_: &[u64; 3], _: u64, heard: u32| (now.wrapping_sub(heard) as i32) >= age as i32;
        let mut grown = false;
        self.path_mtus.forget(range, old, |_, _| grown = true);
        if grown {
            self.renew_flows(now);
        }
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
            Lesson::New | Lesson::Moved(_) => self.renew_flows(now),
            Lesson::Known | Lesson::Refused => {}
        }
    }
}

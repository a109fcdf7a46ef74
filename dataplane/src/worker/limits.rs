//! Caps on what multiplies: flooded packets per network, and packets the gateway sends by itself.

use crate::{
    ids::NetworkId,
    slow::limit::{Kind, Limiter, Rate},
    tables::Network,
    worker::asked::Asked,
};

/// What one gateway may send by itself, of each kind and per worker: enough for every pod of a node to ping it, far
/// from a flood.
const REPLIES: Rate = Rate { per_second: 1000, burst: 100 };

/// What is answered on the underlay, of each kind and per worker, in the name of this node: a ping and a question for the VTEP address
/// from each of a thousand nodes every few seconds.
const UNDERLAY_REPLIES: Rate = Rate { per_second: 500, burst: 100 };

/// How much of a second's flood allowance may come at once.
const FLOOD_BURST: u32 = 10;

#[derive(Clone, Copy)]
struct Bucket {
    /// Thousandths of a packet.
    tokens: u64,
    filled: u32,
}

impl Bucket {
    const FULL: Self = Self { tokens: u64::MAX, filled: 0 };

    /// Takes packets out of what `limit` a second have filled in, of which there are never more than `depth`: all of them, or none.
    fn take(&mut self, packets: u32, (limit, depth): (u32, u32), now: u32) -> bool {
        let most = u64::from(depth.max(1)) * 1000;
        let grown = u64::from(now.wrapping_sub(self.filled)) * u64::from(limit);
        self.tokens = self.tokens.saturating_add(grown).min(most);
        self.filled = now;
        let wanted = u64::from(packets) * 1000;
        let allowed = limit > 0 && self.tokens >= wanted;
        if allowed {
            self.tokens -= wanted;
        }
        allowed
    }
}

/// One worker's caps.
pub struct Limits {
    floods: Vec<Bucket>,
    copies: Vec<Bucket>,
    replies: Vec<Limiter>,
    underlay: Limiter,
    /// Next hops that were asked for.
    pub asked: Asked,
}

impl Default for Limits {
    fn default() -> Self {
        let (floods, copies, replies) = Default::default();
        Self { floods, copies, replies, underlay: Limiter::new(UNDERLAY_REPLIES), asked: Asked::default() }
    }
}

impl Limits {
    /// Makes room for so many networks, between two turns: no packet waits for memory.
    pub fn make_room(&mut self, networks: usize) {
        if self.floods.len() < networks {
            self.floods.resize(networks, Bucket::FULL);
            self.copies.resize(networks, Bucket::FULL);
            self.replies.resize(networks, Limiter::new(REPLIES));
        }
    }

    /// Whether one more packet may be flooded in `network`, which allows `limit` a second.
    pub fn flood(&mut self, network: NetworkId, limit: u32, now: u32) -> bool {
        self.floods.get_mut(network.index()).is_some_and(|bucket| bucket.take(1, (limit, limit / FLOOD_BURST), now))
    }

    /// Whether a packet may be copied to so many peers of a network: to all, or to none, so that none is always the one left out. However
    /// low the limit, one packet's copies may come at once.
    pub fn replicate(&mut self, number: NetworkId, network: &Network, copies: u32, now: u32) -> bool {
        let limit = network.replication_limit;
        let depth = (limit / FLOOD_BURST).max(network.replicate_to.len() as u32);
        self.copies.get_mut(number.index()).is_some_and(|bucket| bucket.take(copies, (limit, depth), now))
    }

    /// Whether the gateway of `network` may send one more packet of this kind by itself.
    pub fn reply(&mut self, network: NetworkId, kind: Kind, now: u32) -> bool {
        self.replies.get_mut(network.index()).is_some_and(|limiter| limiter.admit(kind, u64::from(now)).is_ok())
    }

    /// Whether one more packet of this kind may be answered on the underlay.
    pub fn underlay_reply(&mut self, kind: Kind, now: u32) -> bool {
        self.underlay.admit(kind, u64::from(now)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_floods_its_limit_and_no_more() {
        let mut limits = Limits::default();
        limits.make_room(4);
        let mut passed = 0;
        for now in 0..1000 {
            for _ in 0..10 {
                passed += u32::from(limits.flood(NetworkId(3), 1000, now));
            }
        }
        // A second's worth, and the burst it started with.
        assert!((1000..=1100).contains(&passed), "{passed}");
    }

    #[test]
    fn a_limit_of_zero_floods_nothing() {
        let mut limits = Limits::default();
        limits.make_room(1);
        assert!(!limits.flood(NetworkId(0), 0, 0));
        assert!(!limits.flood(NetworkId(0), 0, 5000));
    }
}

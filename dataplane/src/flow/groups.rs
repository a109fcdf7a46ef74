//! Who listens to which multicast group, as the stations' own reports tell (RFC 4541, 2.1).
//!
//! Multicast is held back from those who did not ask only while a querier asks: nobody repeats a report unasked, so without one a member
//! would fall silent here after its first report ran out, while a later one kept the group registered. Where none asks, everything floods;
//! so it does for as long as a new querier's first answers may take.
//!
//! A place is a port or a path. It may register so many groups and no more, and one whose groups are not all remembered gets all
//! multicast: a pod can lose only what it asked to be spared, and can crowd out nobody.

use core::{
    net::IpAddr,
    sync::atomic::{AtomicU16, AtomicU32, Ordering},
};

use crate::{
    flow::learned::{Learned, Lesson},
    ids::{MAX_PATHS, MAX_PORTS, NetworkId, PortId},
};

/// The group membership interval of RFC 3376, 8.4, and RFC 3810, 9.4, with their default variables, milliseconds.
const MEMBER_AGE: u32 = 260_000;

/// How long one who left is still served: the last member query interval twice (RFC 2236, 8.8 and 8.9), in which the querier asks
/// whether another station there listens, milliseconds.
const LEAVING_AGE: u32 = 2_000;

/// The other querier present interval (RFC 3376, 8.5, RFC 3810, 9.5), milliseconds.
const QUERIER_AGE: u32 = 255_000;

/// The query response interval (RFC 3376, 8.3, RFC 3810, 9.3): so late the answers to the first query may come, milliseconds.
const SETTLING: u32 = 10_000;

/// Memberships and routers that are remembered at once.
const MEMBERSHIPS: usize = 16_384;

/// Groups that one place can register. A Linux socket joins 20 (`igmp_max_memberships`); behind a path are many pods.
const PER_PLACE: u16 = 256;

const LISTENS: u64 = 1;
const LEAVES: u64 = 2;

/// Where in which network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The network.
    pub network: NetworkId,
    /// The port, or the path's logical one.
    pub port: PortId,
}

/// IGMP and MLD have queriers of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4, by IGMP.
    Ipv4,
    /// IPv6, by MLD.
    Ipv6,
}

impl Family {
    /// The family of a group.
    #[must_use]
    pub const fn of(group: IpAddr) -> Self {
        if group.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// How far a network's querier is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Querier {
    /// Nobody asks.
    None,
    /// It asked a moment ago for the first time; answers are still coming in.
    New,
    /// Whoever listens has answered it.
    Settled,
}

/// What is kept for every place.
#[derive(Default)]
struct Account {
    registered: AtomicU16,
    /// When a report was last refused, odd; 0 for never.
    refused: AtomicU32,
}

/// The memberships of all networks.
pub struct Groups {
    known: Learned<3>,
    accounts: Box<[Account]>,
}

impl Default for Groups {
    fn default() -> Self {
        let accounts = (0..MAX_PORTS + MAX_PATHS).map(|_| Account::default()).collect();
        Self { known: Learned::new(MEMBERSHIPS), accounts }
    }
}

impl Groups {
    /// Hears that someone at `place` listens to `group`, or leaves it.
    pub fn report(&self, place: Place, group: IpAddr, joins: bool, now: u32) {
        let key = group_key(place, group);
        let known = self.known.lookup(&key);
        if !joins {
            // The first leave counts: another may not keep the group any longer.
            if known == Some(LISTENS) {
                self.known.learn(&key, LEAVES, now);
            }
            return;
        }
        let Some(account) = self.account(place.port) else { return };
        if known.is_none() && account.registered.load(Ordering::Relaxed) >= PER_PLACE {
            return account.refused.store(now | 1, Ordering::Relaxed);
        }
        match self.known.learn(&key, LISTENS, now) {
            Lesson::New => {
                account.registered.fetch_add(1, Ordering::Relaxed);
            }
            // Another worker may be writing the same.
            Lesson::Refused => account.refused.store(now | 1, Ordering::Relaxed),
            Lesson::Known | Lesson::Moved(_) => {}
        }
    }

    /// Hears a querier at `place` ask everyone.
    pub fn query(&self, place: Place, family: Family, now: u32) {
        let key = querier_key(place.network, family);
        // A value tells since when it asks.
        let asking = self.known.sighting(&key).filter(|(_, seen)| age(*seen, now) <= QUERIER_AGE);
        let since = asking.map_or(u64::from(now) + 1, |(since, _)| since);
        self.known.learn(&key, since, now);
        if self.known.learn(&router_key(place, family), LISTENS, now) == Lesson::Refused
            && let Some(account) = self.account(place.port)
        {
            account.refused.store(now | 1, Ordering::Relaxed);
        }
    }

    /// Whether somebody in the network asks who listens.
    #[must_use]
    pub fn querier(&self, network: NetworkId, family: Family, now: u32) -> Querier {
        match self.known.sighting(&querier_key(network, family)) {
            Some((since, seen)) if age(seen, now) <= QUERIER_AGE => {
                if age((since - 1) as u32, now) < SETTLING {
                    Querier::New
                } else {
                    Querier::Settled
                }
            }
            _ => Querier::None,
        }
    }

    /// Whether a multicast router, or one who stands in for it, is at `place`: it gets all reports and all multicast.
    #[must_use]
    pub fn is_router(&self, place: Place, family: Family, now: u32) -> bool {
        let seen = self.known.sighting(&router_key(place, family));
        seen.is_some_and(|(_, seen)| age(seen, now) <= QUERIER_AGE)
    }

    /// Whether someone at `place` has registered `group`.
    #[must_use]
    pub fn is_member(&self, place: Place, group: IpAddr, now: u32) -> bool {
        let known = self.known.sighting(&group_key(place, group));
        known.is_some_and(|(value, seen)| age(seen, now) <= member_age(value))
    }

    /// Whether not all that `place` listens to is remembered.
    #[must_use]
    pub fn is_overfull(&self, place: Place, now: u32) -> bool {
        let refused = self.account(place.port).map_or(0, |account| account.refused.load(Ordering::Relaxed));
        refused != 0 && age(refused, now) <= MEMBER_AGE
    }

    /// Forgets what ran out or is at a port that is not `attached`, among these slots.
    pub fn forget(&self, slots: core::ops::Range<usize>, attached: impl Fn(PortId) -> bool, now: u32) {
        let gone = |key: &[u64; 3], value: u64, seen| match kind_of(key) {
            QUERIER => age(seen, now) > QUERIER_AGE,
            ROUTER => age(seen, now) > QUERIER_AGE || !attached(port_of(key)),
            _ => age(seen, now) > member_age(value) || !attached(port_of(key)),
        };
        self.known.forget(slots.clone(), gone, |key, _| {
            if let Some(account) = self.account(port_of(key)).filter(|_| kind_of(key) == GROUP) {
                account.registered.fetch_sub(1, Ordering::Relaxed);
            }
        });
        for account in self.accounts.iter().skip(slots.start).take(slots.len()) {
            let refused = account.refused.load(Ordering::Relaxed);
            if refused != 0 && age(refused, now) > MEMBER_AGE {
                account.refused.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Whether a group is registered at a port.
    #[must_use]
    pub fn has_any(&self, port: PortId) -> bool {
        self.account(port).is_some_and(|account| account.registered.load(Ordering::Relaxed) > 0)
    }

    /// Forgets at once what is known of the places that `gone` says yes to. A querier is at no port.
    pub fn forget_at(&self, gone: impl Fn(NetworkId, PortId) -> bool) {
        let is_gone = |key: &[u64; 3], _, _| gone(NetworkId(key[0] as u16), port_of(key));
        self.known.forget(0..self.known.slots(), is_gone, |key, _| {
            if let Some(account) = self.account(port_of(key)).filter(|_| kind_of(key) == GROUP) {
                account.registered.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    /// How many slots there are to walk with [`Self::forget`].
    #[must_use]
    pub fn slots(&self) -> usize {
        self.known.slots().max(self.accounts.len())
    }

    fn account(&self, port: PortId) -> Option<&Account> {
        self.accounts.get(port.path().map_or(port.index(), |path| MAX_PORTS + path.index()))
    }
}

// What a key speaks of, above network, port and family in its first word.
const GROUP: u64 = 0;
const ROUTER: u64 = 1;
const QUERIER: u64 = 2;
const KIND_AT: u32 = 40;

fn key(Place { network, port }: Place, family: Family, kind: u64) -> u64 {
    u64::from(network.0) | u64::from(port.0) << 16 | (family as u64) << 32 | kind << KIND_AT
}

fn group_key(place: Place, group: IpAddr) -> [u64; 3] {
    let bits = match group {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    [key(place, Family::of(group), GROUP), (bits >> 64) as u64, bits as u64]
}

fn router_key(place: Place, family: Family) -> [u64; 3] {
    [key(place, family, ROUTER), 0, 0]
}

fn querier_key(network: NetworkId, family: Family) -> [u64; 3] {
    [key(Place { network, port: PortId(0) }, family, QUERIER), 0, 0]
}

const fn kind_of(key: &[u64; 3]) -> u64 {
    key[0] >> KIND_AT
}

const fn port_of(key: &[u64; 3]) -> PortId {
    PortId((key[0] >> 16) as u16)
}

const fn member_age(value: u64) -> u32 {
    if value == LEAVES { LEAVING_AGE } else { MEMBER_AGE }
}

/// Another worker's clock may be a moment ahead.
fn age(seen: u32, now: u32) -> u32 {
    (now.wrapping_sub(seen) as i32).max(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const HERE: Place = Place { network: NetworkId(3), port: PortId(7) };
    const ELSEWHERE: Place = Place { network: NetworkId(4), port: PortId(7) };

    fn group(number: u32) -> IpAddr {
        Ipv4Addr::from(0xef00_0000 | number).into()
    }

    #[test]
    fn a_membership_lives_260_seconds_and_a_leave_leaves_it_two() {
        let groups = Groups::default();
        groups.report(HERE, group(1), true, 1000);
        assert!(groups.is_member(HERE, group(1), 261_000) && !groups.is_member(HERE, group(1), 261_001));
        assert!(!groups.is_member(ELSEWHERE, group(1), 1000) && !groups.is_member(HERE, group(2), 1000));
        groups.report(HERE, group(1), false, 5000);
        groups.report(HERE, group(1), false, 6000);
        assert!(groups.is_member(HERE, group(1), 7000) && !groups.is_member(HERE, group(1), 7001));
        groups.report(HERE, group(1), true, 6500);
        assert!(groups.is_member(HERE, group(1), 7001), "another station there still listens");
    }

    #[test]
    fn a_querier_settles_in_ten_seconds_and_is_forgotten_after_255() {
        let groups = Groups::default();
        let asked = |now| groups.querier(HERE.network, Family::Ipv4, now);
        assert_eq!(asked(0), Querier::None);
        groups.query(HERE, Family::Ipv4, 1000);
        assert_eq!((asked(10_999), asked(11_000)), (Querier::New, Querier::Settled));
        groups.query(HERE, Family::Ipv4, 126_000);
        assert_eq!(
            (asked(126_000), asked(381_000), asked(381_001)),
            (Querier::Settled, Querier::Settled, Querier::None)
        );
        assert!(groups.is_router(HERE, Family::Ipv4, 381_000) && !groups.is_router(HERE, Family::Ipv4, 381_001));
        assert!(!groups.is_router(HERE, Family::Ipv6, 126_000) && !groups.is_router(ELSEWHERE, Family::Ipv4, 126_000));
        groups.query(HERE, Family::Ipv4, 500_000);
        assert_eq!(asked(500_000), Querier::New);
    }

    #[test]
    fn a_place_that_registers_too_much_gets_everything_and_crowds_out_nobody() {
        let groups = Groups::default();
        let other = Place { port: PortId(8), ..HERE };
        for number in 0..100_000 {
            groups.report(HERE, group(number), true, 9);
        }
        assert!(groups.is_overfull(HERE, 9) && !groups.is_overfull(other, 9));
        groups.report(other, group(1), true, 9);
        assert!(groups.is_member(other, group(1), 9) && !groups.is_overfull(other, 9));
        let kept = (0..100_000).filter(|number| groups.is_member(HERE, group(*number), 9)).count();
        assert_eq!(kept, usize::from(PER_PLACE));
        groups.forget(0..groups.slots(), |_| true, 300_000);
        assert!(!groups.is_overfull(HERE, 300_000));
        groups.report(HERE, group(1), true, 300_000);
        assert!(groups.is_member(HERE, group(1), 300_000), "what ran out makes room");
    }

    #[test]
    fn what_is_at_a_port_that_went_is_forgotten() {
        let groups = Groups::default();
        groups.report(HERE, group(1), true, 9);
        groups.query(HERE, Family::Ipv4, 9);
        groups.forget(0..groups.slots(), |port| port != HERE.port, 10);
        assert!(!groups.is_member(HERE, group(1), 10) && !groups.is_router(HERE, Family::Ipv4, 10));
        assert_eq!(groups.querier(HERE.network, Family::Ipv4, 10), Querier::New);
    }
}

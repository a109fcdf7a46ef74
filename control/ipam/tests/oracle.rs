//! The allocator against a map that is searched from end to end, through restarts from what was written.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use podlane_ipam::{Change, Family, Ipam, Lease, LeaseError, Plan, Span, Subnet};
use proptest::prelude::*;

const QUARANTINE: u64 = 10;
const NETWORK: &str = "blue";

#[derive(Clone, Debug)]
enum Step {
    Lease(u8),
    Wish(u8, u8, bool),
    Claim(u8, u8),
    Release(u8),
    ReleaseOne(u8),
    Undo(u8),
    Wait(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let owner = || 0_u8..8;
    prop_oneof![
        4 => owner().prop_map(Step::Lease),
        2 => (owner(), 0_u8..18, any::<bool>()).prop_map(|(owner, host, is_v6)| Step::Wish(owner, host, is_v6)),
        1 => (owner(), 0_u8..18).prop_map(|(owner, host)| Step::Claim(owner, host)),
        4 => owner().prop_map(Step::Release),
        1 => (0_u8..18).prop_map(Step::ReleaseOne),
        1 => owner().prop_map(Step::Undo),
        3 => (0_u8..15).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// 10.0.0.0/28 and fd00::/125, of which some may be had.
fn plan() -> Plan {
    let span = |text: &str| text.parse::<Span>().unwrap();
    Plan {
        subnets: vec![Subnet::of_gateway(v4(1), 28).unwrap(), Subnet::of_gateway(v6(1), 125).unwrap()],
        ranges: vec![span("10.0.0.0-10.0.0.5"), span("10.0.0.8-10.0.0.15"), span("fd00::/125")],
        reserved: vec![span("10.0.0.9-10.0.0.10"), span("fd00::5")],
        stated: vec![(v4(3), "port \"db\"".to_owned())],
    }
}

fn offered() -> Vec<IpAddr> {
    [2, 4, 5, 8, 11, 12, 13, 14].map(v4).into_iter().chain([2, 3, 4, 6, 7].map(v6)).collect()
}

fn v4(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, host])
}

fn v6(host: u8) -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)])
}

/// The naive model: what is on the disk, and where each family's search goes on.
#[derive(Default)]
struct Model {
    known: BTreeMap<IpAddr, Lease>,
    /// None after a restart, which does not promise where it goes on.
    last: BTreeMap<Family, Option<IpAddr>>,
    now: u64,
}

impl Model {
    fn holds(&self, owner: &str) -> Vec<IpAddr> {
        self.known
            .values()
            .filter(|lease| lease.owner == owner && lease.until.is_none())
            .map(|lease| lease.address)
            .collect()
    }

    /// Whether somebody else may not have it yet.
    fn is_taken(&self, address: IpAddr, owner: &str) -> bool {
        self.known.get(&address).is_some_and(|lease| match lease.until {
            None => true,
            Some(until) => until > self.now && lease.owner != owner,
        })
    }

    fn free(&self, family: Family, owner: &str) -> Vec<IpAddr> {
        offered()
            .into_iter()
            .filter(|address| Family::of(*address) == family && !self.is_taken(*address, owner))
            .collect()
    }

    fn former(&self, family: Family, owner: &str) -> Vec<IpAddr> {
        let known = |address: &IpAddr| self.known.get(address).is_some_and(|lease| lease.owner == owner);
        self.free(family, owner).into_iter().filter(known).collect()
    }

    fn write(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put(lease) => drop(self.known.insert(lease.address, lease)),
                Change::Drop { address, .. } => drop(self.known.remove(&address)),
            }
        }
    }

    /// What was given for no wish is what had to be given.
    fn must_give(&self, family: Family, owner: &str, given: IpAddr) -> Result<(), TestCaseError> {
        let former = self.former(family, owner);
        if !former.is_empty() {
            prop_assert!(former.contains(&given), "{owner} had {former:?} and got {given}");
            return Ok(());
        }
        let free = self.free(family, owner);
        prop_assert!(free.contains(&given), "{given} was not free: {free:?}");
        if let Some(Some(last)) = self.last.get(&family) {
            let next = free.iter().find(|address| *address > last).or(free.first());
            prop_assert_eq!(Some(&given), next, "after {}", last);
        }
        Ok(())
    }
}

fn lease(ipam: &mut Ipam, model: &mut Model, owner: &str, wished: Option<IpAddr>) -> Result<(), TestCaseError> {
    let held = model.holds(owner);
    let wishes: Vec<_> = wished.into_iter().collect();
    match ipam.lease(NETWORK, owner, &wishes, model.now) {
        Ok(granted) => {
            let given: Vec<_> = granted.addresses.iter().map(|(address, _)| *address).collect();
            if !held.is_empty() {
                prop_assert_eq!(&given, &held);
                prop_assert_eq!(granted.changes, vec![]);
                return Ok(());
            }
            prop_assert_eq!(given.len(), 2, "one of each family");
            for address in &given {
                if Some(*address) == wished {
                    prop_assert!(offered().contains(address) && !model.is_taken(*address, owner));
                } else {
                    model.must_give(Family::of(*address), owner, *address)?;
                }
            }
            for address in given {
                model.last.insert(Family::of(address), Some(address));
            }
            model.write(granted.changes);
        }
        Err(LeaseError::Exhausted { family, .. }) => {
            prop_assert_eq!(model.free(family, owner), Vec::<IpAddr>::new());
        }
        Err(LeaseError::Holds { .. }) => {
            prop_assert!(!held.is_empty() && !wishes.iter().all(|wish| held.contains(wish)));
        }
        Err(LeaseError::Taken { address, .. } | LeaseError::Quarantined { address, .. }) => {
            prop_assert!(model.is_taken(address, owner));
        }
        Err(LeaseError::Used { address, .. } | LeaseError::Outside { address, .. }) => {
            prop_assert!(!offered().contains(&address));
        }
        Err(other) => prop_assert!(false, "{other}"),
    }
    Ok(())
}

fn claim(ipam: &mut Ipam, model: &mut Model, owner: &str, address: IpAddr) -> Result<(), TestCaseError> {
    let holder = model.known.get(&address).filter(|lease| lease.until.is_none()).map(|lease| lease.owner.clone());
    match ipam.claim(NETWORK, owner, &[address], model.now) {
        Ok(granted) => {
            prop_assert!(holder.is_none_or(|holder| holder == owner));
            if offered().contains(&address) {
                model.last.insert(Family::of(address), Some(address));
            }
            model.write(granted.changes);
        }
        Err(LeaseError::Taken { .. }) => prop_assert!(holder.is_some_and(|holder| holder != owner)),
        Err(LeaseError::Used { .. }) => prop_assert!([v4(0), v4(1), v4(3), v4(15)].contains(&address)),
        Err(other) => prop_assert!(false, "{other}"),
    }
    Ok(())
}

fn restarted(model: &mut Model) -> Ipam {
    let mut ipam = Ipam::new(Duration::from_secs(QUARANTINE));
    ipam.add_network(NETWORK, plan()).unwrap();
    for lease in model.known.values() {
        ipam.restore(lease.clone(), model.now).unwrap();
    }
    model.last.clear();
    ipam
}

proptest! {
    #[test]
    fn no_address_has_two_owners_and_none_is_withheld(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model { now: 1000, ..Model::default() };
        let mut ipam = restarted(&mut model);
        for step in steps {
            match step {
                Step::Lease(owner) => lease(&mut ipam, &mut model, &owner.to_string(), None)?,
                Step::Wish(owner, host, is_v6) => {
                    let wish = if is_v6 { v6(host) } else { v4(host) };
                    lease(&mut ipam, &mut model, &owner.to_string(), Some(wish))?;
                }
                Step::Claim(owner, host) => claim(&mut ipam, &mut model, &owner.to_string(), v4(host))?,
                Step::Release(owner) => model.write(ipam.release(NETWORK, &owner.to_string(), model.now)),
                Step::ReleaseOne(host) => model.write(ipam.release_one(NETWORK, v4(host), model.now)),
                Step::Undo(owner) => model.write(ipam.undo(NETWORK, &owner.to_string())),
                Step::Wait(seconds) => model.now += u64::from(seconds),
                Step::Restart => ipam = restarted(&mut model),
            }
            let written: Vec<_> = model.known.values().filter(|lease| lease.until.is_none()).cloned().collect();
            let held: Vec<_> = ipam.leases().filter(|lease| lease.until.is_none()).cloned().collect();
            prop_assert_eq!(held, written, "what is on the disk is what is held");
        }
    }
}

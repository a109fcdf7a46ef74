//! The addresses of one network: who has them, which are free, and since when.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::error::LeaseError;
use crate::free::Free;
use crate::lease::{Change, Lease};
use crate::plan::{Plan, Subnet};
use crate::span::{Family, Span, number};

/// Former owners of free addresses that a network remembers. Container ids come once, so that most of these never come back; the record of one costs
/// some 200 bytes of disk.
const MOST_REMEMBERED: usize = 1024;

/// How many addresses of a family a network has, and what of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Count {
    /// The family.
    pub family: Family,
    /// Its ranges.
    pub ranges: Vec<Span>,
    /// Free to be given.
    pub free: u128,
    /// Somebody's.
    pub held: usize,
    /// Released a short while ago.
    pub quarantined: usize,
}

/// One network's.
#[derive(Debug)]
pub(crate) struct Pool {
    network: String,
    plan: Plan,
    v4: Run,
    v6: Run,
    /// Every address that has an owner or had one that is remembered.
    known: BTreeMap<IpAddr, Lease>,
    owners: HashMap<String, BTreeSet<IpAddr>>,
    /// Released, by when the quarantine ends; not free.
    quarantined: BTreeSet<(u64, IpAddr)>,
    /// Free, and the former owner is remembered; by when it became so.
    remembered: BTreeSet<(u64, IpAddr)>,
    /// What an operation left to write that was refused for another reason.
    unwritten: Vec<Change>,
}

/// One family's.
#[derive(Debug)]
struct Run {
    free: Free,
    /// Where the next search begins: after what was given last, so that addresses go round.
    next: u128,
}

impl Run {
    fn new(plan: &Plan, family: Family) -> Self {
        Self { free: plan.offered(family), next: plan.begin(family) }
    }
}

impl Pool {
    pub(crate) fn new(network: &str, plan: Plan) -> Self {
        Self {
            network: network.to_owned(),
            v4: Run::new(&plan, Family::V4),
            v6: Run::new(&plan, Family::V6),
            plan,
            known: BTreeMap::new(),
            owners: HashMap::new(),
            quarantined: BTreeSet::new(),
            remembered: BTreeSet::new(),
            unwritten: Vec::new(),
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.known.values()
    }

    pub(crate) fn lease(&self, address: IpAddr) -> Option<&Lease> {
        self.known.get(&address)
    }

    /// What the owner has.
    pub(crate) fn held_by(&self, owner: &str) -> Vec<IpAddr> {
        let addresses = self.owners.get(owner).into_iter().flatten().copied();
        addresses.filter(|address| self.is_held(*address)).collect()
    }

    /// One that is held, for those who would remove the network; and how many there are.
    pub(crate) fn any_held(&self) -> Option<(&Lease, usize)> {
        let mut held = self.known.values().filter(|lease| lease.until.is_none());
        held.next().map(|lease| (lease, 1 + held.count()))
    }

    /// The subnet of an address; of one that is in none, itself.
    pub(crate) fn subnet(&self, address: IpAddr) -> Subnet {
        let alone = Subnet { span: Span::one(address), prefix_len: Family::of(address).bits(), gateway: None };
        self.plan.subnet(address).unwrap_or(alone)
    }

    /// How they are at `now`, also where nothing has been asked since.
    pub(crate) fn count(&self, family: Family, now: u64) -> Count {
        let of_family = |address: &IpAddr| Family::of(*address) == family;
        let known = self.known.values().filter(|lease| of_family(&lease.address));
        let released = self.quarantined.iter().filter(|(_, address)| of_family(address));
        let (quarantined, passed): (Vec<_>, Vec<_>) = released.partition(|(until, _)| *until > now);
        let passed = passed.into_iter().filter(|(_, address)| self.plan.offers(*address)).count();
        Count {
            family,
            ranges: self.plan.ranges(family).collect(),
            free: self.run(family).free.count().saturating_add(passed as u128),
            held: known.filter(|lease| lease.until.is_none()).count(),
            quarantined: quarantined.len(),
        }
    }

    /// Whether this address can be the owner's, by its own wish.
    pub(crate) fn check(&self, owner: &str, address: IpAddr, now: u64) -> Result<(), LeaseError> {
        let network = || self.network.clone();
        if let Some(lease) = self.known.get(&address) {
            let holder = || lease.owner.clone();
            match lease.until {
                None if lease.owner == owner => return Ok(()),
                _ if lease.owner == owner => {}
                None => return Err(LeaseError::Taken { network: network(), address, owner: holder() }),
                Some(until) if until > now => {
                    return Err(LeaseError::Quarantined {
                        network: network(),
                        address,
                        owner: holder(),
                        seconds: until - now,
                    });
                }
                Some(_) => {}
            }
        }
        if let Some(used) = self.plan.use_of(address) {
            return Err(LeaseError::Used { network: network(), address, used });
        }
        if !self.plan.is_in_range(address) {
            let family = Family::of(address);
            let ranges = self.plan.told(family);
            if ranges.is_empty() {
                return Err(LeaseError::NoRange { network: network(), family: Some(family) });
            }
            return Err(LeaseError::Outside { network: network(), address, ranges });
        }
        Ok(())
    }

    /// What the owner had, if it can have it again.
    pub(crate) fn former(&self, owner: &str, family: Family) -> Option<IpAddr> {
        let had = self.owners.get(owner).into_iter().flatten().copied();
        let mut had = had.filter(|address| Family::of(*address) == family && !self.is_held(*address));
        had.find(|address| self.plan.offers(*address))
    }

    /// The next that is free.
    pub(crate) fn next(&self, family: Family, now: u64) -> Result<IpAddr, LeaseError> {
        let run = self.run(family);
        if let Some(free) = run.free.next(run.next) {
            return Ok(family.address(free));
        }
        let ranges = self.plan.told(family);
        let network = self.network.clone();
        if ranges.is_empty() {
            return Err(LeaseError::NoRange { network, family: Some(family) });
        }
        let Count { held, quarantined, .. } = self.count(family, now);
        let next = self.quarantined.iter().find(|(_, address)| Family::of(*address) == family);
        let next_in = next.map(|(until, _)| until.saturating_sub(now));
        Err(LeaseError::Exhausted { network, family, ranges, held, quarantined, next_in })
    }

    /// The address is the owner's from now on; what was known of it is forgotten.
    pub(crate) fn hold(&mut self, owner: &str, address: IpAddr) -> Change {
        self.forget(address);
        let family = Family::of(address);
        let number = number(address);
        let is_offered = self.plan.offers(address);
        let run = self.run_mut(family);
        run.free.remove(number, number);
        if is_offered {
            run.next = number.wrapping_add(1);
        }
        self.know(Lease { network: self.network.clone(), address, owner: owner.to_owned(), until: None })
    }

    /// The address is nobody's; it goes to no other owner before `until`. None if nobody had it.
    pub(crate) fn release(&mut self, address: IpAddr, until: u64) -> Option<Change> {
        let lease = self.known.get_mut(&address).filter(|lease| lease.until.is_none())?;
        lease.until = Some(until);
        self.quarantined.insert((until, address));
        Some(Change::Put(lease.clone()))
    }

    /// The address was never anybody's. None if nobody had it.
    pub(crate) fn undo(&mut self, address: IpAddr) -> Option<Change> {
        self.known.get(&address).filter(|lease| lease.until.is_none())?;
        self.forget(address);
        self.give_back(address);
        Some(Change::Drop { network: self.network.clone(), address })
    }

    /// What was written down by a former life.
    pub(crate) fn restore(&mut self, lease: &Lease) {
        self.hold(&lease.owner, lease.address);
        if let Some(until) = lease.until {
            self.release(lease.address, until);
        }
    }

    /// What has passed its quarantine is free, though its owner is remembered for a while.
    pub(crate) fn expire(&mut self, now: u64) {
        while let Some((until, address)) = self.quarantined.first().copied().filter(|(until, _)| *until <= now) {
            self.quarantined.remove(&(until, address));
            if self.plan.offers(address) {
                self.give_back(address);
                self.remembered.insert((until, address));
            } else {
                self.unwrite(address);
            }
        }
        while self.remembered.len() > MOST_REMEMBERED
            && let Some((_, address)) = self.remembered.first().copied()
        {
            self.unwrite(address);
        }
    }

    /// What former operations left to write.
    pub(crate) fn take_unwritten(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.unwritten)
    }

    fn unwrite(&mut self, address: IpAddr) {
        self.forget(address);
        self.unwritten.push(Change::Drop { network: self.network.clone(), address });
    }

    fn is_held(&self, address: IpAddr) -> bool {
        self.known.get(&address).is_some_and(|lease| lease.until.is_none())
    }

    fn know(&mut self, lease: Lease) -> Change {
        self.owners.entry(lease.owner.clone()).or_default().insert(lease.address);
        self.known.insert(lease.address, lease.clone());
        Change::Put(lease)
    }

    fn forget(&mut self, address: IpAddr) {
        let Some(lease) = self.known.remove(&address) else { return };
        if let Some(addresses) = self.owners.get_mut(&lease.owner) {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.owners.remove(&lease.owner);
            }
        }
        if let Some(until) = lease.until {
            self.quarantined.remove(&(until, address));
            self.remembered.remove(&(until, address));
        }
    }

    fn give_back(&mut self, address: IpAddr) {
        if self.plan.offers(address) {
            let number = number(address);
            self.run_mut(Family::of(address)).free.add(number, number);
        }
    }

    const fn run(&self, family: Family) -> &Run {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    const fn run_mut(&mut self, family: Family) -> &mut Run {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

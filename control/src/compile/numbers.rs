//! Which number each name goes by, on the packet path.
//!
//! A name keeps its number for as long as it lives, whatever comes and goes beside it: flows, counters and what was learned are known by
//! numbers. A number that was given back rests behind all others that were, so that what is still under way to its former bearer dies first;
//! new numbers are begun only while too few rest, so that the tables of a node where pods come and go stay short.
//!
//! ```text
//! never given ----> a name's ----release----> nobody's yet ----free----> resting (oldest first) ----> a name's
//! ```

use std::collections::{BTreeMap, VecDeque};

use podlane_dataplane::ids::MAX_PORTS;
use podlane_dataplane::{NetworkId, PortId, VrfId};

use crate::desired::{Desired, Name};

/// So many numbers of a kind rest before one of them is given again, as long as there are new ones. Two thousand pods a minute may come
/// and go until a number is given again after eight seconds; the price is the room of so many ports in the tables.
const RESTING: usize = 256;

/// One more than the largest number a network or VRF can have.
const MOST: usize = 1 << 16;

/// The numbers of one kind of thing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Kind {
    /// By number; none for what is nobody's.
    names: Vec<Option<Name>>,
    numbers: BTreeMap<Name, u16>,
    resting: VecDeque<u16>,
}

impl Kind {
    fn of<'a>(
        names: impl Iterator<Item = &'a Name>,
        former: &BTreeMap<Name, u16>,
        (first, most): (u16, usize),
    ) -> Self {
        let mut kind = Self { names: vec![None; usize::from(first)], ..Self::default() };
        let mut new = Vec::new();
        for name in names {
            match former.get(name) {
                Some(number) if kind.is_nobodys(*number, (first, most)) => kind.place(name, *number),
                _ => new.push(name),
            }
        }
        let numbered = (first..).zip(kind.names.iter().skip(usize::from(first)));
        kind.resting = numbered.filter(|(_, name)| name.is_none()).map(|(number, _)| number).collect();
        for name in new {
            // What a configuration can hold has been bounded.
            kind.give(name, most);
        }
        kind
    }

    /// Whether a number that a former daemon tells of can be, and is not given yet.
    fn is_nobodys(&self, number: u16, (first, most): (u16, usize)) -> bool {
        number >= first && usize::from(number) < most && self.name(usize::from(number)).is_none()
    }

    fn place(&mut self, name: &Name, number: u16) {
        let at = usize::from(number);
        if self.names.len() <= at {
            self.names.resize(at + 1, None);
        }
        self.names[at] = Some(name.clone());
        self.numbers.insert(name.clone(), number);
    }

    /// A number for a new name, and whether it was another's before; none if all are taken, and there are `most`.
    fn give(&mut self, name: &Name, most: usize) -> Option<(u16, bool)> {
        let is_new = self.names.len() < most && self.resting.len() <= RESTING;
        let number = if is_new { u16::try_from(self.names.len()).ok()? } else { self.resting.pop_front()? };
        self.place(name, number);
        Some((number, !is_new))
    }

    fn release(&mut self, name: &Name) -> Option<u16> {
        let number = self.numbers.remove(name)?;
        self.names[usize::from(number)] = None;
        Some(number)
    }

    fn name(&self, number: usize) -> Option<&Name> {
        self.names.get(number)?.as_ref()
    }

    fn number(&self, name: &Name) -> u16 {
        *self.numbers.get(name).expect("a name of the desires that were numbered")
    }
}

/// The numbers that names went by with a former daemon.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Former {
    /// Of the ports.
    pub ports: BTreeMap<Name, u16>,
    /// Of the networks.
    pub networks: BTreeMap<Name, u16>,
    /// Of the VRFs.
    pub vrfs: BTreeMap<Name, u16>,
}

/// Numbers for every port, network, VRF and peer of one [`Desired`]. Port 0 is the switch's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Numbers {
    ports: Kind,
    networks: Kind,
    vrfs: Kind,
    peers: Kind,
}

impl Numbers {
    /// Numbers in the order of the names.
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        Self::after(desired, &Former::default())
    }

    /// Numbers for these desires that are, of each name that had one, the former ones. Of the others, those that no name has.
    #[must_use]
    pub fn after(desired: &Desired, former: &Former) -> Self {
        let vrfs: BTreeMap<&Name, ()> = desired.networks.values().map(|network| (&network.vrf, ())).collect();
        Self {
            ports: Kind::of(desired.ports.keys(), &former.ports, (1, MAX_PORTS)),
            networks: Kind::of(desired.networks.keys(), &former.networks, (0, MOST)),
            vrfs: Kind::of(vrfs.into_keys(), &former.vrfs, (0, MOST)),
            // Nothing that outlives a daemon knows a peer by its number.
            peers: Kind::of(desired.peers.keys(), &BTreeMap::new(), (0, MOST)),
        }
    }

    /// What a later daemon is to go by.
    #[must_use]
    pub fn former(&self) -> Former {
        let Self { ports, networks, vrfs, .. } = self.clone();
        Former { ports: ports.numbers, networks: networks.numbers, vrfs: vrfs.numbers }
    }

    /// Numbers a new port; also tells whether the number was another port's before. None if every number is taken.
    pub fn add_port(&mut self, name: &Name) -> Option<(PortId, bool)> {
        self.ports.give(name, MAX_PORTS).map(|(number, used)| (PortId(number), used))
    }

    /// Takes a port's number back; it is nobody's until [`Self::free_port`].
    pub fn release_port(&mut self, name: &Name) -> Option<PortId> {
        self.ports.release(name).map(PortId)
    }

    /// Has a number rest that was taken back, and behind which nothing is left.
    pub fn free_port(&mut self, id: PortId) {
        self.ports.resting.push_back(id.0);
    }

    /// Numbers a new network, and its VRF if that is new too. False if every number is taken, and then nothing is changed.
    pub fn add_network(&mut self, name: &Name, vrf: &Name) -> bool {
        let mut next = self.clone();
        let added = next.networks.give(name, MOST).is_some()
            && (next.vrfs.numbers.contains_key(vrf) || next.vrfs.give(vrf, MOST).is_some());
        if added {
            *self = next;
        }
        added
    }

    /// Takes a network's number back, which is nobody's until [`Self::free_network`], and that of a VRF that no network is in any more.
    pub fn release_network(&mut self, name: &Name, empty_vrf: Option<&Name>) -> Option<(NetworkId, Option<VrfId>)> {
        let network = self.networks.release(name).map(NetworkId)?;
        Some((network, empty_vrf.and_then(|vrf| self.vrfs.release(vrf)).map(VrfId)))
    }

    /// Has the numbers of a network and of a VRF rest of which nothing is remembered.
    pub fn free_network(&mut self, (network, vrf): (NetworkId, Option<VrfId>)) {
        self.networks.resting.push_back(network.0);
        self.vrfs.resting.extend(vrf.map(|vrf| vrf.0));
    }

    /// A port's number.
    ///
    /// # Panics
    /// If the name is not of the desires these numbers were made for: a mistake of the caller.
    #[must_use]
    pub fn port(&self, name: &Name) -> PortId {
        PortId(self.ports.number(name))
    }

    /// A network's number.
    ///
    /// # Panics
    /// As [`Self::port`].
    #[must_use]
    pub fn network(&self, name: &Name) -> NetworkId {
        NetworkId(self.networks.number(name))
    }

    /// A VRF's number.
    ///
    /// # Panics
    /// As [`Self::port`].
    #[must_use]
    pub fn vrf(&self, name: &Name) -> VrfId {
        VrfId(self.vrfs.number(name))
    }

    /// A peer's number.
    ///
    /// # Panics
    /// As [`Self::port`].
    #[must_use]
    pub fn peer(&self, name: &Name) -> u16 {
        self.peers.number(name)
    }

    /// The networks by their numbers; none where a number is nobody's.
    pub fn networks(&self) -> impl Iterator<Item = Option<&Name>> {
        self.networks.names.iter().map(Option::as_ref)
    }

    /// The VRFs by their numbers; none where a number is nobody's.
    pub fn vrfs(&self) -> impl Iterator<Item = Option<&Name>> {
        self.vrfs.names.iter().map(Option::as_ref)
    }

    /// One more than the largest port number.
    #[must_use]
    pub fn ports_end(&self) -> usize {
        self.ports.names.len()
    }

    /// The port that goes by a number; none for the switch's own.
    #[must_use]
    pub fn port_name(&self, id: PortId) -> Option<&Name> {
        self.ports.name(id.index())
    }

    /// The network that goes by a number.
    #[must_use]
    pub fn network_name(&self, id: NetworkId) -> Option<&Name> {
        self.networks.name(id.index())
    }

    /// The VRF that goes by a number.
    #[must_use]
    pub fn vrf_name(&self, id: VrfId) -> Option<&Name> {
        self.vrfs.name(id.index())
    }

    /// The peer that goes by a number.
    #[must_use]
    pub fn peer_name(&self, number: u16) -> Option<&Name> {
        self.peers.name(usize::from(number))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its ground has failed")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: u16) -> Name {
        Name::new(&format!("n{number}")).unwrap()
    }

    /// What is done to a kind, by small names.
    #[derive(Clone, Copy, Debug)]
    enum Done {
        Give(u16),
        Release(u16),
        /// Of what was released and is not free yet, the oldest.
        Free,
    }

    fn done() -> impl Strategy<Value = Done> {
        prop_oneof![4 => (0u16..40).prop_map(Done::Give), 3 => (0u16..40).prop_map(Done::Release), 3 => Just(Done::Free)]
    }

    proptest! {
        #[test]
        fn a_name_keeps_its_number_and_no_number_has_two_names(
            former in prop::collection::btree_map(0u16..40, 0u16..12, 0..8),
            deeds in prop::collection::vec(done(), 0..400),
        ) {
            const MOST: usize = 24;
            let names: Vec<Name> = former.keys().map(|at| name(*at)).collect();
            let former: BTreeMap<Name, u16> = former.into_iter().map(|(at, number)| (name(at), number)).collect();
            let mut kind = Kind::of(names.iter(), &former, (1, MOST));
            // The oracle: who has which number, by name.
            let mut known: BTreeMap<Name, u16> = kind.numbers.clone();
            prop_assert!(known.len() == names.len() && !known.values().any(|number| *number == 0));
            let mut pending = VecDeque::new();
            for deed in deeds {
                match deed {
                    Done::Give(at) if !known.contains_key(&name(at)) => match kind.give(&name(at), MOST) {
                        Some((number, _)) => {
                            prop_assert!(number > 0 && usize::from(number) < MOST);
                            prop_assert!(!known.values().chain(&pending).any(|taken| *taken == number));
                            known.insert(name(at), number);
                        }
                        None => prop_assert_eq!(known.len() + pending.len(), MOST - 1),
                    },
                    Done::Release(at) => {
                        let number = kind.release(&name(at));
                        prop_assert_eq!(number, known.remove(&name(at)));
                        pending.extend(number);
                    }
                    Done::Free => kind.resting.extend(pending.pop_front()),
                    Done::Give(_) => {}
                }
                prop_assert_eq!(&kind.numbers, &known);
                let named = (0u16..).zip(&kind.names).filter_map(|(number, name)| Some((name.clone()?, number)));
                prop_assert_eq!(named.collect::<BTreeMap<_, _>>(), known.clone());
            }
        }
    }

    #[test]
    fn numbers_rest_until_hundreds_do_and_the_oldest_is_given_first() {
        let mut kind = Kind::of([].into_iter(), &BTreeMap::new(), (1, MAX_PORTS));
        let give = |kind: &mut Kind, at| kind.give(&name(at), MAX_PORTS).unwrap();
        let rest = |kind: &mut Kind, at| {
            let number = kind.release(&name(at)).unwrap();
            kind.resting.push_back(number);
        };
        for at in 1..=u16::try_from(RESTING).unwrap() {
            assert_eq!(give(&mut kind, at), (at, false));
            rest(&mut kind, at);
        }
        let next = RESTING as u16 + 1;
        assert_eq!(give(&mut kind, next), (next, false));
        rest(&mut kind, next);
        assert_eq!(give(&mut kind, 2_000), (1, true));
        // So the tables of a node where pods come and go are no longer than that: the switch's own, one that stays, one that comes.
        for at in 3_000..9_000 {
            give(&mut kind, at);
            rest(&mut kind, at);
        }
        assert_eq!(kind.names.len(), RESTING + 3);
    }

    #[test]
    fn numbers_of_a_former_daemon_are_kept_where_they_can_be() {
        let desired = |ports: &[&str]| {
            let mut text = String::from("[workers]\ncores = [0]\n[[network]]\nname = \"blue\"\n");
            for port in ports {
                text += &format!("[[port]]\nname = \"{port}\"\ndevice = \"{port}\"\nnetwork = \"blue\"\n");
            }
            crate::config::parse(&text, &crate::config::Machine { cores: [0].into() }).unwrap()
        };
        let mut numbers = Numbers::of(&desired(&["b", "c"]));
        numbers.add_port(&Name::new("a").unwrap()).unwrap();
        numbers.release_port(&Name::new("b").unwrap()).unwrap();
        let next = Numbers::after(&desired(&["a", "c", "d"]), &numbers.former());
        let number = |port: &str| next.port(&Name::new(port).unwrap()).0;
        assert_eq!((number("c"), number("a")), (2, 3));
        assert!(![0, 2, 3].contains(&number("d")) && next.network(&Name::new("blue").unwrap()).0 == 0);
        assert_eq!(next.port_name(PortId(0)), None);
        // What cannot be is not believed.
        let lies = Former {
            ports: [("a", 0), ("c", 7), ("d", 7), ("e", 60_000)]
                .map(|(name, number)| (Name::new(name).unwrap(), number))
                .into(),
            ..Former::default()
        };
        let told = Numbers::after(&desired(&["a", "c", "d", "e"]), &lies);
        let all: std::collections::BTreeSet<u16> =
            ["a", "c", "d", "e"].map(|port| told.port(&Name::new(port).unwrap()).0).into();
        assert!(all.len() == 4 && !all.contains(&0) && told.ports_end() <= MAX_PORTS);
    }
}

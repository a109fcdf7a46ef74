//! What an uplink claims: the words shared with `xdp/uplink.c`.
//!
//! All of it can change while frames arrive. Addresses are added before the rest is set and old
//! ones removed after it, so a change never leaves an address unclaimed that both sides of it name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};

use crate::AttachError;
use crate::object::{CLAIM, COUNTS, HOPS, MACS, Object, STATIONS, VTEPS};

/// VTEP addresses one uplink can have, the switch's link-local ones among them.
pub const MAX_VTEPS: usize = 256;

/// UDP ports on which one uplink can take tunnel packets.
pub const MAX_TUNNEL_PORTS: usize = 4;

/// IPv4 next hops one uplink can ask for by probes: as many neighbours as the switch remembers.
pub const MAX_NEXT_HOPS: usize = 8_192;

/// MAC addresses of pods that one uplink can be shared by.
pub const MAX_MACS: usize = 4_096;

/// IP addresses of pods that one uplink can be shared by.
pub const MAX_STATIONS: usize = 8_192;

/// `struct vtep`: the IP version as a native `u32`, the address, zeros.
type VtepKey = [u8; 20];

/// `struct station`: the IP version and the VLAN as native `u16`s, the address, zeros.
type StationKey = [u8; 20];

/// `struct mac`: the address, zeros.
type MacKey = [u8; 8];

/// `struct claim`: the tunnel ports, whether the device is given whole, and what it is shared by.
type ClaimEntry = [u16; MAX_TUNNEL_PORTS + 2];
const WHOLE: usize = MAX_TUNNEL_PORTS;
const SHARED_BY: usize = MAX_TUNNEL_PORTS + 1;
const BY_MAC: u16 = 1;
const BY_ADDRESS: u16 = 2;

/// `enum owner` of the program; no entry is nobody's.
const OWN: u32 = 1;
const SHARED: u32 = 2;

/// An address that is ours on an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vtep {
    /// The address. The switch's link-local address on the uplink is one as well, an own one.
    pub address: IpAddr,
    /// The host does not have the address, so that we answer for it: ARP and neighbour discovery
    /// that ask for it or answer it, and all ICMP to it, are claimed beside the tunnel packets. Of a
    /// shared address only the too-big errors that quote our tunnel packets are; the host's kernel
    /// answers for it.
    pub own: bool,
}

/// A pod on the wire that has the uplink's MAC address there, and is known by its own IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Station {
    /// The VLAN its frames are tagged with; none where they are untagged.
    pub vlan: Option<u16>,
    /// Its address.
    pub address: IpAddr,
}

/// What of an uplink's traffic is Podlane's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The addresses at which tunnel packets for us arrive, at most [`MAX_VTEPS`]. Of an address
    /// given twice the last entry holds.
    pub vteps: &'a [Vtep],
    /// The UDP ports at which they do, at most [`MAX_TUNNEL_PORTS`]; 0 is none.
    pub tunnel_ports: &'a [u16],
    /// Whom we ask for by ARP probes (RFC 5227): their answers, sent to the address 0.0.0.0, are
    /// claimed. At most [`MAX_NEXT_HOPS`] of IPv4; those of IPv6 answer to our link-local address
    /// and take no room here.
    pub next_hops: &'a [IpAddr],
    /// The MAC addresses of pods that are on the wire beside the host, at most [`MAX_MACS`]: unicast
    /// frames to them are claimed.
    pub macs: &'a [[u8; 6]],
    /// The pods that are known by their IP addresses there, at most [`MAX_STATIONS`]: packets to them
    /// are claimed, and ARP and neighbour discovery that ask for them.
    pub stations: &'a [Station],
    /// The device is Podlane's alone: every frame is claimed.
    pub whole: bool,
}

impl Claim<'_> {
    /// Refuses what the program's maps do not hold, before any of it is changed.
    pub(crate) fn check(&self, device: &str) -> Result<(), AttachError> {
        let device = || device.to_owned();
        let (vteps, ports, hops) = (self.vteps.len(), self.tunnel_ports.len(), self.hop_keys().count());
        if vteps > MAX_VTEPS {
            return Err(AttachError::TooManyVteps { device: device(), count: vteps });
        }
        if ports > MAX_TUNNEL_PORTS {
            return Err(AttachError::TooManyTunnelPorts { device: device(), count: ports });
        }
        if self.macs.len() > MAX_MACS {
            return Err(AttachError::TooManyMacs { device: device(), count: self.macs.len() });
        }
        if self.stations.len() > MAX_STATIONS {
            return Err(AttachError::TooManyStations { device: device(), count: self.stations.len() });
        }
        if hops > MAX_NEXT_HOPS {
            return Err(AttachError::TooManyNextHops { device: device(), count: hops });
        }
        Ok(())
    }

    fn hop_keys(&self) -> impl Iterator<Item = [u8; 4]> {
        self.next_hops.iter().filter_map(|hop| match hop {
            IpAddr::V4(hop) => Some(hop.octets()),
            IpAddr::V6(_) => None,
        })
    }

    /// What comes after `present`. A port that stays keeps its place: the program reads the places
    /// one by one, and one that moved between two reads would be seen in neither.
    fn entry(&self, present: &ClaimEntry) -> ClaimEntry {
        let (mut ports, mut next) = ([0; MAX_TUNNEL_PORTS], ClaimEntry::default());
        for (place, port) in ports.iter_mut().zip(present) {
            if self.tunnel_ports.contains(port) {
                *place = *port;
            }
        }
        for port in self.tunnel_ports {
            if !ports.contains(port)
                && let Some(free) = ports.iter_mut().find(|place| **place == 0)
            {
                *free = *port;
            }
        }
        next[..MAX_TUNNEL_PORTS].copy_from_slice(&ports);
        next[WHOLE] = u16::from(self.whole);
        let by_mac = if self.macs.is_empty() { 0 } else { BY_MAC };
        let by_address = if self.stations.is_empty() { 0 } else { BY_ADDRESS };
        next[SHARED_BY] = by_mac | by_address;
        next
    }
}

/// Frames an uplink's program has judged since it was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UplinkCounters {
    /// Handed to a socket.
    pub claimed: u64,
    /// Left to the kernel, those included that were ours while no socket was there.
    pub passed: u64,
    /// Of those passed, fragments of UDP to one of our VTEPs. Their tunnel packets are lost: nobody
    /// puts them together for us, and the sender's path MTU is set too high.
    pub fragments: u64,
}

/// The maps an uplink has beside its sockets.
pub(crate) struct UplinkMaps {
    claim: Array<MapData, ClaimEntry>,
    vteps: Entries<VtepKey, u32>,
    hops: Entries<[u8; 4], u8>,
    macs: Entries<MacKey, u8>,
    stations: Entries<StationKey, u8>,
    counts: PerCpuArray<MapData, u64>,
}

impl UplinkMaps {
    pub(crate) fn take(object: &mut Object) -> Result<Self, MapError> {
        Ok(Self {
            claim: object.map(CLAIM)?.try_into()?,
            vteps: Entries::new(object.map(VTEPS)?.try_into()?),
            hops: Entries::new(object.map(HOPS)?.try_into()?),
            macs: Entries::new(object.map(MACS)?.try_into()?),
            stations: Entries::new(object.map(STATIONS)?.try_into()?),
            counts: object.map(COUNTS)?.try_into()?,
        })
    }

    /// Replaces what is claimed; `claim` was checked.
    pub(crate) fn set(&mut self, claim: &Claim<'_>) -> Result<(), MapError> {
        let old_vteps =
            self.vteps.add(claim.vteps.iter().map(|vtep| (vtep_key(&vtep.address), owner(vtep))), MAX_VTEPS)?;
        let old_hops = self.hops.add(claim.hop_keys().map(|hop| (hop, 1)), MAX_NEXT_HOPS)?;
        let old_macs = self.macs.add(claim.macs.iter().map(|mac| (mac_key(*mac), 1)), MAX_MACS)?;
        let stations = claim.stations.iter().map(|station| (station_key(station), 1));
        let old_stations = self.stations.add(stations, MAX_STATIONS)?;
        let entry = claim.entry(&self.claim.get(&0, 0)?);
        self.claim.set(0, entry, 0)?;
        self.vteps.remove(&old_vteps)?;
        self.hops.remove(&old_hops)?;
        self.macs.remove(&old_macs)?;
        self.stations.remove(&old_stations)
    }

    pub(crate) fn counters(&self) -> Result<UplinkCounters, MapError> {
        let sum = |index: u32| -> Result<u64, MapError> { Ok(self.counts.get(&index, 0)?.iter().sum()) };
        Ok(UplinkCounters { claimed: sum(0)?, passed: sum(1)?, fragments: sum(2)? })
    }
}

/// How many MAC addresses and how many stations the maps claim that are pinned for an uplink, whether its daemon lives or not; none where nothing
/// is pinned there.
#[must_use]
pub fn claimed(pin: &Path) -> Option<(usize, usize)> {
    let map = |name: &str| MapData::from_pin(pin.join(name.to_ascii_lowercase())).ok().map(Map::HashMap);
    let macs: HashMap<_, MacKey, u8> = map(MACS)?.try_into().ok()?;
    let stations: HashMap<_, StationKey, u8> = map(STATIONS)?.try_into().ok()?;
    Some((macs.keys().flatten().count(), stations.keys().flatten().count()))
}

/// A map of the program's, and what is in it. It is read once: with pods that come and go, a walk of two calls an entry for each of
/// them would be most of what a change costs.
struct Entries<K: Pod, V: Pod> {
    map: HashMap<MapData, K, V>,
    /// None before it is read, and after a failure.
    known: Option<BTreeMap<K, V>>,
}

impl<K: Pod + Ord, V: Pod + PartialEq> Entries<K, V> {
    const fn new(map: HashMap<MapData, K, V>) -> Self {
        Self { map, known: None }
    }

    /// Puts what is wanted into the map beside what is there, and returns the keys that are to go. Where
    /// old and new together do not fit they go at once: then there is no order without a gap.
    ///
    /// An entry that stays as it is is not written again: the kernel replaces one by adding the new and
    /// unlinking the old, and a look-up on its way through the bucket could miss both. That follows
    /// from how its hash map is built; under load it was never seen.
    fn add(&mut self, wanted: impl Iterator<Item = (K, V)>, room: usize) -> Result<Vec<K>, MapError> {
        let mut known = match self.known.take() {
            Some(known) => known,
            None => self.map.iter().collect::<Result<_, _>>()?,
        };
        let wanted: BTreeMap<K, V> = wanted.collect();
        let mut old: Vec<K> = known.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
        if old.len() + wanted.len() > room {
            for key in old.drain(..) {
                self.map.remove(&key)?;
                known.remove(&key);
            }
        }
        for (key, value) in wanted {
            if known.get(&key) != Some(&value) {
                self.map.insert(key, value, 0)?;
                known.insert(key, value);
            }
        }
        self.known = Some(known);
        Ok(old)
    }

    fn remove(&mut self, keys: &[K]) -> Result<(), MapError> {
        let mut known = self.known.take();
        for key in keys {
            self.map.remove(key)?;
            if let Some(known) = &mut known {
                known.remove(key);
            }
        }
        self.known = known;
        Ok(())
    }
}

fn owner(vtep: &Vtep) -> u32 {
    if vtep.own { OWN } else { SHARED }
}

fn vtep_key(address: &IpAddr) -> VtepKey {
    let mut key = VtepKey::default();
    let (version, octets) = match address {
        IpAddr::V4(address) => (4_u32, &address.octets()[..]),
        IpAddr::V6(address) => (6, &address.octets()[..]),
    };
    key[..4].copy_from_slice(&version.to_ne_bytes());
    key[4..4 + octets.len()].copy_from_slice(octets);
    key
}

fn station_key(station: &Station) -> StationKey {
    let mut key = StationKey::default();
    let (version, octets) = match &station.address {
        IpAddr::V4(address) => (4_u16, &address.octets()[..]),
        IpAddr::V6(address) => (6, &address.octets()[..]),
    };
    key[..2].copy_from_slice(&version.to_ne_bytes());
    key[2..4].copy_from_slice(&station.vlan.unwrap_or(0).to_ne_bytes());
    key[4..4 + octets.len()].copy_from_slice(octets);
    key
}

fn mac_key([a, b, c, d, e, f]: [u8; 6]) -> MacKey {
    [a, b, c, d, e, f, 0, 0]
}

#[cfg(test)]
mod tests;

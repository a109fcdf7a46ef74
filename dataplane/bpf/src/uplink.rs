//! What an uplink claims: the words shared with `xdp/uplink.c`.
//!
//! All of it can change while frames arrive. Addresses are added before the rest is set and old
//! ones removed after it, so a change never leaves an address unclaimed that both sides of it name.

use std::net::IpAddr;

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray};

use crate::object::{CLAIM, COUNTS, Object, VTEPS};

/// VTEP addresses one uplink can have.
pub const MAX_VTEPS: usize = 256;

/// `struct vtep`: the IP version as a native `u32`, the address, zeros.
type VtepKey = [u8; 20];

/// What of an uplink's traffic is Podlane's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The addresses at which VXLAN for us arrives.
    pub vteps: &'a [IpAddr],
    /// The UDP port at which it does; 0 claims no VXLAN.
    pub vxlan_port: u16,
    /// The device is Podlane's alone: every frame is claimed.
    pub whole: bool,
}

/// Frames an uplink's program has judged since it was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UplinkCounters {
    /// Handed to a socket.
    pub claimed: u64,
    /// Left to the kernel, those included that were ours while no socket was there.
    pub passed: u64,
}

/// The maps an uplink has beside its sockets.
pub(crate) struct UplinkMaps {
    claim: Array<MapData, [u32; 2]>,
    vteps: HashMap<MapData, VtepKey, u8>,
    counts: PerCpuArray<MapData, u64>,
}

impl UplinkMaps {
    pub(crate) fn take(object: &mut Object) -> Result<Self, MapError> {
        Ok(Self {
            claim: object.map(CLAIM)?.try_into()?,
            vteps: object.map(VTEPS)?.try_into()?,
            counts: object.map(COUNTS)?.try_into()?,
        })
    }

    /// Replaces what is claimed; `claim` has at most [`MAX_VTEPS`] addresses.
    pub(crate) fn set(&mut self, claim: &Claim<'_>) -> Result<(), MapError> {
        let wanted: Vec<VtepKey> = claim.vteps.iter().map(vtep_key).collect();
        let present: Vec<VtepKey> = self.vteps.keys().collect::<Result<_, _>>()?;
        let old = present.iter().filter(|key| !wanted.contains(key));
        // Old and new together may be more than fit; then there is no order without a gap.
        let crowded = present.len() + wanted.len() > MAX_VTEPS;
        if crowded {
            for key in old.clone() {
                self.vteps.remove(key)?;
            }
        }
        for key in &wanted {
            self.vteps.insert(key, 1, 0)?;
        }
        let entry = [u32::from(claim.vxlan_port), u32::from(claim.whole)];
        self.claim.set(0, entry, 0)?;
        if !crowded {
            for key in old {
                self.vteps.remove(key)?;
            }
        }
        Ok(())
    }

    pub(crate) fn counters(&self) -> Result<UplinkCounters, MapError> {
        let sum = |index: u32| -> Result<u64, MapError> { Ok(self.counts.get(&index, 0)?.iter().sum()) };
        Ok(UplinkCounters { claimed: sum(0)?, passed: sum(1)? })
    }
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

#[cfg(test)]
mod tests;

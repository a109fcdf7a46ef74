//! Stations that share an uplink's MAC address: what they say of themselves is said with that address beyond it.
//!
//! A segment whose switch admits one MAC address a port (a cloud's, a Wi-Fi access point's, port security) carries many stations
//! this way, told apart by their IP addresses. Addresses change at the uplink and nowhere else: within the node stations know each
//! other by their own. The hop is not counted, since it is none: both sides are one segment, which is why what is of a segment
//! (neighbour discovery asks for a hop limit of 255, RFC 4861, 7.1.1) goes through. Refused: routing between the two, which every
//! network with a gateway does already.
//!
//! ```text
//!   out   source: the station's -> the uplink's, in ARP and neighbour discovery too
//!   in    destination: the uplink's -> that of the station that has the IP address
//! ```

use podlane_wire::{MacAddr, checksum};

use crate::{
    flow::Class,
    headers::{TYPE_IPV4, TYPE_IPV6},
    stage::apply::Packet,
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where an ARP packet has the MAC addresses of its sender and its target (RFC 826).
const ARP_SENDER: usize = 8;
const ARP_TARGET: usize = 18;

/// The option of neighbour discovery that names the sender's own address, and that which names the target's (RFC 4861, 4.6.1).
const SOURCE_OPTION: u8 = 1;
const TARGET_OPTION: u8 = 2;

/// Writes both MAC addresses into a packet that says nothing of MAC addresses further in. Returns whether it was one; if not, nothing
/// was written.
#[inline]
pub(super) fn plain(bytes: &mut [u8], write: impl FnOnce(&mut [u8; 12])) -> bool {
    let Some(head) = bytes.first_chunk_mut::<34>() else { return false };
    let plain = match u16::from_be_bytes([head[12], head[13]]) {
        TYPE_IPV4 => true,
        TYPE_IPV6 => matches!(head[20], TCP | UDP),
        _ => false,
    };
    if plain && let Some(addresses) = head.first_chunk_mut::<12>() {
        write(addresses);
    }
    plain
}

/// Writes both MAC addresses, and wherever else the packet says whom it is from and for.
pub(super) fn readdress(packet: &mut Packet<'_>, to: MacAddr, from: MacAddr) {
    let (said, class, layout) = (packet.key.source_mac(), packet.key.kind().class, packet.layout);
    let asked = packet.key.destination_mac();
    let bytes = packet.frame.bytes_mut();
    let Some(addresses) = bytes.first_chunk_mut::<12>() else { return };
    addresses[..6].copy_from_slice(&to.0);
    addresses[6..].copy_from_slice(&from.0);
    match class {
        Class::Arp => {
            let Some(arp) = bytes.get_mut(usize::from(layout.l3)..) else { return };
            replace(arp, ARP_SENDER, (said, from));
            if to != asked {
                replace(arp, ARP_TARGET, (asked, to));
            }
        }
        Class::Nd if from != said => {
            let Some(message) = bytes.get_mut(usize::from(layout.l4)..) else { return };
            in_options(message, (said, from));
        }
        _ => {}
    }
}

/// The same for a packet whose destination stays.
pub(super) fn speak_as(packet: &mut Packet<'_>, outer: MacAddr) {
    let to = packet.key.destination_mac();
    readdress(packet, to, outer);
}

/// Writes an address where the former one stands. Returns whether it stood there.
fn replace(bytes: &mut [u8], at: usize, (former, new): (MacAddr, MacAddr)) -> bool {
    let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<6>()) else { return false };
    let stands = *place == former.0;
    if stands {
        *place = new.0;
    }
    stands
}

/// The options of a neighbour discovery message, and its checksum after them.
fn in_options(message: &mut [u8], (former, new): (MacAddr, MacAddr)) {
    const CHECKSUM: usize = 2;
    const UNIT: usize = 8;
    let Some(mut at) = message.first().and_then(|kind| options_of(*kind)) else { return };
    // An option of no length ends the walk, as it ends the message for its receiver (RFC 4861, 4.6).
    while let Some(&[kind, units @ 1..=u8::MAX]) = message.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
        if matches!(kind, SOURCE_OPTION | TARGET_OPTION) && replace(message, at + 2, (former, new)) {
            let words = |mac: MacAddr| [0, 2, 4].map(|at| u16::from_be_bytes([mac.0[at], mac.0[at + 1]]));
            let mut sum = u16::from_be_bytes([message[CHECKSUM], message[CHECKSUM + 1]]);
            for (before, after) in words(former).into_iter().zip(words(new)) {
                sum = checksum::update16(sum, before, after);
            }
            message[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
        }
        at += usize::from(units) * UNIT;
    }
}

/// Where the options of a message begin (RFC 4861, 4.1 to 4.5).
const fn options_of(kind: u8) -> Option<usize> {
    match kind {
        133 => Some(8),
        134 => Some(16),
        135 | 136 => Some(24),
        137 => Some(40),
        _ => None,
    }
}

//! What a key means when it is not written. The only place that says so; a value out of its bounds does not compile.

use std::time::Duration;

use podlane_api::PortKind;

use crate::desired::{
    BitRate, Burst, ConnectionCapacity, Encapsulation, FloodLimit, FlowCapacity, FrameBytes, FrameCount, Mode, Mtu,
    Name, Network, Offload, Poll, Queues, Ratio, RingSize, Supply, Xdp,
};

pub(super) const SOCKET: &str = podlane_api::DEFAULT_SOCKET;
pub(super) const PIN: bool = true;

/// Spinning takes a whole core, so it is asked for, never assumed.
pub(super) const POLL: Poll = Poll::Adaptive;
/// 32 MiB a worker: full rings for half a dozen ports, and half a burst for each of 384. More would cost the kernel more for each port (docs/decisions/0034).
pub(super) const FRAMES: FrameCount = sure(FrameCount::new(16_384));
pub(super) const FRAME_BYTES: FrameBytes = FrameBytes::TwoKiB;

pub(super) const FLOW_CAPACITY: FlowCapacity = sure(FlowCapacity::new(1 << 20));
/// The least idle time NAT and firewalls must grant UDP is 120 s (RFC 4787, REQ-5).
pub(super) const FLOW_IDLE: Duration = Duration::from_secs(120);

pub(super) const JOURNAL: &str = "journal.redb";
pub(super) const VHOST_SOCKETS: &str = "vhost";
/// Linux asks again for a neighbour that it has not used for 15 to 45 s (`base_reachable_time`), so that by then it knows of another MAC address.
pub(super) const QUARANTINE: Duration = Duration::from_secs(30);

/// Of a network of this node alone; an overlay network takes what its tunnels carry.
pub(crate) const MTU: Mtu = sure(Mtu::new(1_500));
pub(super) const LEARNING: bool = true;
/// What IEEE 802.1Q recommends for a bridge.
pub(super) const MAC_AGE: Duration = Duration::from_secs(300);
pub(super) const FLOOD_LIMIT: FloodLimit = FloodLimit(10_000);

/// Nothing is flooded into tunnels unless it is asked for: who is where is stated.
pub(super) const FLOOD: bool = false;
pub(super) const REPLICATION_LIMIT: FloodLimit = FloodLimit(10_000);

pub(super) const ENCAPSULATION: Encapsulation = Encapsulation::Vxlan;
pub(super) const CLAMP_MSS: bool = false;

/// Of a statement of a MAC address that says none.
pub(super) const GENERATION: u64 = 0;

/// A daemon that starts anew meets connections in the middle.
pub(super) const PICK_UP: bool = true;
pub(super) const CONNECTIONS: ConnectionCapacity = sure(ConnectionCapacity::new(1 << 18));
/// Long enough for four attempts of a SYN, at 1, 3, 7 and 15 s (RFC 6298).
pub(super) const TCP_OPENING: Duration = Duration::from_secs(20);
/// The least that RFC 5382 grants (REQ-5), which is 2 hours and 4 minutes.
pub(super) const TCP_ESTABLISHED: Duration = Duration::from_secs(7_440);
pub(super) const TCP_CLOSING: Duration = Duration::from_secs(60);
pub(super) const TCP_CLOSED: Duration = Duration::from_secs(10);
pub(super) const UDP_OPENING: Duration = Duration::from_secs(30);
/// What RFC 4787 recommends (REQ-5).
pub(super) const UDP: Duration = Duration::from_secs(300);
pub(super) const ICMP: Duration = Duration::from_secs(30);
pub(super) const OTHER: Duration = Duration::from_secs(600);

pub(super) const PORT_KIND: PortKind = PortKind::Pod;
pub(super) const QUEUES: Queues = Queues::All;
pub(super) const MODE: Mode = Mode::Auto;
pub(super) const XDP: Xdp = Xdp::Auto;
pub(super) const CHECKSUM_OFFLOAD: bool = true;
/// With 512, a switch over veth lost a fifth of the TCP rate that it has with 2048 (VPP 26.06).
pub(crate) const RING: RingSize = sure(RingSize::new(2_048));

/// A quarter of a second of the rate: a TCP sender that lost all it sent waits 200 ms (Linux's least retransmission timeout), and what a
/// shorter burst does not keep of that time is lost to it. Between pods, at 20 and at 200 Mbit/s, TCP got 56 to 61 % of a rate with 100 ms of it, and
/// 89 to 99 % with 200 ms and more. At least 1 Mbit, 82 packets of 1500 bytes.
pub(crate) const fn burst(rate: BitRate) -> Burst {
    const LEAST: u64 = 1_000_000;
    let quarter = rate.get().get() / 4;
    sure(Burst::new(if quarter < LEAST { LEAST } else { quarter }))
}

/// A network that says nothing but its name, and is alone in its VRF.
pub(crate) fn network(name: Name) -> Network {
    Network {
        gateways: Vec::new(),
        gateway_mac: Network::derived_mac(&name),
        vrf: name.clone(),
        mtu: Some(MTU),
        learning: LEARNING,
        mac_age: MAC_AGE,
        flood_limit: FLOOD_LIMIT,
        vni: None,
        peers: Vec::new(),
        flood: FLOOD,
        replication_limit: REPLICATION_LIMIT,
        supply: Supply::default(),
        offload: OFFLOAD,
        name,
    }
}

/// An engine is asked for, never assumed.
pub(super) const OFFLOAD: Offload = Offload::None;

pub(super) const FAULT_SHARE: Ratio = Ratio::ZERO;
pub(super) const FAULT_SEED: u64 = 1;

const fn sure<T: Copy>(value: Option<T>) -> T {
    match value {
        Some(value) => value,
        None => panic!("a default is out of its bounds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_a_quarter_of_a_second_but_room_for_tcp_to_begin() {
        let of = |bits| burst(BitRate::new(bits).unwrap()).get();
        assert_eq!([1, 4_000_000, 4_000_004, 1_000_000_000].map(of), [1_000_000, 1_000_000, 1_000_001, 250_000_000]);
    }

    #[test]
    fn no_rate_is_too_high_or_too_low_to_be_kept_with_its_burst() {
        let mtu = Mtu::new(*Mtu::BOUNDS.end()).unwrap();
        for rate in (0..=12).map(|exponent| BitRate::new(10_u64.pow(exponent)).unwrap()) {
            assert!(burst(rate) >= Burst::least_of(rate, mtu), "{rate:?}");
        }
    }
}

//! A port's rates, in the form in which the workers hold them against their clock.

use podlane_dataplane::tables::rates::{Rate, Rates};

use crate::desired::{self, Bandwidth};

/// The rates of a port whose device takes IP packets of `mtu` bytes. Whatever its networks say, one such packet fits a burst: else
/// it would never pass.
pub(super) fn of(rates: &desired::Rates, mtu: u16) -> Rates {
    const LINK: u64 = 14 + 4;
    let longest = (u64::from(mtu) + LINK) * 8;
    let bits = |Bandwidth { rate, burst }: Bandwidth| Rate::of_bits(rate.get(), burst.get().max(longest));
    Rates {
        egress: rates.egress.map(bits),
        ingress: rates.ingress.map(bits),
        new_connections: rates.new_connections.map(|rate| Rate::of_connections(rate.get())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{BitRate, Burst, ConnectionRate};

    #[test]
    fn a_burst_has_room_for_the_longest_packet_of_the_device() {
        let bandwidth = |burst| Bandwidth { rate: BitRate::new(8_000).unwrap(), burst: Burst::new(burst).unwrap() };
        let rates = |burst| desired::Rates { egress: Some(bandwidth(burst)), ..desired::Rates::default() };
        assert_eq!(of(&rates(1), 1500), of(&rates(1518 * 8), 1500));
        assert_ne!(of(&rates(1), 9000), of(&rates(1518 * 8), 1500));
    }

    #[test]
    fn each_limit_becomes_its_own() {
        let bandwidth = |rate| Bandwidth { rate: BitRate::new(rate).unwrap(), burst: Burst::new(1_000_000).unwrap() };
        let bits = |rate: u64| Some(Rate::of_bits(rate.try_into().unwrap(), 1_000_000));
        let rates = desired::Rates {
            ingress: Some(bandwidth(7)),
            egress: Some(bandwidth(8)),
            new_connections: ConnectionRate::new(9),
        };
        let new_connections = Some(Rate::of_connections(9.try_into().unwrap()));
        assert_eq!(of(&rates, 1500), Rates { ingress: bits(7), egress: bits(8), new_connections });
        assert_eq!(of(&desired::Rates::default(), 1500), Rates::default());
    }
}

//! How much of something: each with its unit in its name and its bounds beside it.

use std::fmt;
use std::ops::RangeInclusive;

/// A number within bounds.
macro_rules! bounded {
    ($($(#[$doc:meta])* $name:ident: $min:literal to $max:literal $(, $also:expr)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(u32);

        impl $name {
            /// The least and the most.
            pub const BOUNDS: RangeInclusive<u32> = $min..=$max;

            /// The number, if it is within the bounds.
            #[must_use]
            pub const fn new(number: u32) -> Option<Self> {
                if number >= $min && number <= $max $(&& $also(number))? { Some(Self(number)) } else { None }
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

bounded! {
    /// The largest IP packet, in bytes: from the least IPv4 knows (RFC 791) to the jumbo frames that drivers know.
    Mtu: 68 to 9_216;

    /// Frames of packet memory of one worker: from a few bursts to 32 GiB of 2 KiB frames.
    FrameCount: 256 to 16_777_216;

    /// Slots of each of a socket's four rings; a power of two, as the kernel asks.
    RingSize: 64 to 32_768, u32::is_power_of_two;

    /// Flows the flow table can hold.
    FlowCapacity: 1_024 to 67_108_864;

    /// Connections that can be kept at once.
    ConnectionCapacity: 1_024 to 16_777_216;
}

/// The frames that each queue of a device has at least, for what may arrive: half a burst, so that 200 ports of a worker do with the default.
pub const LEAST_FILL: u32 = 32;

impl FrameCount {
    /// Frames that each of so many ports may keep lent to the kernel: an equal share of three quarters of a worker's; the
    /// last quarter is for packets under way.
    #[must_use]
    pub fn share(self, ports: u32) -> u32 {
        self.0 / 4 * 3 / ports.max(1)
    }
}

/// The size of a frame. The kernel takes no larger ones than a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FrameBytes {
    /// 2,048 bytes: an MTU of 1500 with room to spare.
    TwoKiB,
    /// 4,096 bytes: fewer frames a jumbo packet.
    FourKiB,
}

impl FrameBytes {
    /// The size of that many bytes, if there is one.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        match bytes {
            2_048 => Some(Self::TwoKiB),
            4_096 => Some(Self::FourKiB),
            _ => None,
        }
    }

    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        match self {
            Self::TwoKiB => 2_048,
            Self::FourKiB => 4_096,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_share_three_quarters_of_the_frames() {
        let frames = FrameCount::new(32_768).unwrap();
        assert_eq!([0, 1, 200].map(|ports| frames.share(ports)), [24_576, 24_576, 122]);
    }

    #[test]
    fn the_bounds_are_inclusive() {
        assert!(Mtu::new(67).is_none() && Mtu::new(68).is_some());
        assert!(Mtu::new(9_216).is_some() && Mtu::new(9_217).is_none());
        assert!(RingSize::new(2_048).is_some() && RingSize::new(2_000).is_none() && RingSize::new(32).is_none());
        assert_eq!(FrameBytes::new(4_096).map(FrameBytes::get), Some(4_096));
    }
}

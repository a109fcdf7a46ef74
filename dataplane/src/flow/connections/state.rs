//! Where a connection stands, in 32 bits, so that one compare-and-swap moves it on; and how long it may be silent there.

use crate::flow::connections::{
    Settings,
    key::{ConnectionKey, Side},
};

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// One side has spoken: TCP's SYN was seen, or a datagram that nobody answered yet.
    Opening,
    /// TCP: the other side acknowledged the SYN.
    Answered,
    /// TCP: each side acknowledged the other's SYN, or the connection was picked up in mid-stream. Others: both sides have spoken.
    Established,
    /// TCP: one side has sent its FIN.
    Closing,
    /// TCP: both have, or a valid reset was seen. Late segments still belong to it, data after
    /// a reset excepted; a SYN opens it anew, to be judged anew.
    Closed,
}

/// What decides how a connection is followed and how long it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Tcp,
    Udp,
    Icmp,
    Fragments,
    Other,
}

/// The state of a connection: flags, and the window scale of either side. Those that are of a side come in twos, the low side's first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State(pub(super) u32);

/// A flag that each side has.
#[derive(Clone, Copy)]
pub(super) struct Flag(u32);

impl Flag {
    /// Of both sides.
    const fn pair(self) -> u32 {
        self.0 | self.0 << 1
    }
}

/// The side has sent something.
pub(super) const SPOKE: Flag = Flag(1 << 8);
/// The side's SYN was seen.
pub(super) const SYN: Flag = Flag(1 << 10);
/// It was acknowledged.
pub(super) const SYN_ACKED: Flag = Flag(1 << 12);
/// The side's FIN was seen.
pub(super) const FIN: Flag = Flag(1 << 14);
/// It was acknowledged.
pub(super) const FIN_ACKED: Flag = Flag(1 << 16);

/// The entry holds a connection.
const LIVE: u32 = 1;
const OPENER_HIGH: u32 = 1 << 1;
/// Taken up in mid-stream: nobody knows its SYNs.
const PICKED: u32 = 1 << 2;
/// A reset ended it.
const RESET: u32 = 1 << 3;
/// A reset was seen that the receiver may refuse (RFC 5961, 3.2): it is over unless it goes on for a while.
const DOUBT: u32 = 1 << 4;
const KIND_AT: u32 = 5;
const SCALE_AT: u32 = 18;
const SCALE_BITS: u32 = 5;
const SCALE_KNOWN: u32 = 1 << 4;
/// It was closed by whoever judges: nobody finds it any more, and its owner frees it.
const GONE: u32 = 1 << 28;

/// The largest shift of a window (RFC 7323, 2.3): what an unknown one is taken for, so that no valid reset is refused.
const MOST_SCALE: u32 = 14;

/// Timeouts of what is not established shrink by this under pressure.
const HASTE: u32 = 10;

impl State {
    /// A connection that nothing was seen of yet.
    pub(super) const fn new(key: &ConnectionKey, opener: Side) -> Self {
        let kind = match key.protocol() {
            _ if key.is_of_fragments() => Kind::Fragments,
            6 => Kind::Tcp,
            17 => Kind::Udp,
            1 | 58 => Kind::Icmp,
            _ => Kind::Other,
        };
        let opener = match opener {
            Side::Low => 0,
            Side::High => OPENER_HIGH,
        };
        Self(LIVE | opener | (kind as u32) << KIND_AT)
    }

    /// No connection.
    pub(super) const NONE: Self = Self(0);

    #[inline]
    pub(super) const fn is_live(self) -> bool {
        self.0 & LIVE != 0
    }

    #[inline]
    pub(super) const fn opener(self) -> Side {
        if self.0 & OPENER_HIGH == 0 { Side::Low } else { Side::High }
    }

    #[inline]
    pub(super) const fn has(self, flag: Flag, side: Side) -> bool {
        self.0 & flag.0 << side as u32 != 0
    }

    #[inline]
    pub(super) const fn both(self, flag: Flag) -> bool {
        self.0 & flag.pair() == flag.pair()
    }

    #[inline]
    const fn either(self, flag: Flag) -> bool {
        self.0 & flag.pair() != 0
    }

    pub(super) const fn set(&mut self, flag: Flag, side: Side) {
        self.0 |= flag.0 << side as u32;
    }

    pub(super) const fn pick_up(&mut self) {
        self.0 |= PICKED;
    }

    pub(super) const fn reset(&mut self) {
        self.0 |= RESET;
    }

    #[inline]
    pub(super) const fn is_reset(self) -> bool {
        self.0 & RESET != 0
    }

    pub(super) const fn close(&mut self) {
        self.0 |= GONE;
    }

    #[inline]
    pub(super) const fn is_gone(self) -> bool {
        self.0 & GONE != 0
    }

    pub(super) const fn doubt(&mut self) {
        self.0 |= DOUBT;
    }

    pub(super) const fn trust(&mut self) {
        self.0 &= !DOUBT;
    }

    pub(super) const fn is_picked_up(self) -> bool {
        self.0 & PICKED != 0
    }

    #[inline]
    pub(super) const fn is_doubted(self) -> bool {
        self.0 & DOUBT != 0
    }

    /// Remembers the shift a SYN announced for its sender's window, or that it announced none.
    pub(super) fn set_scale(&mut self, side: Side, scale: Option<u8>) {
        let at = SCALE_AT + SCALE_BITS * side as u32;
        let scale = scale.map_or(0, |scale| SCALE_KNOWN | u32::from(scale).min(MOST_SCALE));
        self.0 = self.0 & !(0x1f << at) | scale << at;
    }

    /// The shift of a side's window: valid if both SYNs announced one (RFC 7323, 2.2).
    pub(super) const fn scale(self, side: Side) -> u32 {
        if !self.both(SYN) {
            return MOST_SCALE;
        }
        let known = SCALE_KNOWN << SCALE_AT | SCALE_KNOWN << (SCALE_AT + SCALE_BITS);
        if self.0 & known != known {
            return 0;
        }
        self.0 >> (SCALE_AT + SCALE_BITS * side as u32) & 0xf
    }

    /// Whether the side that did not open it has spoken.
    #[inline]
    pub(super) const fn is_answered(self) -> bool {
        self.has(SPOKE, self.opener().other())
    }

    #[inline]
    const fn kind(self) -> Kind {
        match self.0 >> KIND_AT & 7 {
            0 => Kind::Tcp,
            1 => Kind::Udp,
            2 => Kind::Icmp,
            3 => Kind::Fragments,
            _ => Kind::Other,
        }
    }

    #[inline]
    pub(super) const fn is_tcp(self) -> bool {
        matches!(self.kind(), Kind::Tcp)
    }

    #[inline]
    pub(super) const fn phase(self) -> Phase {
        if !self.is_tcp() {
            return if self.is_answered() { Phase::Established } else { Phase::Opening };
        }
        if self.is_reset() || self.both(FIN) {
            Phase::Closed
        } else if self.either(FIN) {
            Phase::Closing
        } else if self.is_picked_up() || self.both(SYN_ACKED) {
            Phase::Established
        } else if self.has(SYN_ACKED, self.opener()) {
            Phase::Answered
        } else {
            Phase::Opening
        }
    }

    /// Whether it is established beyond a forged segment's power: each side was heard to answer the other, and neither has ended it.
    #[inline]
    pub(super) const fn is_settled(self) -> bool {
        matches!(self.phase(), Phase::Established) && self.both(SPOKE) && !self.is_doubted()
    }

    /// Whether it has yet to become established.
    #[inline]
    pub(super) const fn is_opening(self) -> bool {
        self.is_live()
            && !self.is_gone()
            && match self.phase() {
                Phase::Opening | Phase::Answered => true,
                Phase::Established => !self.both(SPOKE),
                Phase::Closing | Phase::Closed => false,
            }
    }

    /// For how many milliseconds it may be silent. `pressed` is asked only where it matters.
    #[inline]
    pub(super) fn lifetime(self, settings: &Settings, pressed: impl FnOnce() -> bool) -> u32 {
        let settled = self.is_settled();
        let whole = match self.kind() {
            Kind::Tcp if settled => settings.tcp_established,
            Kind::Tcp if self.is_reset() || self.both(FIN_ACKED) => settings.closed,
            Kind::Tcp if self.either(FIN) || self.is_doubted() => settings.tcp_closing,
            Kind::Tcp => settings.tcp_opening,
            Kind::Udp if settled => settings.udp,
            Kind::Udp => settings.udp_opening,
            Kind::Icmp => settings.icmp,
            Kind::Fragments => settings.fragments,
            Kind::Other => settings.other,
        };
        if !settled && pressed() { whole / HASTE } else { whole }
    }
}

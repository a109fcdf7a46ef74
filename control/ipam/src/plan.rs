//! What addresses a network has to give, and which of them it must not.

use std::net::IpAddr;

use crate::free::Free;
use crate::span::{Family, Span, number};

/// A subnet of a network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Subnet {
    /// All its addresses.
    pub span: Span,
    /// How many bits they share.
    pub prefix_len: u8,
    /// Who routes for it; none where nobody does.
    pub gateway: Option<IpAddr>,
}

impl Subnet {
    /// The subnet around a gateway; none where the prefix is too long.
    #[must_use]
    pub fn of_gateway(gateway: IpAddr, prefix_len: u8) -> Option<Self> {
        Some(Self { span: Span::subnet(gateway, prefix_len)?, prefix_len, gateway: Some(gateway) })
    }

    /// Its ends, which are nobody's: the first address (in IPv6 the any-router address) and the IPv4 broadcast. In subnets of one
    /// or two addresses all are stations (RFC 3021, RFC 6164).
    fn ends(self) -> impl Iterator<Item = IpAddr> {
        let family = self.span.family();
        let has_ends = self.prefix_len + 1 < family.bits();
        let last = (family == Family::V4).then_some(self.span.last());
        has_ends.then_some(self.span.first()).into_iter().chain(last.filter(|_| has_ends))
    }
}

/// What an address is used for instead of being given out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Use {
    /// The gateway.
    Gateway,
    /// The network itself, or its broadcast.
    End,
    /// Reserved by the operator.
    Reserved,
    /// Stated to be somebody's.
    Stated(String),
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gateway => f.write_str("is the gateway"),
            Self::End => f.write_str("is an end of its subnet, which is no station's"),
            Self::Reserved => f.write_str("is reserved"),
            Self::Stated(whose) => write!(f, "is stated to be {whose}'s"),
        }
    }
}

/// The addresses of a network.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Its subnets, which overlap nowhere.
    pub subnets: Vec<Subnet>,
    /// What is given out, each within a subnet; all the subnets where there is none.
    pub ranges: Vec<Span>,
    /// What is never given out.
    pub reserved: Vec<Span>,
    /// Addresses that the configuration gives to somebody, and to whom: `port "db"`.
    pub stated: Vec<(IpAddr, String)>,
}

impl Plan {
    /// The ranges of a family.
    pub(crate) fn ranges(&self, family: Family) -> impl Iterator<Item = Span> + '_ {
        let all = self.subnets.iter().map(|subnet| subnet.span);
        let ranges = self.ranges.iter().copied();
        // One of the two is empty.
        all.filter(|_| self.ranges.is_empty()).chain(ranges).filter(move |span| span.family() == family)
    }

    /// The ranges of a family, for people.
    pub(crate) fn told(&self, family: Family) -> String {
        let spans: Vec<_> = self.ranges(family).map(|span| span.to_string()).collect();
        spans.join(", ")
    }

    /// The subnet an address is in.
    pub(crate) fn subnet(&self, address: IpAddr) -> Option<Subnet> {
        self.subnets.iter().copied().find(|subnet| subnet.span.contains(address))
    }

    /// Whether the address is in a range.
    pub(crate) fn is_in_range(&self, address: IpAddr) -> bool {
        self.ranges(Family::of(address)).any(|range| range.contains(address))
    }

    /// What the address is used for; none for one that can be given out.
    pub(crate) fn use_of(&self, address: IpAddr) -> Option<Use> {
        if let Some((_, whose)) = self.stated.iter().find(|(stated, _)| *stated == address) {
            return Some(Use::Stated(whose.clone()));
        }
        if self.subnets.iter().any(|subnet| subnet.gateway == Some(address)) {
            return Some(Use::Gateway);
        }
        if self.subnets.iter().any(|subnet| subnet.ends().any(|end| end == address)) {
            return Some(Use::End);
        }
        self.reserved.iter().any(|span| span.contains(address)).then_some(Use::Reserved)
    }

    /// Whether the address can be given out.
    pub(crate) fn offers(&self, address: IpAddr) -> bool {
        self.is_in_range(address) && self.use_of(address).is_none()
    }

    /// All of a family that can be given out.
    pub(crate) fn offered(&self, family: Family) -> Free {
        let mut free = Free::default();
        for range in self.ranges(family) {
            let (first, last) = range.numbers();
            free.add(first, last);
        }
        let singles = self.subnets.iter().flat_map(|subnet| subnet.gateway.into_iter().chain(subnet.ends()));
        let singles = singles.chain(self.stated.iter().map(|(address, _)| *address)).map(Span::one);
        for span in singles.chain(self.reserved.iter().copied()).filter(|span| span.family() == family) {
            let (first, last) = span.numbers();
            free.remove(first, last);
        }
        free
    }

    /// Where looking for a free address begins.
    pub(crate) fn begin(&self, family: Family) -> u128 {
        self.ranges(family).map(|range| number(range.first())).min().unwrap_or(0)
    }
}

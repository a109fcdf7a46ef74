//! Every way a frame can be wrong, each with one name and one sentence for the operator.
//!
//! The discriminants are dense from zero, so a table of counters is an array of [`Malformed::COUNT`] and the
//! dataplane's drop reasons can carry these as they are. Names are stable: dashboards are built on them.

use core::fmt;

macro_rules! malformed {
    ($($variant:ident = $name:literal, $sentence:literal;)+) => {
        /// What exactly is wrong with a frame.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Malformed {
            $(#[doc = $sentence] $variant,)+
        }

        impl Malformed {
            /// Every variant, in the order of their discriminants.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable `snake_case` name, for counters and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence that tells an operator what was seen.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)+ }
            }
        }
    };
}

malformed! {
    FrameTooShort = "frame_too_short", "The frame is shorter than an Ethernet header.";
    VlanTagTruncated = "vlan_tag_truncated", "The frame ends inside a VLAN tag.";
    TooManyVlanTags = "too_many_vlan_tags", "The frame carries more than two VLAN tags.";

    ArpTruncated = "arp_truncated", "The frame ends inside an ARP packet.";
    ArpNotEthernetIpv4 = "arp_not_ethernet_ipv4", "The ARP packet is not about IPv4 addresses on Ethernet.";

    Ipv4HeaderTruncated = "ipv4_header_truncated", "The frame ends inside an IPv4 header or its options.";
    Ipv4BadVersion = "ipv4_bad_version", "The packet came as IPv4 but its version field is not 4.";
    Ipv4BadHeaderLength = "ipv4_bad_header_length", "The IPv4 header claims to be shorter than 20 bytes.";
    Ipv4TotalLengthTooShort = "ipv4_total_length_too_short", "The IPv4 total length is shorter than the packet's own header.";
    Ipv4TotalLengthTooLong = "ipv4_total_length_too_long", "The IPv4 total length is longer than what arrived.";
    Ipv4FragmentOverrun = "ipv4_fragment_overrun", "The IPv4 fragment would end past 65,535 bytes once reassembled.";
    Ipv4FragmentUnaligned = "ipv4_fragment_unaligned", "The IPv4 fragment is not the last one, yet its length is not a multiple of eight.";
    Ipv4FragmentHidesTcp = "ipv4_fragment_hides_tcp", "The IPv4 fragment would overwrite part of a TCP header upon reassembly.";
    Ipv4BadOption = "ipv4_bad_option", "An IPv4 option has an impossible length.";
    Ipv4BadChecksum = "ipv4_bad_checksum", "The IPv4 header checksum is wrong.";

    Ipv6HeaderTruncated = "ipv6_header_truncated", "The frame ends inside an IPv6 header.";
    Ipv6BadVersion = "ipv6_bad_version", "The packet came as IPv6 but its version field is not 6.";
    Ipv6PayloadLengthTooLong = "ipv6_payload_length_too_long", "The IPv6 payload length is longer than what arrived.";
    Ipv6Jumbogram = "ipv6_jumbogram", "The IPv6 packet is a jumbogram, which is not supported.";
    Ipv6ExtensionTruncated = "ipv6_extension_truncated", "The packet ends inside an IPv6 extension header.";
    Ipv6ExtensionBadLength = "ipv6_extension_bad_length", "An IPv6 authentication header claims to be shorter than 12 bytes.";
    Ipv6TooManyExtensions = "ipv6_too_many_extensions", "The packet carries more than eight IPv6 extension headers.";
    Ipv6HopByHopNotFirst = "ipv6_hop_by_hop_not_first", "An IPv6 hop-by-hop header is not the first extension header.";
    Ipv6RepeatedFragment = "ipv6_repeated_fragment", "The packet carries a second IPv6 fragment header.";
    Ipv6FragmentOverrun = "ipv6_fragment_overrun", "The IPv6 fragment would end past 65,535 bytes once reassembled.";
    Ipv6FragmentUnaligned = "ipv6_fragment_unaligned", "The IPv6 fragment is not the last one, yet its length is not a multiple of eight.";
    Ipv6FragmentHidesTcp = "ipv6_fragment_hides_tcp", "The IPv6 fragment would overwrite part of a TCP header upon reassembly.";

    TcpHeaderTruncated = "tcp_header_truncated", "The packet ends inside a TCP header or its options.";
    TcpBadDataOffset = "tcp_bad_data_offset", "The TCP header claims to be shorter than 20 bytes.";
    TcpBadOption = "tcp_bad_option", "A TCP option has an impossible length.";
    TcpBadChecksum = "tcp_bad_checksum", "The TCP checksum is wrong.";

    UdpHeaderTruncated = "udp_header_truncated", "The packet ends inside a UDP header.";
    UdpLengthTooShort = "udp_length_too_short", "The UDP length is shorter than the UDP header.";
    UdpLengthTooLong = "udp_length_too_long", "The UDP length is longer than what the IP packet holds.";
    UdpZeroChecksumOverIpv6 = "udp_zero_checksum_over_ipv6", "The UDP datagram has no checksum, which IPv6 does not allow.";
    UdpBadChecksum = "udp_bad_checksum", "The UDP checksum is wrong.";

    SctpHeaderTruncated = "sctp_header_truncated", "The packet ends inside an SCTP common header.";
    SctpBadChunk = "sctp_bad_chunk", "An SCTP chunk has an impossible length.";

    Icmpv4HeaderTruncated = "icmpv4_header_truncated", "The packet ends inside an ICMP header.";
    Icmpv4BadChecksum = "icmpv4_bad_checksum", "The ICMP checksum is wrong.";
    Icmpv6HeaderTruncated = "icmpv6_header_truncated", "The packet ends inside an ICMPv6 header.";
    Icmpv6BadChecksum = "icmpv6_bad_checksum", "The ICMPv6 checksum is wrong.";

    NdTruncated = "nd_truncated", "The packet ends inside a neighbour discovery message.";
    NdBadHopLimit = "nd_bad_hop_limit", "A neighbour discovery message has a hop limit other than 255, so it may come from off the link.";
    NdBadCode = "nd_bad_code", "A neighbour discovery message has an ICMPv6 code other than zero.";
    NdMulticastTarget = "nd_multicast_target", "A neighbour discovery message is about a multicast address.";
    NdBadOption = "nd_bad_option", "A neighbour discovery option has an impossible length.";

    IgmpTruncated = "igmp_truncated", "The packet ends inside an IGMP message.";
    IgmpBadQueryLength = "igmp_bad_query_length", "An IGMP query is longer than version 2 makes it and shorter than version 3 does.";
    IgmpNotAGroup = "igmp_not_a_group", "An IGMP message is about an address that is no multicast group.";
    IgmpBadRecord = "igmp_bad_record", "An IGMP report ends inside one of its group records.";
    IgmpBadChecksum = "igmp_bad_checksum", "The IGMP checksum is wrong.";
    MldTruncated = "mld_truncated", "The packet ends inside a multicast listener discovery message.";
    MldBadHopLimit = "mld_bad_hop_limit", "A multicast listener discovery message has a hop limit other than 1.";
    MldBadQueryLength = "mld_bad_query_length", "A multicast listener query is longer than version 1 makes it and shorter than version 2 does.";
    MldNotAGroup = "mld_not_a_group", "A multicast listener discovery message is about an address that is no multicast group.";
    MldBadRecord = "mld_bad_record", "A multicast listener report ends inside one of its address records.";

    VxlanHeaderTruncated = "vxlan_header_truncated", "The datagram ends inside a VXLAN header.";
    VxlanNoNetwork = "vxlan_no_network", "The VXLAN header does not say that its network identifier is valid.";

    GeneveHeaderTruncated = "geneve_header_truncated", "The datagram ends inside a Geneve header or its options.";
    GeneveBadVersion = "geneve_bad_version", "The Geneve header has a version other than 0.";
    GeneveBadOption = "geneve_bad_option", "A Geneve option is longer than the options it stands in.";
}

impl Malformed {
    /// How many variants there are; discriminants run from zero to one less.
    pub const COUNT: usize = Self::ALL.len();

    /// The discriminant, as an index into a table of [`Malformed::COUNT`] counters.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::format;

    #[test]
    fn indices_are_dense_and_in_order() {
        for (index, reason) in Malformed::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }

    #[test]
    fn each_name_is_the_variant_in_snake_case_and_unique() {
        let mut seen = HashSet::new();
        for reason in Malformed::ALL {
            let camel: std::string::String = reason
                .name()
                .split('_')
                .map(|word| {
                    let (first, rest) = word.split_at(1);
                    format!("{}{rest}", first.to_uppercase())
                })
                .collect();
            assert_eq!(camel, format!("{reason:?}"));
            assert!(seen.insert(reason.name()));
            assert!(reason.sentence().ends_with('.'));
        }
    }
}

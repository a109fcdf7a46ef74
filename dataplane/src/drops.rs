//! Why a frame died: the complete list.
//!
//! Every frame that enters the switch leaves by one port or by one of these. The sentence beside each name is
//! the operator's: it is what `podlane counters` and the documents print.

/// The reasons, with the snake_case name used in JSON and the sentence for people.
macro_rules! drop_reasons {
    ($($variant:ident, $name:literal, $sentence:literal;)*) => {
        /// Why a frame was dropped.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $sentence] $variant,)*
        }

        impl DropReason {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The stable name in JSON, metrics and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means and where to look, for the operator.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

drop_reasons! {
    Runt, "runt", "The frame is shorter than an Ethernet header or than the header its type announces.";
    Giant, "giant", "The frame is longer than the receiving port's MTU allows.";
    VlanTruncated, "vlan_truncated", "The frame ends inside a VLAN tag.";
    TooManyVlanTags, "too_many_vlan_tags", "The frame carries more than two VLAN tags.";
    Ipv4Header, "ipv4_header", "The IPv4 header is truncated, of another version, or its length field is below 20 bytes.";
    Ipv4Length, "ipv4_length", "The IPv4 total length is shorter than the header or longer than the frame.";
    Ipv4Checksum, "ipv4_checksum", "The header checksum of an IPv4 packet to be routed is wrong (RFC 1812, 5.2.2).";
    Ipv6Header, "ipv6_header", "The IPv6 header is truncated, of another version, or its extension headers do not end.";
    Ipv6Length, "ipv6_length", "The IPv6 payload length is longer than the frame.";
    L4Truncated, "l4_truncated", "The transport header is cut off although the packet is no fragment.";
    L4Length, "l4_length", "The UDP length or TCP data offset contradicts the packet.";
    ArpMalformed, "arp_malformed", "The ARP packet is truncated or not Ethernet over IPv4.";
    SourceMulticast, "source_multicast", "The source MAC address is a group address.";
    SpoofedMac, "spoofed_mac", "The source MAC address is not the one stated for this port, or for the peer it came from.";
    SpoofedAddress, "spoofed_address", "The source IP address (or ARP sender, or advertised ND target) is not one stated for this port, or for the peer it came from.";
    RogueRouter, "rogue_router", "A router advertisement or redirect in a network whose gateway the switch plays (RFC 6105).";
    PortClosed, "port_closed", "The port is not in the tables yet, or its pod waits for an address: it is born closed.";
    VlanNotAllowed, "vlan_not_allowed", "The frame's VLAN (or the lack of one) is not configured on this port.";
    ReservedMulticast, "reserved_multicast", "A link-local protocol frame (01:80:c2:00:00:0x) is not forwarded by a bridge.";
    SamePort, "same_port", "The destination is behind the port the frame came from.";
    NoDestination, "no_destination", "A flooded frame's network has no other port.";
    UnknownDestination, "unknown_destination", "The destination MAC address is unknown and the network does not flood.";
    FloodLimit, "flood_limit", "The network's flood limit (storm cap) was reached.";
    NotIp, "not_ip", "A frame for the gateway is neither IP nor ARP.";
    ForGateway, "for_gateway", "A packet for the gateway's own address that it does not answer.";
    NoGatewayInFamily, "no_gateway_in_family", "A packet to be routed in an address family for which its network has no gateway.";
    NoRoute, "no_route", "The VRF has no route to the destination.";
    Blackhole, "blackhole", "The route says discard.";
    TtlExpired, "ttl_expired", "The time to live or hop limit was 1 or less at the gateway.";
    NeighbourUnresolved, "neighbour_unresolved", "The next hop's MAC address is not known yet; a request was sent.";
    NotRoutable, "not_routable", "Link-local, loopback, multicast or unspecified addresses are not routed.";
    TooBig, "too_big", "The packet exceeds the MTU of the port it should leave by.";
    ReplyLimit, "reply_limit", "The gateway's reply or error was suppressed by its rate limit.";
    EgressGone, "egress_gone", "The port the packet should leave by is not attached.";
    EgressFull, "egress_full", "The transmit queue of the port it should leave by is full.";
    HandoffFull, "handoff_full", "The ring to the worker that owns the leaving port is full.";
    NoFrame, "no_frame", "No free frame was left for a copy; give the worker more frames.";
    NoHeadroom, "no_headroom", "No room in front of the packet for a header to be pushed.";
    TunnelTruncated, "tunnel_truncated", "A packet to a VTEP address ends inside its outer headers, or its lengths contradict each other.";
    OuterFragment, "outer_fragment", "A tunnelled packet arrived in fragments; the underlay's MTU is smaller than its sender believes.";
    OuterChecksum, "outer_checksum", "The outer IPv4 header checksum or the outer UDP checksum is wrong.";
    TunnelFlags, "tunnel_flags", "The tunnel header does not say that its VNI is valid, is of another version, or does not carry Ethernet.";
    TunnelReserved, "tunnel_reserved", "Reserved bits of the tunnel header are set: an extension that Podlane does not know.";
    TunnelOption, "tunnel_option", "A Geneve option is critical and not known (RFC 8926, 3.5).";
    UnknownVtep, "unknown_vtep", "A tunnelled packet came from an address that is no peer of this node.";
    UnknownVni, "unknown_vni", "A tunnelled packet came from a peer with a VNI that is no network of this node.";
    TunnelLoop, "tunnel_loop", "A tunnelled packet came from this node's own VTEP address: the underlay has a loop.";
    InnerRunt, "inner_runt", "The packet in a tunnel is shorter than an Ethernet header.";
    InnerVlan, "inner_vlan", "The packet in a tunnel carries a VLAN tag (RFC 7348, 6.1).";
    CongestionMark, "congestion_mark", "The underlay marked congestion on a packet whose sender does not understand it (RFC 6040, 4.2).";
    SplitHorizon, "split_horizon", "A packet that came out of a tunnel would have been bridged into a tunnel.";
    NotTunnelled, "not_tunnelled", "An uplink's frame was neither a tunnel's nor anything the underlay needs.";
    ForUnderlay, "for_underlay", "ARP, neighbour discovery or ICMP of the underlay: read, and answered where an answer is due.";
    UnderlayUnresolved, "underlay_unresolved", "No next hop towards the peer's VTEP answers; it was asked for.";
    ReplicationLimit, "replication_limit", "A copy for a peer was not made: the network's replication limit was reached.";
    NoListener, "no_listener", "A multicast packet whose group nobody else in the network listens to, a report that no querier waits for, or an announcement that nobody needs.";
    VtepAddress, "vtep_address", "A pod sends from the address of a VTEP.";
    PolicyDenied, "policy_denied", "No policy lets the connection be opened, or one forbids it; `podlane policy denied` names the rule.";
    NoConnection, "no_connection", "A TCP segment that belongs to no known connection and opens none, or data after a reset.";
    UnexpectedSyn, "unexpected_syn", "A SYN within a connection from the side that did not open it.";
    BadReset, "bad_reset", "A TCP reset outside of its connection's window (RFC 5961, 3.2).";
    ConnectionsFull, "connections_full", "The table of connections has no room for a new one; those that are in it go on.";
    ConnectionLimit, "connection_limit", "The pod opens more connections a second than it may (`new_connections`).";
    StrayFragment, "stray_fragment", "A fragment whose first one was not let through before it.";
    EgressRate, "egress_rate", "The pod sends more than its `egress_rate`.";
    IngressRate, "ingress_rate", "The pod would receive more than its `ingress_rate`.";
    FaultDrop, "fault_drop", "Dropped on purpose by a fault port.";
    HandOver, "hand_over", "The frame waited for a port that took nothing when the daemon handed over to its successor.";
    PortRemoved, "port_removed", "The port was removed while the frame was queued for it.";
}

/// How many reasons there are.
pub const REASONS: usize = DropReason::ALL.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_order_agree() {
        for (number, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert!(reason.name().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
            assert!(reason.sentence().ends_with('.'));
        }
        let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REASONS);
    }
}

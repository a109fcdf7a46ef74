// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The program on an uplink, which Podlane shares with the host. It claims what
 * is sent to our VTEP addresses on our tunnel ports, what the switch needs to
 * find its next hops and to hear of path MTUs, or everything when the uplink
 * was given whole. Where pods are on the wire beside the host, what is for one
 * of them is claimed as well, by its MAC address or by its IP address. The rest
 * goes to the kernel untouched: ssh, the kubelet and the node's own VXLAN stay
 * as they were.
 *
 *            own VTEP (the host lacks it)     shared VTEP (the host has it too)
 *   UDP      to a tunnel port                 to a tunnel port
 *   ICMP     all                              too-big about our tunnel packets
 *   ARP, ND  that asks for or answers it      none: the host speaks for it
 *
 * and ARP replies to the probes by which the switch asks for its next hops.
 *
 *            pods by MAC                       pods by IP address
 *   unicast  to a pod's MAC address            to a pod's address
 *   group    none                              ARP and ND that ask for a pod
 *
 * What is for everyone is the kernel's: it has to reach the host whatever
 * becomes of the daemon, and a program of this kind cannot copy a frame. The
 * switch hears of it by a packet socket (rings/src/packet_ring.rs).
 *
 * Whatever cannot be read in full is passed; a frame claimed by mistake would
 * cost the host its connection. Foreign frames, the host's own, leave at their
 * EtherType, protocol or port, before any map is looked into.
 */
#include "abi.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_8021Q 0x8100
#define ETHERTYPE_8021AD 0x88a8
#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_ICMPV6 58

#define ETHERNET_BYTES 14
#define TAG_BYTES 4
#define TAGS 2
#define ARP_BYTES 28
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define FRAGMENT_BYTES 8
#define UDP_BYTES 8
#define ICMP_BYTES 8
#define SOLICITATION_BYTES 24

/* More fragments, or an offset: everything but the don't-fragment bit. */
#define IPV4_FRAGMENT 0x3fff
#define IPV4_OFFSET 0x1fff

#define ARP_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2
#define ICMP_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMPV6_TOO_BIG 2
#define ICMPV6_SOLICITATION 135

#define PORTS 4

/*
 * What is ours on this device beside addresses. A change while frames arrive
 * may be seen half done: each word stands for itself, so that any mix claims
 * what the old or the new one does. All zero, as the map is born, claims
 * nothing.
 */
struct claim {
	u16 ports[PORTS]; /* tunnel ports, host order; 0 is none */
	u16 whole;
	u16 shared; /* by what pods on the wire are known: BY_MAC, BY_ADDRESS */
};

enum { BY_MAC = 1, BY_ADDRESS = 2 };

/* A pod on the wire by its address. Untagged frames are of VLAN 0. */
struct station {
	u16 version;
	u16 vlan;
	u8 address[16]; /* as in struct vtep */
};

struct mac {
	u8 address[6];
	u8 zero[2];
};

/* The version keeps 10.0.0.1 apart from an IPv6 address that begins with it. */
struct vtep {
	u32 version;
	u8 address[16]; /* IPv4: the first four bytes, the rest zero */
};

/* The values of VTEPS; the switch's own link-local addresses are OWN as well. */
enum owner { NOBODY, OWN, SHARED };

enum judgement { FOREIGN, OURS, FRAGMENT };

enum counter { CLAIMED, PASSED, FRAGMENTS, COUNTERS };

SOCKETS_MAP;
MAP(CLAIM, MAP_ARRAY, 4, sizeof(struct claim), 1);
MAP(VTEPS, MAP_HASH, sizeof(struct vtep), sizeof(u32), 256);
MAP(HOPS, MAP_HASH, 4, 1, 8192);
MAP(MACS, MAP_HASH, sizeof(struct mac), 1, 4096);
MAP(STATIONS, MAP_HASH, sizeof(struct station), 1, 8192);
MAP(COUNTS, MAP_PERCPU_ARRAY, 4, sizeof(u64), COUNTERS);

static INLINE u16 be16(const u8 *at)
{
	return (u16)(at[0] << 8 | at[1]);
}

static INLINE int same(const u8 *one, const u8 *other, u32 bytes)
{
	u8 difference = 0;

#pragma unroll
	for (u32 i = 0; i < bytes; i++)
		difference |= one[i] ^ other[i];
	return !difference;
}

static INLINE u32 owner(const struct vtep *address)
{
	const u32 *owner = map_lookup(&VTEPS, address);

	return owner ? *owner : NOBODY;
}

static INLINE int is_tunnel_port(const struct claim *claim, u16 port)
{
	return port && (port == claim->ports[0] || port == claim->ports[1] ||
			port == claim->ports[2] || port == claim->ports[3]);
}

static INLINE enum judgement udp(const struct claim *claim, const u8 *at,
				 const u8 *end, const struct vtep *to)
{
	if (at + UDP_BYTES > end || !is_tunnel_port(claim, be16(at + 2)))
		return FOREIGN;
	return owner(to) ? OURS : FOREIGN;
}

/* Whether an ICMP error quotes a tunnel packet of ours: one sent by `from`. */
static INLINE int quotes_ipv4(const struct claim *claim, const u8 *at,
			      const u8 *end, const struct vtep *from)
{
	u32 header;

	if (at + IPV4_BYTES > end || at[0] >> 4 != 4 || at[9] != PROTOCOL_UDP)
		return 0;
	header = (at[0] & 0xf) * 4;
	if (header < IPV4_BYTES || be16(at + 6) & IPV4_OFFSET ||
	    !same(at + 12, from->address, 4))
		return 0;
	at += header;
	return at + UDP_BYTES <= end && is_tunnel_port(claim, be16(at + 2));
}

static INLINE int quotes_ipv6(const struct claim *claim, const u8 *at,
			      const u8 *end, const struct vtep *from)
{
	if (at + IPV6_BYTES + UDP_BYTES > end || at[0] >> 4 != 6 ||
	    at[6] != PROTOCOL_UDP || !same(at + 8, from->address, 16))
		return 0;
	return is_tunnel_port(claim, be16(at + IPV6_BYTES + 2));
}

static INLINE enum judgement icmp(const struct claim *claim, const u8 *at,
				  const u8 *end, const struct vtep *to)
{
	u32 whose;

	if (at + ICMP_BYTES > end)
		return FOREIGN;
	whose = owner(to);
	if (whose == OWN)
		return OURS;
	/* What the host's own packets met on their way is for the host. */
	if (whose == SHARED && at[0] == ICMP_UNREACHABLE &&
	    at[1] == ICMP_FRAGMENTATION_NEEDED &&
	    quotes_ipv4(claim, at + ICMP_BYTES, end, to))
		return OURS;
	return FOREIGN;
}

/*
 * A solicitation sent to a solicited-node group (RFC 4291, 2.7.1). Addresses
 * of the host can be in the same group as ours, so the target decides.
 */
static INLINE enum judgement solicitation(const u8 *at, const u8 *end,
					  const u8 *group)
{
	struct vtep target = {};

	if (at + SOLICITATION_BYTES > end || at[0] != ICMPV6_SOLICITATION)
		return FOREIGN;
	if (group[1] != 2 || group[2] | group[3] | group[4] | group[5] |
	    group[6] | group[7] | group[8] | group[9] | group[10] ||
	    group[11] != 1 || group[12] != 0xff)
		return FOREIGN;
	target.version = 6;
	__builtin_memcpy(target.address, at + 8, 16);
	if (!same(group + 13, target.address + 13, 3))
		return FOREIGN;
	return owner(&target) == OWN ? OURS : FOREIGN;
}

static INLINE enum judgement icmpv6(const struct claim *claim, const u8 *at,
				    const u8 *end, const struct vtep *to)
{
	u32 whose;

	if (at + ICMP_BYTES > end)
		return FOREIGN;
	if (to->address[0] == 0xff)
		return solicitation(at, end, to->address);
	whose = owner(to);
	if (whose == OWN)
		return OURS;
	if (whose == SHARED && at[0] == ICMPV6_TOO_BIG && at[1] == 0 &&
	    quotes_ipv6(claim, at + ICMP_BYTES, end, to))
		return OURS;
	return FOREIGN;
}

static INLINE enum judgement ipv4(const struct claim *claim, const u8 *at,
				  const u8 *end)
{
	struct vtep to = {};
	u32 header;
	u8 protocol;

	if (at + IPV4_BYTES > end || at[0] >> 4 != 4)
		return FOREIGN;
	header = (at[0] & 0xf) * 4;
	protocol = at[9];
	if (header < IPV4_BYTES ||
	    (protocol != PROTOCOL_UDP && protocol != PROTOCOL_ICMP))
		return FOREIGN;
	to.version = 4;
	__builtin_memcpy(to.address, at + 16, 4);
	/*
	 * No fragment is claimed, the first one included although it shows its
	 * ports: the later ones do not, and the pieces must meet somewhere. The
	 * kernel puts them together and finds no socket; the count is how an
	 * operator learns that a sender fragments its tunnel packets.
	 */
	if (be16(at + 6) & IPV4_FRAGMENT)
		return protocol == PROTOCOL_UDP && owner(&to) ? FRAGMENT : FOREIGN;
	at += header;
	return protocol == PROTOCOL_UDP ? udp(claim, at, end, &to)
					: icmp(claim, at, end, &to);
}

/*
 * The same for IPv6. A header chain is passed without a walk: no tunnel sender
 * puts an extension header there, a fragment has to be passed anyway, and a
 * loop over the chain is paid by every foreign frame of the host.
 */
static INLINE enum judgement ipv6(const struct claim *claim, const u8 *at,
				  const u8 *end)
{
	struct vtep to = {};
	u8 protocol;

	if (at + IPV6_BYTES > end || at[0] >> 4 != 6)
		return FOREIGN;
	protocol = at[6];
	if (protocol != PROTOCOL_UDP && protocol != PROTOCOL_ICMPV6 &&
	    protocol != PROTOCOL_FRAGMENT)
		return FOREIGN;
	to.version = 6;
	__builtin_memcpy(to.address, at + 24, 16);
	at += IPV6_BYTES;
	if (protocol == PROTOCOL_UDP)
		return udp(claim, at, end, &to);
	if (protocol == PROTOCOL_ICMPV6)
		return icmpv6(claim, at, end, &to);
	if (at + FRAGMENT_BYTES > end || at[0] != PROTOCOL_UDP)
		return FOREIGN;
	return owner(&to) ? FRAGMENT : FOREIGN;
}

static INLINE enum judgement arp(const u8 *at, const u8 *end,
				 const u8 *ethernet)
{
	struct vtep target = {};
	u8 hop[4];
	u16 operation;

	if (at + ARP_BYTES > end || be16(at) != ARP_ETHERNET ||
	    be16(at + 2) != ETHERTYPE_IPV4 || at[4] != 6 || at[5] != 4)
		return FOREIGN;
	operation = be16(at + 6);
	if (operation != ARP_REQUEST && operation != ARP_REPLY)
		return FOREIGN;
	target.version = 4;
	__builtin_memcpy(target.address, at + 24, 4);
	if (owner(&target) == OWN)
		return OURS;
	/*
	 * The answer to a probe (RFC 5227): its target address is the 0.0.0.0
	 * that the probe was sent from. The host probes too, before it takes an
	 * address, and must hear that another has it. So only answers about our
	 * next hops are taken: the host would have to want its gateway's address.
	 */
	if (operation != ARP_REPLY || at[24] | at[25] | at[26] | at[27])
		return FOREIGN;
	if (ethernet[0] & 1 || !same(ethernet, at + 18, 6))
		return FOREIGN;
	__builtin_memcpy(hop, at + 14, 4);
	return map_lookup(&HOPS, hop) ? OURS : FOREIGN;
}

static INLINE enum judgement judge(const struct xdp_md *md,
				   const struct claim *claim)
{
	const u8 *ethernet = (const u8 *)(long)md->data;
	const u8 *end = (const u8 *)(long)md->data_end;
	const u8 *at = ethernet + ETHERNET_BYTES;
	u16 type;

	if (at > end)
		return FOREIGN;
	type = be16(ethernet + 12);
#pragma unroll
	for (int tag = 0; tag < TAGS; tag++) {
		if (type != ETHERTYPE_8021Q && type != ETHERTYPE_8021AD)
			break;
		if (at + TAG_BYTES > end)
			return FOREIGN;
		type = be16(at + 2);
		at += TAG_BYTES;
	}
	if (type == ETHERTYPE_IPV4)
		return ipv4(claim, at, end);
	if (type == ETHERTYPE_IPV6)
		return ipv6(claim, at, end);
	if (type == ETHERTYPE_ARP)
		return arp(at, end, ethernet);
	return FOREIGN;
}

static INLINE int has_mac(const u8 *ethernet)
{
	struct mac to = {};

	if (ethernet[0] & 1)
		return 0;
	__builtin_memcpy(to.address, ethernet, 6);
	return map_lookup(&MACS, &to) != 0;
}

/* Whom a frame is for, or asks for; 0 if it is nobody in particular. */
static INLINE int names_ipv4(const u8 *at, const u8 *end, int group,
			     struct station *whom)
{
	if (group || at + IPV4_BYTES > end || at[0] >> 4 != 4)
		return 0;
	whom->version = 4;
	__builtin_memcpy(whom->address, at + 16, 4);
	return 1;
}

static INLINE int names_arp(const u8 *at, const u8 *end, struct station *whom)
{
	if (at + ARP_BYTES > end || be16(at) != ARP_ETHERNET ||
	    be16(at + 2) != ETHERTYPE_IPV4 || at[4] != 6 || at[5] != 4)
		return 0;
	whom->version = 4;
	__builtin_memcpy(whom->address, at + 24, 4);
	return 1;
}

static INLINE int names_ipv6(const u8 *at, const u8 *end, int group,
			     struct station *whom)
{
	const u8 *target = at + IPV6_BYTES + 8;

	if (at + IPV6_BYTES > end || at[0] >> 4 != 6)
		return 0;
	whom->version = 6;
	if (at[24] != 0xff) {
		__builtin_memcpy(whom->address, at + 24, 16);
		return !group;
	}
	if (at[6] != PROTOCOL_ICMPV6 || target + 16 > end ||
	    at[IPV6_BYTES] != ICMPV6_SOLICITATION)
		return 0;
	__builtin_memcpy(whom->address, target, 16);
	return 1;
}

static INLINE enum judgement station(const struct xdp_md *md,
				     const struct claim *claim)
{
	const u8 *ethernet = (const u8 *)(long)md->data;
	const u8 *end = (const u8 *)(long)md->data_end;
	const u8 *at = ethernet + ETHERNET_BYTES;
	struct station whom = {};
	int group, names = 0;
	u16 type;

	if (at > end)
		return FOREIGN;
	if (claim->shared & BY_MAC && has_mac(ethernet))
		return OURS;
	if (!(claim->shared & BY_ADDRESS))
		return FOREIGN;
	group = ethernet[0] & 1;
	type = be16(ethernet + 12);
	if (type == ETHERTYPE_8021Q) {
		if (at + TAG_BYTES > end)
			return FOREIGN;
		whom.vlan = be16(at) & 0xfff;
		type = be16(at + 2);
		at += TAG_BYTES;
	}
	if (type == ETHERTYPE_IPV4)
		names = names_ipv4(at, end, group, &whom);
	else if (type == ETHERTYPE_IPV6)
		names = names_ipv6(at, end, group, &whom);
	else if (type == ETHERTYPE_ARP)
		names = names_arp(at, end, &whom);
	return names && map_lookup(&STATIONS, &whom) ? OURS : FOREIGN;
}

static INLINE void count(enum counter which)
{
	u32 key = which;
	u64 *value = map_lookup(&COUNTS, &key);

	if (value)
		(*value)++; /* this CPU's own, and XDP does not nest: no atomic */
}

/* "frags": without it the kernel refuses to attach at jumbo MTUs (ERANGE). */
SECTION("xdp.frags")
int podlane_uplink(struct xdp_md *md)
{
	u32 key = 0;
	int verdict = XDP_PASS;
	enum judgement judgement = FOREIGN;
	const struct claim *claim = map_lookup(&CLAIM, &key);

	if (claim)
		judgement = claim->whole ? OURS : judge(md, claim);
	if (claim && judgement == FOREIGN && claim->shared)
		judgement = station(md, claim);
	if (judgement == OURS)
		verdict = TO_SOCKET(md);
	else if (judgement == FRAGMENT)
		count(FRAGMENTS);
	/* Ours, but with no socket to take it, is passed and counted as such. */
	count(verdict == XDP_REDIRECT ? CLAIMED : PASSED);
	return verdict;
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

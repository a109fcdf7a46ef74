// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The program on an uplink, which Podlane shares with the host. It claims VXLAN
 * sent to one of our VTEP addresses, or everything when the uplink was given
 * whole, and passes the rest to the kernel untouched: ssh, the kubelet and the
 * node's own VXLAN stay as they were. Whatever it cannot read in full it
 * passes; a frame claimed by mistake would cost the host its connection.
 */
#include "abi.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_8021Q 0x8100
#define ETHERTYPE_8021AD 0x88a8
#define PROTOCOL_UDP 17

#define ETHERNET_BYTES 14
#define TAG_BYTES 4
#define TAGS 2
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8

/* More fragments, or an offset: everything but the don't-fragment bit. */
#define IPV4_FRAGMENT 0x3fff

/*
 * What is ours on this device. Eight bytes, aligned: the kernel copies an array
 * entry by whole words, so a change while frames arrive is seen whole. All
 * zero, as the map is born, claims nothing.
 */
struct claim {
	u32 vxlan_port; /* host order; 0 claims no VXLAN */
	u32 whole;
};

/* The version keeps 10.0.0.1 apart from an IPv6 address that begins with it. */
struct vtep {
	u32 version;
	u8 address[16]; /* IPv4: the first four bytes, the rest zero */
};

enum counter { CLAIMED, PASSED, COUNTERS };

SOCKETS_MAP;
MAP(CLAIM, MAP_ARRAY, 4, sizeof(struct claim), 1);
MAP(VTEPS, MAP_HASH, sizeof(struct vtep), 1, 256);
MAP(COUNTS, MAP_PERCPU_ARRAY, 4, sizeof(u64), COUNTERS);

static INLINE u16 be16(const u8 *at)
{
	return (u16)(at[0] << 8 | at[1]);
}

/* Finds the UDP header behind an IPv4 header, 0 where there is none. */
static INLINE const u8 *ipv4(const u8 *at, const u8 *end, struct vtep *to)
{
	u32 header;

	if (at + IPV4_BYTES > end || at[0] >> 4 != 4)
		return 0;
	header = (at[0] & 0xf) * 4;
	if (header < IPV4_BYTES || at[9] != PROTOCOL_UDP)
		return 0;
	/*
	 * No fragment is claimed, the first one included although it shows its
	 * ports: the later ones do not, and the pieces must meet somewhere.
	 */
	if (be16(at + 6) & IPV4_FRAGMENT)
		return 0;
	to->version = 4;
	__builtin_memcpy(to->address, at + 16, 4);
	return at + header;
}

/*
 * The same for IPv6. A header chain is passed without a walk: no VXLAN sender
 * puts an extension header there, a fragment header has to be passed anyway,
 * and a loop over the chain is paid by every foreign frame of the host.
 */
static INLINE const u8 *ipv6(const u8 *at, const u8 *end, struct vtep *to)
{
	if (at + IPV6_BYTES > end || at[0] >> 4 != 6 || at[6] != PROTOCOL_UDP)
		return 0;
	to->version = 6;
	__builtin_memcpy(to->address, at + 24, 16);
	return at + IPV6_BYTES;
}

static INLINE int is_our_vxlan(const struct xdp_md *md, u32 port)
{
	const u8 *at = (const u8 *)(long)md->data;
	const u8 *end = (const u8 *)(long)md->data_end;
	struct vtep to = {};
	u16 type;

	if (at + ETHERNET_BYTES > end)
		return 0;
	type = be16(at + 12);
	at += ETHERNET_BYTES;
#pragma unroll
	for (int tag = 0; tag < TAGS; tag++) {
		if (type != ETHERTYPE_8021Q && type != ETHERTYPE_8021AD)
			break;
		if (at + TAG_BYTES > end)
			return 0;
		type = be16(at + 2);
		at += TAG_BYTES;
	}
	if (type == ETHERTYPE_IPV4)
		at = ipv4(at, end, &to);
	else if (type == ETHERTYPE_IPV6)
		at = ipv6(at, end, &to);
	else
		return 0;
	if (!at || at + UDP_BYTES > end || be16(at + 2) != port)
		return 0;
	return map_lookup(&VTEPS, &to) != 0;
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
	const struct claim *claim = map_lookup(&CLAIM, &key);

	if (claim && (claim->whole ||
		      (claim->vxlan_port && is_our_vxlan(md, claim->vxlan_port))))
		verdict = TO_SOCKET(md);
	/* Ours, but with no socket to take it, is passed and counted as such. */
	count(verdict == XDP_REDIRECT ? CLAIMED : PASSED);
	return verdict;
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

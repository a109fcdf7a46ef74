// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel carries what the workers have decided. Three programs, each on
 * what arrives at a device in the host's network namespace:
 *
 *   podlane_tc_pod    the host end of an assisted pod's link, which has no XDP
 *   podlane_tunnel    a vxlan device in external mode
 *   podlane_trunk     the near end of a worker's trunk
 *
 *              hit: redirected to the pod, the host, or into the tunnel
 *   pod  ---+---------------------------------------------------------> pod
 *           | miss: tagged with the number of where it came from
 *           +--> trunk, near end ===== far end (AF_XDP) worker
 *   pod  <------ trunk, near end ===== far end  tagged with the number of
 *                                               where it is to go
 *
 * The number is the 16 bits of an outer 802.1ad tag. It is put on by what the
 * packet came in by, above whatever the pod had written, so nobody can forge
 * it. A pod's own tags go to the worker below it.
 *
 * All of it is closed: what is neither decided nor from a known place is
 * dropped, and counted.
 */
#include "apply.h"

#define NUMBER_TAG 0xa888 /* 802.1ad, in the order of the wire */

static INLINE int same_words(const void *one, const void *other, u32 words)
{
	const u64 *a = one, *b = other;
	u64 differ = 0;

	for (u32 i = 0; i < words; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

static INLINE int same_peer(const u32 *one, const u32 *other)
{
	return ((one[0] ^ other[0]) | (one[1] ^ other[1]) | (one[2] ^ other[2]) | (one[3] ^ other[3])) == 0;
}

static INLINE int same_mac(const u8 *one, const u8 *other)
{
	u32 differ = 0;

	for (u32 i = 0; i < 6; i++)
		differ |= one[i] ^ other[i];
	return differ == 0;
}

/* Finds a packet's order; CARRIED if it may be carried out. */
static INLINE u32 find(const struct packet *packet, const u32 *peer, struct order *order)
{
	struct flow *flow = map_lookup(&FLOWS, &packet->key);
	struct permit *permit;
	u32 zero = 0;
	u64 *generation = map_lookup(&GENERATION, &zero);

	if (!flow || !generation)
		return NO_FLOW;
	*order = flow->order;
	BARRIER();
	if (!same_words(&flow->key, &packet->key, KEY_WORDS))
		return NO_FLOW;
	if (order->generation != *generation)
		return STALE;
	if (peer && !same_peer(order->peer, peer))
		return OTHER_PEER;
	if (packet->longest > order->mtu)
		return TOO_LONG;
	if (order->edits & HOP && packet->hops <= 1)
		return NO_HOPS;
	if (order->stamp == 0)
		return CARRIED;
	permit = map_lookup(&PERMITS, &order->permit);
	if (!permit || *(volatile u32 *)&permit->stamp != order->stamp)
		return REVOKED;
	if (packet->key.protocol == TCP)
		permit->acknowledged = packet->acknowledged;
	return CARRIED;
}

/* To the worker whose port it is. */
static INLINE int miss(struct skb *skb, u32 from, const u32 *peer, u32 why)
{
	struct origin_key key = {.from = from};
	struct origin *origin;
	u32 trunk;

	if (peer)
		__builtin_memcpy(key.peer, peer, sizeof(key.peer));
	origin = map_lookup(&ORIGINS, &key);
	if (!origin)
		return drop(NO_ORIGIN);
	trunk = origin->trunk;
	if (vlan_push(skb, NUMBER_TAG, origin->port))
		return drop(REFUSED);
	note(why);
	return redirect(trunk, 0);
}

static INLINE int carry(struct skb *skb, u32 from, const u32 *peer)
{
	struct packet packet = {.key.from = from};
	struct order order;
	u32 verdict = parse(&packet, skb);

	if (verdict == CARRIED)
		verdict = find(&packet, peer, &order);
	if (verdict != CARRIED)
		return miss(skb, from, peer, verdict);
	count(skb, &packet, order.slot);
	if (edit(skb, &packet, &order))
		return drop(REFUSED);
	/* Where the host is asked for on the device itself, its own stack goes on. */
	if (order.target.kind == HOST && order.target.ifindex == skb->ifindex) {
		change_type(skb, PACKET_HOST);
		return TC_PASS;
	}
	return deliver(skb, &order.target);
}

SECTION("classifier")
int podlane_tc_pod(struct skb *skb)
{
	return carry(skb, skb->ifindex, 0);
}

SECTION("classifier")
int podlane_tunnel(struct skb *skb)
{
	struct tunnel_key key = {};

	if (get_tunnel_key(skb, &key, sizeof(key), 0)) {
		if (get_tunnel_key(skb, &key, sizeof(key), TUNNEL_IPV6))
			return drop(NO_ORIGIN);
	} else {
		key.remote[1] = key.remote[2] = key.remote[3] = 0;
	}
	return carry(skb, FROM_TUNNEL | key.vni, key.remote);
}

/*
 * What a worker sends. To a pod whose MAC address it is for, straight into its
 * stack; anything else for a pod, groups and what is flooded among it, out of
 * the host end, so that the pod's own end finds out what it is.
 */
SECTION("classifier")
int podlane_trunk(struct skb *skb)
{
	struct target *port, target;
	u32 number = skb->vlan_tci & 0xffff;
	u8 mac[6];

	if (!skb->vlan_present || skb->vlan_proto != NUMBER_TAG)
		return drop(NO_TAG);
	port = map_lookup(&PORTS, &number);
	if (!port)
		return drop(NO_PORT);
	target = *port;
	if (vlan_pop(skb) || load_bytes(skb, 0, mac, sizeof(mac)))
		return drop(REFUSED);
	if (target.kind == POD && !same_mac(mac, target.mac))
		return redirect(target.ifindex, 0);
	return deliver(skb, &target);
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

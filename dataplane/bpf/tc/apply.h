/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Does to a packet what was decided: counts it, edits it, sends it on.
 *
 * Everything is written by calls, not in place: a program that writes in place
 * has the kernel make every packet its own first, those too that it only
 * passes on, and TCP's are all shared with the sender's queue.
 */
#ifndef PODLANE_TC_APPLY_H
#define PODLANE_TC_APPLY_H

#include "parse.h"

/*
 * Segments that are still together are counted as what they will be on a wire,
 * so that a flow's counts are the same whether the kernel or a worker has it.
 */
static INLINE void count(struct skb *skb, const struct packet *packet, u32 slot)
{
	struct count *count = map_lookup(&COUNTS, &slot);
	u32 segments = 1, size = skb->gso_size;

	if (!count)
		return;
	if (size) {
		segments = skb->gso_segs;
		/* Not said yet of what a guest sent. */
		if (segments == 0)
			segments = (skb->len - packet->head + size - 1) / size;
	}
	count->packets += segments;
	count->bytes += skb->len + (u64)(segments - 1) * packet->head;
	count->used = coarse_time();
}

/* The sum over the header stays what it was, and so does one over the packet that a NIC has made. */
static INLINE long hop_ipv4(struct skb *skb)
{
	u8 part[4]; /* hops, protocol, checksum */
	u32 sum;

	if (load_bytes(skb, ETHERNET_BYTES + 8, part, sizeof(part)))
		return -1;
	sum = be16(part + 2) + 0x0100; /* RFC 1624: a hop is the high byte of its word */
	sum = (sum & 0xffff) + (sum >> 16);
	part[0] -= 1;
	part[2] = sum >> 8;
	part[3] = sum;
	return store_bytes(skb, ETHERNET_BYTES + 8, part, sizeof(part), 0);
}

static INLINE long hop_ipv6(struct skb *skb, const struct packet *packet)
{
	u8 part[2] = {packet->key.protocol, packet->hops - 1};

	return store_bytes(skb, ETHERNET_BYTES + 6, part, sizeof(part), STORE_RECOMPUTE_SUM);
}

static INLINE long edit(struct skb *skb, const struct packet *packet, const struct order *order)
{
	if (order->edits & HOP && (packet->ipv6 ? hop_ipv6(skb, packet) : hop_ipv4(skb)))
		return -1;
	if (order->edits & REWRITE)
		return store_bytes(skb, 0, order->macs, sizeof(order->macs), 0);
	return 0;
}

/* Outer headers are the tunnel device's to write; segments stay together through it. */
static INLINE int tunnel(struct skb *skb, const struct target *target)
{
	struct tunnel_key key = {.vni = target->vni, .ttl = 64};
	u64 flags = target->kind == REMOTE_IPV6 ? TUNNEL_IPV6 : TUNNEL_ZERO_SUM;

	__builtin_memcpy(key.remote, target->remote, sizeof(key.remote));
	if (set_tunnel_key(skb, &key, sizeof(key), flags | TUNNEL_DONT_FRAGMENT))
		return drop(REFUSED);
	return redirect(target->ifindex, 0);
}

/*
 * Sends a packet for a station of the target's. Into a pod that is by the
 * stack of its own end; what it is taken for there, its own or somebody
 * else's, was found by the device it came in by, and is put right.
 */
static INLINE int deliver(struct skb *skb, const struct target *target)
{
	switch (target->kind) {
	case POD:
		if (skb->pkt_type != PACKET_HOST)
			change_type(skb, PACKET_HOST);
		return redirect_peer(target->ifindex, 0);
	case HOST:
		return redirect(target->ifindex, REDIRECT_INGRESS);
	case REMOTE_IPV4:
	case REMOTE_IPV6:
		return tunnel(skb, target);
	}
	return drop(NO_PORT);
}

#endif

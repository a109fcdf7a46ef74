/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Reads a packet into the key of its flow, if it is one that the kernel may
 * carry: untagged IPv4 without options or IPv6 without extension headers, no
 * fragment, every length honest, TCP, UDP, SCTP or an ICMP echo, and nothing
 * that opens or ends a connection. The workers' short way
 * (dataplane/src/stage/plain.rs) takes the same packets, and what is refused
 * here they look at in full.
 */
#ifndef PODLANE_TC_PARSE_H
#define PODLANE_TC_PARSE_H

#include "flow.h"

#define ETHERNET_BYTES 14
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define TCP_BYTES 20
#define UDP_BYTES 8
#define ICMP_BYTES 8
#define SCTP_BYTES 16 /* with the head of its first chunk */
#define LONGEST_HEAD (ETHERNET_BYTES + IPV6_BYTES + TCP_BYTES)

/* More fragments, or an offset: everything but the don't-fragment bit. */
#define IPV4_FRAGMENT 0x3fff

#define TCP_FIN_SYN_RST 0x07

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58, SCTP = 132 };
enum { ECHO_REPLY = 0, ECHO = 8, ECHO_V6 = 128, ECHO_REPLY_V6 = 129 };
enum { CHUNK_DATA = 0, CHUNK_SACK = 3, CHUNK_HEARTBEAT = 4, CHUNK_HEARTBEAT_ACK = 5 };

struct packet {
	struct key key;
	u32 head;    /* bytes of headers, which every segment repeats */
	u32 longest; /* of the IP packets that it is or will be cut into */
	u8 hops;
	u8 ipv6;
	u64 acknowledged; /* of TCP, as in a permit */
};

static INLINE u32 be16(const u8 *at)
{
	return __builtin_bswap16(*(const u16 *)at);
}

/*
 * Words of a packet, whatever address they are at: byte by byte the program is
 * a quarter larger and takes 72 ns instead of 67. `to` is aligned.
 */
static INLINE void copy(void *to, const void *from, u32 bytes)
{
	u32 at = 0;

	for (; at + 8 <= bytes; at += 8)
		*(u64 *)(to + at) = *(const u64 *)(from + at);
	if (bytes & 4) {
		*(u32 *)(to + at) = *(const u32 *)(from + at);
		at += 4;
	}
	if (bytes & 2)
		*(u16 *)(to + at) = *(const u16 *)(from + at);
}

/* DATA or a heartbeat; or a SACK and nothing after it, where a SHUTDOWN may be. */
static INLINE int opens_or_ends(const u8 *sctp, u32 segment)
{
	const u8 *chunk = sctp + 12;

	switch (chunk[0]) {
	case CHUNK_DATA:
	case CHUNK_HEARTBEAT:
	case CHUNK_HEARTBEAT_ACK:
		return 0;
	case CHUNK_SACK:
		return 12 + be16(chunk + 2) != segment;
	}
	return 1;
}

/* `l4` is `at` bytes into the frame; `segment` is how long IP says it is. */
static INLINE u32 read_l4(struct packet *packet, const u8 *l4, const u8 *end, u32 at, u32 segment)
{
	u32 offset;

	switch (packet->key.protocol) {
	case TCP:
		if (l4 + TCP_BYTES > end)
			return NOT_PLAIN;
		offset = (l4[12] >> 4) * 4;
		if (offset < TCP_BYTES || offset > segment)
			return NOT_PLAIN;
		if (l4[13] & TCP_FIN_SYN_RST)
			return CONTROL;
		packet->head = at + offset;
		packet->acknowledged = *(const u64 *)(l4 + 8);
		break;
	case UDP:
		if (l4 + UDP_BYTES > end)
			return NOT_PLAIN;
		if (be16(l4 + 4) < UDP_BYTES || be16(l4 + 4) > segment)
			return NOT_PLAIN;
		packet->head = at + UDP_BYTES;
		break;
	case SCTP:
		if (l4 + SCTP_BYTES > end || segment < SCTP_BYTES)
			return NOT_PLAIN;
		if (opens_or_ends(l4, segment))
			return CONTROL;
		break;
	case ICMP:
	case ICMPV6:
		if (l4 + ICMP_BYTES > end || segment < ICMP_BYTES || l4[1] != 0)
			return NOT_PLAIN;
		if (packet->ipv6 ? l4[0] != ECHO_V6 && l4[0] != ECHO_REPLY_V6 : l4[0] != ECHO && l4[0] != ECHO_REPLY)
			return NOT_PLAIN;
		packet->key.ports[0] = l4[0];
		return CARRIED;
	default:
		return NOT_PLAIN;
	}
	copy(packet->key.ports, l4, sizeof(packet->key.ports));
	return CARRIED;
}

static INLINE u32 read_ipv4(struct packet *packet, const u8 *ip, const u8 *end, u32 length)
{
	u32 total;

	if (ip + IPV4_BYTES > end || ip[0] != 0x45)
		return NOT_PLAIN;
	total = be16(ip + 2);
	if (total < IPV4_BYTES || ETHERNET_BYTES + total > length)
		return NOT_PLAIN;
	if (be16(ip + 6) & IPV4_FRAGMENT)
		return FRAGMENT;
	packet->hops = ip[8];
	packet->longest = total;
	packet->key.protocol = ip[9];
	if (ip[9] == ICMPV6)
		return NOT_PLAIN;
	copy(packet->key.source, ip + 12, 4);
	copy(packet->key.destination, ip + 16, 4);
	return read_l4(packet, ip + IPV4_BYTES, end, ETHERNET_BYTES + IPV4_BYTES, total - IPV4_BYTES);
}

static INLINE u32 read_ipv6(struct packet *packet, const u8 *ip, const u8 *end, u32 length)
{
	u32 payload;

	if (ip + IPV6_BYTES > end || ip[0] >> 4 != 6)
		return NOT_PLAIN;
	payload = be16(ip + 4);
	if (ETHERNET_BYTES + IPV6_BYTES + payload > length)
		return NOT_PLAIN;
	packet->ipv6 = 1;
	packet->hops = ip[7];
	packet->longest = IPV6_BYTES + payload;
	packet->key.protocol = ip[6];
	if (ip[6] == ICMP)
		return NOT_PLAIN;
	copy(packet->key.source, ip + 8, 16);
	copy(packet->key.destination, ip + 24, 16);
	return read_l4(packet, ip + IPV6_BYTES, end, ETHERNET_BYTES + IPV6_BYTES, payload);
}

/* Returns CARRIED, or why a worker has to look at the packet. The packet is zero but for the key's `from`. */
static INLINE u32 parse(struct packet *packet, struct skb *skb)
{
	const u8 *data = (const u8 *)(long)skb->data, *end = (const u8 *)(long)skb->data_end;
	u32 length = skb->len, verdict;

	/* Pulled only where the headers are scattered: the call also copies what is shared. */
	if (data + LONGEST_HEAD > end && data + length > end) {
		pull_data(skb, length < LONGEST_HEAD ? length : LONGEST_HEAD);
		data = (const u8 *)(long)skb->data;
		end = (const u8 *)(long)skb->data_end;
	}
	if (data + ETHERNET_BYTES > end || skb->vlan_present)
		return NOT_PLAIN;
	copy(packet->key.link, data, ETHERNET_BYTES);
	switch (be16(data + 12)) {
	case 0x0800:
		verdict = read_ipv4(packet, data + ETHERNET_BYTES, end, length);
		break;
	case 0x86dd:
		verdict = read_ipv6(packet, data + ETHERNET_BYTES, end, length);
		break;
	default:
		return NOT_PLAIN;
	}
	/* Segments that are still together; those of SCTP are of any length. */
	if (verdict == CARRIED && skb->gso_size) {
		if (packet->head == 0)
			return TOO_LONG;
		packet->longest = packet->head - ETHERNET_BYTES + skb->gso_size;
	}
	return verdict;
}

#endif

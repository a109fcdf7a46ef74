/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The maps: what the workers have decided, and what became of the packets.
 * src/carry/words.rs writes the same structures, byte by byte.
 *
 *   FLOWS       which packets, and what is done to them
 *   COUNTS      of each flow, by its slot: packets, bytes, when the last one was
 *   GENERATION  the one word under which flows are in force
 *   ORIGINS     where a packet came from: its number on the trunk, and which trunk
 *   PORTS       a number on the trunk: where it leads to
 *   PERMITS     which flows may be carried at this moment: memory that workers write
 *   EVENTS      why packets were not carried
 */
#ifndef PODLANE_TC_FLOW_H
#define PODLANE_TC_FLOW_H

#include "abi.h"

/*
 * What a verdict may depend on. Both MAC addresses and the device are in it,
 * so that a hit repeats the spoof guard: a frame with a forged source is
 * another flow, which nobody has decided.
 */
struct key {
	u32 from;     /* the device's index; out of a tunnel FROM_TUNNEL and the VNI */
	u8 ports[4];  /* as in the packet; of ICMP its type and code */
	u8 link[14];  /* the Ethernet header, as it stands */
	u8 protocol;
	u8 zero;
	u8 source[16]; /* of IPv4 the first four bytes; the rest is zero */
	u8 destination[16];
} __attribute__((aligned(8)));

#define KEY_WORDS (sizeof(struct key) / sizeof(u64))
#define FROM_TUNNEL 0x80000000

enum kind { NOWHERE, POD, HOST, REMOTE_IPV4, REMOTE_IPV6 };

/* Where packets go. The address is IPv4 in host order, or IPv6 as on the wire. */
struct target {
	u32 kind;
	u32 ifindex; /* the pod's host end, the host's device, or the tunnel's */
	u32 vni;
	u8 mac[6]; /* the pod's own */
	u8 zero[2];
	u32 remote[4];
};

enum edit {
	REWRITE = 1, /* both MAC addresses */
	HOP = 2,     /* one hop less to live */
};

struct order {
	u64 generation;
	u32 slot; /* in COUNTS */
	u16 mtu;  /* of the longest IP packet that may go there */
	u8 edits;
	u8 zero;
	u8 macs[12]; /* destination and source, if they are to be rewritten */
	u32 peer[4]; /* who has to have sent it, if it comes out of a tunnel; as in a target */
	struct target target;
	u32 permit; /* in PERMITS */
	u32 stamp;  /* what has to stand there; 0 where the flow needs no permit */
};

/*
 * A worker takes a flow back by one store into it, without a call. Its layout
 * is that of the workers' (dataplane/src/offload/permits.rs).
 */
struct permit {
	u32 stamp;
	u32 refused;
	u64 acknowledged; /* bytes 8 to 16 of the last TCP header that was carried */
};

/*
 * The kernel gives an entry that was removed to the next flow at once, maybe
 * while a program that had found it is still to read it. So the key is in it
 * twice: it was this flow's order if it still is this flow's key afterwards.
 * The key stands first, because the kernel writes upwards.
 */
struct flow {
	struct key key;
	struct order order;
};

struct count {
	u64 packets;
	u64 bytes;
	u64 used; /* nanoseconds of the monotonic clock, as coarse as the kernel's tick */
};

struct origin_key {
	u32 from;    /* as in a flow's key */
	u32 peer[4]; /* as in an order */
};

struct origin {
	u32 trunk; /* the near end's index */
	u16 port;
	u16 zero;
};

/* Up to MISSES: to a worker. From there: dropped. src/carry/counts.rs names them. */
enum event {
	CARRIED,
	NO_FLOW,
	STALE,
	NOT_PLAIN,
	FRAGMENT,
	CONTROL,
	NO_HOPS,
	TOO_LONG,
	OTHER_PEER,
	REVOKED,
	MISSES,
	NO_ORIGIN = MISSES,
	NO_PORT,
	NO_TAG,
	REFUSED,
	EVENTS_KNOWN,
};

MAP(FLOWS, MAP_HASH, sizeof(struct key), sizeof(struct flow), 65536);
MAP(COUNTS, MAP_PERCPU_ARRAY, 4, sizeof(struct count), 65536);
MAP(GENERATION, MAP_ARRAY, 4, sizeof(u64), 1);
/* Most numbers are nobody's: entries are made as they are needed. */
struct {
	int (*type)[MAP_HASH];
	int (*key_size)[sizeof(struct origin_key)];
	int (*value_size)[sizeof(struct origin)];
	int (*max_entries)[65536];
	int (*map_flags)[NO_PREALLOCATION];
} ORIGINS SECTION(".maps");
/* The workers have it mapped. */
struct {
	int (*type)[MAP_ARRAY];
	int (*key_size)[4];
	int (*value_size)[sizeof(struct permit)];
	int (*max_entries)[65536];
	int (*map_flags)[MAPPABLE];
} PERMITS SECTION(".maps");
MAP(PORTS, MAP_ARRAY, 4, sizeof(struct target), 65536);
MAP(EVENTS, MAP_PERCPU_ARRAY, 4, sizeof(u64), EVENTS_KNOWN);

static INLINE void note(u32 event)
{
	u64 *count = map_lookup(&EVENTS, &event);

	if (count)
		*count += 1;
}

static INLINE int drop(u32 event)
{
	note(event);
	return TC_DROP;
}

#endif

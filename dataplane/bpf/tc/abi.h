/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What carry.c needs of the kernel's BPF interface beyond the part that the
 * XDP programs stand on: the context of a tc program, its verdicts, and the
 * calls that only such a program has. Stable kernel ABI, as there.
 */
#ifndef PODLANE_TC_ABI_H
#define PODLANE_TC_ABI_H

#include "../xdp/abi.h"

/* struct __sk_buff, up to the last field that is read here. */
struct skb {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
	u32 napi_id;
	u32 sockets[13]; /* of programs on sockets */
	u32 data_meta;
	u64 flow_keys;
	u64 tstamp;
	u32 wire_len;
	u32 gso_segs;
	u64 sk;
	u32 gso_size;
};

/* struct bpf_tunnel_key without the local address: the kernel takes any of its lengths. */
struct tunnel_key {
	u32 vni;
	u32 remote[4]; /* IPv4: the first, in host order; IPv6: as on the wire */
	u8 tos;
	u8 ttl;
	u16 flags;
	u32 label;
};

enum action {
	TC_PASS = 0,
	TC_DROP = 2,
};

enum packet_type {
	PACKET_HOST = 0,
};

enum {
	NO_PREALLOCATION = 1,
	MAPPABLE = 1024,
	REDIRECT_INGRESS = 1,
	STORE_RECOMPUTE_SUM = 1,
	TUNNEL_IPV6 = 1,
	TUNNEL_ZERO_SUM = 2,
	TUNNEL_DONT_FRAGMENT = 4,
};

static long (*const store_bytes)(struct skb *skb, u32 offset, const void *from, u32 bytes, u64 flags) = (void *)9;
static long (*const load_bytes)(struct skb *skb, u32 offset, void *to, u32 bytes) = (void *)26;
static long (*const vlan_push)(struct skb *skb, u16 protocol, u16 tci) = (void *)18;
static long (*const vlan_pop)(struct skb *skb) = (void *)19;
static long (*const get_tunnel_key)(struct skb *skb, struct tunnel_key *key, u32 bytes, u64 flags) = (void *)20;
static long (*const set_tunnel_key)(struct skb *skb, struct tunnel_key *key, u32 bytes, u64 flags) = (void *)21;
static long (*const redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*const change_type)(struct skb *skb, u32 type) = (void *)32;
static long (*const pull_data)(struct skb *skb, u32 bytes) = (void *)39;
static long (*const redirect_peer)(u32 ifindex, u64 flags) = (void *)155;
static u64 (*const coarse_time)(void) = (void *)160;

#define BARRIER() __asm__ volatile("" ::: "memory")

#endif

/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The part of the kernel's BPF interface that pod.c and uplink.c stand on,
 * written out so that a build needs clang and nothing else. Including
 * <linux/bpf.h> and libbpf's headers was refused: what they declare differs
 * between hosts, it ends up in the BTF, and the objects would then differ for
 * one version of clang. Every number below is stable kernel ABI
 * (include/uapi/linux/bpf.h).
 */
#ifndef PODLANE_ABI_H
#define PODLANE_ABI_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
};

enum verdict {
	XDP_DROP = 1,
	XDP_PASS = 2,
	XDP_REDIRECT = 4,
};

enum map_type {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PERCPU_ARRAY = 6,
	MAP_XSK = 17,
};

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE inline __attribute__((always_inline))

/* A loader reads a map's shape out of the BTF of a variable of this type. */
#define MAP(name, kind, key_bytes, value_bytes, entries) \
	struct {                                         \
		int (*type)[kind];                       \
		int (*key_size)[key_bytes];              \
		int (*value_size)[value_bytes];          \
		int (*max_entries)[entries];             \
	} name SECTION(".maps")

/*
 * One socket a receive queue. 64 queues a device: more than any NIC is given
 * workers for, and a frame from a queue past the end goes to the kernel.
 */
#define SOCKETS_MAP MAP(SOCKETS, MAP_XSK, 4, 4, 64)

/*
 * Hands the frame to the socket of its queue. Where no socket is (none was
 * registered yet, or its process died and the kernel emptied the slot) the
 * fallback in the flags decides: XDP_PASS gives the frame to the host's own
 * stack, XDP_DROP to nobody.
 */
#define TO_SOCKET_OR(fallback, md) redirect_map(&SOCKETS, (md)->rx_queue_index, fallback)
#define TO_SOCKET(md) TO_SOCKET_OR(XDP_PASS, md)

#endif

// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What pod.c does, for every pod whose link has one queue: one program and one
 * map of sockets for all of them, and not one a pod.
 *
 * A program that is new to the kernel's XDP dispatcher costs an attach an RCU
 * grace period (10 to 20 ms), and the dispatcher has 48 places, past which all
 * calls of XDP programs on the host become indirect. One program takes one
 * place and waits once, however many pods there are.
 *
 * A device's slot is its index, modulo the slots. Of two devices with one slot
 * the loader gives the second a program of its own, and the kernel refuses to
 * hand a frame to a socket that is bound to another device: what would go
 * astray is dropped.
 */
#include "abi.h"

#define SLOTS 65536

MAP(PODS, MAP_XSK, 4, 4, SLOTS);

/* A socket is bound to queue 0; a frame of another queue has none. */
static INLINE int to_socket_or(enum verdict fallback, struct xdp_md *md)
{
	if (md->rx_queue_index != 0)
		return fallback;
	return redirect_map(&PODS, md->ingress_ifindex % SLOTS, fallback);
}

SECTION("xdp.frags")
int podlane_pod(struct xdp_md *md)
{
	return to_socket_or(XDP_PASS, md);
}

SECTION("xdp.frags")
int podlane_policed(struct xdp_md *md)
{
	return to_socket_or(XDP_DROP, md);
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

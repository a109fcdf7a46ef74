// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The programs on the host end of a pod's link. All a pod sends is Podlane's to
 * judge, so nothing is parsed here: every frame goes to the worker that polls
 * its queue. They differ in what becomes of it when no worker is there. A pod
 * without policy falls to the host's own stack. One under policy falls to
 * nobody: that stack answers for every address of the host, by whatever device
 * the question came, and may forward; a pod that is denied everything would
 * need no more than a dead daemon.
 *
 * There are two programs and not one with a flag in a map: a map would be
 * looked up for each frame, be pinned and be taken over, and would hold its
 * zero between the attach and the first write.
 */
#include "abi.h"

SOCKETS_MAP;

/* "frags": without it the kernel refuses to attach at jumbo MTUs (ERANGE). */
SECTION("xdp.frags")
int podlane_pod(struct xdp_md *md)
{
	return TO_SOCKET(md);
}

SECTION("xdp.frags")
int podlane_policed(struct xdp_md *md)
{
	return TO_SOCKET_OR(XDP_DROP, md);
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

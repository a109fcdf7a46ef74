// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The program on the host end of a pod's link. All a pod sends is Podlane's to
 * judge, so nothing is parsed here: every frame goes to the worker that polls
 * its queue. With no worker there the frame goes to the host's own stack; the
 * control side gives that end no address, so that nothing answers.
 */
#include "abi.h"

SOCKETS_MAP;

/* "frags": without it the kernel refuses to attach at jumbo MTUs (ERANGE). */
SECTION("xdp.frags")
int podlane_pod(struct xdp_md *md)
{
	return TO_SOCKET(md);
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

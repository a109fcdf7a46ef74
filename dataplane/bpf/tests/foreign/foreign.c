// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Somebody else's tc program, for a test: it counts what it sees and leaves
 * the verdict to whoever comes next.
 */
#include "../../tc/abi.h"

#define TC_NEXT -1

MAP(SEEN, MAP_ARRAY, 4, sizeof(u64), 1);

SECTION("classifier")
int foreign(struct skb *skb)
{
	u32 zero = 0;
	u64 *seen = map_lookup(&SEEN, &zero);

	(void)skb;
	if (seen)
		__sync_fetch_and_add(seen, 1);
	return TC_NEXT;
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

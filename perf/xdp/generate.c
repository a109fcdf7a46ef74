// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What the kernel runs for each packet it makes for the generator: the packet
 * gets the ports of the next flow (its source port and, where there are more
 * flows than that tells apart, its destination port; in an answer the other
 * way round), and a tunnelled one an outer source port of that flow too, and
 * leaves by the link. It is run by BPF_PROG_TEST_RUN on live frames and
 * attached to nothing.
 *
 * The declarations are written out, as for the switch's own programs, so that a
 * build needs clang and nothing else.
 */
typedef unsigned short u16;
typedef unsigned int u32;

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
};

enum { XDP_ABORTED = 0 };
/* What a tunnel's sender chooses from (RFC 7348, 5). */
enum { DYNAMIC_PORTS = 0xc000 };

static long (*const redirect)(u32 ifindex, unsigned long long flags) = (void *)23;

#define SECTION(name) __attribute__((section(name), used))

/* Set by the loader. */
volatile const u32 LINK = 0;
volatile const u32 FLOWS = 1;
volatile const u32 FIRST_PORT = 1024;
/* Where that port stands, and the outer one: 0 where there is none. */
volatile const u32 FLOW_PORT = 14 + 20;
volatile const u32 SERVICE_PORT = 14 + 20 + 2;
volatile const u32 FIRST_SERVICE = 9;
/* Bits of a flow's number that its source port tells. */
volatile const u32 FLOW_BITS = 15;
volatile const u32 OUTER_SOURCE_PORT = 0;

/* The generator is one thread, so nobody else counts here. */
static u32 turn;

static __attribute__((always_inline)) int put(struct xdp_md *md, u32 at, u16 port)
{
	char *place = (char *)(unsigned long)md->data + (at & 0xff);
	char *end = (char *)(unsigned long)md->data_end;

	if (place + 2 > end)
		return 0;
	*(u16 *)place = __builtin_bswap16(port);
	return 1;
}

SECTION("xdp")
int generate(struct xdp_md *md)
{
	u32 flow = turn + 1 < FLOWS ? turn + 1 : 0;

	if (!put(md, FLOW_PORT, FIRST_PORT + (flow & ((1u << FLOW_BITS) - 1))))
		return XDP_ABORTED;
	if (FLOWS >> FLOW_BITS && !put(md, SERVICE_PORT, FIRST_SERVICE + (flow >> FLOW_BITS)))
		return XDP_ABORTED;
	if (OUTER_SOURCE_PORT && !put(md, OUTER_SOURCE_PORT, DYNAMIC_PORTS | flow))
		return XDP_ABORTED;
	turn = flow;
	return redirect(LINK, 0);
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

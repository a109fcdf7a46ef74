// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What the kernel runs for each packet it makes for the generator: the packet
 * gets the source port of the next flow and leaves by the pod's link. It is run
 * by BPF_PROG_TEST_RUN on live frames and attached to nothing.
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
/* Behind the Ethernet header and an IPv4 header without options. */
enum { SOURCE_PORT = 14 + 20 };

static long (*const redirect)(u32 ifindex, unsigned long long flags) = (void *)23;

#define SECTION(name) __attribute__((section(name), used))

/* Set by the loader. */
volatile const u32 LINK = 0;
volatile const u32 FLOWS = 1;
volatile const u32 FIRST_PORT = 1024;

/* The generator is one thread, so nobody else counts here. */
static u32 turn;

SECTION("xdp")
int generate(struct xdp_md *md)
{
	char *packet = (char *)(unsigned long)md->data;
	char *end = (char *)(unsigned long)md->data_end;
	u32 flow = turn + 1 < FLOWS ? turn + 1 : 0;

	if (packet + SOURCE_PORT + 2 > end)
		return XDP_ABORTED;
	turn = flow;
	*(u16 *)(packet + SOURCE_PORT) = __builtin_bswap16(FIRST_PORT + flow);
	return redirect(LINK, 0);
}

char LICENSE[] SECTION("license") = "Dual MIT/GPL";

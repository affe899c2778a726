/* The program on io_uring's requests: tracing does without it where the kernel has no such
 * tracepoint or refuses it. */
#include <bpf/bpf.h>

#include "datapath/trace_private.h"
#include "uring.skel.h"

void bh_trace_uring_begin(struct bh_trace *t)
{
	static const struct bh_trace_source source = {"uring", uring_bpf__elf_bytes, NULL};
	struct bh_err ignored;
	int prog;

	if (t->uring_link >= 0 ||
	    (!t->uring.is_loaded && bh_trace_load(t, &source, &t->uring, &ignored)))
		return;
	bh_trace_look_begin(t, &t->uring);
	prog = bh_trace_prog(&t->uring, "bh_uring_submit");
	if (prog >= 0)
		t->uring_link = bpf_raw_tracepoint_open(NULL, prog);
}

void bh_trace_uring_end(struct bh_trace *t)
{
	bh_closep(&t->uring_link);
}

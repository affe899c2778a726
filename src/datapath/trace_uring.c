/* The program on io_uring's requests: tracing does without it where the kernel has no such
 * tracepoint or refuses it. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/trace_private.h"
#include "uring.skel.h"

void bh_trace_uring_begin(struct bh_trace *t)
{
	static const struct bh_trace_source source = {"uring", uring_bpf__elf_bytes, NULL};
	const struct bpf_program *prog;
	struct bh_err ignored;

	if (t->uring_link >= 0 || (!t->uring && bh_trace_load(t, &source, &t->uring, &ignored)))
		return;
	bh_trace_look_begin(t, t->uring);
	prog = bpf_object__find_program_by_name(t->uring, "bh_uring_submit");
	if (prog)
		t->uring_link = bpf_raw_tracepoint_open(NULL, bpf_program__fd(prog));
}

void bh_trace_uring_end(struct bh_trace *t)
{
	bh_closep(&t->uring_link);
}

/* The question whether a file may be executed, put to the kernel's own policy. */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "datapath/trace_private.h"
#include "guard.skel.h"

int bh_trace_guard_begin(struct bh_trace *t, struct bh_err *err)
{
	static const struct bh_trace_source source = {"guard", guard_bpf__elf_bytes, NULL};

	return t->guard.is_loaded ? 0 : bh_trace_load(t, &source, &t->guard, err);
}

int bh_trace_guard_ask(struct bh_trace *t, struct bh_guard_ask *ask, struct bh_err *err)
{
	int prog = bh_trace_prog(&t->guard, "bh_guard_ask");
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = ask, .ctx_size_in = sizeof(*ask)};
	int r = prog >= 0 ? bpf_prog_test_run_opts(prog, &opts) : -ENOENT;

	if (r)
		return bh_fail_sys(err, -r, "program bh_guard_ask");
	if (opts.retval)
		return bh_fail(err, EBADF, "no file behind descriptor %d", ask->fd);
	ask->path[sizeof(ask->path) - 1] = '\0';
	return 0;
}

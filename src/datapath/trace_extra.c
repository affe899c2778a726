/* Programs of which each is optional: where the kernel has no such tracepoint, or refuses the
 * program, tracing does without it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "datapath/trace_private.h"
#include "extra.skel.h"

static const struct {
	const char *program, *tracepoint;
} extras[BH_TRACE_EXTRAS] = {
	{"bh_extra_listen", "inet_sock_set_state"}, {"bh_extra_signal", "signal_generate"},
	{"bh_extra_module", "module_load"},	    {"bh_extra_uring", "io_uring_create"},
	{"bh_extra_attach", "cgroup_attach_task"},
};

static int leave_out(struct bpf_object *obj, struct bh_err *err)
{
	struct btf *kernel = btf__load_vmlinux_btf();

	(void)err;
	for (size_t i = 0; i < BH_TRACE_EXTRAS; i++) {
		struct bpf_program *prog = bpf_object__find_program_by_name(obj, extras[i].program);
		char type[64];

		snprintf(type, sizeof(type), "btf_trace_%s", extras[i].tracepoint);
		if (prog && (!kernel || btf__find_by_name_kind(kernel, type, BTF_KIND_TYPEDEF) < 0))
			bpf_program__set_autoload(prog, false);
	}
	btf__free(kernel);
	return 0;
}

void bh_trace_extra_begin(struct bh_trace *t)
{
	static const struct bh_trace_source source = {"extra", extra_bpf__elf_bytes, leave_out};
	struct bh_err ignored;

	if (!t->extra.is_loaded && bh_trace_load(t, &source, &t->extra, &ignored))
		return;
	for (size_t i = 0; i < BH_TRACE_EXTRAS; i++) {
		int prog = bh_trace_prog(&t->extra, extras[i].program);

		if (t->extra_link[i] < 0 && prog >= 0)
			t->extra_link[i] = bpf_raw_tracepoint_open(NULL, prog);
	}
}

void bh_trace_extra_end(struct bh_trace *t)
{
	for (size_t i = 0; i < BH_TRACE_EXTRAS; i++)
		bh_closep(&t->extra_link[i]);
}

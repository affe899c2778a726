/* What the tracing programs cost. */
#include <bpf/libbpf.h>

#include "datapath/trace_private.h"

size_t bh_trace_progs(const struct bh_trace *t, struct bh_prog_cost *v, size_t n)
{
	struct bpf_object *const objects[] = {t->obj, t->watch, t->extra, t->dns,
					      t->lsm, t->guard, t->cpu};
	size_t count = 0;

	for (size_t i = 0; i < BH_ARRAY_SIZE(objects); i++) {
		struct bpf_program *prog = NULL;

		while (objects[i] && count < n &&
		       (prog = bpf_object__next_program(objects[i], prog)))
			count += bh_dp_cost(bpf_program__fd(prog), bpf_program__name(prog),
					    &v[count]);
	}
	return count;
}

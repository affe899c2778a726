/* What the tracing programs cost. */
#include "datapath/trace_private.h"

size_t bh_trace_progs(const struct bh_trace *t, struct bh_prog_cost *v, size_t n)
{
	const struct bh_trace_object *const objects[] = {&t->obj, &t->watch, &t->extra, &t->dns,
							 &t->lsm, &t->guard, &t->cpu};
	size_t count = 0;

	for (size_t i = 0; i < BH_ARRAY_SIZE(objects); i++) {
		const struct bh_trace_object *o = objects[i];

		for (size_t k = 0; k < o->n_progs && count < n; k++)
			count += bh_dp_cost(o->prog[k].fd, o->prog[k].name, &v[count]);
	}
	return count;
}

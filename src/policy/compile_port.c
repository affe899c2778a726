#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* Port classes of one ruleset. The port axis (three protocols, end to end) is cut wherever a rule's
 * range begins or ends; the segments are then split by group after group, so that two segments stay
 * together exactly when the same groups cover them. No hashing: equal means equal. */
struct sweep {
	struct bh_compile_memo *m;
	struct bh_cm_cells *c;
	const struct bh_cm_fact *facts;
	size_t n_facts;
	BH_VEC(uint32_t) cuts;	       /* segment i is [cuts[i], cuts[i + 1]) */
	uint32_t *class, *stamp;       /* by segment: class, and last group that covered it */
	BH_VEC(uint32_t) to, to_stamp; /* by class: what it becomes where the group covers it */
};

static void sweep_done(struct sweep *s)
{
	bh_vec_done(&s->cuts);
	bh_vec_done(&s->to);
	bh_vec_done(&s->to_stamp);
	free(s->class);
	free(s->stamp);
}

static bool in_group(const struct bh_cm_fact *f, const struct bh_cm_group *g)
{
	return f->pred == g->pred && f->action == g->action && f->procs == g->procs;
}

static int make_cuts(struct sweep *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_facts; i++) {
		const struct bh_cm_ports *p = &s->m->ports.v[s->facts[i].ports];

		for (size_t k = 0; k < p->n; k++) {
			if (bh_vec_push(&s->cuts, p->v[k].first) ||
			    bh_vec_push(&s->cuts, p->v[k].end))
				return -ENOMEM;
		}
	}
	if (s->cuts.n)
		qsort(s->cuts.v, s->cuts.n, sizeof(uint32_t), bh_cm_by_number);
	for (size_t i = 0; i < s->cuts.n; i++) {
		if (!n || s->cuts.v[n - 1] != s->cuts.v[i])
			s->cuts.v[n++] = s->cuts.v[i];
	}
	s->cuts.n = n;
	s->class = calloc(n + 1, sizeof(*s->class));
	s->stamp = calloc(n + 1, sizeof(*s->stamp));
	return s->class && s->stamp ? 0 : -ENOMEM;
}

static size_t segment_at(const struct sweep *s, uint32_t key)
{
	size_t low = 0, high = s->cuts.n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->cuts.v[mid] < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Classes of segments that the group covers part from those of segments that it does not. */
static int split_range(struct sweep *s, const struct bh_cm_range *range, uint32_t group)
{
	for (size_t i = segment_at(s, range->first); s->cuts.v[i] < range->end; i++) {
		uint32_t old = s->class[i];

		if (s->stamp[i] == group)
			continue;
		s->stamp[i] = group;
		if (s->to_stamp.v[old] != group) {
			s->to_stamp.v[old] = group;
			s->to.v[old] = (uint32_t)s->to.n;
			if (bh_vec_push(&s->to, 0) || bh_vec_push(&s->to_stamp, 0))
				return -ENOMEM;
		}
		s->class[i] = s->to.v[old];
	}
	return 0;
}

/* Calls fn for each fact's ranges with the number of its group, from 1. */
static int each_range(struct sweep *s,
		      int (*fn)(struct sweep *s, const struct bh_cm_range *range, uint32_t group))
{
	uint32_t group = 0;
	int r = 0;

	for (size_t i = 0; !r && i < s->n_facts; i++) {
		const struct bh_cm_ports *p = &s->m->ports.v[s->facts[i].ports];

		if (!group || !in_group(&s->facts[i], &s->c->groups[group - 1]))
			group++;
		for (size_t k = 0; !r && k < p->n; k++)
			r = fn(s, &p->v[k], group);
	}
	return r;
}

/* Who brought the segment: the first fact, by owner, that covers it. */
static const struct bh_policy *culprit(const struct sweep *s, size_t segment)
{
	const struct bh_policy *found = NULL;

	for (size_t i = 0; i < s->n_facts; i++) {
		const struct bh_cm_ports *p = &s->m->ports.v[s->facts[i].ports];
		const struct bh_policy *owner = s->facts[i].owner;

		for (size_t k = 0; k < p->n; k++) {
			if (p->v[k].first > s->cuts.v[segment] || p->v[k].end <= s->cuts.v[segment])
				continue;
			if (!found || strcmp(owner->name, found->name) < 0)
				found = owner;
		}
	}
	return found;
}

/* Final numbers in the order of the port axis; 0 stays for what no group covers. */
static int renumber(struct sweep *s, struct bh_err *err)
{
	unsigned n = 1;

	for (size_t i = 0; i < s->to.n; i++)
		s->to.v[i] = BH_CM_NONE;
	s->to.v[0] = 0;
	for (size_t i = 0; i + 1 < s->cuts.n; i++) {
		uint32_t *to = &s->to.v[s->class[i]];

		if (*to == BH_CM_NONE && n == BH_PORT_CLASSES) {
			const struct bh_policy *p = culprit(s, i);

			return bh_fail(err, E2BIG,
				       "policy '%s/%s': with it, the rules of a pod treat more "
				       "than %d sets of ports differently",
				       p->ns, p->name, BH_PORT_CLASSES - 1);
		}
		if (*to == BH_CM_NONE)
			*to = n++;
		s->class[i] = *to;
	}
	s->c->n_port_classes = n;
	return 0;
}

static int set_bits(struct sweep *s, const struct bh_cm_range *range, uint32_t group)
{
	for (size_t i = segment_at(s, range->first); s->cuts.v[i] < range->end; i++)
		bh_cm_bit_set(s->c->groups[group - 1].bits, s->class[i]);
	return 0;
}

/* Rules without `ports`: every class, 0 too. */
static void set_all_bits(struct sweep *s)
{
	size_t group = 0;

	for (size_t i = 0; i < s->n_facts; i++) {
		if (!in_group(&s->facts[i], &s->c->groups[group]))
			group++;
		if (s->facts[i].ports)
			continue;
		for (unsigned class = 0; class < s->c->n_port_classes; class ++)
			bh_cm_bit_set(s->c->groups[group].bits, class);
	}
}

static int make_map(struct sweep *s)
{
	BH_CLEANUP(bh_freep) struct bh_cm_piece *v = calloc(s->cuts.n + 1, sizeof(*v));
	size_t n = 1; /* v[0]: class 0 from key 0 on */

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < s->cuts.n; i++) {
		/* behind the last cut there is nothing */
		uint32_t class = i + 1 < s->cuts.n ? s->class[i] : 0;

		if (s->cuts.v[i] == 0)
			v[0].class = class;
		else if (v[n - 1].class != class)
			v[n++] = (struct bh_cm_piece){.key = s->cuts.v[i], .class = class};
	}
	return bh_cm_portmap_get(s->m, v, n, &s->c->portmap);
}

int bh_cm_port_classes(struct bh_compile_memo *m, struct bh_cm_cells *c,
		       const struct bh_cm_fact *facts, size_t n, struct bh_err *err)
{
	BH_CLEANUP(sweep_done) struct sweep s = {.m = m, .c = c, .facts = facts, .n_facts = n};
	int r;

	if (make_cuts(&s) || bh_vec_push(&s.to, 0) || bh_vec_push(&s.to_stamp, 0) ||
	    each_range(&s, split_range))
		return bh_fail(err, ENOMEM, "no memory for port classes");
	r = renumber(&s, err);
	if (r)
		return r;
	each_range(&s, set_bits);
	set_all_bits(&s);
	return make_map(&s) ? bh_fail(err, ENOMEM, "no memory for port maps") : 0;
}

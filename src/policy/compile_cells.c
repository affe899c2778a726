#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

void bh_cm_cells_free(void *cells)
{
	struct bh_cm_cells *c = cells;

	if (!c)
		return;
	free(c->groups);
	bh_vec_done(&c->rows);
	bh_vec_done(&c->procs);
	free(c->key);
	free(c);
}

static void cells_freep(struct bh_cm_cells **c)
{
	bh_cm_cells_free(*c);
}

static int make_key(struct bh_cm_cells *c, const struct bh_cm_fact *facts, size_t n)
{
	size_t at = 0;

	c->key = calloc(4 * n + 1, sizeof(*c->key));
	if (!c->key)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		c->key[at++] = facts[i].pred;
		c->key[at++] = facts[i].action;
		c->key[at++] = facts[i].procs;
		c->key[at++] = facts[i].ports;
	}
	c->key_len = at * sizeof(*c->key);
	return 0;
}

static int make_groups(struct bh_cm_cells *c, const struct bh_cm_fact *facts, size_t n)
{
	c->groups = calloc(n + 1, sizeof(*c->groups));
	if (!c->groups)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct bh_cm_fact *f = &facts[i];
		const struct bh_cm_group *last = c->n_groups ? &c->groups[c->n_groups - 1] : NULL;

		c->has_procs |= f->procs != 0;
		if (last && last->pred == f->pred && last->action == f->action &&
		    last->procs == f->procs)
			continue;
		c->groups[c->n_groups++] = (struct bh_cm_group){
			.pred = f->pred, .action = f->action, .procs = f->procs};
	}
	return 0;
}

int bh_cm_cells_get(struct bh_compile_memo *m, const struct bh_cm_fact *facts, size_t n,
		    struct bh_cm_cells **ret, struct bh_err *err)
{
	BH_CLEANUP(cells_freep) struct bh_cm_cells *c = calloc(1, sizeof(*c));
	struct bh_cm_cells *known;
	int r;

	if (!c || make_key(c, facts, n))
		return bh_fail(err, ENOMEM, "no memory for rulesets");
	known = bh_map_get(&m->cells_ids, c->key, c->key_len);
	if (known) {
		*ret = known;
		return 0;
	}
	if (make_groups(c, facts, n))
		return bh_fail(err, ENOMEM, "no memory for rulesets");
	r = bh_cm_port_classes(m, c, facts, n, err);
	if (r)
		return r;
	if (bh_map_set(&m->cells_ids, c->key, c->key_len, c))
		return bh_fail(err, ENOMEM, "no memory for rulesets");
	*ret = BH_TAKE(c);
	return 0;
}

void bh_cm_cells_purge(struct bh_compile_memo *m)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&m->cells_ids, &pos))) {
		const struct bh_cm_cells *c = e->value;

		if (c->used != m->epoch)
			bh_map_del(&m->cells_ids, c->key, c->key_len);
	}
}

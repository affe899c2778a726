/* Rulesets with their rows. A ruleset in the kernel never changes while a side uses it: another
 * content, successor, port map or expiry is another id. */
#include "datapath/publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S	   1000000000ll
#define UNTIL_TOLERANCE_NS 1500000000ll /* now_s is a whole second; a real clock step is more */

const char *bh_rules_subject(const struct bh_plan *pl, uint32_t idx, char *out, size_t n)
{
	static const char *const dir[] = {"egress", "ingress"};

	for (size_t i = 0; i < pl->t->n_subjects; i++) {
		const struct bh_tsubject *s = &pl->t->subjects[i];

		for (int d = 0; d < 2; d++) {
			if (s->ruleset[d] != idx)
				continue;
			snprintf(out, n, "%s of pod %s/%s", dir[d], s->ns, s->name);
			return out;
		}
	}
	snprintf(out, n, "policies");
	return out;
}

/* bpf_ktime at which the ruleset ends; 0: never. */
static uint64_t until_ns(const struct bh_plan *pl, const struct bh_truleset *rs)
{
	int64_t left_s, at;

	if (rs->until_s == INT64_MAX)
		return 0;
	left_s = rs->until_s - pl->p->now_s;
	if (left_s > INT64_MAX / NS_PER_S / 4)
		left_s = INT64_MAX / NS_PER_S / 4;
	if (left_s < -(int64_t)(INT64_MAX / NS_PER_S / 4))
		left_s = -(int64_t)(INT64_MAX / NS_PER_S / 4);
	at = (int64_t)pl->p->now_ns + left_s * NS_PER_S;
	return at > 0 ? (uint64_t)at : 1;
}

static bool is_same_until(uint64_t a, uint64_t b)
{
	int64_t diff = (int64_t)(a - b);

	if (!a || !b)
		return a == b;
	return diff > -UNTIL_TOLERANCE_NS && diff < UNTIL_TOLERANCE_NS;
}

/* The chain of successors is checked for length; compile keeps it acyclic. */
static int resolve_one(struct bh_plan *pl, uint32_t idx, int depth, struct bh_err *err)
{
	const struct bh_truleset *rs = &pl->t->rulesets[idx];
	bool has_next = rs->until_s != INT64_MAX;
	struct bh_id *id;
	uint32_t next;

	if (depth > BH_UNTIL_CHAIN)
		return bh_fail(err, ELOOP, "a ruleset has more than %d successors", BH_UNTIL_CHAIN);
	if (idx == 0) {
		pl->ruleset_kid[0] = 0;
		return 0;
	}
	if (pl->ruleset_kid[idx] != BH_KID_NONE)
		return 0;
	if (has_next) {
		int r = resolve_one(pl, rs->next, depth + 1, err);

		if (r)
			return r;
	}
	next = has_next ? pl->ruleset_kid[rs->next] : 0;
	id = bh_ids_find(&pl->ts->rulesets, &rs->id);
	if (!id || id->memo->next != next || id->memo->portmap != pl->portmap_kid[rs->portmap] ||
	    !is_same_until(id->memo->until_ns, until_ns(pl, rs)))
		return 0;
	id->is_wanted = true;
	pl->ruleset_kid[idx] = id->kid;
	return 0;
}

int bh_rules_resolve(struct bh_plan *pl, struct bh_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < pl->t->n_rulesets; i++)
		r = resolve_one(pl, (uint32_t)i, 0, err);
	return r;
}

/* ---- release ---- */

static int delete_rows(struct bh_plan *pl, const struct bh_id *id, struct bh_err *err)
{
	const struct bh_rsmemo *m = id->memo;
	BH_CLEANUP(bh_freep)
	struct bh_row_key *keys = malloc((m->n_classes + 1) * sizeof(*keys));
	struct bh_ruleset none = {0};
	uint32_t kid = id->kid;
	int r;

	if (!keys)
		return bh_fail(err, ENOMEM, "no memory to publish");
	for (size_t i = 0; i < m->n_classes; i++)
		keys[i] = (struct bh_row_key){.ruleset = kid, .class = m->classes[i]};
	r = bh_kmap_delete(&pl->dp->map[BH_M_ROW],
			   &(struct bh_kbatch){.keys = keys, .n = (uint32_t)m->n_classes}, err);
	if (r == 0)
		r = bh_kmap_delete(&pl->dp->map[BH_M_PROCROW],
				   &(struct bh_kbatch){.keys = m->procs, .n = (uint32_t)m->n_procs},
				   err);
	if (r)
		return r;
	/* an id that nobody uses denies, should anything ever name it */
	return bh_plan_put(pl, BH_M_RULESET,
			   &(struct bh_kbatch){.keys = &kid, .values = &none, .n = 1}, err);
}

int bh_rules_release(struct bh_plan *pl, struct bh_err *err)
{
	struct bh_ids *ids = &pl->ts->rulesets;

	for (size_t i = ids->v.n; i-- > 0;) {
		struct bh_id *id = &ids->v.v[i];
		int r;

		if (id->is_wanted || (id->used & (1u << pl->live)))
			continue;
		pl->has_written = true;
		r = delete_rows(pl, id, err);
		if (r)
			return r;
		pl->ts->n_rows -= id->memo->n_classes;
		pl->ts->n_procrows -= id->memo->n_procs;
		bh_ids_release(ids, i);
	}
	return 0;
}

/* ---- preflight ---- */

struct need {
	uint64_t rulesets, rows, procs;
	char rows_by[160], procs_by[160], rulesets_by[160];
};

static void need_of(const struct bh_plan *pl, struct need *need)
{
	size_t most_rows = 0, most_procs = 0;

	for (size_t i = 0; i < pl->t->n_rulesets; i++) {
		const struct bh_truleset *rs = &pl->t->rulesets[i];

		if (pl->ruleset_kid[i] != BH_KID_NONE)
			continue;
		if (need->rulesets++ == 0)
			bh_rules_subject(pl, (uint32_t)i, need->rulesets_by,
					 sizeof(need->rulesets_by));
		need->rows += rs->n_rows;
		need->procs += rs->n_procs;
		if (rs->n_rows > most_rows)
			bh_rules_subject(pl, (uint32_t)i, need->rows_by, sizeof(need->rows_by));
		if (rs->n_procs > most_procs)
			bh_rules_subject(pl, (uint32_t)i, need->procs_by, sizeof(need->procs_by));
		most_rows = rs->n_rows > most_rows ? rs->n_rows : most_rows;
		most_procs = rs->n_procs > most_procs ? rs->n_procs : most_procs;
	}
}

int bh_rules_preflight(struct bh_plan *pl, struct bh_err *err)
{
	struct bh_kmap *map = pl->dp->map;
	struct need need = {0};
	int r;

	need_of(pl, &need);
	r = bh_plan_room(&map[BH_M_RULESET], bh_ids_count(&pl->ts->rulesets) + 1, need.rulesets,
			 need.rulesets_by, err);
	if (r == 0)
		r = bh_plan_room(&map[BH_M_ROW], pl->ts->n_rows, need.rows, need.rows_by, err);
	if (r == 0)
		r = bh_plan_room(&map[BH_M_PROCROW], pl->ts->n_procrows, need.procs, need.procs_by,
				 err);
	return r;
}

/* ---- write ---- */

static int write_rows(struct bh_plan *pl, const struct bh_truleset *rs, const struct bh_id *id,
		      struct bh_err *err)
{
	size_t cap = rs->n_rows < BH_KMAP_CHUNK ? rs->n_rows : BH_KMAP_CHUNK;
	BH_CLEANUP(bh_freep) struct bh_row_key *keys = malloc((cap + 1) * sizeof(*keys));
	BH_CLEANUP(bh_freep) struct bh_row *values = malloc((cap + 1) * sizeof(*values));
	int r = 0;

	if (!keys || !values)
		return bh_fail(err, ENOMEM, "no memory to publish");
	for (size_t i = 0; r == 0 && i < rs->n_rows;) {
		uint32_t n = 0;

		for (; n < cap && i < rs->n_rows; n++, i++) {
			uint32_t class = pl->class_kid[rs->rows[i].class];

			keys[n] = (struct bh_row_key){.ruleset = id->kid, .class = class};
			values[n] = rs->rows[i].row;
			id->memo->classes[id->memo->n_classes++] = class;
			pl->ts->n_rows++;
		}
		r = bh_plan_put(pl, BH_M_ROW,
				&(struct bh_kbatch){.keys = keys, .values = values, .n = n}, err);
	}
	return r;
}

static int put_proc(struct bh_plan *pl, struct bh_rsmemo *m, const struct bh_procrow_key *want,
		    struct bh_err *err)
{
	struct bh_procrow_key key = *want;
	uint32_t one = 1;
	size_t cap = m->cap_procs ? m->cap_procs * 2 : 8;

	if (m->n_procs == m->cap_procs) {
		void *p = realloc(m->procs, cap * sizeof(*m->procs));

		if (!p)
			return bh_fail(err, ENOMEM, "no memory to publish");
		m->procs = p;
		m->cap_procs = cap;
	}
	m->procs[m->n_procs++] = key;
	pl->ts->n_procrows++;
	return bh_plan_put(pl, BH_M_PROCROW,
			   &(struct bh_kbatch){.keys = &key, .values = &one, .n = 1}, err);
}

/* A cell that allows "any executable no policy names" means also those that were named once: their
 * processes and sockets still carry an id of their own. */
static int write_retired_procs(struct bh_plan *pl, struct bh_rsmemo *m, struct bh_procrow_key key,
			       struct bh_err *err)
{
	int r = 0;

	bh_vec_each (exe, &pl->ts->exes) {
		if (exe->is_wanted)
			continue;
		key.proc = exe->proc;
		r = put_proc(pl, m, &key, err);
		if (r)
			break;
	}
	return r;
}

static int write_procs(struct bh_plan *pl, const struct bh_truleset *rs, const struct bh_id *id,
		       struct bh_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < rs->n_procs; i++) {
		const struct bh_tproc *p = &rs->procs[i];
		struct bh_procrow_key key = {
			.ruleset = id->kid,
			.class = p->class == BH_CLASS_DEFAULT ? p->class : pl->class_kid[p->class],
			.port_class = p->port_class,
			.proc = p->exe < 2 ? p->exe : pl->exe_proc[p->exe - 2],
		};

		r = put_proc(pl, id->memo, &key, err);
		if (r == 0 && p->exe == BH_PROC_OTHER)
			r = write_retired_procs(pl, id->memo, key, err);
	}
	return r;
}

int bh_rules_add_proc(struct bh_plan *pl, uint16_t proc, struct bh_err *err)
{
	bh_vec_each (id, &pl->ts->rulesets.v) {
		size_t n = id->memo->n_procs;

		for (size_t i = 0; i < n; i++) {
			struct bh_procrow_key key = id->memo->procs[i];
			int r;

			if (key.proc != BH_PROC_OTHER)
				continue;
			key.proc = proc;
			r = put_proc(pl, id->memo, &key, err);
			if (r)
				return r;
		}
	}
	return 0;
}

static int new_id(struct bh_plan *pl, const struct bh_truleset *rs, struct bh_id *ret,
		  struct bh_err *err)
{
	struct bh_id *id = bh_ids_new(&pl->ts->rulesets, NULL);

	if (!id)
		return bh_fail(err, ENOSPC, "map ruleset: no free id");
	id->memo = calloc(1, sizeof(*id->memo));
	if (!id->memo) {
		bh_ids_release(&pl->ts->rulesets, pl->ts->rulesets.v.n - 1);
		return bh_fail(err, ENOMEM, "no memory to publish");
	}
	id->memo->classes = malloc((rs->n_rows + 1) * sizeof(*id->memo->classes));
	if (!id->memo->classes)
		return bh_fail(err, ENOMEM, "no memory to publish");
	id->memo->cap_classes = rs->n_rows + 1;
	*ret = *id; /* no other ruleset is added before this one is bound */
	return 0;
}

static int write_one(struct bh_plan *pl, uint32_t idx, struct bh_err *err)
{
	const struct bh_truleset *rs = &pl->t->rulesets[idx];
	struct bh_ruleset value = {
		.until_ns = until_ns(pl, rs),
		.portmap = pl->portmap_kid[rs->portmap],
		.flags = rs->flags,
		.dflt = rs->dflt,
	};
	struct bh_ids *ids = &pl->ts->rulesets;
	struct bh_id id;
	int r = new_id(pl, rs, &id, err);

	if (r)
		return r;
	value.next = value.until_ns ? pl->ruleset_kid[rs->next] : 0;
	*id.memo = (struct bh_rsmemo){
		.until_ns = value.until_ns,
		.next = value.next,
		.portmap = value.portmap,
		.classes = id.memo->classes,
		.cap_classes = id.memo->cap_classes,
	};
	r = write_rows(pl, rs, &id, err);
	if (r == 0)
		r = write_procs(pl, rs, &id, err);
	if (r == 0)
		r = bh_plan_put(pl, BH_M_RULESET,
				&(struct bh_kbatch){.keys = &id.kid, .values = &value, .n = 1},
				err);
	if (r)
		return r;
	if (bh_ids_bind(ids, (uint32_t)(ids->v.n - 1), &rs->id))
		return bh_fail(err, ENOMEM, "no memory to publish");
	ids->v.v[ids->v.n - 1].is_wanted = true;
	pl->ruleset_kid[idx] = id.kid;
	return 0;
}

/* Successors first, so that a ruleset never names one that is not there. */
static int write_chain(struct bh_plan *pl, uint32_t idx, struct bh_err *err)
{
	uint32_t chain[BH_UNTIL_CHAIN + 2];
	int n = 0, r = 0;

	while (pl->ruleset_kid[idx] == BH_KID_NONE && n < BH_UNTIL_CHAIN + 2) {
		chain[n++] = idx;
		if (pl->t->rulesets[idx].until_s == INT64_MAX)
			break;
		idx = pl->t->rulesets[idx].next;
	}
	while (r == 0 && n-- > 0)
		r = write_one(pl, chain[n], err);
	return r;
}

int bh_rules_write(struct bh_plan *pl, struct bh_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < pl->t->n_rulesets; i++) {
		r = write_chain(pl, (uint32_t)i, err);
		if (r) {
			char who[160];

			bh_note(err, r, "%s", bh_rules_subject(pl, (uint32_t)i, who, sizeof(who)));
		}
	}
	return r;
}

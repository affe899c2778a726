/* The order of a publish. See struct bh_config in abi.h for the two sides. */
#include "datapath/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int bh_plan_room(struct bh_kmap *m, uint64_t used, uint64_t wanted, const char *why,
		 struct bh_err *err)
{
	if (used + wanted <= m->max)
		return 0;
	return bh_fail(err, ENOSPC, "map %s has no room: %llu of %u in use, %llu more wanted%s%s",
		       m->name, (unsigned long long)used, m->max, (unsigned long long)wanted,
		       why && why[0] ? " by " : "", why ? why : "");
}

int bh_plan_put(struct bh_plan *pl, enum bh_dp_map map, const struct bh_kbatch *b,
		struct bh_err *err)
{
	struct bh_kmap *m = &pl->dp->map[map];
	int r;

	if (b->n == 0)
		return 0;
	pl->has_written = true;
	r = bh_kmap_write(&pl->dp->fault, m, b, err);
	if (r)
		return r;
	return bh_kmap_verify(&pl->dp->fault, m, b, err);
}

static void plan_done(struct bh_plan *pl)
{
	free(pl->class_kid);
	free(pl->page_kid);
	free(pl->portmap_kid);
	free(pl->ruleset_kid);
	free(pl->exe_proc);
	for (int f = 0; f < 2; f++)
		bh_vec_done(&pl->peers[f].v);
}

static uint32_t *kid_array(size_t n)
{
	uint32_t *v = malloc((n ? n : 1) * sizeof(*v));

	for (size_t i = 0; v && i < n; i++)
		v[i] = BH_KID_NONE;
	return v;
}

static int plan_init(struct bh_plan *pl, struct bh_err *err)
{
	const struct bh_tables *t = pl->t;

	pl->class_kid = kid_array(t->n_classes);
	pl->page_kid = kid_array(t->n_pages);
	pl->portmap_kid = kid_array(t->n_portmaps);
	pl->ruleset_kid = kid_array(t->n_rulesets);
	pl->exe_proc = calloc(t->n_exes ? t->n_exes : 1, sizeof(*pl->exe_proc));
	if (!pl->class_kid || !pl->page_kid || !pl->portmap_kid || !pl->ruleset_kid ||
	    !pl->exe_proc)
		return bh_fail(err, ENOMEM, "no memory to publish");
	return 0;
}

/* Class ids are plain numbers, so new ones are handed out at once. */
static int classes_resolve(struct bh_plan *pl, struct bh_err *err)
{
	for (size_t i = 0; i < pl->t->n_classes; i++) {
		struct bh_id *id;

		if (i == 0) { /* world */
			pl->class_kid[0] = 0;
			continue;
		}
		id = bh_ids_find(&pl->ts->classes, &pl->t->classes[i].id);
		if (!id)
			id = bh_ids_new(&pl->ts->classes, &pl->t->classes[i].id);
		if (!id)
			return bh_fail(err, ENOMEM, "no class id for %zu classes",
				       pl->t->n_classes);
		id->is_wanted = true;
		pl->class_kid[i] = id->kid;
	}
	return 0;
}

static void ids_release_unused(struct bh_ids *ids, uint8_t live_bit)
{
	for (size_t i = ids->v.n; i-- > 0;)
		if (!ids->v.v[i].is_wanted && !(ids->v.v[i].used & live_bit))
			bh_ids_release(ids, i);
}

static int resolve(struct bh_plan *pl, struct bh_err *err)
{
	uint8_t live_bit = (uint8_t)(1u << pl->live);
	int r = classes_resolve(pl, err);

	if (r == 0)
		r = bh_ports_resolve(pl);
	if (r == 0)
		r = bh_rules_resolve(pl, err);
	if (r == 0)
		r = bh_rules_release(pl, err);
	if (r)
		return r;
	ids_release_unused(&pl->ts->portmaps, live_bit);
	ids_release_unused(&pl->ts->pages, live_bit);
	ids_release_unused(&pl->ts->classes, live_bit);
	r = bh_exes_resolve(pl, err);
	/* what was released is noted as such: what we remember is still what the kernel has */
	if (r == 0 || r == -ENOSPC)
		pl->has_written = false;
	return r;
}

static int preflight(struct bh_plan *pl, struct bh_err *err)
{
	int r = bh_peers_preflight(pl, err);

	if (r == 0)
		r = bh_cidrs_preflight(pl, err);
	if (r == 0)
		r = bh_ports_preflight(pl, err);
	if (r == 0)
		r = bh_rules_preflight(pl, err);
	return r;
}

static int write_tables(struct bh_plan *pl, struct bh_err *err)
{
	int r = bh_exes_write(pl, err);

	if (r == 0)
		r = bh_ports_write(pl, err);
	if (r == 0)
		r = bh_rules_write(pl, err);
	if (r == 0)
		r = bh_peers_write(pl, err);
	if (r == 0)
		r = bh_cidrs_write(pl, err);
	return r;
}

/* ---- the slots' idle side ---- */

struct slot_want {
	uint32_t ruleset[2];
};

static int slots_wanted(struct bh_plan *pl, struct slot_want *want, struct bh_err *err)
{
	for (size_t i = 0; i < pl->t->n_subjects; i++) {
		const struct bh_tsubject *s = &pl->t->subjects[i];

		for (size_t k = 0; k < pl->p->slots_of[i].n; k++) {
			uint32_t slot = pl->p->slots_of[i].slot[k];

			if (slot == 0 || slot >= BH_MAX_SLOTS)
				return bh_fail(err, EINVAL, "pod %s/%s: slot %u", s->ns, s->name,
					       slot);
			for (int d = 0; d < 2; d++)
				want[slot].ruleset[d] = pl->ruleset_kid[s->ruleset[d]];
		}
	}
	return 0;
}

static int slot_verify(struct bh_plan *pl, uint32_t slot, const struct slot_want *want,
		       struct bh_err *err)
{
	struct bh_slot entry;
	int r = bh_kmap_get(&pl->dp->map[BH_M_ENDPOINT], &slot, &entry);

	if (bh_fault_room(&pl->dp->fault, "endpoint-readback", 1) == 0)
		r = -pl->dp->fault.errnum;
	if (r)
		return bh_fail_sys(err, -r, "read back from map endpoint");
	if (memcmp(entry.side[pl->idle].ruleset, want->ruleset, sizeof(want->ruleset)) != 0)
		return bh_fail(err, EIO, "map endpoint holds something else than was written");
	return 0;
}

static int slots_write(struct bh_plan *pl, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) struct slot_want *want = calloc(BH_MAX_SLOTS, sizeof(*want));
	int r;

	if (!want)
		return bh_fail(err, ENOMEM, "no memory to publish");
	r = slots_wanted(pl, want, err);
	for (uint32_t slot = 0; r == 0 && slot < BH_MAX_SLOTS; slot++) {
		uint32_t *has = pl->dp->slot[slot].side[pl->idle].ruleset;

		if (memcmp(has, want[slot].ruleset, sizeof(want[slot].ruleset)) == 0)
			continue;
		if (bh_fault_room(&pl->dp->fault, "endpoint", 1) == 0)
			return bh_fail_sys(err, pl->dp->fault.errnum, "write to map endpoint");
		pl->has_written = true;
		for (int d = 0; d < 2; d++)
			__atomic_store_n(&has[d], want[slot].ruleset[d], __ATOMIC_RELAXED);
		r = slot_verify(pl, slot, &want[slot], err);
	}
	return r;
}

/* ---- the whole ---- */

static void settle(struct bh_plan *pl, bool is_done)
{
	struct bh_tstate *ts = pl->ts;

	bh_ids_settle(&ts->classes, pl->idle, is_done);
	bh_ids_settle(&ts->pages, pl->idle, is_done);
	bh_ids_settle(&ts->portmaps, pl->idle, is_done);
	bh_ids_settle(&ts->rulesets, pl->idle, is_done);
	bh_exes_settle(ts, is_done);
	if (!is_done && pl->has_written)
		bh_tstate_done(ts);
}

static int publish_tables(struct bh_plan *pl, struct bh_err *err)
{
	int r = plan_init(pl, err);

	if (r == 0)
		r = resolve(pl, err);
	if (r == 0)
		r = preflight(pl, err);
	if (r == 0)
		r = write_tables(pl, err);
	if (r == 0)
		r = slots_write(pl, err);
	return r;
}

/* Nothing but entries that nobody uses is touched. */
int bh_datapath_fits(struct bh_datapath *dp, const struct bh_publish *p, struct bh_err *err)
{
	BH_CLEANUP(plan_done)
	struct bh_plan pl = {
		.dp = dp,
		.ts = &dp->tstate,
		.p = p,
		.t = p->tables,
		.live = dp->config->epoch & 1,
		.idle = !(dp->config->epoch & 1),
	};
	int r = 0;

	bh_fault_arm(&dp->fault);
	bh_dp_grace_end(dp);
	if (!dp->tstate.is_loaded)
		r = bh_tstate_load(dp, &dp->tstate, err);
	if (!r)
		r = plan_init(&pl, err);
	if (!r)
		r = resolve(&pl, err);
	if (!r)
		r = preflight(&pl, err);
	settle(&pl, false);
	return r;
}

/* 0 and 1 mean something else in a flow's epoch; the side must alternate all the same. */
static uint32_t next_epoch(uint32_t epoch)
{
	return epoch == UINT32_MAX ? 2 : epoch + 1;
}

int bh_datapath_publish(struct bh_datapath *dp, const struct bh_publish *p, struct bh_err *err)
{
	uint32_t epoch = dp->config->epoch;
	BH_CLEANUP(plan_done)
	struct bh_plan pl = {
		.dp = dp,
		.ts = &dp->tstate,
		.p = p,
		.t = p->tables,
		.live = epoch & 1,
		.idle = !(epoch & 1),
	};
	int r;

	bh_fault_arm(&dp->fault);
	bh_dp_grace_end(dp);
	if (!dp->tstate.is_loaded) {
		r = bh_tstate_load(dp, &dp->tstate, err);
		if (r)
			return bh_note(err, r, "reading what the kernel enforces");
	}
	r = publish_tables(&pl, err);
	settle(&pl, r == 0);
	if (r)
		return bh_note(err, r, "the new policy is not live, the old one stays in force");
	dp->config->has_cidrs[pl.idle] = p->tables->n_cidrs > 0;
	__atomic_store_n(&dp->config->epoch, next_epoch(epoch), __ATOMIC_SEQ_CST);
	dp->has_published = true;
	bh_dp_grace_begin(dp);
	bh_dp_migrate_ready(dp);
	return 0;
}

uint32_t bh_datapath_epoch(const struct bh_datapath *dp)
{
	return dp->config->epoch;
}

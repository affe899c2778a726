/* Executable paths and their proc ids. Sockets and flows remember a proc id for as long as they
 * live, so an id keeps its path across publishes and restarts (the kernel's map is the memory), and
 * ids that were given up are handed out again only after all others. */
#include "datapath/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PROC  2u
#define MAX_RETIRED 64 /* paths that no policy names any more and that keep their id */

static struct bh_exe_memo *find(struct bh_tstate *ts, const char *path)
{
	bh_vec_each (exe, &ts->exes)
		if (strcmp(exe->path, path) == 0)
			return exe;
	return NULL;
}

static int retire(struct bh_plan *pl, size_t pos, struct bh_err *err)
{
	struct bh_tstate *ts = pl->ts;
	struct bh_exe_key key = {0};
	int r;

	strncpy(key.path, ts->exes.v[pos].path, sizeof(key.path) - 1);
	pl->has_written = true;
	r = bh_kmap_delete(&pl->dp->map[BH_M_EXE], &(struct bh_kbatch){.keys = &key, .n = 1}, err);
	if (r)
		return r;
	free(ts->exes.v[pos].path);
	memmove(&ts->exes.v[pos], &ts->exes.v[pos + 1],
		(ts->exes.n - pos - 1) * sizeof(*ts->exes.v));
	ts->exes.n--;
	return 0;
}

/* The policy in force goes on until the last step, and after a failure: a path that it denies must
 * keep its id. */
static bool is_retired(const struct bh_exe_memo *exe)
{
	return !exe->is_wanted && !exe->is_live;
}

void bh_exes_settle(struct bh_tstate *ts, bool is_done)
{
	bh_vec_each (exe, &ts->exes) {
		if (is_done)
			exe->is_live = exe->is_wanted;
	}
}

/* Gives up the oldest retired paths: beyond MAX_RETIRED, or while the new ones would not fit. */
static int make_room(struct bh_plan *pl, size_t n_new, struct bh_err *err)
{
	struct bh_tstate *ts = pl->ts;
	uint32_t max = pl->dp->map[BH_M_EXE].max;
	size_t n_retired = 0;
	int r = 0;

	bh_vec_each (exe, &ts->exes)
		n_retired += is_retired(exe);
	for (size_t i = 0; r == 0 && i < ts->exes.n;) {
		if (!is_retired(&ts->exes.v[i]) ||
		    (n_retired <= MAX_RETIRED && ts->exes.n + n_new <= max)) {
			i++;
			continue;
		}
		r = retire(pl, i, err);
		n_retired--;
	}
	return r;
}

int bh_exes_resolve(struct bh_plan *pl, struct bh_err *err)
{
	size_t n_new = 0;
	int r;

	bh_vec_each (exe, &pl->ts->exes)
		exe->is_wanted = false;
	for (size_t i = 0; i < pl->t->n_exes; i++) {
		struct bh_exe_memo *exe = find(pl->ts, pl->t->exes[i]);

		if (strlen(pl->t->exes[i]) >= BH_PATH_MAX)
			return bh_fail(err, ENAMETOOLONG,
				       "executable path '%.64s...' is longer "
				       "than %d bytes",
				       pl->t->exes[i], BH_PATH_MAX - 1);
		if (exe) {
			exe->is_wanted = true;
			pl->exe_proc[i] = exe->proc;
		} else {
			n_new++;
		}
	}
	r = make_room(pl, n_new, err);
	if (r)
		return r;
	return bh_plan_room(&pl->dp->map[BH_M_EXE], pl->ts->exes.n, n_new,
			    "executables in policies", err);
}

static bool is_free(const struct bh_tstate *ts, uint16_t proc)
{
	bh_vec_each (exe, &ts->exes)
		if (exe->proc == proc)
			return false;
	return true;
}

static uint16_t next_proc(struct bh_tstate *ts)
{
	do
		ts->last_proc = ts->last_proc < UINT16_MAX && ts->last_proc >= FIRST_PROC - 1
					? (uint16_t)(ts->last_proc + 1)
					: FIRST_PROC;
	while (!is_free(ts, ts->last_proc));
	return ts->last_proc;
}

static int add(struct bh_plan *pl, size_t i, struct bh_err *err)
{
	struct bh_tstate *ts = pl->ts;
	struct bh_exe_memo exe = {.proc = next_proc(ts), .is_wanted = true};
	struct bh_exe_key key = {0};
	uint32_t proc = exe.proc;
	int r;

	/* The map has no sides: the live policy, for which the path is just any other executable,
	 * must keep treating it so. */
	r = bh_rules_add_proc(pl, exe.proc, err);
	if (r)
		return r;
	strncpy(key.path, pl->t->exes[i], sizeof(key.path) - 1);
	r = bh_plan_put(pl, BH_M_EXE, &(struct bh_kbatch){.keys = &key, .values = &proc, .n = 1},
			err);
	if (r)
		return r;
	exe.path = strdup(pl->t->exes[i]);
	if (!exe.path || bh_vec_push(&ts->exes, exe)) {
		free(exe.path);
		return bh_fail(err, ENOMEM, "no memory to publish");
	}
	pl->exe_proc[i] = exe.proc;
	return 0;
}

int bh_exes_write(struct bh_plan *pl, struct bh_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < pl->t->n_exes; i++)
		if (pl->exe_proc[i] == BH_PROC_UNKNOWN)
			r = add(pl, i, err);
	return r;
}

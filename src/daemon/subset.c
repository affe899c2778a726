#include "daemon/subset.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/standin.h"
#include "daemon/world.h"

#define MAX_TRIES 64 /* compilations; what is not judged by then stays out */

/* Which policies may have to stay out; each level is tried when the one before did not do. */
enum level {
	CHANGED, /* those that differ from what is enforced; of a new daemon: those left out before
		  */
	RECENT,	 /* those that were let in since something had to stay out */
	ALL,
};

struct search {
	const struct bh_subset_request *rq;
	struct bh_subset *out;
	const json_t *names;	     /* of what an earlier daemon left out; NULL: not known */
	struct bh_policy **in_place; /* by index of want's policies: what stands there; borrowed */
	struct bh_policy **standins; /* owned, where one was made */
	bool *is_out;
	size_t *open; /* indexes of policies to be judged, ascending */
	size_t n_open, tries;
	struct bh_world *fits; /* the last one that does */
};

static void search_done(struct search *s)
{
	for (size_t i = 0; s->standins && i < s->rq->want->n_policies; i++)
		bh_policy_unref(s->standins[i]);
	free(s->in_place);
	free(s->standins);
	free(s->is_out);
	free(s->open);
	bh_world_unref(s->fits);
}

void bh_subset_done(struct bh_subset *s)
{
	bh_vec_each (it, &s->refused) {
		bh_policy_unref(it->policy);
		bh_policy_unref(it->standin);
		free(it->why);
	}
	bh_vec_done(&s->refused);
	bh_vec_each (it, &s->recent)
		bh_policy_unref(*it);
	bh_vec_done(&s->recent);
}

static const struct bh_refused *find(const struct bh_subset *s, const struct bh_policy *p)
{
	bh_vec_each (it, &s->refused) {
		if (it->policy == p)
			return it;
	}
	return NULL;
}

const char *bh_subset_why(const struct bh_subset *s, const struct bh_policy *p)
{
	const struct bh_refused *row = find(s, p);

	return row ? row->why : NULL;
}

static bool is_standin(const struct bh_subset *s, const struct bh_policy *p)
{
	bh_vec_each (it, &s->refused) {
		if (it->standin == p)
			return true;
	}
	return false;
}

/* Its older version, when one is enforced that is no stand-in itself. */
static struct bh_policy *older(const struct bh_subset_request *rq, const struct bh_policy *p)
{
	struct bh_policy *old = bh_world_policy_like(rq->old, p);

	return old && old != p && !is_standin(rq->last, old) ? old : NULL;
}

/* what: "policy 'ns/name': ..." where the limit was met; it is met at any of those that share it */
static char *why_text(const struct bh_policy *p, const char *text, bool has_older)
{
	BH_CLEANUP(bh_freep) char *name = bh_strf("policy '%s/%s'", p->ns, p->name);
	const char *instead = has_older ? "its last version is in force" : bh_standin_text(p);

	if (!name)
		return NULL;
	if (strstr(text, name))
		return bh_strf("%s; until it fits %s", text, instead);
	return bh_strf("%s does not fit beside the others: %s; until it fits %s", name, text,
		       instead);
}

static int refuse(struct search *s, size_t i, const struct bh_err *why)
{
	struct bh_policy *p = s->rq->want->policies[i];
	struct bh_refused row = {.policy = p, .standin = s->standins[i]};

	row.why = why_text(p, why->text, !row.standin);
	if (!row.why || bh_vec_push(&s->out->refused, row)) {
		free(row.why);
		return -ENOMEM;
	}
	bh_policy_ref(p);
	s->standins[i] = NULL;
	return 0;
}

static int build(const struct bh_subset_request *rq, struct bh_policy *const *in_place,
		 const bool *is_out, struct bh_world **ret, struct bh_err *err)
{
	BH_VEC(struct bh_policy *) list = {0};
	int r = 0;

	for (size_t i = 0; !r && i < rq->want->n_policies; i++)
		r = bh_vec_push(&list, is_out[i] ? in_place[i] : rq->want->policies[i]);
	if (r)
		r = bh_fail(err, ENOMEM, "policies");
	else
		r = bh_world_build(rq->d, &(struct bh_policies){list.v, list.n}, ret, err);
	bh_vec_done(&list);
	return r;
}

static bool is_want_of_room(int r)
{
	return r == -E2BIG || r == -ENOSPC;
}

static int try_out(struct search *s, struct bh_err *err)
{
	BH_CLEANUP(bh_subjects_done) struct bh_subjects subjects = {0};
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	BH_CLEANUP(bh_tables_freep) struct bh_tables *t = NULL;
	struct bh_compile_request rq = {.memo = s->rq->memo};
	int r = build(s->rq, s->in_place, s->is_out, &w, err);

	s->tries++;
	if (!r)
		r = bh_world_subjects(s->rq->d, w, &subjects, err);
	if (r)
		return r;
	rq.world = w;
	rq.subjects = subjects.v;
	rq.n_subjects = subjects.n;
	r = bh_compile_run(&rq, &t, err);
	if (!r)
		r = bh_datapath_fits(s->rq->d->dp,
				     &(struct bh_publish){.tables = t,
							  .now_s = w->now_s,
							  .now_ns = bh_reconcile_ktime(w->now_s)},
				     err);
	if (r)
		return r;
	bh_world_unref(s->fits);
	s->fits = BH_TAKE(w);
	return 0;
}

static void set_out(struct search *s, size_t from, size_t to, bool is_out)
{
	for (; from < to; from++)
		s->is_out[s->open[from]] = is_out;
}

/* Judges open[from..to) together with what was let in before: all fit, or each half is judged by
 * itself. */
static int judge(struct search *s, size_t from, size_t to, struct bh_err *err)
{
	size_t middle = from + (to - from) / 2;
	struct bh_err why = {0};
	int r = 0;

	set_out(s, from, to, false);
	if (s->tries < MAX_TRIES)
		r = try_out(s, &why);
	else
		r = bh_fail(&why, E2BIG, "too many other policies do not fit");
	if (!is_want_of_room(r)) {
		*err = why;
		return r;
	}
	set_out(s, from, to, true);
	if (to - from > 1 && s->tries < MAX_TRIES) {
		r = judge(s, from, middle, err);
		return r ? r : judge(s, middle, to, err);
	}
	for (r = 0; !r && from < to; from++)
		r = refuse(s, s->open[from], &why);
	return r ? bh_fail(err, ENOMEM, "policies") : 0;
}

static int search_init(struct search *s, struct bh_err *err)
{
	size_t n = s->rq->want->n_policies + 1;

	s->in_place = calloc(n, sizeof(struct bh_policy *));
	s->standins = calloc(n, sizeof(struct bh_policy *));
	s->is_out = calloc(n, sizeof(*s->is_out));
	s->open = calloc(n, sizeof(*s->open));
	return s->in_place && s->standins && s->is_out && s->open
		       ? 0
		       : bh_fail(err, ENOMEM, "policies");
}

static bool is_recent(const struct bh_subset *s, const struct bh_policy *p)
{
	bh_vec_each (it, &s->recent) {
		if (*it == p)
			return true;
	}
	return false;
}

static char *name_of(const struct bh_policy *p)
{
	return bh_strf("%s %s/%s", bh_policy_kind_name(p->kind), p->ns, p->name);
}

static bool is_named(const json_t *names, const struct bh_policy *p)
{
	BH_CLEANUP(bh_freep) char *name = name_of(p);

	return name && json_object_get(names, name);
}

static bool is_open(const struct search *s, enum level level, const struct bh_policy *p)
{
	if (level == ALL)
		return true;
	if (level == RECENT && is_recent(s->rq->last, p))
		return true;
	return s->rq->old ? !bh_world_has_policy(s->rq->old, p) : is_named(s->names, p);
}

/* Puts what can stand there in the place of every policy to be judged. */
static int search_open(struct search *s, enum level level, struct bh_err *err)
{
	const struct bh_world *want = s->rq->want;

	for (size_t i = 0; i < want->n_policies; i++) {
		struct bh_policy *p = want->policies[i];

		if (!is_open(s, level, p))
			continue;
		s->in_place[i] = level == ALL ? NULL : older(s->rq, p);
		if (!s->in_place[i])
			s->in_place[i] = s->standins[i] = bh_standin_new(p);
		if (!s->in_place[i])
			return bh_fail(err, ENOMEM, "policies");
		s->is_out[i] = true;
		s->open[s->n_open++] = i;
	}
	return 0;
}

/* Those that were let in go first when there is less room. */
static int note_recent(struct search *s)
{
	for (size_t i = 0; i < s->rq->want->n_policies; i++) {
		struct bh_policy *p = s->rq->want->policies[i];

		if (s->is_out[i] || (!s->in_place[i] && !is_recent(s->rq->last, p)))
			continue;
		if (bh_vec_push(&s->out->recent, p))
			return -ENOMEM;
		bh_policy_ref(p);
	}
	return 0;
}

static int search(struct search *s, enum level level, struct bh_err *err)
{
	int r = search_init(s, err);

	if (!r)
		r = search_open(s, level, err);
	if (!r && s->n_open)
		r = judge(s, 0, s->n_open, err);
	/* none of them fit: then what stands in their places must */
	if (!r && !s->fits)
		r = try_out(s, err);
	if (!r && level != ALL && note_recent(s))
		r = bh_fail(err, ENOMEM, "policies");
	return r;
}

static int find_among(const struct bh_subset_request *rq, enum level level, const json_t *names,
		      struct bh_subset *ret, struct bh_world **ret_world, struct bh_err *err)
{
	BH_CLEANUP(bh_subset_done) struct bh_subset found = {0};
	BH_CLEANUP(search_done) struct search s = {.rq = rq, .out = &found, .names = names};
	int r = search(&s, level, err);

	if (r)
		return r;
	*ret = found;
	found = (struct bh_subset){0};
	*ret_world = BH_TAKE(s.fits);
	return 0;
}

/* The next daemon leaves the same ones out. */
static void names_save(struct bh_daemon *d, const struct bh_subset *s)
{
	BH_CLEANUP(bh_json_decrefp) json_t *names = json_object();
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err ignored;

	bh_vec_each (it, &s->refused) {
		BH_CLEANUP(bh_freep) char *name = name_of(it->policy);

		if (name)
			json_object_set_new(names, name, json_true());
	}
	text = json_dumps(names, JSON_COMPACT);
	if (text)
		bh_store_put(d->store, "meta", "refused", text, &ignored);
}

static int names_row(const char *key, const char *json, void *arg)
{
	json_t **ret = arg;
	struct bh_err ignored;

	if (!strcmp(key, "refused"))
		bh_json_parse(json, strlen(json), 64 << 20, ret, &ignored);
	return 0;
}

int bh_subset_find(const struct bh_subset_request *rq, struct bh_subset *ret,
		   struct bh_world **ret_world, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *names = NULL;
	struct bh_err ignored;
	int r = -E2BIG;

	if (!rq->old)
		bh_store_each(rq->d->store, "meta", names_row, &names, &ignored);
	if (rq->old || json_object_size(names))
		r = find_among(rq, CHANGED, names, ret, ret_world, err);
	/* not even what is enforced fits: there are more pods or addresses than before */
	if (is_want_of_room(r) && rq->last->recent.n)
		r = find_among(rq, RECENT, names, ret, ret_world, err);
	if (is_want_of_room(r))
		r = find_among(rq, ALL, names, ret, ret_world, err);
	if (!r)
		names_save(rq->d, ret);
	return r;
}

int bh_subset_again(const struct bh_subset_request *rq, struct bh_world **ret_world,
		    struct bh_err *err)
{
	size_t n = rq->want->n_policies, n_out = 0;
	BH_CLEANUP(bh_freep) bool *is_out = calloc(n + 1, sizeof(*is_out));
	struct bh_policy **in_place = calloc(n + 1, sizeof(struct bh_policy *));
	int r = is_out && in_place ? 0 : bh_fail(err, ENOMEM, "policies");

	for (size_t i = 0; !r && i < n; i++) {
		const struct bh_policy *p = rq->want->policies[i];
		const struct bh_refused *row = find(rq->last, p);

		is_out[i] = row;
		n_out += is_out[i];
		in_place[i] = row && row->standin ? row->standin : bh_world_policy_like(rq->old, p);
		if (row ? !in_place[i] : in_place[i] != p)
			r = bh_fail(err, ESTALE, "other policies are wanted");
	}
	if (!r && (n_out != rq->last->refused.n || !n_out))
		r = bh_fail(err, ESTALE, "other policies are wanted");
	if (!r)
		r = build(rq, in_place, is_out, ret_world, err);
	free(in_place);
	return r;
}

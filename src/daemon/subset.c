#include "daemon/subset.h"

#include <string.h>

#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/world.h"

#define MAX_TRIES 64 /* compilations; what is not judged by then stays out */

struct search {
	const struct bh_subset_request *rq;
	struct bh_subset *out;
	bool *is_out;	 /* by index of want's policies */
	size_t *changed; /* such indexes, ascending */
	size_t n_changed, tries;
	struct bh_world *fits; /* the last one that compiled */
};

static void search_done(struct search *s)
{
	free(s->is_out);
	free(s->changed);
	bh_world_unref(s->fits);
}

void bh_subset_done(struct bh_subset *s)
{
	bh_vec_each (it, &s->refused) {
		bh_policy_unref(it->policy);
		free(it->why);
	}
	bh_vec_done(&s->refused);
}

const char *bh_subset_why(const struct bh_subset *s, const struct bh_policy *p)
{
	bh_vec_each (it, &s->refused) {
		if (it->policy == p)
			return it->why;
	}
	return NULL;
}

static int refuse(struct bh_subset *s, struct bh_policy *p, const struct bh_err *why)
{
	BH_CLEANUP(bh_freep) char *name = bh_strf("policy '%s/%s'", p->ns, p->name);
	struct bh_refused row = {.policy = p};

	/* the limit is met at any of the policies that share it */
	if (name && strstr(why->text, name))
		row.why = bh_strf("%s", why->text);
	else if (name)
		row.why = bh_strf("%s does not fit beside the others: %s", name, why->text);
	if (!row.why || bh_vec_push(&s->refused, row)) {
		free(row.why);
		return -ENOMEM;
	}
	bh_policy_ref(p);
	return 0;
}

/* In the place of a policy that is out stands its older version, if there is one. */
static int build(const struct bh_subset_request *rq, const bool *is_out, struct bh_world **ret,
		 struct bh_err *err)
{
	BH_VEC(struct bh_policy *) list = {0};
	int r = 0;

	for (size_t i = 0; !r && i < rq->want->n_policies; i++) {
		struct bh_policy *p = rq->want->policies[i];

		if (is_out[i])
			p = bh_world_policy_like(rq->old, p);
		r = p ? bh_vec_push(&list, p) : 0;
	}
	if (r)
		r = bh_fail(err, ENOMEM, "policies");
	else
		r = bh_world_build(rq->d, &(struct bh_policies){list.v, list.n}, ret, err);
	bh_vec_done(&list);
	return r;
}

static int try_out(struct search *s, struct bh_err *err)
{
	BH_CLEANUP(bh_subjects_done) struct bh_subjects subjects = {0};
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	BH_CLEANUP(bh_tables_freep) struct bh_tables *t = NULL;
	struct bh_compile_request rq = {.memo = s->rq->memo};
	int r = build(s->rq, s->is_out, &w, err);

	s->tries++;
	if (!r)
		r = bh_world_subjects(s->rq->d, w, &subjects, err);
	if (r)
		return r;
	rq.world = w;
	rq.subjects = subjects.v;
	rq.n_subjects = subjects.n;
	r = bh_compile_run(&rq, &t, err);
	if (r)
		return r;
	bh_world_unref(s->fits);
	s->fits = BH_TAKE(w);
	return 0;
}

static void set_out(struct search *s, size_t from, size_t to, bool is_out)
{
	for (; from < to; from++)
		s->is_out[s->changed[from]] = is_out;
}

/* Judges changed[from..to) together with what was let in before: all fit, or each half is judged by
 * itself. why: of an attempt with all of them, if there was one. */
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
	if (r != -E2BIG) {
		*err = why;
		return r;
	}
	set_out(s, from, to, true);
	if (to - from > 1 && s->tries < MAX_TRIES) {
		r = judge(s, from, middle, err);
		return r ? r : judge(s, middle, to, err);
	}
	for (r = 0; !r && from < to; from++)
		r = refuse(s->out, s->rq->want->policies[s->changed[from]], &why);
	return r ? bh_fail(err, ENOMEM, "policies") : 0;
}

static int search_init(struct search *s, struct bh_err *err)
{
	const struct bh_world *want = s->rq->want;

	s->is_out = calloc(want->n_policies + 1, sizeof(*s->is_out));
	s->changed = calloc(want->n_policies + 1, sizeof(*s->changed));
	if (!s->is_out || !s->changed)
		return bh_fail(err, ENOMEM, "policies");
	for (size_t i = 0; i < want->n_policies; i++) {
		if (bh_world_has_policy(s->rq->old, want->policies[i]))
			continue;
		s->is_out[i] = true;
		s->changed[s->n_changed++] = i;
	}
	return 0;
}

static bool has_deny(const struct bh_policy *p)
{
	for (int dir = 0; dir < 2; dir++) {
		for (size_t i = 0; i < p->n_rules[dir]; i++) {
			if (p->rules[dir][i].action == BH_ACTION_DENY)
				return true;
		}
	}
	return false;
}

/* What an older version forbade is not known when nothing is enforced: leaving the policy out must
 * not be able to open anything. */
static int check_shut(const struct search *s, struct bh_err *err)
{
	if (s->rq->old)
		return 0;
	bh_vec_each (it, &s->out->refused) {
		if (s->rq->d->cfg->default_allow || has_deny(it->policy))
			return bh_fail(err, E2BIG, "%s", it->why);
	}
	return 0;
}

int bh_subset_find(const struct bh_subset_request *rq, struct bh_subset *ret,
		   struct bh_world **ret_world, struct bh_err *err)
{
	BH_CLEANUP(bh_subset_done) struct bh_subset found = {0};
	BH_CLEANUP(search_done) struct search s = {.rq = rq, .out = &found};
	int r = search_init(&s, err);

	if (!r && s.n_changed)
		r = judge(&s, 0, s.n_changed, err);
	if (!r)
		r = check_shut(&s, err);
	if (!r && !s.fits)
		r = build(rq, s.is_out, &s.fits, err);
	if (r)
		return r;
	*ret = found;
	found = (struct bh_subset){0};
	*ret_world = BH_TAKE(s.fits);
	return 0;
}

int bh_subset_again(const struct bh_subset_request *rq, const struct bh_subset *s,
		    struct bh_world **ret_world, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) bool *is_out = calloc(rq->want->n_policies + 1, sizeof(*is_out));
	size_t n_out = 0;

	if (!is_out)
		return bh_fail(err, ENOMEM, "policies");
	for (size_t i = 0; i < rq->want->n_policies; i++) {
		const struct bh_policy *p = rq->want->policies[i];

		is_out[i] = bh_subset_why(s, p);
		n_out += is_out[i];
		if (!is_out[i] && !bh_world_has_policy(rq->old, p))
			return bh_fail(err, ESTALE, "other policies are wanted");
	}
	if (n_out != s->refused.n || !n_out)
		return bh_fail(err, ESTALE, "other policies are wanted");
	return build(rq, is_out, ret_world, err);
}

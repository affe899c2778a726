#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* ---- which policies ---- */

static int select_policies(struct bh_compile_memo *m, struct bh_cm_ident *ident)
{
	ident->policies.n = 0;
	bh_vec_each (n, &m->ns.v[ident->ns].policies) {
		if (!bh_selector_matches(&m->policies.v[*n]->p->pods, &ident->id->labels))
			continue;
		if (bh_vec_push(&ident->policies, *n))
			return -ENOMEM;
	}
	for (int dir = 0; dir < 2; dir++) {
		bh_cm_shape_free(ident->shape[dir]);
		ident->shape[dir] = NULL;
	}
	ident->is_selected = true;
	return 0;
}

static int find_subjects(struct bh_cm_job *j, struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;

	m->subjects.n = 0;
	for (size_t i = 0; i < j->n_subjects; i++) {
		const struct bh_subject *s = &j->subjects[i];
		const struct bh_pod *pod = bh_world_pod(j->world, s->ns, s->name);
		struct bh_cm_ident *ident;

		if (!pod)
			return bh_fail(err, EINVAL, "pod '%s/%s' is not known", s->ns, s->name);
		j->ident[i] = BH_CM_NONE;
		if (pod->host_network)
			continue;
		/* a finished pod keeps its rules until its interface goes */
		j->ident[i] = bh_cm_ident_find(m, pod->ident);
		ident = m->idents.v[j->ident[i]];
		if (ident->subject == m->epoch)
			continue;
		ident->subject = m->epoch;
		if (bh_vec_push(&m->subjects, j->ident[i]) ||
		    (!ident->is_selected && select_policies(m, ident)))
			return bh_fail(err, ENOMEM, "no memory for subjects");
	}
	return 0;
}

/* ---- what they name ----
 *
 * A predicate is active while an atom in force names it, an atom counts while its policy selects
 * some subject. The counts move with subjects and policies that come and go; when time has passed
 * the beginning or end of what some atom grants, everything is counted anew. */

static int count_procs(struct bh_compile_memo *m, const struct bh_cm_policy *p, uint32_t procs,
		       struct bh_err *err)
{
	for (size_t i = 0; i < m->procs.v[procs].n; i++) {
		struct bh_cm_exe *exe = &m->exes.v[m->procs.v[procs].exe[i]];

		if (exe->n_rules++)
			continue;
		m->is_exes_stale = true;
		/* later ones may only seem too many, because others go after they come */
		if (++m->n_exes_in_force > BH_MAX_EXES && m->epoch == 1)
			return bh_fail(err, E2BIG,
				       "policy '%s/%s': more than %d executables are named by "
				       "policies of this node's pods",
				       p->p->ns, p->p->name, BH_MAX_EXES);
	}
	return 0;
}

static int count_atom(struct bh_compile_memo *m, const struct bh_cm_policy *p,
		      const struct bh_cm_atom *a, struct bh_err *err)
{
	struct bh_cm_pred *pred = &m->preds.v[a->pred];
	int r = a->procs ? count_procs(m, p, a->procs, err) : 0;

	if (r)
		return r;
	if (a->kind == BH_CM_ATOM_NAMED) {
		m->families.v[a->pred].n_rules++;
		return 0;
	}
	if (pred->n_rules++)
		return 0;
	if (m->epoch == 1)
		pred->owner = p->p;
	if (pred->kind != BH_CM_CIDR || pred->is_listed)
		return 0;
	pred->is_listed = true;
	return bh_vec_push(&m->active_cidrs, a->pred)
		       ? bh_fail(err, ENOMEM, "no memory for address blocks")
		       : 0;
}

static void uncount_atom(struct bh_compile_memo *m, const struct bh_cm_atom *a)
{
	const struct bh_cm_procs *procs = &m->procs.v[a->procs];

	for (size_t i = 0; i < procs->n; i++) {
		if (--m->exes.v[procs->exe[i]].n_rules)
			continue;
		m->n_exes_in_force--;
		m->is_exes_stale = true;
	}
	if (a->kind == BH_CM_ATOM_NAMED)
		m->families.v[a->pred].n_rules--;
	else if (!--m->preds.v[a->pred].n_rules)
		m->is_cidrs_stale = true;
}

static int count_direction(struct bh_cm_job *j, struct bh_cm_policy *p, enum bh_dir dir,
			   struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;
	int r = 0;

	if (!p->p->applies[dir])
		return 0;
	if (!p->is_built[dir])
		r = bh_cm_atoms_build(m, p, dir, err);
	for (size_t i = 0; !r && i < p->atoms[dir].n; i++) {
		const struct bh_cm_atom *a = &p->atoms[dir].v[i];

		if (a->expires_s <= j->world->now_s) {
			if (a->expires_s > m->from_s)
				m->from_s = a->expires_s;
			continue;
		}
		if (a->expires_s < m->to_s)
			m->to_s = a->expires_s;
		r = count_atom(m, p, a, err);
	}
	return r;
}

static int count_policy(struct bh_cm_job *j, struct bh_cm_policy *p, struct bh_err *err)
{
	int r;

	p->counted_at_s = j->world->now_s;
	r = count_direction(j, p, BH_EGRESS, err);
	return r ? r : count_direction(j, p, BH_INGRESS, err);
}

static void uncount_policy(struct bh_compile_memo *m, const struct bh_cm_policy *p)
{
	for (int dir = 0; dir < 2; dir++) {
		bh_vec_each (a, &p->atoms[dir]) {
			if (a->expires_s > p->counted_at_s)
				uncount_atom(m, a);
		}
	}
}

static int count_ident(struct bh_cm_job *j, struct bh_cm_ident *ident, struct bh_err *err)
{
	int r = 0;

	if (ident->is_counted)
		return 0;
	ident->is_counted = true;
	for (size_t i = 0; !r && i < ident->policies.n; i++) {
		struct bh_cm_policy *p = j->m->policies.v[ident->policies.v[i]];

		if (!p->n_selected++)
			r = count_policy(j, p, err);
	}
	return r;
}

void bh_cm_uncount(struct bh_compile_memo *m, struct bh_cm_ident *ident)
{
	if (!ident->is_counted)
		return;
	ident->is_counted = false;
	bh_vec_each (n, &ident->policies) {
		struct bh_cm_policy *p = m->policies.v[*n];

		if (!--p->n_selected)
			uncount_policy(m, p);
	}
}

/* ---- executables ---- */

static int by_path(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those in force, sorted by path. */
static int list_exes(struct bh_compile_memo *m)
{
	size_t n = 0;
	BH_CLEANUP(bh_freep)
	const char **path = calloc(m->n_exes_in_force + 1, sizeof(*path));

	m->scratch.n = 0;
	if (!path || bh_vec_reserve(&m->scratch, m->n_exes_in_force))
		return -ENOMEM;
	bh_vec_each (exe, &m->exes) {
		if (exe->n_rules)
			path[n++] = exe->path;
	}
	qsort(path, n, sizeof(*path), by_path);
	for (size_t i = 0; i < n; i++)
		m->scratch.v[m->scratch.n++] = bh_idmap_get(&m->exe_ids, path[i], strlen(path[i]));
	m->exes_changed = n != m->active_exes.n ||
			  (n && memcmp(m->scratch.v, m->active_exes.v, n * sizeof(uint32_t)));
	m->active_exes.n = 0;
	if (bh_vec_reserve(&m->active_exes, n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		m->exes.v[m->scratch.v[i]].index = (uint32_t)i;
		m->active_exes.v[m->active_exes.n++] = m->scratch.v[i];
	}
	return 0;
}

/* ---- all ---- */

static void uncount_all(struct bh_compile_memo *m)
{
	bh_vec_each (n, &m->counted) {
		if (m->idents.v[*n])
			bh_cm_uncount(m, m->idents.v[*n]);
	}
	m->from_s = INT64_MIN;
	m->to_s = INT64_MAX;
}

/* Subjects that came are counted, those that went are not any more. A number in m->counted may be
 * another ident's by now: that one is a subject, or was never counted. */
static int count_all(struct bh_cm_job *j, struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;

	bh_vec_each (n, &m->subjects) {
		int r = count_ident(j, m->idents.v[*n], err);

		if (r)
			return r;
	}
	bh_vec_each (n, &m->counted) {
		struct bh_cm_ident *ident = m->idents.v[*n];

		if (ident && ident->subject != m->epoch)
			bh_cm_uncount(m, ident);
	}
	m->counted.n = 0;
	if (bh_vec_reserve(&m->counted, m->subjects.n))
		return bh_fail(err, ENOMEM, "no memory for subjects");
	bh_vec_each (n, &m->subjects)
		m->counted.v[m->counted.n++] = *n;
	return 0;
}

static void drop_cidrs(struct bh_compile_memo *m)
{
	size_t n = 0;

	bh_vec_each (p, &m->active_cidrs) {
		m->preds.v[*p].is_listed = m->preds.v[*p].n_rules;
		if (m->preds.v[*p].is_listed)
			m->active_cidrs.v[n++] = *p;
	}
	m->active_cidrs.n = n;
	m->is_cidrs_stale = false;
}

int bh_cm_select(struct bh_cm_job *j, struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;
	int r = find_subjects(j, err);

	m->exes_changed = false;
	if (r)
		return r;
	if (j->world->now_s < m->from_s || j->world->now_s >= m->to_s)
		uncount_all(m);
	r = count_all(j, err);
	if (r)
		return r;
	if (m->n_exes_in_force > BH_MAX_EXES)
		return bh_fail(err, E2BIG, "too many executables");
	if (m->is_cidrs_stale)
		drop_cidrs(m);
	if (m->is_exes_stale && list_exes(m))
		return bh_fail(err, ENOMEM, "no memory for executables");
	m->is_exes_stale = false;
	return 0;
}

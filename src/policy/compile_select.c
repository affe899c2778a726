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
	m->is_mark_old = true;
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

/* ---- what they name ---- */

static int mark_procs(struct bh_cm_job *j, const struct bh_cm_policy *p, uint32_t procs,
		      struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;

	for (size_t i = 0; i < m->procs.v[procs].n; i++) {
		uint32_t n = m->procs.v[procs].exe[i];

		if (m->exes.v[n].active == m->mark)
			continue;
		m->exes.v[n].active = m->mark;
		if (bh_vec_push(&m->scratch, n))
			return bh_fail(err, ENOMEM, "no memory for executables");
		if (m->scratch.n > BH_MAX_EXES)
			return bh_fail(err, E2BIG,
				       "policy '%s/%s': more than %d executables are named by "
				       "policies of this node's pods",
				       p->p->ns, p->p->name, BH_MAX_EXES);
	}
	return 0;
}

static int mark_atom(struct bh_cm_job *j, const struct bh_cm_policy *p, const struct bh_cm_atom *a,
		     struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;
	struct bh_cm_pred *pred = &m->preds.v[a->pred];

	if (a->procs) {
		int r = mark_procs(j, p, a->procs, err);

		if (r)
			return r;
	}
	if (a->kind == BH_CM_ATOM_NAMED) {
		m->families.v[a->pred].active = m->mark;
		return 0;
	}
	if (pred->active == m->mark)
		return 0;
	pred->active = m->mark;
	pred->owner = p->p;
	if (pred->kind == BH_CM_CIDR && bh_vec_push(&m->active_cidrs, a->pred))
		return bh_fail(err, ENOMEM, "no memory for address blocks");
	return 0;
}

static int mark_policy(struct bh_cm_job *j, struct bh_cm_policy *p, enum bh_dir dir,
		       struct bh_err *err)
{
	int r;

	if (!p->p->applies[dir] || p->marked[dir] == j->m->mark)
		return 0;
	p->marked[dir] = j->m->mark;
	if (!p->is_built[dir]) {
		r = bh_cm_atoms_build(j->m, p, dir, err);
		if (r)
			return r;
	}
	bh_vec_each (a, &p->atoms[dir]) {
		if (a->expires_s <= j->world->now_s) {
			if (a->expires_s > j->m->mark_from_s)
				j->m->mark_from_s = a->expires_s;
			continue;
		}
		if (a->expires_s < j->m->mark_to_s)
			j->m->mark_to_s = a->expires_s;
		r = mark_atom(j, p, a, err);
		if (r)
			return r;
	}
	return 0;
}

/* ---- executables ---- */

static int by_path(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* m->scratch holds the executables of this compile; sorts them by path. */
static int list_exes(struct bh_compile_memo *m)
{
	size_t n = m->scratch.n;
	BH_CLEANUP(bh_freep) const char **path = calloc(n + 1, sizeof(*path));

	if (!path)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		path[i] = m->exes.v[m->scratch.v[i]].path;
	qsort(path, n, sizeof(*path), by_path);
	for (size_t i = 0; i < n; i++)
		m->scratch.v[i] = bh_idmap_get(&m->exe_ids, path[i], strlen(path[i]));
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

/* The same subjects, policies and rules in force as in the last compile: what was active still is.
 */
static bool is_marked(const struct bh_cm_job *j)
{
	const struct bh_compile_memo *m = j->m;
	size_t n = m->subjects.n;

	return !m->is_mark_old && j->world->now_s >= m->mark_from_s &&
	       j->world->now_s < m->mark_to_s && n == m->marked_subjects.n &&
	       (n == 0 || memcmp(m->subjects.v, m->marked_subjects.v, n * sizeof(uint32_t)) == 0);
}

static int begin_mark(struct bh_compile_memo *m)
{
	m->mark++;
	m->is_mark_old = false;
	m->mark_from_s = INT64_MIN;
	m->mark_to_s = INT64_MAX;
	m->active_cidrs.n = 0;
	m->scratch.n = 0;
	m->marked_subjects.n = 0;
	if (bh_vec_reserve(&m->marked_subjects, m->subjects.n))
		return -ENOMEM;
	bh_vec_each (n, &m->subjects)
		m->marked_subjects.v[m->marked_subjects.n++] = *n;
	return 0;
}

static int mark_all(struct bh_cm_job *j, struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;
	int r = 0;

	for (size_t i = 0; !r && i < m->subjects.n; i++) {
		const struct bh_cm_ident *ident = m->idents.v[m->subjects.v[i]];

		for (size_t k = 0; !r && k < ident->policies.n; k++) {
			struct bh_cm_policy *p = m->policies.v[ident->policies.v[k]];

			r = mark_policy(j, p, BH_EGRESS, err);
			if (!r)
				r = mark_policy(j, p, BH_INGRESS, err);
		}
	}
	return r;
}

int bh_cm_select(struct bh_cm_job *j, struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;
	int r = find_subjects(j, err);

	m->exes_changed = false;
	if (r || is_marked(j))
		return r;
	if (begin_mark(m))
		return bh_fail(err, ENOMEM, "no memory for subjects");
	r = mark_all(j, err);
	if (!r && list_exes(m))
		return bh_fail(err, ENOMEM, "no memory for executables");
	return r;
}

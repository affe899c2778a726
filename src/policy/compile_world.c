#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

#include "policy/ident.h"

struct objects {
	void **v;
	size_t n, cap;
};

/* One sorted array of the world, seen then and now. */
struct pair_of_arrays {
	const void *old, *new;
	size_t n_old, n_new;
	int (*cmp)(const void *a, const void *b);
};

static void *nth(const void *array, size_t i)
{
	void *p;

	memcpy(&p, (const char *)array + i * sizeof(p), sizeof(p));
	return p;
}

/* Objects are immutable, so the same pointer is the same object. */
static int compare(const struct pair_of_arrays *a, struct objects *gone, struct objects *come)
{
	size_t i = 0, k = 0;
	int r = 0;

	while (!r && (i < a->n_old || k < a->n_new)) {
		void *old = i < a->n_old ? nth(a->old, i) : NULL;
		void *new = k < a->n_new ? nth(a->new, k) : NULL;
		int c = !old ? 1 : !new ? -1 : old == new ? 0 : a->cmp(old, new);

		if (old != new &&c <= 0)
			r = bh_vec_push(gone, old);
		if (!r && old != new &&c >= 0)
			r = bh_vec_push(come, new);
		i += c <= 0;
		k += c >= 0;
	}
	return r;
}

static int ns_id(struct bh_compile_memo *m, const char *name, uint32_t *ret)
{
	uint32_t id = bh_idmap_get(&m->ns_ids, name, strlen(name));

	if (id == BH_CM_NONE) {
		id = (uint32_t)m->ns.n;
		if (bh_vec_push(&m->ns, ((struct bh_cm_ns){.obj = NULL})) ||
		    bh_idmap_set(&m->ns_ids, name, strlen(name), id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

#define drop_number(vec, number)                                                                   \
	do {                                                                                       \
		for (size_t i_ = 0; i_ < (vec)->n; i_++) {                                         \
			if ((vec)->v[i_] != (number))                                              \
				continue;                                                          \
			memmove((vec)->v + i_, (vec)->v + i_ + 1,                                  \
				((vec)->n - i_ - 1) * sizeof(*(vec)->v));                          \
			(vec)->n--;                                                                \
			break;                                                                     \
		}                                                                                  \
	} while (0)

/* ---- namespaces ---- */

static int cmp_namespace(const void *a, const void *b)
{
	const struct bh_namespace *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int namespace_gone(struct bh_compile_memo *m, const struct bh_namespace *old)
{
	uint32_t id;
	int r = ns_id(m, old->name, &id);

	if (!r)
		m->ns.v[id].obj = NULL;
	return r;
}

static int namespace_come(struct bh_compile_memo *m, const struct bh_namespace *new)
{
	const struct bh_namespace *old = m->world ? bh_world_namespace(m->world, new->name) : NULL;
	struct bh_cm_ns *ns;
	uint32_t id;
	int r = ns_id(m, new->name, &id);

	if (r)
		return r;
	ns = &m->ns.v[id];
	ns->obj = new;
	/* read again from a file, or implied again: nothing new about it */
	if (old && bh_labels_equal(&old->labels, &new->labels))
		return 0;
	ns->is_matched = false;
	ns->scopes.n = 0;
	bh_vec_each (i, &ns->idents)
		m->idents.v[*i]->is_matched = false;
	return 0;
}

static int sync_namespaces(struct bh_compile_memo *m, const struct bh_world *w)
{
	struct pair_of_arrays a = {
		.new = w->namespaces, .n_new = w->n_namespaces, .cmp = cmp_namespace};
	struct objects gone = {0}, come = {0};
	int r;

	if (m->world) {
		a.old = m->world->namespaces;
		a.n_old = m->world->n_namespaces;
	}
	r = compare(&a, &gone, &come);
	for (size_t i = 0; !r && i < gone.n; i++)
		r = namespace_gone(m, gone.v[i]);
	for (size_t i = 0; !r && i < come.n; i++)
		r = namespace_come(m, come.v[i]);
	bh_vec_done(&gone);
	bh_vec_done(&come);
	return r;
}

/* ---- pods ---- */

static int cmp_pod(const void *a, const void *b)
{
	const struct bh_pod *x = a, *y = b;
	int c = strcmp(x->ident->ns, y->ident->ns);

	return c ? c : strcmp(x->name, y->name);
}

uint32_t bh_cm_ident_find(const struct bh_compile_memo *m, const struct bh_ident *id)
{
	return bh_nummap_get(&m->ident_ids, (uintptr_t)id);
}

static int ident_new(struct bh_compile_memo *m, const struct bh_ident *id, uint32_t *ret)
{
	struct bh_cm_ident *ident = calloc(1, sizeof(*ident));
	uint32_t n = (uint32_t)m->idents.n;

	if (!ident)
		return -ENOMEM;
	if (m->free_idents.n)
		n = m->free_idents.v[m->free_idents.n - 1];
	else if (bh_vec_push(&m->idents, NULL)) {
		free(ident);
		return -ENOMEM;
	}
	m->idents.v[n] = ident; /* owned by the memo from here on */
	if (m->free_idents.n)
		m->free_idents.n--;
	ident->id = id;
	*ret = n;
	if (ns_id(m, id->ns, &ident->ns) || bh_vec_push(&m->ns.v[ident->ns].idents, n))
		return -ENOMEM;
	return bh_nummap_set(&m->ident_ids, (uintptr_t)id, n);
}

static void ident_free(struct bh_cm_ident *ident)
{
	if (!ident)
		return;
	bh_vec_done(&ident->pairs);
	bh_vec_done(&ident->preds);
	bh_vec_done(&ident->policies);
	bh_cm_shape_free(ident->shape[0]);
	bh_cm_shape_free(ident->shape[1]);
	free(ident);
}

/* The pod's claims, each address once. */
static int note_claims(struct bh_compile_memo *m, const struct bh_pod *pod, uint32_t n, bool is_new)
{
	struct bh_cm_ident *ident = m->idents.v[n];

	if (pod->host_network || pod->phase != BH_POD_RUNNING)
		return 0;
	for (size_t i = 0; i < pod->n_ips; i++) {
		struct bh_cm_claim c = {.ip = pod->ips[i], .ident = n};
		bool is_again = false;

		for (size_t k = 0; k < i; k++)
			is_again |= bh_ip_cmp(&pod->ips[k], &pod->ips[i]) == 0;
		if (is_again)
			continue;
		if (is_new ? bh_vec_push(&m->added, c) : bh_vec_push(&m->removed, c))
			return -ENOMEM;
		if (is_new)
			ident->n_claims++;
		else
			ident->n_claims--;
	}
	return 0;
}

static int pod_gone(struct bh_compile_memo *m, const struct bh_pod *pod)
{
	uint32_t n = bh_cm_ident_find(m, pod->ident);

	if (--m->idents.v[n]->n_pods == 0 && bh_vec_push(&m->touched, n))
		return -ENOMEM;
	return note_claims(m, pod, n, false);
}

static int pod_come(struct bh_compile_memo *m, const struct bh_pod *pod)
{
	uint32_t n = bh_cm_ident_find(m, pod->ident);

	if (n == BH_CM_NONE && ident_new(m, pod->ident, &n))
		return -ENOMEM;
	m->idents.v[n]->n_pods++;
	return note_claims(m, pod, n, true);
}

/* Only now: an ident that lost its last pod may have found another. */
static int drop_idents(struct bh_compile_memo *m)
{
	bh_vec_each (n, &m->touched) {
		struct bh_cm_ident *ident = m->idents.v[*n];

		if (!ident || ident->n_pods)
			continue;
		if (bh_vec_push(&m->free_idents, *n))
			return -ENOMEM;
		bh_cm_uncount(m, ident);
		drop_number(&m->ns.v[ident->ns].idents, *n);
		bh_nummap_del(&m->ident_ids, (uintptr_t)ident->id);
		ident_free(ident);
		m->idents.v[*n] = NULL;
	}
	m->touched.n = 0;
	return 0;
}

static int sync_pods(struct bh_compile_memo *m, const struct bh_world *w)
{
	struct pair_of_arrays a = {.new = w->pods, .n_new = w->n_pods, .cmp = cmp_pod};
	struct objects gone = {0}, come = {0};
	int r;

	if (m->world) {
		a.old = m->world->pods;
		a.n_old = m->world->n_pods;
	}
	m->added.n = m->removed.n = m->touched.n = 0;
	r = compare(&a, &gone, &come);
	for (size_t i = 0; !r && i < gone.n; i++)
		r = pod_gone(m, gone.v[i]);
	for (size_t i = 0; !r && i < come.n; i++)
		r = pod_come(m, come.v[i]);
	bh_vec_done(&gone);
	bh_vec_done(&come);
	if (!r)
		r = bh_cm_claims_merge(m);
	return r ? r : drop_idents(m);
}

/* ---- policies ---- */

static int cmp_policy(const void *a, const void *b)
{
	const struct bh_policy *x = a, *y = b;
	int c = (int)x->kind - (int)y->kind;

	c = c ? c : strcmp(x->ns, y->ns);
	return c ? c : strcmp(x->name, y->name);
}

void bh_cm_policy_free(struct bh_cm_policy *p)
{
	if (!p)
		return;
	bh_policy_unref(p->p);
	free(p->atoms[0].v);
	free(p->atoms[1].v);
	free(p);
}

static void select_again(struct bh_compile_memo *m, uint32_t ns)
{
	bh_vec_each (i, &m->ns.v[ns].idents) {
		bh_cm_uncount(m, m->idents.v[*i]);
		m->idents.v[*i]->is_selected = false;
	}
}

static int policy_gone(struct bh_compile_memo *m, const struct bh_policy *old)
{
	uint32_t n = bh_nummap_get(&m->policy_ids, (uintptr_t)old);
	struct bh_cm_policy *p = m->policies.v[n];

	if (--p->n_seen)
		return 0;
	if (bh_vec_push(&m->free_policies, n))
		return -ENOMEM;
	select_again(m, p->ns);
	if (p->lends) {
		if (bh_vec_push(&m->lenders, p->p))
			return -ENOMEM;
		p->p = NULL;
	}
	drop_number(&m->ns.v[p->ns].policies, n);
	bh_nummap_del(&m->policy_ids, (uintptr_t)old);
	bh_cm_policy_free(p);
	m->policies.v[n] = NULL;
	return 0;
}

/* A namespace's policies stand in the world's order, so that the policy a message names does not
 * depend on the memo's history. */
static int list_policy(struct bh_compile_memo *m, struct bh_cm_ns *ns, uint32_t n)
{
	const struct bh_policy *p = m->policies.v[n]->p;
	size_t i;

	if (bh_vec_push(&ns->policies, n))
		return -ENOMEM;
	for (i = ns->policies.n - 1; i; i--) {
		if (cmp_policy(m->policies.v[ns->policies.v[i - 1]]->p, p) <= 0)
			break;
		ns->policies.v[i] = ns->policies.v[i - 1];
	}
	ns->policies.v[i] = n;
	return 0;
}

static int policy_come(struct bh_compile_memo *m, struct bh_policy *new)
{
	uint32_t n = bh_nummap_get(&m->policy_ids, (uintptr_t) new);
	struct bh_cm_policy *p;

	if (n != BH_CM_NONE) {
		m->policies.v[n]->n_seen++;
		return 0;
	}
	if (!m->free_policies.n) {
		if (bh_vec_push(&m->policies, NULL) ||
		    bh_vec_push(&m->free_policies, (uint32_t)m->policies.n - 1))
			return -ENOMEM;
	}
	n = m->free_policies.v[m->free_policies.n - 1];
	p = m->policies.v[n] = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	m->free_policies.n--;
	p->p = bh_policy_ref(new);
	p->n_seen = 1;
	if (ns_id(m, new->ns, &p->ns) || list_policy(m, &m->ns.v[p->ns], n))
		return -ENOMEM;
	select_again(m, p->ns);
	return bh_nummap_set(&m->policy_ids, (uintptr_t) new, n);
}

static int sync_policies(struct bh_compile_memo *m, const struct bh_world *w)
{
	struct pair_of_arrays a = {.new = w->policies, .n_new = w->n_policies, .cmp = cmp_policy};
	struct objects gone = {0}, come = {0};
	int r;

	if (m->world) {
		a.old = m->world->policies;
		a.n_old = m->world->n_policies;
	}
	r = compare(&a, &gone, &come);
	for (size_t i = 0; !r && i < gone.n; i++)
		r = policy_gone(m, gone.v[i]);
	for (size_t i = 0; !r && i < come.n; i++)
		r = policy_come(m, come.v[i]);
	bh_vec_done(&gone);
	bh_vec_done(&come);
	return r;
}

int bh_cm_world_sync(struct bh_cm_job *j, struct bh_err *err)
{
	int r = sync_namespaces(j->m, j->world);

	if (!r)
		r = sync_pods(j->m, j->world);
	if (!r)
		r = sync_policies(j->m, j->world);
	return r ? bh_fail(err, -r, "no memory to take in the world") : 0;
}

void bh_cm_world_done(struct bh_compile_memo *m)
{
	bh_vec_each (ident, &m->idents)
		ident_free(*ident);
	bh_vec_done(&m->idents);
	bh_vec_each (p, &m->policies)
		bh_cm_policy_free(*p);
	bh_vec_done(&m->policies);
	bh_vec_each (p, &m->lenders)
		bh_policy_unref(*p);
	bh_vec_done(&m->lenders);
	bh_vec_each (ns, &m->ns) {
		bh_vec_done(&ns->scopes);
		bh_vec_done(&ns->idents);
		bh_vec_done(&ns->policies);
	}
	bh_vec_done(&m->ns);
	bh_vec_done(&m->free_idents);
	bh_vec_done(&m->free_policies);
	bh_vec_done(&m->claims);
	bh_vec_done(&m->added);
	bh_vec_done(&m->removed);
	bh_vec_done(&m->touched);
	bh_map_done(&m->ns_ids);
	bh_nummap_done(&m->ident_ids);
	bh_nummap_done(&m->policy_ids);
	bh_world_unref(m->world);
	m->world = NULL;
}

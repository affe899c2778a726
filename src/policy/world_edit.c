#include "policy/world_edit.h"

#include <errno.h>
#include <string.h>

#include "base/vec.h"
#include "policy/order.h"
#include "policy/shelf.h"

enum shelf { NAMESPACES, PODS, POLICIES, SHELVES };

struct edit {
	char *ns, *name; /* owned: one block, which ns begins */
	int kind;	 /* of a policy */
	void *now;	 /* a reference, or NULL */
	size_t number;	 /* the later one holds */
};

struct bh_world_edit {
	struct bh_world *base, *w; /* references */
	BH_VEC(struct edit) edits[SHELVES];
	size_t n_edits;			 /* ever made */
	struct bh_shelf *shelf[SHELVES]; /* of the new world, once known; references */
};

static void unref(enum shelf which, void *obj)
{
	switch (which) {
	case NAMESPACES:
		bh_namespace_unref(obj);
		return;
	case PODS:
		bh_pod_unref(obj);
		return;
	default:
		bh_policy_unref(obj);
	}
}

void bh_world_edit_free(struct bh_world_edit *e)
{
	if (!e)
		return;
	for (int k = 0; k < SHELVES; k++) {
		bh_vec_each (it, &e->edits[k]) {
			unref((enum shelf)k, it->now);
			free(it->ns);
		}
		bh_vec_done(&e->edits[k]);
		bh_shelf_unref(e->shelf[k]);
	}
	bh_world_unref(e->base);
	bh_world_unref(e->w);
	free(e);
}

void bh_world_edit_freep(struct bh_world_edit **e)
{
	bh_world_edit_free(*e);
	*e = NULL;
}

static int copy_addresses(struct bh_world *w, const struct bh_ip *v, size_t n)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = bh_world_add_node_address(w, &v[i]);
	return r;
}

int bh_world_edit_new(struct bh_world *base, struct bh_world_edit **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_world_edit_freep) struct bh_world_edit *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return bh_fail(err, ENOMEM, "world: no memory");
	e->base = bh_world_ref(base);
	r = bh_world_new(&e->w, err);
	if (r)
		return r;
	if (copy_addresses(e->w, base->node_addresses, base->n_node_addresses))
		return bh_fail(err, ENOMEM, "world: no memory");
	e->w->default_allow = base->default_allow;
	*ret = BH_TAKE(e);
	return 0;
}

/* ---- taking edits ---- */

static int add(struct bh_world_edit *e, enum shelf which, const struct bh_policy_name *key,
	       void *now)
{
	size_t at = strlen(key->ns) + 1, size = at + strlen(key->name) + 1;
	struct edit x = {.kind = (int)key->kind, .now = now, .number = e->n_edits++};

	x.ns = malloc(size);
	if (!x.ns)
		return -ENOMEM;
	x.name = x.ns + at;
	memcpy(x.ns, key->ns, at);
	memcpy(x.name, key->name, size - at);
	if (bh_vec_push(&e->edits[which], x)) {
		free(x.ns);
		return -ENOMEM;
	}
	return 0;
}

int bh_world_edit_namespace(struct bh_world_edit *e, const char *name, struct bh_namespace *now)
{
	int r = add(e, NAMESPACES, &(struct bh_policy_name){.ns = "", .name = name}, now);

	if (!r && now)
		bh_namespace_ref(now);
	return r;
}

int bh_world_edit_pod(struct bh_world_edit *e, const char *ns, const char *name, struct bh_pod *now)
{
	int r = add(e, PODS, &(struct bh_policy_name){.ns = ns, .name = name}, now);

	if (!r && now)
		bh_pod_ref(now);
	return r;
}

int bh_world_edit_policy(struct bh_world_edit *e, const struct bh_policy_name *which,
			 struct bh_policy *now)
{
	int r = add(e, POLICIES, which, now);

	if (!r && now)
		bh_policy_ref(now);
	return r;
}

int bh_world_edit_all_policies(struct bh_world_edit *e, struct bh_policy *const *v, size_t n)
{
	void **copy = malloc((n + 1) * sizeof(*copy));
	struct bh_shelf *s = NULL;
	int r = copy ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < n; i++)
		copy[i] = bh_policy_ref(v[i]);
	if (!r)
		r = bh_shelf_new(e->base->policy_shelf->kind, &copy, n, &s);
	for (size_t i = 0; copy && i < n; i++)
		bh_policy_unref(copy[i]);
	free(copy);
	if (r)
		return r;
	bh_shelf_unref(e->shelf[POLICIES]);
	e->shelf[POLICIES] = s;
	return 0;
}

int bh_world_edit_node_addresses(struct bh_world_edit *e, const struct bh_ip *v, size_t n)
{
	free(e->w->node_addresses);
	e->w->node_addresses = NULL;
	e->w->n_node_addresses = 0;
	return copy_addresses(e->w, v, n);
}

/* ---- applying them ---- */

static int by_key(const struct edit *x, const struct edit *y)
{
	int r = x->kind - y->kind;

	if (!r)
		r = strcmp(x->ns, y->ns);
	return r ? r : strcmp(x->name, y->name);
}

static int by_key_and_number(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;
	int r = by_key(x, y);

	return r ? r : (x->number > y->number) - (x->number < y->number);
}

/* What an object on the shelf is called, as an edit that borrows. */
static struct edit key_of(enum shelf which, const void *obj)
{
	const struct bh_namespace *ns = obj;
	const struct bh_pod *pod = obj;
	const struct bh_policy *p = obj;

	switch (which) {
	case NAMESPACES:
		return (struct edit){.ns = (char *)"", .name = ns->name};
	case PODS:
		return (struct edit){.ns = pod->ident->ns, .name = pod->name};
	default:
		return (struct edit){.ns = p->ns, .name = p->name, .kind = (int)p->kind};
	}
}

/* The place of the object of that name on the shelf, or where it would be. */
static struct bh_shelf_edit find(const struct bh_shelf *s, enum shelf which, const struct edit *key)
{
	size_t low = 0, high = s->n;
	struct bh_shelf_edit found = {.now = key->now};

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct edit at = key_of(which, s->v[mid]);
		int r = by_key(&at, key);

		found.has_old = found.has_old || !r;
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	found.at = low;
	return found;
}

static struct bh_shelf *base_shelf(const struct bh_world_edit *e, enum shelf which)
{
	struct bh_shelf *const of[SHELVES] = {e->base->namespace_shelf, e->base->pod_shelf,
					      e->base->policy_shelf};

	return of[which];
}

/* Sorts the edits; of those of one object the last one stays. */
static void settle(struct bh_world_edit *e, enum shelf which)
{
	struct edit *v = e->edits[which].v;
	size_t n = e->edits[which].n, kept = 0;

	if (!n)
		return;
	qsort(v, n, sizeof(*v), by_key_and_number);
	for (size_t i = 0; i < n; i++) {
		if (kept && !by_key(&v[kept - 1], &v[i])) {
			unref(which, v[--kept].now);
			free(v[kept].ns);
		}
		v[kept++] = v[i];
	}
	e->edits[which].n = kept;
}

static int apply(struct bh_world_edit *e, enum shelf which)
{
	struct bh_shelf *s = e->shelf[which] ? e->shelf[which] : base_shelf(e, which), *now;
	size_t n = 0;
	BH_CLEANUP(bh_freep)
	struct bh_shelf_edit *v = malloc((e->edits[which].n + 1) * sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	settle(e, which);
	bh_vec_each (it, &e->edits[which]) {
		v[n] = find(s, which, it);
		n += v[n].has_old || v[n].now;
	}
	r = bh_shelf_change(s, v, n, &now);
	if (r)
		return r;
	bh_shelf_unref(e->shelf[which]);
	e->shelf[which] = now;
	return 0;
}

/* ---- namespaces without an object of their own ---- */

static bool has_pods(const struct bh_shelf *pods, const char *ns)
{
	const struct edit key = {.ns = (char *)ns, .name = (char *)""};
	size_t at = find(pods, PODS, &key).at;

	return at < pods->n && !strcmp(((const struct bh_pod *)pods->v[at])->ident->ns, ns);
}

/* Adds the edit by which the namespace is implied, or not any more. described: the object that
 * describes it from now on, or NULL. */
static int imply(struct bh_world_edit *e, const char *name, struct bh_namespace *described,
		 struct bh_err *err)
{
	const struct bh_namespace *was = bh_world_namespace(e->base, name);
	struct bh_namespace *ns = described;
	int r;

	if (ns || !has_pods(e->shelf[PODS], name))
		return bh_world_edit_namespace(e, name, ns);
	if (was && was->is_implied) /* it is only counted */
		return bh_world_edit_namespace(e, name, (struct bh_namespace *)was);
	r = bh_namespace_new(name, NULL, &ns, err);
	if (r)
		return r;
	ns->is_implied = true;
	r = bh_world_edit_namespace(e, name, ns);
	bh_namespace_unref(ns);
	return r;
}

/* As imply, for a namespace that no edit is about. */
static int imply_again(struct bh_world_edit *e, const char *name, struct bh_err *err)
{
	const struct bh_namespace *was = bh_world_namespace(e->base, name);

	return was && !was->is_implied ? 0 : imply(e, name, NULL, err);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct edit *)a)->name, ((const struct edit *)b)->name);
}

/* Namespaces that edits are about, and those of pods that are. */
static int imply_all(struct bh_world_edit *e, struct bh_err *err)
{
	const char *last = NULL;
	size_t n;
	int r = 0;

	settle(e, NAMESPACES);
	n = e->edits[NAMESPACES].n;
	for (size_t i = 0; !r && i < n; i++)
		r = imply(e, e->edits[NAMESPACES].v[i].name, e->edits[NAMESPACES].v[i].now, err);
	bh_vec_each (it, &e->edits[PODS]) { /* sorted by now */
		const struct edit key = {.name = it->ns};
		bool is_done = last && !strcmp(last, it->ns);

		last = it->ns;
		if (r)
			break;
		if (!is_done &&
		    (!n || !bsearch(&key, e->edits[NAMESPACES].v, n, sizeof(key), by_name)))
			r = imply_again(e, it->ns, err);
	}
	return r;
}

/* ---- the world ---- */

static void give_shelves(struct bh_world_edit *e)
{
	struct bh_world *w = e->w;

	w->namespace_shelf = BH_TAKE(e->shelf[NAMESPACES]);
	w->namespaces = (struct bh_namespace **)w->namespace_shelf->v;
	w->n_namespaces = w->namespace_shelf->n;
	w->pod_shelf = BH_TAKE(e->shelf[PODS]);
	w->pods = (struct bh_pod **)w->pod_shelf->v;
	w->n_pods = w->pod_shelf->n;
	w->policy_shelf = BH_TAKE(e->shelf[POLICIES]);
	w->policies = (struct bh_policy **)w->policy_shelf->v;
	w->n_policies = w->policy_shelf->n;
}

int bh_world_edit_end(struct bh_world_edit *e, int64_t now_s, struct bh_world **ret,
		      struct bh_err *err)
{
	int r = apply(e, POLICIES);

	if (!r)
		r = apply(e, PODS);
	if (!r)
		r = imply_all(e, err);
	if (!r)
		r = apply(e, NAMESPACES);
	if (r)
		return bh_fail(err, -r, "world: no memory");
	bh_world_sort_node_addresses(e->w);
	e->w->now_s = now_s;
	give_shelves(e);
	*ret = BH_TAKE(e->w);
	return 0;
}

/* worlds.c - the world as of now, made of the last one. */
#include "daemon/worlds.h"

#include <string.h>

#include "base/str.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/roster.h"
#include "policy/ident.h"
#include "policy/world_edit.h"

/* A pod of this node as the last world has it. */
struct own {
	struct bh_pod *pod;
	struct bh_pod *manifest; /* NULL: none describes it */
};
BH_VEC_TYPE(owns, struct own);

struct bh_worlds {
	struct bh_world *last; /* NULL: the next one is made from nothing */
	struct owns own;       /* sorted by namespace and name; references */
	struct bh_ip *local;   /* the node's own addresses in it */
	size_t n_local;
};

static void owns_done(struct owns *v)
{
	bh_vec_each (it, v) {
		bh_pod_unref(it->pod);
		bh_pod_unref(it->manifest);
	}
	bh_vec_done(v);
}

static void forget(struct bh_worlds *ws)
{
	bh_world_unref(ws->last);
	ws->last = NULL;
	owns_done(&ws->own);
}

void bh_worlds_free(struct bh_worlds *ws)
{
	if (!ws)
		return;
	forget(ws);
	free(ws->local);
	free(ws);
}

/* ---- from nothing ---- */

static int add_own(struct owns *v, struct bh_pod *pod, struct bh_pod *manifest)
{
	if (bh_vec_push(v, ((struct own){pod, manifest})))
		return -ENOMEM;
	bh_pod_ref(pod);
	if (manifest)
		bh_pod_ref(manifest);
	return 0;
}

static int list_own(struct bh_daemon *d, struct bh_worlds *ws, const struct bh_world *w)
{
	BH_CLEANUP(bh_roster_done) struct bh_roster roster = {0};
	int r = bh_roster_make(&d->endpoints, &roster);

	for (size_t i = 0; !r && i < roster.n; i = bh_roster_next(&roster, i)) {
		const struct bh_endpoint *ep = roster.v[i];

		/* only their references are counted */
		r = add_own(&ws->own, (struct bh_pod *)bh_world_pod(w, ep->ns, ep->name),
			    (struct bh_pod *)bh_objects_pod(d->objects, ep->ns, ep->name));
	}
	return r;
}

static int keep_local(struct bh_daemon *d, struct bh_worlds *ws)
{
	size_t size = d->n_local_addresses * sizeof(*ws->local);
	struct bh_ip *copy = malloc(size + 1);

	if (!copy)
		return -ENOMEM;
	if (size)
		memcpy(copy, d->local_addresses, size);
	free(ws->local);
	ws->local = copy;
	ws->n_local = d->n_local_addresses;
	return 0;
}

static int start(struct bh_daemon *d, struct bh_worlds *ws, struct bh_world **ret,
		 struct bh_err *err)
{
	int r = bh_world_build_anew(d, ret, err);

	if (r)
		return r;
	r = list_own(d, ws, *ret);
	if (!r)
		r = keep_local(d, ws);
	if (!r)
		return 0;
	bh_world_unref(*ret);
	return bh_fail(err, ENOMEM, "world: no memory");
}

/* ---- from the last one ---- */

struct making {
	struct bh_daemon *d;
	struct bh_worlds *ws;
	struct bh_world_edit *e;
	struct owns own; /* of the new world */
	bool has_nodes;	 /* manifests may say other node addresses */
};

static int own_cmp(const struct own *o, const char *ns, const char *name)
{
	int r = strcmp(o->pod->ident->ns, ns);

	return r ? r : strcmp(o->pod->name, name);
}

static struct own *find_own(const struct bh_worlds *ws, const char *ns, const char *name)
{
	size_t low = 0, high = ws->own.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int r = own_cmp(&ws->own.v[mid], ns, name);

		if (!r)
			return &ws->own.v[mid];
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* A pod of this node is left to own_pods. */
static int change_pod(struct making *m, const struct bh_change *c)
{
	struct own *o = find_own(m->ws, c->ns, c->name);

	if (!o)
		return bh_world_edit_pod(m->e, c->ns, c->name, c->now);
	bh_pod_unref(o->manifest);
	o->manifest = c->now ? bh_pod_ref(c->now) : NULL;
	return 0;
}

static int on_change(const struct bh_change *c, void *arg)
{
	struct making *m = arg;
	struct bh_policy_name which = {BH_NETWORK_POLICY, c->ns, c->name};

	m->has_nodes |= c->is_node_address;
	switch (c->kind) {
	case BH_KIND_NAMESPACE:
		return bh_world_edit_namespace(m->e, c->name, c->now);
	case BH_KIND_POD:
		return change_pod(m, c);
	case BH_KIND_SEGMENTATION_POLICY:
		which.kind = BH_SEGMENTATION_POLICY;
		return bh_world_edit_policy(m->e, &which, c->now);
	case BH_KIND_NETWORK_POLICY:
		return bh_world_edit_policy(m->e, &which, c->now);
	default:
		return 0;
	}
}

/* ---- pods of this node ---- */

static bool is_same_ident(const struct bh_pod *pod, const struct bh_pod_init *init)
{
	struct bh_ident *id = bh_ident_get(init->ns, &init->labels, init->ports, init->n_ports);
	bool is_same = id == pod->ident; /* equal ones are one */

	bh_ident_unref(id);
	return is_same;
}

/* bh_pod_new would make the same pod again. */
static bool is_same_pod(const struct bh_pod *pod, const struct bh_pod_init *init,
			const struct bh_pod *manifest)
{
	return pod->n_ips == init->n_ips &&
	       (!init->n_ips || !memcmp(pod->ips, init->ips, init->n_ips * sizeof(*init->ips))) &&
	       bh_streq(pod->uid, init->uid) && bh_streq(pod->file, init->file) &&
	       bh_streq(pod->owner, init->owner) && bh_streq(pod->sole, init->sole) &&
	       pod->phase == init->phase && pod->place.line == init->place.line &&
	       pod->place.col == init->place.col &&
	       (manifest ? pod->ident == manifest->ident : is_same_ident(pod, init));
}

static int all_ips(const struct bh_roster *roster, size_t from, size_t to, struct bh_ip **ret,
		   size_t *ret_n)
{
	size_t n = 0;
	struct bh_ip *v;

	for (size_t i = from; i < to; i++)
		n += roster->v[i]->n_ips;
	v = malloc((n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	n = 0;
	for (size_t i = from; i < to; i++) {
		if (roster->v[i]->n_ips)
			memcpy(v + n, roster->v[i]->ips, roster->v[i]->n_ips * sizeof(*v));
		n += roster->v[i]->n_ips;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}

/* The pod whose first endpoint stands at i. old: as the last world has it, or NULL. */
static int own_pod(struct making *m, const struct bh_roster *roster, size_t i,
		   const struct own *old)
{
	const struct bh_endpoint *ep = bh_roster_speaker(roster, i, &m->d->endpoints);
	const struct bh_pod *manifest =
		old ? old->manifest : bh_objects_pod(m->d->objects, ep->ns, ep->name);
	struct bh_pod_init init = bh_world_pod_init(m->d, ep, manifest);
	BH_CLEANUP(bh_freep) struct bh_ip *ips = NULL;
	struct bh_pod *pod = NULL;
	struct bh_err err;
	int r = all_ips(roster, i, bh_roster_next(roster, i), &ips, &init.n_ips);

	if (r)
		return r;
	init.ips = ips;
	if (old && is_same_pod(old->pod, &init, manifest))
		return add_own(&m->own, old->pod, (struct bh_pod *)manifest);
	r = bh_pod_new(&init, &pod, &err);
	if (!r)
		r = bh_world_edit_pod(m->e, ep->ns, ep->name, pod);
	if (!r)
		r = add_own(&m->own, pod, (struct bh_pod *)manifest);
	bh_pod_unref(pod);
	return r;
}

/* Its interfaces are gone: what remains is what the manifest says, if there is one. */
static int disown(struct making *m, const struct own *o)
{
	return bh_world_edit_pod(m->e, o->pod->ident->ns, o->pod->name, o->manifest);
}

static int own_pods(struct making *m)
{
	BH_CLEANUP(bh_roster_done) struct bh_roster roster = {0};
	int r = bh_roster_make(&m->d->endpoints, &roster);
	const struct own *old = m->ws->own.v, *end = old ? old + m->ws->own.n : NULL;

	for (size_t i = 0; !r && i < roster.n; i = bh_roster_next(&roster, i)) {
		const struct bh_endpoint *ep = roster.v[i];
		int c = 1;

		while (!r && old < end && (c = own_cmp(old, ep->ns, ep->name)) < 0)
			r = disown(m, old++);
		if (!r)
			r = own_pod(m, &roster, i, old < end && !c ? old++ : NULL);
	}
	while (!r && old < end)
		r = disown(m, old++);
	return r;
}

/* ---- node addresses ---- */

static int nodes(struct making *m, struct bh_err *err)
{
	const struct bh_daemon *d = m->d;
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	int r;

	if (!m->has_nodes && d->n_local_addresses == m->ws->n_local &&
	    (!m->ws->n_local ||
	     !memcmp(d->local_addresses, m->ws->local, m->ws->n_local * sizeof(*m->ws->local))))
		return 0;
	r = bh_world_new(&w, err);
	if (!r)
		r = bh_world_add_nodes(m->d, w, err);
	if (!r)
		r = bh_world_edit_node_addresses(m->e, w->node_addresses, w->n_node_addresses);
	return r ? r : keep_local(m->d, m->ws);
}

/* ---- all ---- */

static void making_done(struct making *m)
{
	bh_world_edit_free(m->e);
	owns_done(&m->own);
}

/* 1: what changed is not known. */
static int go_on(struct bh_daemon *d, struct bh_worlds *ws, struct bh_world **ret,
		 struct bh_err *err)
{
	BH_CLEANUP(making_done) struct making m = {.d = d, .ws = ws};
	int r = bh_world_edit_new(ws->last, &m.e, err);

	if (!r)
		r = bh_objects_take_changes(d->objects, on_change, &m);
	if (!r)
		r = own_pods(&m);
	if (!r)
		r = nodes(&m, err);
	if (r)
		return r < 0 ? bh_fail(err, -r, "world: no memory") : r;
	r = bh_world_edit_end(m.e, bh_now_s(), ret, err);
	if (r)
		return r;
	owns_done(&ws->own);
	ws->own = m.own;
	m.own = (struct owns){0};
	return 0;
}

static int take_nothing(const struct bh_change *c, void *arg)
{
	(void)c;
	(void)arg;
	return 0;
}

static int make(struct bh_daemon *d, struct bh_worlds *ws, struct bh_world **ret,
		struct bh_err *err)
{
	int r = ws->last ? go_on(d, ws, ret, err) : 1;

	if (r == 1) {
		forget(ws);
		/* from here on changes are told */
		r = bh_objects_take_changes(d->objects, take_nothing, NULL);
		r = r < 0 ? bh_fail(err, ENOMEM, "world: no memory") : start(d, ws, ret, err);
	}
	if (r) {
		forget(ws);
		return r;
	}
	bh_world_ref(*ret);
	bh_world_unref(ws->last);
	ws->last = *ret;
	return 0;
}

/* The same world, but for the policies. */
static int swap_policies(struct bh_world **w, const struct bh_policies *policies,
			 struct bh_err *err)
{
	struct bh_world_edit *e = NULL;
	struct bh_world *now;
	int r = bh_world_edit_new(*w, &e, err);

	if (!r && bh_world_edit_all_policies(e, policies->v, policies->n))
		r = bh_fail(err, ENOMEM, "policies");
	if (!r)
		r = bh_world_edit_end(e, (*w)->now_s, &now, err);
	bh_world_edit_free(e);
	if (r)
		return r;
	bh_world_unref(*w);
	*w = now;
	return 0;
}

int bh_world_build(struct bh_daemon *d, const struct bh_policies *policies, struct bh_world **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	int r;

	if (!d->worlds)
		d->worlds = calloc(1, sizeof(*d->worlds));
	if (!d->worlds)
		return bh_fail(err, ENOMEM, "world: no memory");
	r = make(d, d->worlds, &w, err);
	if (!r && policies)
		r = swap_policies(&w, policies, err);
	if (r)
		return r;
	*ret = BH_TAKE(w);
	return 0;
}

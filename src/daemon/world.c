#include "daemon/world.h"

#include <string.h>

#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/roster.h"
#include "daemon/worlds.h"
#include "policy/order.h"

/* Addresses of all interfaces of the pod, CNI's word: they win over the manifest's. */
static int pod_ips(const struct bh_daemon *d, const struct bh_endpoint *first,
		   struct bh_ip **ret_ips, size_t *ret_n)
{
	BH_VEC(struct bh_ip) ips = {0};

	bh_vec_each (it, &d->endpoints.eps) {
		if (!bh_endpoint_is_pod(*it, first->ns, first->name))
			continue;
		for (size_t i = 0; i < (*it)->n_ips; i++) {
			if (bh_vec_push(&ips, (*it)->ips[i])) {
				bh_vec_done(&ips);
				return -ENOMEM;
			}
		}
	}
	*ret_ips = ips.v;
	*ret_n = ips.n;
	return 0;
}

struct bh_pod_init bh_world_pod_init(const struct bh_daemon *d, const struct bh_endpoint *ep,
				     const struct bh_pod *manifest)
{
	struct bh_pod_init init = {
		.ns = ep->ns,
		.name = ep->name,
		.uid = ep->uid,
		.node = d->cfg->node_name,
		.labels = ep->labels,
		.phase = BH_POD_RUNNING,
	};

	if (!manifest)
		return init;
	init.labels = manifest->ident->labels;
	init.ports = manifest->ident->ports;
	init.n_ports = manifest->ident->n_ports;
	init.phase = manifest->phase;
	init.file = manifest->file;
	init.owner = manifest->owner;
	init.sole = manifest->sole;
	init.place = manifest->place;
	return init;
}

static int add_pod(struct bh_daemon *d, const struct bh_endpoint *ep, struct bh_world *w,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_freep) struct bh_ip *ips = NULL;
	struct bh_pod_init init =
		bh_world_pod_init(d, ep, bh_objects_pod(d->objects, ep->ns, ep->name));
	struct bh_pod *pod = NULL;
	int r = pod_ips(d, ep, &ips, &init.n_ips);

	if (r < 0)
		return bh_fail(err, ENOMEM, "pod '%s/%s'", ep->ns, ep->name);
	init.ips = ips;
	r = bh_pod_new(&init, &pod, err);
	if (r < 0)
		return bh_note(err, r, "pod '%s/%s'", ep->ns, ep->name);
	r = bh_world_add_pod(w, pod);
	bh_pod_unref(pod);
	return r < 0 ? bh_fail(err, -r, "pod '%s/%s'", ep->ns, ep->name) : 0;
}

/* Pods that CNI created come last: for a name that is there already, the later one stays. */
static int add_endpoint_pods(struct bh_daemon *d, struct bh_world *w, struct bh_err *err)
{
	bh_vec_each (it, &d->endpoints.eps) {
		int r;

		if (bh_endpoint_table_pod(&d->endpoints, (*it)->ns, (*it)->name) != *it)
			continue;
		r = add_pod(d, *it, w, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int bh_world_add_nodes(struct bh_daemon *d, struct bh_world *w, struct bh_err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < d->n_local_addresses; i++)
		r = bh_world_add_node_address(w, &d->local_addresses[i]);
	for (size_t i = 0; !r && i < d->cfg->n_node_addresses; i++)
		r = bh_world_add_node_address(w, &d->cfg->node_addresses[i]);
	if (!r)
		r = bh_objects_fill_node(d->objects, d->cfg->node_name, w);
	return r < 0 ? bh_fail(err, -r, "node addresses") : 0;
}

int bh_world_build_anew(struct bh_daemon *d, struct bh_world **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	int r = bh_world_new(&w, err);

	if (!r)
		r = bh_objects_fill(d->objects, w, err);
	if (!r)
		r = add_endpoint_pods(d, w, err);
	if (!r)
		r = bh_world_add_nodes(d, w, err);
	if (r < 0)
		return r;
	w->default_allow = d->cfg->default_allow;
	w->now_s = bh_now_s();
	r = bh_world_seal(w, err);
	if (r < 0)
		return r;
	*ret = BH_TAKE(w);
	return 0;
}

int bh_world_subjects(const struct bh_daemon *d, const struct bh_world *w, struct bh_subjects *ret,
		      struct bh_err *err)
{
	BH_CLEANUP(bh_roster_done) struct bh_roster roster = {0};
	struct bh_subjects s = {.v = calloc(d->endpoints.eps.n + 1, sizeof(*s.v))};

	if (!s.v || bh_roster_make(&d->endpoints, &roster)) {
		free(s.v);
		return bh_fail(err, ENOMEM, "subjects");
	}
	for (size_t i = 0; i < roster.n; i = bh_roster_next(&roster, i)) {
		const struct bh_endpoint *ep = roster.v[i];
		const struct bh_pod *pod = bh_world_pod(w, ep->ns, ep->name);

		if (pod && pod->phase != BH_POD_DONE)
			s.v[s.n++] = (struct bh_subject){ep->ns, ep->name};
	}
	*ret = s;
	return 0;
}

void bh_subjects_done(struct bh_subjects *s)
{
	free(s->v);
	s->v = NULL;
	s->n = 0;
}

struct bh_policy *bh_world_policy_like(const struct bh_world *w, const struct bh_policy *p)
{
	size_t low = 0, high = w ? w->n_policies : 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int r = bh_policy_order(w->policies[mid], p);

		if (!r)
			return w->policies[mid];
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

bool bh_world_has_policy(const struct bh_world *w, const struct bh_policy *p)
{
	return bh_world_policy_like(w, p) == p;
}

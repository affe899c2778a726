#include "daemon/world.h"

#include <string.h>

#include "base/vec.h"
#include "daemon/daemon.h"

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

static int add_pod(struct bh_daemon *d, const struct bh_endpoint *ep, struct bh_world *w,
		   struct bh_err *err)
{
	const struct bh_pod *m = bh_objects_pod(d->objects, ep->ns, ep->name);
	BH_CLEANUP(bh_freep) struct bh_ip *ips = NULL;
	struct bh_pod_init init = {
		.ns = ep->ns,
		.name = ep->name,
		.uid = ep->uid,
		.node = d->cfg->node_name,
		.labels = ep->labels,
		.phase = BH_POD_RUNNING,
	};
	struct bh_pod *pod = NULL;
	int r = pod_ips(d, ep, &ips, &init.n_ips);

	if (r < 0)
		return bh_fail(err, ENOMEM, "pod '%s/%s'", ep->ns, ep->name);
	init.ips = ips;
	if (m) {
		init.labels = m->ident->labels;
		init.ports = m->ident->ports;
		init.n_ports = m->ident->n_ports;
		init.phase = m->phase;
		init.file = m->file;
		init.place = m->place;
	}
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

static int add_node_addresses(struct bh_daemon *d, struct bh_world *w, struct bh_err *err)
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

static int swap_policies(struct bh_world *w, const struct bh_policies *from)
{
	int r = 0;

	while (w->n_policies)
		bh_policy_unref(w->policies[--w->n_policies]);
	for (size_t i = 0; !r && i < from->n; i++)
		r = bh_world_add_policy(w, from->v[i]);
	return r;
}

int bh_world_build(struct bh_daemon *d, const struct bh_policies *policies, struct bh_world **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_world_unrefp) struct bh_world *w = NULL;
	int r = bh_world_new(&w, err);

	if (!r)
		r = bh_objects_fill(d->objects, w, err);
	if (!r)
		r = add_endpoint_pods(d, w, err);
	if (!r)
		r = add_node_addresses(d, w, err);
	if (r < 0)
		return r;
	if (policies) {
		r = swap_policies(w, policies);
		if (r < 0)
			return bh_fail(err, -r, "policies");
	}
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
	struct bh_subjects s = {.v = calloc(d->endpoints.eps.n + 1, sizeof(*s.v))};

	if (!s.v)
		return bh_fail(err, ENOMEM, "subjects");
	bh_vec_each (it, &d->endpoints.eps) {
		const struct bh_pod *pod = bh_world_pod(w, (*it)->ns, (*it)->name);

		if (!pod || pod->phase == BH_POD_DONE)
			continue;
		if (bh_endpoint_table_pod(&d->endpoints, (*it)->ns, (*it)->name) == *it)
			s.v[s.n++] = (struct bh_subject){(*it)->ns, (*it)->name};
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

static int policy_cmp(const struct bh_policy *a, const struct bh_policy *b)
{
	int r = (int)a->kind - (int)b->kind;

	if (!r)
		r = strcmp(a->ns, b->ns);
	return r ? r : strcmp(a->name, b->name);
}

struct bh_policy *bh_world_policy_like(const struct bh_world *w, const struct bh_policy *p)
{
	size_t low = 0, high = w ? w->n_policies : 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int r = policy_cmp(w->policies[mid], p);

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

int64_t bh_world_next_expiry(const struct bh_world *w)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < w->n_policies; i++) {
		const struct bh_policy *p = w->policies[i];

		for (int dir = 0; dir < 2; dir++) {
			for (size_t k = 0; k < p->n_rules[dir]; k++) {
				int64_t t = p->rules[dir][k].reason.expires_s;

				if (t > w->now_s && t < next)
					next = t;
			}
		}
	}
	return next;
}

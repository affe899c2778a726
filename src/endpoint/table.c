#include "endpoint/table.h"

#include <string.h>

void bh_endpoint_table_done(struct bh_endpoint_table *t)
{
	bh_vec_each (it, &t->eps)
		bh_endpoint_free(*it);
	bh_vec_done(&t->eps);
}

struct bh_endpoint *bh_endpoint_table_slot(const struct bh_endpoint_table *t, uint32_t slot)
{
	bh_vec_each (it, &t->eps) {
		if ((*it)->slot == slot)
			return *it;
	}
	return NULL;
}

static uint32_t next_free_slot(const struct bh_endpoint_table *t)
{
	for (uint32_t i = 1; i < BH_MAX_SLOTS; i++) {
		uint32_t slot = 1 + (t->last_slot + i - 1) % (BH_MAX_SLOTS - 1);

		if (!t->is_orphan[slot] && !bh_endpoint_table_slot(t, slot))
			return slot;
	}
	return 0;
}

int bh_endpoint_table_add(struct bh_endpoint_table *t, struct bh_endpoint **take_ep,
			  struct bh_err *err)
{
	struct bh_endpoint *ep = *take_ep;
	uint32_t slot = ep->slot ? ep->slot : next_free_slot(t);

	if (!slot)
		return bh_fail(err, ENOSPC, "all %d endpoint slots of this node are taken",
			       BH_MAX_SLOTS - 1);
	if (bh_vec_push(&t->eps, ep))
		return bh_fail(err, ENOMEM, "endpoint table");
	if (!ep->slot) {
		ep->slot = slot;
		ep->generation = t->generation[slot] + 1;
		t->last_slot = slot;
	}
	t->generation[slot] = ep->generation;
	if (!ep->serial)
		ep->serial = t->last_serial + 1;
	if (ep->serial > t->last_serial)
		t->last_serial = ep->serial;
	*take_ep = NULL;
	return 0;
}

void bh_endpoint_table_remove(struct bh_endpoint_table *t, struct bh_endpoint *ep)
{
	for (size_t i = 0; i < t->eps.n; i++) {
		if (t->eps.v[i] != ep)
			continue;
		memmove(t->eps.v + i, t->eps.v + i + 1, (t->eps.n - i - 1) * sizeof(*t->eps.v));
		t->eps.n--;
		bh_endpoint_free(ep);
		return;
	}
}

void bh_endpoint_table_orphan(struct bh_endpoint_table *t, uint32_t slot, bool is_orphan)
{
	if (t->is_orphan[slot] == is_orphan)
		return;
	t->is_orphan[slot] = is_orphan;
	t->n_orphans += is_orphan ? 1 : (size_t)-1;
}

struct bh_endpoint *bh_endpoint_table_find(const struct bh_endpoint_table *t,
					   const char *container_id, const char *ifname)
{
	bh_vec_each (it, &t->eps) {
		if (!strcmp((*it)->container_id, container_id) && !strcmp((*it)->ifname, ifname))
			return *it;
	}
	return NULL;
}

/* A pod's name can come back before its old sandbox is gone. */
static struct bh_endpoint *newest(const struct bh_endpoint_table *t, const char *ns,
				  const char *name)
{
	struct bh_endpoint *best = NULL;

	bh_vec_each (it, &t->eps) {
		if (bh_endpoint_is_pod(*it, ns, name) && (!best || (*it)->serial > best->serial))
			best = *it;
	}
	return best;
}

static bool speaks_before(const struct bh_endpoint *a, const struct bh_endpoint *b)
{
	if (!a->labels.n != !b->labels.n)
		return a->labels.n;
	return a->serial < b->serial;
}

struct bh_endpoint *bh_endpoint_table_pod(const struct bh_endpoint_table *t, const char *ns,
					  const char *name)
{
	struct bh_endpoint *best = newest(t, ns, name);

	if (!best)
		return NULL;
	bh_vec_each (it, &t->eps) {
		if ((*it)->cookie == best->cookie && bh_endpoint_is_pod(*it, ns, name) &&
		    speaks_before(*it, best))
			best = *it;
	}
	return best;
}

struct bh_endpoint *bh_endpoint_table_ifindex(const struct bh_endpoint_table *t, uint32_t ifindex)
{
	bh_vec_each (it, &t->eps) {
		if ((*it)->ifindex == ifindex)
			return *it;
	}
	return NULL;
}

struct bh_endpoint *bh_endpoint_table_cookie(const struct bh_endpoint_table *t, uint64_t cookie)
{
	bh_vec_each (it, &t->eps) {
		if ((*it)->cookie == cookie)
			return *it;
	}
	return NULL;
}

struct bh_endpoint *bh_endpoint_table_ip(const struct bh_endpoint_table *t, const struct bh_ip *ip)
{
	bh_vec_each (it, &t->eps) {
		if (bh_endpoint_has_ip(*it, ip))
			return *it;
	}
	return NULL;
}

/* objects_changes.c - what changed since the caller who keeps a world last asked. */
#include "policy/objects_set.h"

#include <errno.h>
#include <string.h>

#include "base/vec.h"

/* With more than this it is cheaper to look at everything. */
#define MAX_CHANGES 16384

struct change {
	uint8_t kind;
	bool is_node_address;
	char *ns, *name; /* owned; ns points to the text both are in */
};

struct bh_changes {
	BH_VEC(struct change) v;
	bool is_unknown;
};

struct bh_changes *bh_changes_new(void)
{
	struct bh_changes *c = calloc(1, sizeof(*c));

	if (c)
		c->is_unknown = true;
	return c;
}

static void clear(struct bh_changes *c)
{
	bh_vec_each (it, &c->v)
		free(it->ns);
	bh_vec_done(&c->v);
}

void bh_changes_free(struct bh_changes *c)
{
	if (!c)
		return;
	clear(c);
	free(c);
}

void bh_changes_lose(struct bh_changes *c)
{
	clear(c);
	c->is_unknown = true;
}

/* ---- noting ---- */

static const struct bh_claim *winner_of(const struct bh_index *x, const struct bh_claim *key)
{
	size_t i = bh_index_lower(x, key), next;

	if (i == x->n || bh_claim_cmp_key(x->v[i], key))
		return NULL;
	return bh_index_winner(x, i, &next);
}

static bool tells_node_address(const struct bh_claim *c)
{
	if (!c)
		return false;
	return c->kind == BH_KIND_NODE ||
	       (c->kind == BH_KIND_POD && ((const struct bh_pod *)c->obj)->host_network);
}

static int add(struct bh_changes *c, const struct bh_claim *key, bool is_node_address)
{
	const char *ns = bh_claim_ns(key), *name = bh_claim_name(key);
	size_t at = strlen(ns) + 1, size = at + strlen(name) + 1;
	struct change new = {.kind = key->kind, .is_node_address = is_node_address};

	new.ns = malloc(size);
	if (!new.ns)
		return -ENOMEM;
	new.name = new.ns + at;
	memcpy(new.ns, ns, at);
	memcpy(new.name, name, size - at);
	if (c->v.n < MAX_CHANGES && !bh_vec_push(&c->v, new))
		return 0;
	free(new.ns);
	return -ENOMEM;
}

/* One object: who wins then and now. */
static bool note(struct bh_objects *o, const struct bh_index *next, const struct bh_claim *key)
{
	const struct bh_claim *old = winner_of(o->index, key), *now = winner_of(next, key);

	if ((old ? old->obj : NULL) == (now ? now->obj : NULL))
		return false;
	if (!o->changes->is_unknown &&
	    add(o->changes, key, tells_node_address(old) || tells_node_address(now)))
		bh_changes_lose(o->changes);
	return true;
}

/* Behind the claims to the same object as v[i]. */
static size_t group_end(const struct bh_claims *c, size_t i)
{
	size_t k = i;

	while (k < c->n && !bh_claim_cmp_key(&c->v[i], &c->v[k]))
		k++;
	return k;
}

/* Both lists are sorted. Where a file had one claim to an object and has one with the same version
 * now, the same claim wins as before, so that nothing needs to be looked up. */
bool bh_changes_note(struct bh_objects *o, const struct bh_index *next,
		     const struct bh_claims *gone, const struct bh_claims *added)
{
	size_t g = 0, a = 0;
	bool has_changed = false;

	while (g < gone->n || a < added->n) {
		int order = g == gone->n    ? 1
			    : a == added->n ? -1
					    : bh_claim_cmp_key(&gone->v[g], &added->v[a]);
		size_t g_end = order <= 0 ? group_end(gone, g) : g;
		size_t a_end = order >= 0 ? group_end(added, a) : a;
		bool is_same =
			g_end == g + 1 && a_end == a + 1 && gone->v[g].obj == added->v[a].obj;

		if (!is_same && note(o, next, order <= 0 ? &gone->v[g] : &added->v[a]))
			has_changed = true;
		g = g_end;
		a = a_end;
	}
	return has_changed;
}

/* ---- taking ---- */

int bh_objects_take_changes(struct bh_objects *o, bh_change_fn *fn, void *arg)
{
	struct bh_changes *c = o->changes;
	int r = bh_index_ready(o);

	if (r)
		return r;
	if (c->is_unknown) {
		c->is_unknown = false;
		return 1;
	}
	for (size_t i = 0; !r && i < c->v.n; i++) {
		const struct change *it = &c->v.v[i];
		const struct bh_claim *now =
			bh_objects_find(o, (enum bh_kind)it->kind, it->ns, it->name);

		r = fn(&(struct bh_change){.kind = (enum bh_kind)it->kind,
					   .ns = it->ns,
					   .name = it->name,
					   .now = now ? now->obj : NULL,
					   .is_node_address = it->is_node_address},
		       arg);
	}
	clear(c);
	if (r)
		bh_changes_lose(c);
	return r;
}

/* objects_query.c - what the set says: worlds, problems, states of policies. */
#include "policy/objects_set.h"

#include <errno.h>
#include <string.h>

#include "base/vec.h"

static int fill_one(const struct bh_claim *c, struct bh_world *w)
{
	switch ((enum bh_kind)c->kind) {
	case BH_KIND_NAMESPACE:
		return bh_world_add_namespace(w, c->obj);
	case BH_KIND_POD:
		return bh_world_add_pod(w, c->obj);
	case BH_KIND_NETWORK_POLICY:
	case BH_KIND_SEGMENTATION_POLICY:
		return bh_world_add_policy(w, c->obj);
	default:
		return 0;
	}
}

int bh_objects_fill(const struct bh_objects *o, struct bh_world *w, struct bh_err *err)
{
	bool is_first = !w->n_pods;
	size_t i;

	if (bh_index_ready(o))
		return bh_fail(err, ENOMEM, "world: no memory");
	for (i = 0; i < o->index->n; i++) {
		if (o->index->v[i]->wins && fill_one(o->index->v[i], w))
			return bh_fail(err, ENOMEM, "world: no memory");
	}
	if (is_first)
		w->n_sorted_pods = w->n_pods;
	return 0;
}

const struct bh_pod *bh_objects_pod(const struct bh_objects *o, const char *ns, const char *name)
{
	const struct bh_claim *c = bh_objects_find(o, BH_KIND_POD, ns, name);

	return c ? c->obj : NULL;
}

static int add_addresses(struct bh_world *w, const struct bh_ip *ips, size_t n)
{
	size_t i;
	int r = 0;

	for (i = 0; !r && i < n; i++)
		r = bh_world_add_node_address(w, &ips[i]);
	return r;
}

int bh_objects_fill_node(const struct bh_objects *o, const char *node, struct bh_world *w)
{
	const struct bh_claim *c = bh_objects_find(o, BH_KIND_NODE, "", node);
	const struct bh_node *n = c ? c->obj : NULL;
	size_t i;
	int r = n ? add_addresses(w, n->ips, n->n_ips) : 0;

	if (!r)
		r = bh_index_ready(o);
	for (i = 0; !r && i < o->index->n; i++) {
		const struct bh_pod *pod;

		c = o->index->v[i];
		if (!c->wins || c->kind != BH_KIND_POD)
			continue;
		pod = c->obj;
		if (pod->host_network && pod->node && !strcmp(pod->node, node))
			r = add_addresses(w, pod->ips, pod->n_ips);
	}
	return r;
}

/* ---- problems ---- */

static int copy_problem(struct bh_problems *to, const struct bh_problem *p)
{
	struct bh_about about = {.place = {.file = p->file, .line = p->line, .col = p->col},
				 .object = p->object};

	return bh_problems_add(to, p->level, &about, "%s", p->text);
}

static int add_duplicate(struct bh_problems *to, const struct bh_claim *c,
			 const struct bh_claim *first)
{
	struct bh_place other = bh_claim_place(first);
	BH_CLEANUP(bh_freep) char *title = bh_claim_title(c);
	struct bh_about about = {.place = bh_claim_place(c), .object = title};

	if (!title)
		return -ENOMEM;
	return bh_problems_add(to, BH_PROBLEM_ERROR, &about,
			       "%s is already defined at %s:%u:%u, which stays", title, other.file,
			       other.line, other.col);
}

/* Every further claim to an object is refused in favour of the one in force. */
static int add_duplicates(const struct bh_objects *o, struct bh_problems *to)
{
	size_t i = 0, k, next;
	int r = 0;

	while (!r && i < o->index->n) {
		const struct bh_claim *winner = bh_index_winner(o->index, i, &next);

		for (k = i; !r && winner && k < next; k++) {
			if (o->index->v[k] != winner && o->index->v[k]->state == BH_CLAIM_LIVE)
				r = add_duplicate(to, o->index->v[k], winner);
		}
		i = next;
	}
	return r;
}

static int problem_cmp(const void *pa, const void *pb)
{
	const struct bh_problem *a = pa, *b = pb;
	int r = strcmp(a->file ? a->file : "", b->file ? b->file : "");

	if (!r)
		r = (a->line > b->line) - (a->line < b->line);
	if (!r)
		r = (a->col > b->col) - (a->col < b->col);
	if (!r)
		r = (int)a->level - (int)b->level;
	return r ? r : strcmp(a->text, b->text);
}

int bh_objects_problems(const struct bh_objects *o, struct bh_problems *ret)
{
	struct bh_problems all = {0};
	size_t i, k;
	int r = bh_index_ready(o);

	for (i = 0; !r && i < o->n_files; i++) {
		const struct bh_problems *p = &o->files[i]->problems;

		for (k = 0; !r && k < p->n; k++)
			r = copy_problem(&all, &p->v[k]);
	}
	if (!r)
		r = add_duplicates(o, &all);
	if (!r)
		r = bh_lint_set(o, &all);
	if (r) {
		bh_problems_done(&all);
		return r;
	}
	if (all.n)
		qsort(all.v, all.n, sizeof(*all.v), problem_cmp);
	*ret = all;
	return 0;
}

/* ---- states of policies ---- */

/* The sentence that says why a claim's version is not the one in force; NULL when it is. *ret_ok:
 * false without memory. */
static char *why_not(const struct bh_claim *c, const struct bh_claim *winner, bool *ret_ok)
{
	static const char stays[] = "the last good version stays in force";
	const char *why = c->more ? c->more->why : NULL;
	struct bh_place first;
	char *text = NULL;

	*ret_ok = true;
	if (winner && c != winner && c->state == BH_CLAIM_LIVE) {
		first = bh_claim_place(winner);
		text = bh_strf("already defined at %s:%u:%u, which stays", first.file, first.line,
			       first.col);
	} else if (c->state == BH_CLAIM_RESTORED) {
		text = bh_strf("%s has not been read yet; %s", c->file->name, stays);
	} else if (c->state != BH_CLAIM_LIVE && winner && winner != c) {
		first = bh_claim_place(winner);
		text = bh_strf("%s:%s; the one at %s:%u:%u is in force", c->file->name, why,
			       first.file, first.line, first.col);
	} else if (c->state != BH_CLAIM_LIVE) {
		text = bh_strf("%s:%s; %s", c->file->name, why,
			       winner ? stays : "it is new, so nothing of it is in force");
	} else {
		return NULL;
	}
	*ret_ok = text;
	return text;
}

static int tell(const struct bh_claim *c, const struct bh_claim *winner,
		int (*fn)(const struct bh_policy_state *s, void *arg), void *arg)
{
	bool is_ok;
	BH_CLEANUP(bh_freep) char *why = why_not(c, winner, &is_ok);
	struct bh_policy_state s = {
		.kind = bh_kind_name(c->kind),
		.ns = bh_claim_ns(c),
		.name = bh_claim_name(c),
		.file = c->file->name,
		.line = bh_claim_place(c).line,
		.policy = c->kind == BH_KIND_RUNTIME_POLICY ? NULL : c->obj,
		.runtime = c->kind == BH_KIND_RUNTIME_POLICY ? c->obj : NULL,
		.is_live = !why,
		.why = why,
		.is_restored = c->state == BH_CLAIM_RESTORED,
	};

	return is_ok ? fn(&s, arg) : -ENOMEM;
}

/* The claims of a kind stand together: a hundred thousand pods before it are not looked at. */
static size_t first_of(const struct bh_index *x, enum bh_kind kind)
{
	struct bh_claim_more more = {.ns = (char *)"", .name = (char *)""};
	const struct bh_claim key = {.more = &more, .kind = (uint8_t)kind};

	return bh_index_lower(x, &key);
}

int bh_objects_policies(const struct bh_objects *o,
			int (*fn)(const struct bh_policy_state *s, void *arg), void *arg)
{
	size_t i, k, next;
	int r = bh_index_ready(o);

	if (r)
		return r;
	for (i = first_of(o->index, BH_KIND_NETWORK_POLICY); !r && i < o->index->n; i = next) {
		const struct bh_claim *winner = bh_index_winner(o->index, i, &next);

		for (k = i; !r && k < next; k++)
			r = tell(o->index->v[k], winner, fn, arg);
	}
	return r;
}

int bh_objects_runtime_policies(const struct bh_objects *o,
				int (*fn)(struct bh_runtime_policy *p, void *arg), void *arg)
{
	size_t i;
	int r = bh_index_ready(o);

	if (r)
		return r;
	for (i = first_of(o->index, BH_KIND_RUNTIME_POLICY); !r && i < o->index->n; i++) {
		const struct bh_claim *c = o->index->v[i];

		if (c->kind != BH_KIND_RUNTIME_POLICY)
			break;
		if (c->wins)
			r = fn(c->obj, arg);
	}
	return r;
}

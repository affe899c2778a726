/* objects_claim.c - one claim: what it names, what it holds, how it compares. */
#include "policy/objects_set.h"

#include <errno.h>
#include <string.h>

#include "base/vec.h"

const char *bh_kind_name(enum bh_kind kind)
{
	static const char *const names[] = {
		"Namespace", "Pod", "Node", "NetworkPolicy", "SegmentationPolicy", "RuntimePolicy"};

	return names[kind];
}

const char *bh_claim_ns(const struct bh_claim *c)
{
	if (c->kind == BH_KIND_NAMESPACE || c->kind == BH_KIND_NODE)
		return "";
	if (!c->obj)
		return c->more->ns;
	if (c->kind == BH_KIND_POD)
		return ((const struct bh_pod *)c->obj)->ident->ns;
	if (c->kind == BH_KIND_RUNTIME_POLICY)
		return ((const struct bh_runtime_policy *)c->obj)->ns;
	return ((const struct bh_policy *)c->obj)->ns;
}

const char *bh_claim_name(const struct bh_claim *c)
{
	if (!c->obj)
		return c->more->name;
	switch ((enum bh_kind)c->kind) {
	case BH_KIND_NAMESPACE:
		return ((const struct bh_namespace *)c->obj)->name;
	case BH_KIND_POD:
		return ((const struct bh_pod *)c->obj)->name;
	case BH_KIND_NODE:
		return ((const struct bh_node *)c->obj)->name;
	case BH_KIND_RUNTIME_POLICY:
		return ((const struct bh_runtime_policy *)c->obj)->name;
	default:
		return ((const struct bh_policy *)c->obj)->name;
	}
}

struct bh_place *bh_claim_object_place(const struct bh_claim *c)
{
	switch ((enum bh_kind)c->kind) {
	case BH_KIND_NAMESPACE:
		return &((struct bh_namespace *)c->obj)->place;
	case BH_KIND_POD:
		return &((struct bh_pod *)c->obj)->place;
	case BH_KIND_NODE:
		return &((struct bh_node *)c->obj)->place;
	case BH_KIND_RUNTIME_POLICY:
		return &((struct bh_runtime_policy *)c->obj)->place;
	default:
		return &((struct bh_policy *)c->obj)->place;
	}
}

uint64_t *bh_claim_tree_hash(const struct bh_claim *c)
{
	return c->kind == BH_KIND_RUNTIME_POLICY ? &((struct bh_runtime_policy *)c->obj)->tree_hash
						 : &((struct bh_policy *)c->obj)->tree_hash;
}

uint64_t *bh_claim_text_hash(const struct bh_claim *c)
{
	return c->kind == BH_KIND_RUNTIME_POLICY ? &((struct bh_runtime_policy *)c->obj)->text_hash
						 : &((struct bh_policy *)c->obj)->text_hash;
}

struct bh_place bh_claim_place(const struct bh_claim *c)
{
	struct bh_place place = {.file = c->file->name};

	if (c->state == BH_CLAIM_REFUSED) {
		place.line = c->more->line;
		place.col = c->more->col;
	} else {
		place.line = bh_claim_object_place(c)->line;
		place.col = bh_claim_object_place(c)->col;
	}
	return place;
}

char *bh_claim_title(const struct bh_claim *c)
{
	const char *ns = bh_claim_ns(c);

	return bh_strf("%s %s%s%s", bh_kind_name(c->kind), ns, *ns ? "/" : "", bh_claim_name(c));
}

char *bh_claim_key(const struct bh_claim *c)
{
	return bh_strf("%s/%s/%s", bh_kind_name(c->kind), bh_claim_ns(c), bh_claim_name(c));
}

int bh_claim_cmp_key(const struct bh_claim *a, const struct bh_claim *b)
{
	int r = (int)a->kind - (int)b->kind;
	const char *na, *nb;

	if (r)
		return r;
	na = bh_claim_ns(a);
	nb = bh_claim_ns(b);
	r = na == nb ? 0 : strcmp(na, nb);
	return r ? r : strcmp(bh_claim_name(a), bh_claim_name(b));
}

int bh_claim_cmp(const struct bh_claim *a, const struct bh_claim *b)
{
	int r = bh_claim_cmp_key(a, b);

	if (!r && a->file != b->file)
		r = strcmp(a->file->name, b->file->name);
	return r ? r : (a->pos > b->pos) - (a->pos < b->pos);
}

struct bh_claim_more *bh_claim_more(struct bh_claim *c)
{
	if (!c->more)
		c->more = calloc(1, sizeof(*c->more));
	return c->more;
}

void *bh_kind_ref(enum bh_kind kind, void *obj)
{
	switch (kind) {
	case BH_KIND_NAMESPACE:
		return bh_namespace_ref(obj);
	case BH_KIND_POD:
		return bh_pod_ref(obj);
	case BH_KIND_NODE:
		return bh_node_ref(obj);
	case BH_KIND_RUNTIME_POLICY:
		return bh_runtime_policy_ref(obj);
	default:
		return bh_policy_ref(obj);
	}
}

void bh_kind_unref(enum bh_kind kind, void *obj)
{
	switch (kind) {
	case BH_KIND_NAMESPACE:
		bh_namespace_unref(obj);
		return;
	case BH_KIND_POD:
		bh_pod_unref(obj);
		return;
	case BH_KIND_NODE:
		bh_node_unref(obj);
		return;
	case BH_KIND_RUNTIME_POLICY:
		bh_runtime_policy_unref(obj);
		return;
	default:
		bh_policy_unref(obj);
	}
}

struct bh_words *bh_words_new(const char *text, size_t len)
{
	struct bh_words *w = malloc(sizeof(*w) + len);

	if (!w)
		return NULL;
	w->refs = 1;
	memcpy(w->s, text, len);
	return w;
}

struct bh_words *bh_words_ref(struct bh_words *w)
{
	w->refs++;
	return w;
}

void bh_words_unref(struct bh_words *w)
{
	if (w && --w->refs == 0)
		free(w);
}

int bh_claim_inherit(struct bh_claim *c, const struct bh_claim *from)
{
	if (from->more && from->more->words) {
		if (!bh_claim_more(c))
			return -ENOMEM;
		bh_words_unref(c->more->words);
		c->more->words = bh_words_ref(from->more->words);
		c->more->offset = from->more->offset;
		c->more->len = from->more->len;
		c->more->text_line = from->more->text_line;
	}
	c->obj = bh_kind_ref(from->kind, from->obj);
	c->is_saved = from->is_saved && from->file == c->file;
	return 0;
}

void bh_claim_drop_words(struct bh_claim *c)
{
	if (!c->more || !c->more->words)
		return;
	bh_words_unref(c->more->words);
	c->more->words = NULL;
	if (c->state != BH_CLAIM_LIVE && c->state != BH_CLAIM_RESTORED)
		return;
	free(c->more);
	c->more = NULL;
}

static bool same_ips(const struct bh_ip *a, size_t na, const struct bh_ip *b, size_t nb)
{
	return na == nb && (!na || !memcmp(a, b, na * sizeof(*a)));
}

static bool same_pod(const struct bh_pod *a, const struct bh_pod *b)
{
	return a->ident == b->ident && a->node == b->node && bh_streq(a->uid, b->uid) &&
	       a->host_network == b->host_network && a->phase == b->phase && a->file == b->file &&
	       same_ips(a->ips, a->n_ips, b->ips, b->n_ips);
}

static bool same_namespace(const struct bh_namespace *a, const struct bh_namespace *b)
{
	size_t i;

	if (a->labels.n != b->labels.n || !bh_streq(a->file, b->file))
		return false;
	for (i = 0; i < a->labels.n; i++) {
		/* Interned: the same text is the same pointer. */
		if (a->labels.v[i].key != b->labels.v[i].key ||
		    a->labels.v[i].value != b->labels.v[i].value)
			return false;
	}
	return true;
}

bool bh_claim_same(const struct bh_claim *a, const struct bh_claim *b)
{
	const struct bh_node *na, *nb;

	switch ((enum bh_kind)a->kind) {
	case BH_KIND_NAMESPACE:
		return same_namespace(a->obj, b->obj);
	case BH_KIND_POD:
		return same_pod(a->obj, b->obj);
	case BH_KIND_NODE:
		na = a->obj;
		nb = b->obj;
		return bh_streq(na->file, nb->file) &&
		       same_ips(na->ips, na->n_ips, nb->ips, nb->n_ips);
	case BH_KIND_RUNTIME_POLICY:
		return *bh_claim_tree_hash(a) == *bh_claim_tree_hash(b) &&
		       bh_streq(((struct bh_runtime_policy *)a->obj)->file,
				((struct bh_runtime_policy *)b->obj)->file);
	default:
		return *bh_claim_tree_hash(a) == *bh_claim_tree_hash(b) &&
		       bh_streq(((struct bh_policy *)a->obj)->file,
				((struct bh_policy *)b->obj)->file);
	}
}

void bh_claim_done(struct bh_claim *c)
{
	if (c->obj)
		bh_kind_unref(c->kind, c->obj);
	if (c->more) {
		free(c->more->ns);
		free(c->more->name);
		free(c->more->why);
		bh_words_unref(c->more->words);
		free(c->more);
	}
	*c = (struct bh_claim){0};
}

void bh_claims_done(struct bh_claims *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		bh_claim_done(&c->v[i]);
	bh_vec_done(c);
}

static int claim_cmp(const void *a, const void *b)
{
	return bh_claim_cmp(a, b);
}

void bh_claims_sort(struct bh_claims *c)
{
	struct bh_claim *v = c->n ? realloc(c->v, c->n * sizeof(*v)) : NULL;

	/* They stay; room to grow would be half as much again. */
	if (v) {
		c->v = v;
		c->cap = c->n;
	}
	if (c->n)
		qsort(c->v, c->n, sizeof(*c->v), claim_cmp);
}

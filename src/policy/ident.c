#include "policy/ident.h"

#include <errno.h>
#include <string.h>

#include "base/map.h"
#include "policy/intern.h"

struct entry {
	struct bh_link link;
	struct bh_ident ident;
};

static struct bh_itab idents;

static int label_cmp(const void *a, const void *b)
{
	return strcmp(((const struct bh_label *)a)->key, ((const struct bh_label *)b)->key);
}

/* Stable, so that the last of equal keys can win; label sets are small and mostly sorted. */
static void sort_labels(struct bh_labels *l)
{
	size_t i, j, n = 0;

	for (i = 1; i < l->n; i++) {
		struct bh_label x = l->v[i];

		for (j = i; j > 0 && label_cmp(&l->v[j - 1], &x) > 0; j--)
			l->v[j] = l->v[j - 1];
		l->v[j] = x;
	}
	for (i = 0; i < l->n; i++) {
		if (n && !strcmp(l->v[n - 1].key, l->v[i].key))
			n--;
		l->v[n++] = l->v[i];
	}
	l->n = n;
}

static int port_cmp(const void *pa, const void *pb)
{
	const struct bh_named_port *a = pa, *b = pb;
	int r = strcmp(a->name, b->name);

	if (!r)
		r = a->proto - b->proto;
	return r ? r : a->port - b->port;
}

static size_t sort_ports(struct bh_named_port *v, size_t count)
{
	size_t i, n = 0;

	if (count)
		qsort(v, count, sizeof(*v), port_cmp);
	for (i = 0; i < count; i++) {
		if (!n || port_cmp(&v[n - 1], &v[i]))
			v[n++] = v[i];
	}
	return n;
}

/* Replaces borrowed strings by shared ones; on failure the set keeps only what it shares. */
static int intern_labels(struct bh_labels *l)
{
	size_t i, n = l->n;

	for (i = 0; i < n; i++) {
		char *key = bh_intern(l->v[i].key);
		char *value = key ? bh_intern(l->v[i].value) : NULL;

		l->n = i;
		if (!value) {
			bh_intern_unref(key);
			return -ENOMEM;
		}
		l->v[i] = (struct bh_label){.key = key, .value = value};
	}
	l->n = n;
	return 0;
}

static int borrow_labels(const struct bh_labels *from, struct bh_labels *ret)
{
	struct bh_labels l = {0};

	if (from->n) {
		l.v = malloc(from->n * sizeof(*l.v));
		if (!l.v)
			return -ENOMEM;
		memcpy(l.v, from->v, from->n * sizeof(*l.v));
		l.n = from->n;
		sort_labels(&l);
	}
	*ret = l;
	return 0;
}

int bh_labels_copy(const struct bh_labels *from, struct bh_labels *ret)
{
	struct bh_labels l;

	if (borrow_labels(from, &l))
		return -ENOMEM;
	if (intern_labels(&l)) {
		bh_labels_done(&l);
		return -ENOMEM;
	}
	*ret = l;
	return 0;
}

void bh_labels_done(struct bh_labels *l)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		bh_intern_unref(l->v[i].key);
		bh_intern_unref(l->v[i].value);
	}
	free(l->v);
	*l = (struct bh_labels){0};
}

bool bh_labels_equal(const struct bh_labels *a, const struct bh_labels *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++) {
		if (strcmp(a->v[i].key, b->v[i].key) || strcmp(a->v[i].value, b->v[i].value))
			return false;
	}
	return true;
}

static uint64_t content_hash(const struct bh_ident *id)
{
	uint64_t h = bh_hash(id->ns, strlen(id->ns), 1);
	size_t i;

	for (i = 0; i < id->labels.n; i++) {
		h = bh_hash(id->labels.v[i].key, strlen(id->labels.v[i].key), h);
		h = bh_hash(id->labels.v[i].value, strlen(id->labels.v[i].value), h + 1);
	}
	for (i = 0; i < id->n_ports; i++) {
		h = bh_hash(id->ports[i].name, strlen(id->ports[i].name), h + 2);
		h ^= ((uint64_t)id->ports[i].proto << 16 | id->ports[i].port) * 0x9e3779b97f4a7c15u;
	}
	return h;
}

static bool same_content(const struct bh_ident *a, const struct bh_ident *b)
{
	size_t i;

	if (a->n_ports != b->n_ports || strcmp(a->ns, b->ns) ||
	    !bh_labels_equal(&a->labels, &b->labels))
		return false;
	for (i = 0; i < a->n_ports; i++) {
		if (port_cmp(&a->ports[i], &b->ports[i]))
			return false;
	}
	return true;
}

static void entry_free(struct entry *e)
{
	size_t i;

	for (i = 0; i < e->ident.n_ports; i++)
		bh_intern_unref(e->ident.ports[i].name);
	free(e->ident.ports);
	bh_labels_done(&e->ident.labels);
	bh_intern_unref(e->ident.ns);
	free(e);
}

static int copy_ports(const struct bh_ident *from, struct bh_ident *to)
{
	size_t i;

	if (!from->n_ports)
		return 0;
	to->ports = malloc(from->n_ports * sizeof(*to->ports));
	if (!to->ports)
		return -ENOMEM;
	for (i = 0; i < from->n_ports; i++) {
		to->ports[i] = from->ports[i];
		to->ports[i].name = bh_intern(from->ports[i].name);
		if (!to->ports[i].name)
			return -ENOMEM;
		to->n_ports++;
	}
	return 0;
}

/* want holds borrowed, sorted content. */
static struct bh_ident *add(const struct bh_ident *want)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->link.hash = want->hash;
	e->ident.hash = want->hash;
	e->ident.refs = 1;
	e->ident.ns = bh_intern(want->ns);
	if (!e->ident.ns || bh_labels_copy(&want->labels, &e->ident.labels) ||
	    copy_ports(want, &e->ident) || bh_itab_add(&idents, &e->link)) {
		entry_free(e);
		return NULL;
	}
	return &e->ident;
}

static struct bh_ident *find_or_add(const struct bh_ident *want)
{
	struct bh_link *l;

	for (l = bh_itab_first(&idents, want->hash); l; l = l->next) {
		struct entry *e = (struct entry *)l;

		if (l->hash == want->hash && same_content(&e->ident, want)) {
			e->ident.refs++;
			return &e->ident;
		}
	}
	return add(want);
}

struct bh_ident *bh_ident_get(const char *ns, const struct bh_labels *labels,
			      const struct bh_named_port *ports, size_t n_ports)
{
	BH_CLEANUP(bh_freep) struct bh_label *v = NULL;
	BH_CLEANUP(bh_freep) struct bh_named_port *sorted = NULL;
	struct bh_ident want = {.ns = (char *)ns};

	if (borrow_labels(labels, &want.labels))
		return NULL;
	v = want.labels.v;
	if (n_ports) {
		sorted = malloc(n_ports * sizeof(*sorted));
		if (!sorted)
			return NULL;
		memcpy(sorted, ports, n_ports * sizeof(*sorted));
		want.ports = sorted;
		want.n_ports = sort_ports(sorted, n_ports);
	}
	want.hash = content_hash(&want);
	return find_or_add(&want);
}

void bh_ident_unref(struct bh_ident *ident)
{
	struct entry *e;

	if (!ident || --ident->refs)
		return;
	e = (struct entry *)(void *)((uintptr_t)ident - offsetof(struct entry, ident));
	bh_itab_del(&idents, &e->link);
	entry_free(e);
}

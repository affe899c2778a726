/* pack.c - policies in little memory.
 *
 * Ten thousand policies say much the same: the same port lists, selectors, peers, often the same
 * rules. Each such array is kept once (bh_share), from the innermost outwards, so that equal
 * content is the same pointer and whole rule lists compare as bytes. What is a policy's own lies in
 * one block: the struct, its name, and the places of its rules and peers, which are left out of the
 * shared arrays for being different everywhere. */
#include "policy/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/intern.h"

/* A kind of array. copy fills a zeroed element with references of its own; after a failure, drop
 * ends what there is. */
struct kind {
	size_t size;
	bool (*copy)(void *to, const void *from);
	void (*drop)(void *element);
};

static void drop_all(const struct kind *k, char *v, size_t n)
{
	for (size_t i = 0; k->drop && i < n; i++)
		k->drop(v + i * k->size);
}

static void array_unref(const struct kind *k, const void *array)
{
	size_t bytes = 0;
	void *last = array ? bh_share_unref(array, &bytes) : NULL;

	if (!last)
		return;
	drop_all(k, last, bytes / k->size);
	bh_share_free(last);
}

/* The shared copy of an array; false without memory. */
static bool array_get(const struct kind *k, const void *from, size_t n, void *ret)
{
	BH_CLEANUP(bh_freep) char *v = n ? calloc(n, k->size) : NULL;
	bool is_ok = v, is_new = false;
	void *shared = NULL;
	size_t i;

	if (!n)
		return true;
	for (i = 0; is_ok && i < n; i++)
		is_ok = k->copy(v + i * k->size, (const char *)from + i * k->size);
	if (is_ok)
		shared = bh_share(v, n * k->size, &is_new);
	if (v && !(shared && is_new))
		drop_all(k, v, i);
	if (shared)
		memcpy(ret, &shared, sizeof(shared));
	return shared;
}

static bool text_get(char **to, const char *from)
{
	*to = from ? bh_intern(from) : NULL;
	return *to || !from;
}

static bool text_copy(void *to, const void *from)
{
	return text_get(to, *(char *const *)from);
}

static void text_drop(void *text)
{
	bh_intern_unref(*(char **)text);
}

static const struct kind texts = {sizeof(char *), text_copy, text_drop};

/* ---- selectors ---- */

static bool requirement_copy(void *to, const void *from)
{
	const struct bh_requirement *a = from;
	struct bh_requirement *b = to;

	b->op = a->op;
	b->n_values = a->n_values;
	return text_get(&b->key, a->key) && array_get(&texts, a->values, a->n_values, &b->values);
}

static void requirement_drop(void *element)
{
	struct bh_requirement *q = element;

	bh_intern_unref(q->key);
	array_unref(&texts, q->values);
}

static const struct kind requirements = {sizeof(struct bh_requirement), requirement_copy,
					 requirement_drop};

static bool selector_get(struct bh_selector *to, const struct bh_selector *from)
{
	to->n = from->n;
	return text_get(&to->text, from->text) &&
	       array_get(&requirements, from->v, from->n, &to->v);
}

static void selector_drop(struct bh_selector *s)
{
	bh_intern_unref(s->text);
	array_unref(&requirements, s->v);
}

/* ---- peers and ports ---- */

static bool cidr_copy(void *to, const void *from)
{
	memcpy(to, from, sizeof(struct bh_cidr));
	return true;
}

static const struct kind cidrs = {sizeof(struct bh_cidr), cidr_copy, NULL};

static bool peer_copy(void *to, const void *from)
{
	const struct bh_peer *a = from;
	struct bh_peer *b = to;

	b->kind = a->kind;
	b->has_namespaces = a->has_namespaces;
	b->has_pods = a->has_pods;
	memcpy(&b->cidr, &a->cidr, sizeof(b->cidr));
	b->n_excepts = a->n_excepts;
	return selector_get(&b->namespaces, &a->namespaces) && selector_get(&b->pods, &a->pods) &&
	       array_get(&cidrs, a->excepts, a->n_excepts, &b->excepts);
}

static void peer_drop(void *element)
{
	struct bh_peer *peer = element;

	selector_drop(&peer->namespaces);
	selector_drop(&peer->pods);
	array_unref(&cidrs, peer->excepts);
}

static const struct kind peers = {sizeof(struct bh_peer), peer_copy, peer_drop};

static bool port_copy(void *to, const void *from)
{
	const struct bh_port *a = from;
	struct bh_port *b = to;

	b->kind = a->kind;
	b->proto = a->proto;
	b->first = a->first;
	b->last = a->last;
	return text_get(&b->name, a->name);
}

static void port_drop(void *element)
{
	bh_intern_unref(((struct bh_port *)element)->name);
}

static const struct kind ports = {sizeof(struct bh_port), port_copy, port_drop};

/* ---- rules ---- */

static bool rule_copy(void *to, const void *from)
{
	const struct bh_rule *a = from;
	struct bh_rule *b = to;

	b->action = a->action;
	b->all_peers = a->all_peers;
	b->all_ports = a->all_ports;
	b->is_inert = a->is_inert;
	b->index = a->index;
	b->n_peers = a->n_peers;
	b->n_ports = a->n_ports;
	b->n_processes = a->n_processes;
	b->reason.expires_s = a->reason.expires_s;
	return array_get(&peers, a->peers, a->n_peers, &b->peers) &&
	       array_get(&ports, a->ports, a->n_ports, &b->ports) &&
	       array_get(&texts, a->processes, a->n_processes, &b->processes) &&
	       text_get(&b->reason.why, a->reason.why) &&
	       text_get(&b->reason.use_case, a->reason.use_case) &&
	       text_get(&b->reason.owner, a->reason.owner);
}

static void rule_drop(void *element)
{
	struct bh_rule *r = element;

	array_unref(&peers, r->peers);
	array_unref(&ports, r->ports);
	array_unref(&texts, r->processes);
	bh_intern_unref(r->reason.why);
	bh_intern_unref(r->reason.use_case);
	bh_intern_unref(r->reason.owner);
}

static const struct kind rules = {sizeof(struct bh_rule), rule_copy, rule_drop};

/* ---- places ---- */

/* Lines count from the policy's own. Where they or the columns do not fit (a file on one line), the
 * policy has wide ones, which are as they are. */
struct spot {
	uint16_t line, col;
};
struct wide_spot {
	uint32_t line, col;
};

static size_t count_spots(const struct bh_policy *p)
{
	size_t dir, i, n = 0;

	for (dir = 0; dir < 2; dir++) {
		for (i = 0; i < p->n_rules[dir]; i++)
			n += 1 + p->rules[dir][i].n_peers;
	}
	return n;
}

/* The places in order: a rule, then its peers. */
static void gather_spots(const struct bh_policy *p, struct wide_spot *to)
{
	size_t dir, i, k;

	for (dir = 0; dir < 2; dir++) {
		for (i = 0; i < p->n_rules[dir]; i++) {
			const struct bh_rule *r = &p->rules[dir][i];

			*to++ = (struct wide_spot){r->place.line, r->place.col};
			for (k = 0; k < r->n_peers; k++)
				*to++ = (struct wide_spot){r->peers[k].place.line,
							   r->peers[k].place.col};
		}
	}
}

static bool are_wide(const struct wide_spot *v, size_t n, unsigned line)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].line < line || v[i].line - line > UINT16_MAX || v[i].col > UINT16_MAX)
			return true;
	}
	return false;
}

static void put_spots(struct bh_policy *p, void *room, const struct wide_spot *v, size_t n)
{
	struct spot *narrow = room;

	if (p->has_wide_spots) {
		memcpy(room, v, n * sizeof(*v));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		narrow[i].line = (uint16_t)(v[i].line - p->place.line);
		narrow[i].col = (uint16_t)v[i].col;
	}
}

/* offset: 0 the rule itself, 1 its first peer. */
static struct bh_place spot_of(const struct bh_policy *p, enum bh_dir dir, const struct bh_rule *r,
			       size_t offset)
{
	struct bh_place place = {.file = p->file};
	const void *spots = p + 1;
	size_t d, i;

	for (d = 0; d <= (size_t)dir; d++) {
		for (i = 0; i < p->n_rules[d] && &p->rules[d][i] != r; i++)
			offset += 1 + p->rules[d][i].n_peers;
	}
	if (p->has_wide_spots) {
		place.line = ((const struct wide_spot *)spots)[offset].line;
		place.col = ((const struct wide_spot *)spots)[offset].col;
	} else {
		place.line = p->place.line + ((const struct spot *)spots)[offset].line;
		place.col = ((const struct spot *)spots)[offset].col;
	}
	return place;
}

struct bh_place bh_rule_place(const struct bh_policy *p, enum bh_dir dir, const struct bh_rule *r)
{
	return p->is_packed ? spot_of(p, dir, r, 0) : r->place;
}

struct bh_place bh_peer_place(const struct bh_policy *p, enum bh_dir dir, const struct bh_rule *r,
			      const struct bh_peer *peer)
{
	return p->is_packed ? spot_of(p, dir, r, 1 + (size_t)(peer - r->peers)) : peer->place;
}

/* ---- policies ---- */

static bool fill(struct bh_policy *to, const struct bh_policy *from)
{
	bool is_ok = text_get(&to->ns, from->ns) && text_get(&to->file, from->file) &&
		     selector_get(&to->pods, &from->pods);

	for (size_t dir = 0; is_ok && dir < 2; dir++) {
		to->n_rules[dir] = from->n_rules[dir];
		is_ok = array_get(&rules, from->rules[dir], from->n_rules[dir], &to->rules[dir]);
	}
	to->place.file = to->file;
	return is_ok;
}

/* The block: the struct, places, name. */
static struct bh_policy *block_new(const struct bh_policy *from, const struct wide_spot *spots,
				   size_t n)
{
	bool is_wide = are_wide(spots, n, from->place.line);
	size_t room = n * (is_wide ? sizeof(struct wide_spot) : sizeof(struct spot));
	size_t name = strlen(from->name) + 1;
	struct bh_policy *p = malloc(sizeof(*p) + room + name);

	if (!p)
		return NULL;
	*p = (struct bh_policy){
		.refs = 1,
		.kind = from->kind,
		.applies = {from->applies[0], from->applies[1]},
		.keep_established = from->keep_established,
		.is_packed = true,
		.has_wide_spots = is_wide,
		.place = {.line = from->place.line, .col = from->place.col},
		.tree_hash = from->tree_hash,
		.text_hash = from->text_hash,
	};
	put_spots(p, p + 1, spots, n);
	p->name = (char *)(p + 1) + room;
	memcpy(p->name, from->name, name);
	return p;
}

void bh_pack_free(struct bh_policy *p)
{
	array_unref(&rules, p->rules[0]);
	array_unref(&rules, p->rules[1]);
	selector_drop(&p->pods);
	bh_intern_unref(p->ns);
	bh_intern_unref(p->file);
	free(p);
}

int bh_policy_pack(struct bh_policy **p)
{
	size_t n = count_spots(*p);
	BH_CLEANUP(bh_freep) struct wide_spot *spots = malloc((n + 1) * sizeof(*spots));
	struct bh_policy *packed;

	if (!spots)
		return -ENOMEM;
	gather_spots(*p, spots);
	packed = block_new(*p, spots, n);
	if (!packed)
		return -ENOMEM;
	if (!fill(packed, *p)) {
		bh_policy_unref(packed);
		return -ENOMEM;
	}
	bh_policy_unref(*p);
	*p = packed;
	return 0;
}

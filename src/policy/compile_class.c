#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* ---- sets of predicates ---- */

static int by_content(const void *a, const void *b)
{
	return bh_content_cmp(a, b);
}

int bh_cm_set_content(struct bh_compile_memo *m, const uint32_t *preds, size_t n,
		      struct bh_content *ret)
{
	BH_CLEANUP(bh_freep) struct bh_content *v = calloc(n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		v[i] = m->preds.v[preds[i]].id;
	qsort(v, n, sizeof(*v), by_content);
	bh_hasher_begin(&m->hasher, "set");
	bh_hasher_add(&m->hasher, v, n * sizeof(*v));
	return bh_hasher_end(&m->hasher, ret);
}

/* preds is borrowed until the end of the compile. */
static int part_get(struct bh_compile_memo *m, const struct bh_cm_part *part, uint32_t *ret)
{
	uint32_t n;

	*ret = 0;
	if (!part->n)
		return 0;
	n = bh_idmap_get(&m->part_ids, &part->id, sizeof(part->id));
	if (n == BH_CM_NONE) {
		n = (uint32_t)m->parts.n;
		if (bh_vec_push(&m->parts, *part) ||
		    bh_idmap_set(&m->part_ids, &part->id, sizeof(part->id), n))
			return -ENOMEM;
	}
	*ret = n;
	return 0;
}

static int make_parts(struct bh_compile_memo *m)
{
	int r;

	bh_map_done(&m->part_ids);
	bh_arena_done(&m->part_arena);
	m->parts.n = 0;
	r = bh_vec_push(&m->parts, ((struct bh_cm_part){.n = 0}));
	for (size_t i = 0; !r && i < m->idents.n; i++) {
		struct bh_cm_ident *ident = m->idents.v[i];

		if (ident && ident->n_claims)
			r = part_get(m,
				     &(struct bh_cm_part){.id = ident->content,
							  .preds = ident->preds.v,
							  .n = ident->preds.n},
				     &ident->part);
	}
	for (size_t i = 0; !r && i < m->prefixes.n; i++) {
		struct bh_cm_prefix *p = &m->prefixes.v[i];

		r = part_get(
			m,
			&(struct bh_cm_part){.id = p->content, .preds = p->preds, .n = p->n_preds},
			&p->part);
	}
	return r;
}

/* Several claim one address: whoever it is, Deny must hold and Allow must not. */
static int contested_part(struct bh_compile_memo *m, const struct bh_cm_claim *c, size_t n,
			  uint32_t *ret)
{
	struct bh_cm_part part = {.n = 0};
	uint32_t *preds;

	m->scratch.n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct bh_cm_ident *ident = m->idents.v[c[i].ident];

		bh_vec_each (p, &ident->preds) {
			if (m->preds.v[*p].action == BH_ACTION_DENY && bh_vec_push(&m->scratch, *p))
				return -ENOMEM;
		}
	}
	*ret = 0;
	if (!m->scratch.n)
		return 0;
	preds = bh_arena_copy(&m->part_arena, m->scratch.v, m->scratch.n * sizeof(*preds));
	if (!preds)
		return -ENOMEM;
	qsort(preds, m->scratch.n, sizeof(*preds), bh_cm_by_number);
	for (size_t i = 0; i < m->scratch.n; i++) {
		if (!part.n || preds[part.n - 1] != preds[i])
			preds[part.n++] = preds[i];
	}
	part.preds = preds;
	if (bh_cm_set_content(m, preds, part.n, &part.id))
		return -ENOMEM;
	return part_get(m, &part, ret);
}

/* ---- classes ---- */

/* Pods of one ident mostly lie in the same address block, so each part remembers its last class. */
static int class_get(struct bh_compile_memo *m, uint32_t selectors, uint32_t cidrs, uint32_t *ret)
{
	struct bh_cm_part *last = &m->parts.v[selectors];
	uint64_t key = (uint64_t)selectors << 32 | cidrs;
	struct bh_cm_class c = {.part = {selectors, cidrs}};
	uint32_t n;

	if (last->has_class && last->cidrs == cidrs) {
		*ret = last->class;
		return 0;
	}
	n = bh_nummap_get(&m->class_ids, key);
	if (n == BH_CM_NONE) {
		n = (uint32_t)m->classes.n;
		bh_hasher_begin(&m->hasher, "class");
		for (int i = 0; i < 2; i++) {
			const struct bh_cm_part *part = &m->parts.v[c.part[i]];

			bh_hasher_add_u64(&m->hasher, part->n);
			bh_hasher_add(&m->hasher, &part->id, sizeof(part->id));
		}
		if (bh_hasher_end(&m->hasher, &c.id))
			return -EIO;
		if (bh_vec_push(&m->classes, c) || bh_nummap_set(&m->class_ids, key, n))
			return -ENOMEM;
	}
	last->has_class = true;
	last->cidrs = cidrs;
	*ret = last->class = n;
	return 0;
}

/* ---- walking all addresses, lowest first ---- */

struct walk {
	size_t claim, node, prefix;
	uint32_t last[2]; /* by family: the last prefix that begins at or before the address */
	/* what the last address got holds for all of its family up to here */
	bool has_part, is4;
	struct bh_ip part_end;
	uint32_t part;
};

static struct bh_ip last_of(const struct bh_cidr *c)
{
	struct bh_ip ip = c->ip;

	for (int i = c->len; i < 128; i++)
		ip.b[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return ip;
}

/* Longest prefix that contains ip, BH_CM_NONE when none does. */
static uint32_t find_prefix(const struct bh_compile_memo *m, struct walk *w, const struct bh_ip *ip)
{
	uint32_t i;

	for (; w->prefix < m->prefixes.n; w->prefix++) {
		const struct bh_cm_prefix *p = &m->prefixes.v[w->prefix];

		if (bh_cm_ip_cmp(&p->cidr.ip, ip) > 0)
			break;
		w->last[p->is4] = (uint32_t)w->prefix;
	}
	for (i = w->last[w->is4]; i != BH_CM_NONE; i = m->prefixes.v[i].parent) {
		if (bh_cidr_has(&m->prefixes.v[i].cidr, ip))
			break;
	}
	return i;
}

/* Part of the longest prefix that contains ip. ip never gets smaller from call to call. */
static uint32_t cidr_part(const struct bh_compile_memo *m, struct walk *w, const struct bh_ip *ip)
{
	bool is4 = bh_ip_is4(ip);
	uint32_t i;

	if (!m->prefixes.n)
		return 0;
	if (w->has_part && w->is4 == is4 && bh_cm_ip_cmp(ip, &w->part_end) <= 0 &&
	    (w->prefix == m->prefixes.n || bh_cm_ip_cmp(ip, &m->prefixes.v[w->prefix].cidr.ip) < 0))
		return w->part;
	w->has_part = true;
	w->is4 = is4;
	i = find_prefix(m, w, ip);
	w->part = i == BH_CM_NONE ? 0 : m->prefixes.v[i].part;
	if (i == BH_CM_NONE)
		memset(&w->part_end, 0xff, sizeof(w->part_end));
	else
		w->part_end = last_of(&m->prefixes.v[i].cidr);
	return w->part;
}

/* The next address with all who claim it. Returns false at the end. */
static bool next_address(const struct bh_cm_job *j, struct walk *w, struct bh_tpeer *ret,
			 size_t *ret_claims)
{
	const struct bh_compile_memo *m = j->m;
	const struct bh_ip *claim = w->claim < m->claims.n ? &m->claims.v[w->claim].ip : NULL;
	const struct bh_ip *node =
		w->node < j->world->n_node_addresses ? &j->world->node_addresses[w->node] : NULL;
	size_t n = 0;

	if (!claim && !node)
		return false;
	ret->ip = claim && (!node || bh_cm_ip_cmp(claim, node) <= 0) ? *claim : *node;
	while (w->claim + n < m->claims.n &&
	       bh_cm_ip_cmp(&m->claims.v[w->claim + n].ip, &ret->ip) == 0)
		n++;
	ret->is_node = false;
	for (; w->node < j->world->n_node_addresses; w->node++) {
		if (bh_cm_ip_cmp(&j->world->node_addresses[w->node], &ret->ip) != 0)
			break;
		ret->is_node = true;
	}
	*ret_claims = n;
	return true;
}

static int check_peers(const struct bh_ip *ip, size_t n[2], struct bh_err *err)
{
	char text[BH_IP_TEXT];
	bool is4 = bh_ip_is4(ip);

	if (++n[is4] <= BH_MAX_PEERS)
		return 0;
	return bh_fail(err, E2BIG,
		       "address %s: policies of this node's pods tell more than %d %s "
		       "peers apart",
		       bh_ip_format(ip, text), BH_MAX_PEERS, is4 ? "IPv4" : "IPv6");
}

static int add_peers(struct bh_cm_job *j, struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;
	struct walk w = {.last = {BH_CM_NONE, BH_CM_NONE}};
	struct bh_tpeer peer;
	size_t n_claims, n[2] = {0};

	memset(&peer, 0, sizeof(peer)); /* the padding too: tables are compared as bytes */
	while (next_address(j, &w, &peer, &n_claims)) {
		const struct bh_cm_claim *c = n_claims ? &m->claims.v[w.claim] : NULL;
		uint32_t part = 0;
		int r = 0;

		if (n_claims == 1 && !peer.is_node)
			part = m->idents.v[c->ident]->part;
		else if (n_claims)
			r = contested_part(m, c, n_claims, &part);
		w.claim += n_claims;
		if (!r && !part && !peer.is_node)
			continue;
		if (!r)
			r = class_get(m, part, cidr_part(m, &w, &peer.ip), &peer.class);
		if (r)
			return bh_fail(err, -r, "no memory for peers");
		r = check_peers(&peer.ip, n, err);
		if (r)
			return r;
		j->t->peers[j->t->n_peers++] = peer;
	}
	return 0;
}

/* ---- the tables ---- */

static int by_class_content(const void *a, const void *b)
{
	return bh_content_cmp(&((const struct bh_cm_class *)a)->id,
			      &((const struct bh_cm_class *)b)->id);
}

/* Sorts the classes by content (0 stays) and renumbers everything that names one. */
static int sort_classes(struct bh_cm_job *j)
{
	struct bh_compile_memo *m = j->m;
	struct bh_tables *t = j->t;
	BH_CLEANUP(bh_freep) uint32_t *now = calloc(m->classes.n, sizeof(*now));

	t->classes = calloc(m->classes.n, sizeof(*t->classes));
	if (!now || !t->classes)
		return -ENOMEM;
	qsort(m->classes.v + 1, m->classes.n - 1, sizeof(*m->classes.v), by_class_content);
	for (size_t i = 0; i < m->classes.n; i++) {
		const struct bh_cm_class *c = &m->classes.v[i];
		uint64_t key = (uint64_t)c->part[0] << 32 | c->part[1];

		now[bh_nummap_get(&m->class_ids, key)] = (uint32_t)i;
		t->classes[t->n_classes++].id = c->id;
	}
	for (size_t i = 0; i < t->n_peers; i++)
		t->peers[i].class = now[t->peers[i].class];
	for (size_t i = 0; i < t->n_cidrs; i++)
		t->cidrs[i].class = now[t->cidrs[i].class];
	return 0;
}

static int add_cidrs(struct bh_cm_job *j)
{
	struct bh_compile_memo *m = j->m;

	bh_vec_each (p, &m->prefixes) {
		struct bh_tcidr *c = &j->t->cidrs[j->t->n_cidrs++];

		c->cidr = p->cidr;
		if (class_get(m, 0, p->part, &c->class))
			return -ENOMEM;
	}
	return 0;
}

/* Fresh memory in such a size is new pages each time, which cost more than what is written to them.
 */
static int peers_room(struct bh_compile_memo *m, struct bh_tables *t, size_t n)
{
	if (m->spare_peers.v && m->spare_peers.cap >= n) {
		t->cap_peers = m->spare_peers.cap;
		t->peers = BH_TAKE(m->spare_peers.v);
		m->spare_peers.cap = 0;
		return 0;
	}
	bh_vec_done(&m->spare_peers);
	t->cap_peers = n + n / 64 + 16;
	t->peers = malloc(t->cap_peers * sizeof(*t->peers));
	return t->peers ? 0 : -ENOMEM;
}

/* Addresses that nobody tells apart take no room. */
static void fit_peers(struct bh_tables *t)
{
	size_t n = t->n_peers + t->n_peers / 64 + 16;
	struct bh_tpeer *v;

	if (n >= t->cap_peers / 2)
		return;
	v = realloc(t->peers, n * sizeof(*v));
	if (!v)
		return;
	t->peers = v;
	t->cap_peers = n;
}

/* The last compile's classes are kept: cell sets name them. */
static int begin(struct bh_cm_job *j)
{
	struct bh_compile_memo *m = j->m;
	struct bh_tables *t = j->t;
	size_t max_peers = m->claims.n + j->world->n_node_addresses;

	m->old_classes.n = 0;
	if (bh_vec_reserve(&m->old_classes, m->classes.n))
		return -ENOMEM;
	bh_vec_each (c, &m->classes)
		m->old_classes.v[m->old_classes.n++] = *c;
	m->classes.n = 0;
	bh_nummap_clear(&m->class_ids);
	t->cidrs = calloc(m->prefixes.n + 1, sizeof(*t->cidrs));
	if (peers_room(m, t, max_peers) || !t->cidrs || make_parts(m) ||
	    bh_vec_push(&m->classes, ((struct bh_cm_class){.part = {0, 0}})))
		return -ENOMEM;
	return bh_nummap_set(&m->class_ids, 0, 0);
}

int bh_cm_classes(struct bh_cm_job *j, struct bh_err *err)
{
	int r;

	if (begin(j))
		return bh_fail(err, ENOMEM, "no memory for classes");
	r = add_peers(j, err);
	if (r)
		return r;
	if (add_cidrs(j) || sort_classes(j))
		return bh_fail(err, ENOMEM, "no memory for classes");
	fit_peers(j->t);
	return 0;
}

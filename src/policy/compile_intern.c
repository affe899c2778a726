#include "policy/compile_memo.h"

#include <errno.h>
#include <linux/in.h>
#include <string.h>

#include "base/str.h"

int bh_cm_port_proto(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return BH_PP_TCP;
	case IPPROTO_UDP:
		return BH_PP_UDP;
	case IPPROTO_SCTP:
		return BH_PP_SCTP;
	default:
		return -1;
	}
}

/* ---- scopes and pairs ---- */

int bh_cm_scope_get(struct bh_compile_memo *m, const struct bh_cm_scope *s, uint32_t *ret)
{
	BH_CLEANUP(bh_str_done) struct bh_str key = {0};
	uint32_t id;

	bh_str_add(&key, s->ns ? "n" : s->sel ? "s" : "*");
	bh_str_add(&key, s->ns ? s->ns : s->sel ? s->sel->text : "");
	if (key.failed)
		return -ENOMEM;
	id = bh_idmap_get(&m->scope_ids, key.s, key.n);
	if (id == BH_CM_NONE) {
		id = (uint32_t)m->scopes.n;
		if (bh_vec_push(&m->scopes, ((struct bh_cm_scope){.ns = s->ns, .sel = s->sel})) ||
		    bh_idmap_set(&m->scope_ids, key.s, key.n, id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

int bh_cm_pair_get(struct bh_compile_memo *m, uint32_t scope, const struct bh_selector *sel,
		   uint32_t *ret)
{
	BH_CLEANUP(bh_str_done) struct bh_str key = {0};
	struct bh_cm_pair p = {.scope = scope, .sel = sel, .pred = {BH_CM_NONE, BH_CM_NONE}};
	uint32_t id;

	bh_str_addn(&key, &scope, sizeof(scope));
	bh_str_add(&key, sel ? "s" : "*");
	bh_str_add(&key, sel ? sel->text : "");
	if (key.failed)
		return -ENOMEM;
	id = bh_idmap_get(&m->pair_ids, key.s, key.n);
	if (id == BH_CM_NONE) {
		id = (uint32_t)m->pairs.n;
		if (bh_vec_push(&m->pairs, p) || bh_vec_push(&m->scopes.v[scope].pairs, id) ||
		    bh_idmap_set(&m->pair_ids, key.s, key.n, id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

/* ---- predicates ---- */

static void hash_pair(struct bh_compile_memo *m, uint32_t pair, enum bh_action action)
{
	const struct bh_cm_pair *p = &m->pairs.v[pair];
	const struct bh_cm_scope *s = &m->scopes.v[p->scope];

	bh_hasher_add_u64(&m->hasher, action);
	bh_hasher_add_s(&m->hasher, s->ns);
	bh_hasher_add_s(&m->hasher, s->sel ? s->sel->text : NULL);
	bh_hasher_add_s(&m->hasher, p->sel ? p->sel->text : NULL);
}

int bh_cm_pred_pods(struct bh_compile_memo *m, uint32_t pair, enum bh_action action, uint32_t *ret)
{
	struct bh_cm_pred p = {.kind = BH_CM_PODS, .action = action};
	uint32_t id = m->pairs.v[pair].pred[action];

	if (id == BH_CM_NONE) {
		id = (uint32_t)m->preds.n;
		bh_hasher_begin(&m->hasher, "pods");
		hash_pair(m, pair, action);
		if (bh_hasher_end(&m->hasher, &p.id))
			return -EIO;
		if (bh_vec_push(&m->preds, p))
			return -ENOMEM;
		m->pairs.v[pair].pred[action] = id;
	}
	*ret = id;
	return 0;
}

int bh_cm_family_get(struct bh_compile_memo *m, const struct bh_cm_family *f, uint32_t *ret)
{
	BH_CLEANUP(bh_str_done) struct bh_str key = {0};
	uint32_t id;

	bh_str_addn(&key, &f->pair, sizeof(f->pair));
	bh_str_addn(&key, &f->action, sizeof(f->action));
	bh_str_addn(&key, &f->proto, sizeof(f->proto));
	bh_str_add(&key, f->name);
	if (key.failed)
		return -ENOMEM;
	id = bh_idmap_get(&m->family_ids, key.s, key.n);
	if (id == BH_CM_NONE) {
		id = (uint32_t)m->families.n;
		if (bh_vec_push(&m->families, *f) ||
		    bh_vec_push(&m->pairs.v[f->pair].families, id) ||
		    bh_idmap_set(&m->family_ids, key.s, key.n, id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

int bh_cm_family_member(struct bh_compile_memo *m, uint32_t family, uint16_t port, uint32_t *ret)
{
	struct bh_cm_family *f = &m->families.v[family];
	struct bh_cm_pred p = {.kind = BH_CM_NAMED, .action = f->action};

	bh_vec_each (member, &f->members) {
		if (member->port == port) {
			*ret = member->pred;
			return 0;
		}
	}
	bh_hasher_begin(&m->hasher, "named");
	hash_pair(m, f->pair, f->action);
	bh_hasher_add_s(&m->hasher, f->name);
	bh_hasher_add_u64(&m->hasher, f->proto);
	bh_hasher_add_u64(&m->hasher, port);
	if (bh_hasher_end(&m->hasher, &p.id))
		return -EIO;
	*ret = (uint32_t)m->preds.n;
	if (bh_vec_push(&m->preds, p) ||
	    bh_vec_push(&f->members, ((struct bh_cm_member){.port = port, .pred = *ret})))
		return -ENOMEM;
	return 0;
}

static int by_cidr(const void *a, const void *b)
{
	return bh_cidr_cmp(a, b);
}

/* The block's meaning as bytes: cidr, then the distinct excepts in order. */
static struct bh_cidr *block_key(const struct bh_peer *block, size_t *ret_n)
{
	size_t n = 1;
	struct bh_cidr *v = calloc(1 + block->n_excepts, sizeof(*v));

	if (!v)
		return NULL;
	v[0] = block->cidr;
	if (block->n_excepts) {
		memcpy(v + 1, block->excepts, block->n_excepts * sizeof(*v));
		qsort(v + 1, block->n_excepts, sizeof(*v), by_cidr);
	}
	for (size_t i = 1; i <= block->n_excepts; i++) {
		if (n == 1 || bh_cidr_cmp(&v[n - 1], &v[i]) != 0)
			v[n++] = v[i];
	}
	*ret_n = n;
	return v;
}

int bh_cm_pred_cidr(struct bh_compile_memo *m, const struct bh_peer *block, uint32_t *ret)
{
	struct bh_cm_pred p = {.kind = BH_CM_CIDR, .block = block};
	size_t n = 0;
	BH_CLEANUP(bh_freep) struct bh_cidr *key = block_key(block, &n);
	uint32_t id;

	if (!key)
		return -ENOMEM;
	id = bh_idmap_get(&m->pred_ids, key, n * sizeof(*key));
	if (id == BH_CM_NONE) {
		id = (uint32_t)m->preds.n;
		bh_hasher_begin(&m->hasher, "cidr");
		bh_hasher_add(&m->hasher, key, n * sizeof(*key));
		if (bh_hasher_end(&m->hasher, &p.id))
			return -EIO;
		if (bh_vec_push(&m->preds, p) ||
		    bh_idmap_set(&m->pred_ids, key, n * sizeof(*key), id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

/* ---- ports and executables ---- */

static int by_range(const void *a, const void *b)
{
	const struct bh_cm_range *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

int bh_cm_ports_get(struct bh_compile_memo *m, struct bh_cm_range *v, size_t n, uint32_t *ret)
{
	struct bh_cm_ports p = {.v = v};
	uint32_t id;

	if (n > 1)
		qsort(v, n, sizeof(*v), by_range);
	for (size_t i = 0; i < n; i++) {
		if (p.n && v[i].first <= v[p.n - 1].end) {
			if (v[i].end > v[p.n - 1].end)
				v[p.n - 1].end = v[i].end;
		} else {
			v[p.n++] = v[i];
		}
	}
	id = bh_idmap_get(&m->ports_ids, v, p.n * sizeof(*v));
	if (id == BH_CM_NONE) {
		id = (uint32_t)m->ports.n;
		p.v = bh_arena_copy(&m->arena, v, p.n * sizeof(*v));
		if (!p.v || bh_vec_push(&m->ports, p) ||
		    bh_idmap_set(&m->ports_ids, v, p.n * sizeof(*v), id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

static int exe_get(struct bh_compile_memo *m, const char *path, uint32_t *ret)
{
	uint32_t id = bh_idmap_get(&m->exe_ids, path, strlen(path));
	struct bh_cm_exe e = {0};

	if (id == BH_CM_NONE) {
		id = (uint32_t)m->exes.n;
		e.path = bh_arena_copy(&m->arena, path, strlen(path) + 1);
		if (!e.path || bh_vec_push(&m->exes, e) ||
		    bh_idmap_set(&m->exe_ids, path, strlen(path), id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

int bh_cm_procs_get(struct bh_compile_memo *m, char *const *paths, size_t n, uint32_t *ret)
{
	struct bh_cm_procs p = {0};
	uint32_t *exe = bh_arena_alloc(&m->arena, n * sizeof(*exe)), id;

	if (!exe)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (exe_get(m, paths[i], &exe[i]))
			return -ENOMEM;
	}
	qsort(exe, n, sizeof(*exe), bh_cm_by_number);
	for (size_t i = 0; i < n; i++) {
		if (!p.n || exe[p.n - 1] != exe[i])
			exe[p.n++] = exe[i];
	}
	p.exe = exe;
	id = bh_idmap_get(&m->procs_ids, exe, p.n * sizeof(*exe));
	if (id == BH_CM_NONE) {
		id = (uint32_t)m->procs.n;
		if (bh_vec_push(&m->procs, p) ||
		    bh_idmap_set(&m->procs_ids, exe, p.n * sizeof(*exe), id))
			return -ENOMEM;
	}
	*ret = id;
	return 0;
}

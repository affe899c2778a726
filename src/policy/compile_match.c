#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* ---- scopes and namespaces ---- */

static bool scope_holds(const struct bh_cm_scope *s, const struct bh_namespace *ns)
{
	if (s->ns)
		return strcmp(s->ns, ns->name) == 0;
	return !s->sel || bh_selector_matches(s->sel, &ns->labels);
}

static int match_namespace(const struct bh_compile_memo *m, struct bh_cm_ns *ns)
{
	if (!ns->is_matched)
		ns->scopes.n = 0;
	for (size_t s = ns->is_matched ? m->n_scopes_matched : 0; s < m->scopes.n; s++) {
		if (scope_holds(&m->scopes.v[s], ns->obj) && bh_vec_push(&ns->scopes, (uint32_t)s))
			return -ENOMEM;
	}
	ns->is_matched = true;
	return 0;
}

/* ---- pairs and idents ---- */

/* A scope's pairs are in ascending order, and those of a new scope are all new, so an ident that is
 * up to date looks at the new pairs only. */
static int match_ident(const struct bh_compile_memo *m, struct bh_cm_ident *ident)
{
	size_t from = ident->is_matched ? m->n_pairs_matched : 0;

	if (!ident->is_matched)
		ident->pairs.n = 0;
	ident->is_matched = true;
	if (from == m->pairs.n)
		return 0;
	bh_vec_each (s, &m->ns.v[ident->ns].scopes) {
		const struct bh_cm_scope *scope = &m->scopes.v[*s];

		for (size_t i = scope->pairs.n; i-- > 0 && scope->pairs.v[i] >= from;) {
			const struct bh_selector *sel = m->pairs.v[scope->pairs.v[i]].sel;

			if (sel && !bh_selector_matches(sel, &ident->id->labels))
				continue;
			if (bh_vec_push(&ident->pairs, scope->pairs.v[i]))
				return -ENOMEM;
		}
	}
	return 0;
}

/* ---- predicates of an ident ---- */

static int add_pred(struct bh_compile_memo *m, uint32_t pred)
{
	m->preds.v[pred].live = m->epoch;
	return bh_vec_push(&m->scratch, pred);
}

static int add_members(struct bh_compile_memo *m, const struct bh_ident *id, uint32_t family)
{
	for (size_t i = 0; i < id->n_ports; i++) {
		const struct bh_named_port *p = &id->ports[i];
		uint32_t pred;
		int r;

		if (p->proto != m->families.v[family].proto ||
		    strcmp(p->name, m->families.v[family].name) != 0)
			continue;
		r = bh_cm_family_member(m, family, p->port, &pred);
		if (!r)
			r = add_pred(m, pred);
		if (r)
			return r;
	}
	return 0;
}

static int add_pair(struct bh_compile_memo *m, const struct bh_ident *id, uint32_t pair)
{
	int r = 0;

	for (int action = 0; !r && action < 2; action++) {
		uint32_t pred = m->pairs.v[pair].pred[action];

		if (pred != BH_CM_NONE && m->preds.v[pred].n_rules)
			r = add_pred(m, pred);
	}
	for (size_t i = 0; !r && i < m->pairs.v[pair].families.n; i++) {
		uint32_t family = m->pairs.v[pair].families.v[i];

		if (m->families.v[family].n_rules)
			r = add_members(m, id, family);
	}
	return r;
}

/* Finds the active predicates that hold for the ident, and their content if they are not the ones
 * of the last compile. */
static int derive(struct bh_compile_memo *m, struct bh_cm_ident *ident)
{
	size_t n;
	int r = 0;

	m->scratch.n = 0;
	for (size_t i = 0; !r && i < ident->pairs.n; i++)
		r = add_pair(m, ident->id, ident->pairs.v[i]);
	if (r)
		return r;
	n = m->scratch.n;
	if (n == ident->preds.n &&
	    (n == 0 || memcmp(m->scratch.v, ident->preds.v, n * sizeof(uint32_t)) == 0))
		return 0;
	if (bh_vec_reserve(&ident->preds, n))
		return -ENOMEM;
	if (n)
		memcpy(ident->preds.v, m->scratch.v, n * sizeof(uint32_t));
	ident->preds.n = n;
	return bh_cm_set_content(m, ident->preds.v, n, &ident->content);
}

static int match_all(struct bh_compile_memo *m)
{
	int r = 0;

	for (size_t i = 0; !r && i < m->ns.n; i++) {
		if (m->ns.v[i].obj)
			r = match_namespace(m, &m->ns.v[i]);
	}
	for (size_t i = 0; !r && i < m->idents.n; i++) {
		struct bh_cm_ident *ident = m->idents.v[i];

		if (!ident)
			continue;
		if (!ident->n_claims) {
			ident->is_matched = false;
			continue;
		}
		r = match_ident(m, ident);
		if (!r)
			r = derive(m, ident);
	}
	return r;
}

int bh_cm_match(struct bh_cm_job *j, struct bh_err *err)
{
	struct bh_compile_memo *m = j->m;
	int r = match_all(m);

	if (r)
		return bh_fail(err, -r, "no memory to match pods");
	m->n_scopes_matched = m->scopes.n;
	m->n_pairs_matched = m->pairs.n;
	bh_vec_each (p, &m->preds) {
		bool is_live = p->live == m->epoch;

		if (is_live != p->was_live)
			p->flipped = m->epoch;
		p->was_live = is_live;
	}
	return 0;
}

#include "daemon/standin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

static void policy_unrefp(struct bh_policy **p)
{
	bh_policy_unref(*p);
}

static bool has_deny(const struct bh_policy *p, int dir)
{
	for (size_t i = 0; i < p->n_rules[dir]; i++) {
		if (p->rules[dir][i].action == BH_ACTION_DENY)
			return true;
	}
	return false;
}

static int copy_requirement(const struct bh_requirement *from, struct bh_requirement *to)
{
	to->op = from->op;
	to->key = strdup(from->key);
	to->values = calloc(from->n_values + 1, sizeof(*to->values));
	if (!to->key || !to->values)
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n_values; i++) {
		to->values[i] = strdup(from->values[i]);
		if (!to->values[i])
			return -ENOMEM;
		to->n_values++;
	}
	return 0;
}

static int copy_selector(const struct bh_selector *from, struct bh_selector *to)
{
	to->v = calloc(from->n + 1, sizeof(*to->v));
	if (!to->v)
		return -ENOMEM;
	for (size_t i = 0; i < from->n; i++) {
		to->n++; /* half of one is ended too */
		if (copy_requirement(&from->v[i], &to->v[i]))
			return -ENOMEM;
	}
	return bh_selector_seal(to);
}

static int deny_all(struct bh_policy *p, int dir)
{
	p->rules[dir] = calloc(1, sizeof(*p->rules[dir]));
	if (!p->rules[dir])
		return -ENOMEM;
	p->n_rules[dir] = 1;
	p->rules[dir][0] = (struct bh_rule){.action = BH_ACTION_DENY,
					    .all_peers = true,
					    .all_ports = true,
					    .reason = {.expires_s = INT64_MAX},
					    .place = p->place};
	return 0;
}

struct bh_policy *bh_standin_new(const struct bh_policy *p)
{
	BH_CLEANUP(policy_unrefp) struct bh_policy *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->refs = 1;
	s->kind = p->kind;
	s->ns = strdup(p->ns);
	s->name = strdup(p->name);
	s->file = p->file ? strdup(p->file) : NULL;
	if (!s->ns || !s->name || (p->file && !s->file) || copy_selector(&p->pods, &s->pods))
		return NULL;
	s->place = p->place;
	s->place.file = s->file;
	for (int dir = 0; dir < 2; dir++) {
		s->applies[dir] = p->applies[dir];
		if (has_deny(p, dir) && deny_all(s, dir))
			return NULL;
	}
	return BH_TAKE(s);
}

const char *bh_standin_text(const struct bh_policy *p)
{
	bool in = has_deny(p, BH_INGRESS), out = has_deny(p, BH_EGRESS);

	if (in && out)
		return "everything from and to the pods it selects is denied";
	if (in)
		return "everything to the pods it selects is denied, and it allows nothing";
	if (out)
		return "everything from the pods it selects is denied, and it allows nothing";
	return "it isolates the pods it selects and allows nothing";
}

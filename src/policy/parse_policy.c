/* parse_policy.c - NetworkPolicy of networking.k8s.io/v1 and SegmentationPolicy of
 * bulkhead.io/v1alpha1, whose spec is the former's plus action, processes and reason in rules. */
#include "policy/parse.h"

#include <string.h>

#include "policy/syntax.h"

struct rule_ctx {
	enum bh_policy_kind kind;
	enum bh_dir dir;
	const struct bh_reason_note *reason; /* policy-wide */
};

static const char *const *rule_keys(const struct rule_ctx *c)
{
	static const char *const ingress[] = {"from", "ports", NULL};
	static const char *const egress[] = {"to", "ports", NULL};
	static const char *const own_ingress[] = {"from",      "ports",	 "action",
						  "processes", "reason", NULL};
	static const char *const own_egress[] = {"to",	      "ports",	"action",
						 "processes", "reason", NULL};

	if (c->kind == BH_NETWORK_POLICY)
		return c->dir == BH_INGRESS ? ingress : egress;
	return c->dir == BH_INGRESS ? own_ingress : own_egress;
}

static void parse_peers(struct bh_parse *p, const struct bh_yaml *n, const char *key,
			struct bh_rule *r)
{
	const struct bh_yaml *list = bh_parse_list(p, n, key);
	size_t i;

	r->all_peers = !list || !list->n;
	if (r->all_peers)
		return;
	r->peers = bh_parse_calloc(p, list->n, sizeof(*r->peers));
	for (i = 0; r->peers && i < list->n; i++)
		bh_parse_peer(p, list->items[i], &r->peers[r->n_peers++]);
}

static void parse_ports(struct bh_parse *p, const struct bh_yaml *n, struct bh_rule *r)
{
	const struct bh_yaml *list = bh_parse_list(p, n, "ports");
	size_t i;

	r->all_ports = !list || !list->n;
	if (r->all_ports)
		return;
	r->ports = bh_parse_calloc(p, list->n, sizeof(*r->ports));
	for (i = 0; r->ports && i < list->n; i++)
		bh_parse_port(p, list->items[i], &r->ports[r->n_ports++]);
}

/* An action that a newer version may know makes the rule inert, like an unknown field. */
static void parse_action(struct bh_parse *p, const struct bh_yaml *n, struct bh_rule *r)
{
	const char *text = bh_parse_str(p, n, "action", false);

	p->inert_text = "the rule allows nothing";
	if (!text || !strcmp(text, "Allow"))
		return;
	r->action = BH_ACTION_DENY;
	p->inert_text = "the rule denies everything";
	if (strcmp(text, "Deny"))
		bh_parse_unknown(p, bh_yaml_find(n, "action"), "unknown action '%s'", text);
}

static void parse_process(struct bh_parse *p, const struct bh_yaml *n, struct bh_rule *r)
{
	if (!bh_parse_is(p, n, BH_YAML_STRING, "'processes'"))
		return;
	if (!bh_is_exe_path(n->text)) {
		bh_parse_refuse(p, n,
				"'%.255s' is not an absolute, normalised path of at most 255 bytes",
				n->text);
		return;
	}
	r->processes[r->n_processes] = bh_parse_strdup(p, n->text);
	if (r->processes[r->n_processes])
		r->n_processes++;
}

static void parse_processes(struct bh_parse *p, const struct bh_yaml *n, enum bh_dir dir,
			    struct bh_rule *r)
{
	const struct bh_yaml *list = bh_parse_list(p, n, "processes");
	size_t i;

	if (!list)
		return;
	if (dir == BH_INGRESS) {
		bh_parse_refuse(p, list, "'processes' is for egress rules only");
		return;
	}
	if (!list->n) {
		bh_parse_refuse(p, list, "'processes' is empty; leave it out for any process");
		return;
	}
	r->processes = bh_parse_calloc(p, list->n, sizeof(*r->processes));
	for (i = 0; r->processes && i < list->n; i++)
		parse_process(p, list->items[i], r);
}

static void copy_reason(struct bh_parse *p, const struct bh_reason_note *from,
			struct bh_reason_note *to)
{
	to->expires_s = from->expires_s;
	if (from->why)
		to->why = bh_parse_strdup(p, from->why);
	if (from->use_case)
		to->use_case = bh_parse_strdup(p, from->use_case);
	if (from->owner)
		to->owner = bh_parse_strdup(p, from->owner);
}

static void parse_own_fields(struct bh_parse *p, const struct bh_yaml *n, enum bh_dir dir,
			     struct bh_rule *r)
{
	const struct bh_yaml *reason = bh_parse_map(p, n, "reason");

	parse_processes(p, n, dir, r);
	if (reason)
		bh_parse_reason(p, reason, &r->reason);
}

static void parse_rule(struct bh_parse *p, const struct bh_yaml *n, const struct rule_ctx *c,
		       struct bh_rule *r)
{
	r->place = bh_parse_place(p, n);
	copy_reason(p, c->reason, &r->reason);
	if (n->type == BH_YAML_NULL) {
		bh_parse_refuse(p, n, "an empty rule; write {} to allow everything");
		return;
	}
	if (!bh_parse_is(p, n, BH_YAML_MAP, "rule"))
		return;
	p->inert = &r->is_inert;
	p->inert_text = "the rule allows nothing";
	if (c->kind == BH_SEGMENTATION_POLICY)
		parse_action(p, n, r);
	bh_parse_keys(p, n, rule_keys(c));
	parse_peers(p, n, c->dir == BH_INGRESS ? "from" : "to", r);
	parse_ports(p, n, r);
	if (c->kind == BH_SEGMENTATION_POLICY)
		parse_own_fields(p, n, c->dir, r);
	p->inert = NULL;
	if (p->require_reason && r->action == BH_ACTION_ALLOW && !r->reason.why)
		bh_parse_refuse(p, n, "an allow rule without a reason (requireReason is set)");
	bh_lint_peers(p, n, c->dir, r);
}

static void parse_rules(struct bh_parse *p, const struct bh_yaml *spec, const struct rule_ctx *c,
			struct bh_policy *policy)
{
	const char *key = c->dir == BH_INGRESS ? "ingress" : "egress";
	const struct bh_yaml *list = bh_parse_list(p, spec, key);
	struct bh_rule *v;
	size_t i;

	if (!list)
		return;
	v = policy->rules[c->dir] = bh_parse_calloc(p, list->n, sizeof(*v));
	for (i = 0; v && i < list->n; i++) {
		v[i].index = (unsigned)i;
		policy->n_rules[c->dir] = i + 1;
		parse_rule(p, list->items[i], c, &v[i]);
	}
}

/* Absent or empty: Ingress always, Egress only when there are egress rules. */
static void parse_types(struct bh_parse *p, const struct bh_yaml *spec, struct bh_policy *policy)
{
	const struct bh_yaml *list = bh_parse_list(p, spec, "policyTypes");
	size_t i;

	if (!list || !list->n) {
		policy->applies[BH_INGRESS] = true;
		policy->applies[BH_EGRESS] = policy->n_rules[BH_EGRESS];
		return;
	}
	if (list->n > 2)
		bh_parse_refuse(p, list, "'policyTypes' has more than two entries");
	for (i = 0; i < list->n && i < 2; i++) {
		const struct bh_yaml *n = list->items[i];

		if (!bh_parse_is(p, n, BH_YAML_STRING, "'policyTypes'"))
			continue;
		if (!strcmp(n->text, "Ingress"))
			policy->applies[BH_INGRESS] = true;
		else if (!strcmp(n->text, "Egress"))
			policy->applies[BH_EGRESS] = true;
		else
			bh_parse_refuse(p, n, "policy type '%s' is neither Ingress nor Egress",
					n->text);
	}
}

static void parse_spec(struct bh_parse *p, const struct bh_yaml *spec,
		       const struct bh_reason_note *reason, struct bh_policy *policy)
{
	static const char *const keys[] = {"podSelector", "policyTypes", "ingress", "egress", NULL};
	struct rule_ctx c = {.kind = policy->kind, .reason = reason};

	bh_parse_keys(p, spec, keys);
	bh_parse_selector(p, bh_yaml_find(spec, "podSelector"), &policy->pods);
	c.dir = BH_INGRESS;
	parse_rules(p, spec, &c, policy);
	c.dir = BH_EGRESS;
	parse_rules(p, spec, &c, policy);
	parse_types(p, spec, policy);
	if (!p->is_refused)
		bh_lint_policy(p, spec, policy);
}

static void policy_unrefp(struct bh_policy **p)
{
	bh_policy_unref(*p);
}

static void reason_done(struct bh_reason_note *n)
{
	free(n->why);
	free(n->use_case);
	free(n->owner);
}

/* rule->place and peer->place borrow the policy's own copy of the file name. */
static void own_places(struct bh_policy *policy)
{
	size_t dir, i, k;

	policy->place.file = policy->file;
	for (dir = 0; dir < 2; dir++) {
		for (i = 0; i < policy->n_rules[dir]; i++) {
			struct bh_rule *r = &policy->rules[dir][i];

			r->place.file = policy->file;
			for (k = 0; k < r->n_peers; k++)
				r->peers[k].place.file = policy->file;
		}
	}
}

struct bh_policy *bh_parse_policy(struct bh_parse *p, const struct bh_yaml *object,
				  enum bh_policy_kind kind, const char *ns, const char *name)
{
	static const char *const keys[] = {"apiVersion", "kind",   "metadata",
					   "spec",	 "status", NULL};
	static const struct bh_yaml nothing = {.type = BH_YAML_MAP};
	BH_CLEANUP(policy_unrefp) struct bh_policy *policy = bh_parse_calloc(p, 1, sizeof(*policy));
	BH_CLEANUP(reason_done) struct bh_reason_note reason = {.expires_s = INT64_MAX};
	const struct bh_yaml *spec, *metadata = bh_yaml_find(object, "metadata");

	if (!policy)
		return NULL;
	policy->refs = 1;
	policy->kind = kind;
	policy->place = bh_parse_place(p, object);
	policy->ns = bh_parse_strdup(p, ns);
	policy->name = bh_parse_strdup(p, name);
	policy->file = p->file ? bh_parse_strdup(p, p->file) : NULL;
	bh_parse_keys(p, object, keys);
	bh_parse_annotations(p, metadata, &reason, &policy->keep_established);
	spec = bh_parse_map(p, object, "spec");
	if (!p->is_refused && !spec)
		bh_parse_warn(p, object,
			      "'spec' is missing: every pod of namespace '%s' is selected "
			      "and all ingress denied",
			      ns);
	parse_spec(p, spec ? spec : &nothing, &reason, policy);
	own_places(policy);
	if (!p->is_refused && bh_policy_pack(&policy))
		bh_parse_no_memory(p);
	return p->is_refused ? NULL : BH_TAKE(policy);
}

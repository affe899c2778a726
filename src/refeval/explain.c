#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "refeval/report_json.h"

struct side {
	const struct bh_query *q;
	const struct bh_answer *a;
	enum bh_dir dir;
	const struct bh_half *half;
	const struct bh_party *self, *peer;
};

static struct side side_of(const struct bh_query *q, const struct bh_answer *a, enum bh_dir dir)
{
	bool is_egress = dir == BH_EGRESS;

	return (struct side){.q = q,
			     .a = a,
			     .dir = dir,
			     .half = is_egress ? &a->cell.egress : &a->cell.ingress,
			     .self = is_egress ? q->from : q->to,
			     .peer = is_egress ? q->to : q->from};
}

/* ---- why ---- */

static void say_rule(struct bh_str *s, const struct side *side, const struct bh_half *half)
{
	BH_CLEANUP(bh_freep) char *rule = bh_report_rule(half, side->dir);

	if (!rule)
		s->failed = true;
	else
		bh_str_add(s, rule);
}

static void say_default(struct bh_str *s, const struct side *side)
{
	const struct bh_pod *pod = side->self->pod;

	if (!pod)
		bh_str_fmt(s, "%s is no pod known here, so no policy applies on this side",
			   side->self->name);
	else if (pod->host_network)
		bh_str_fmt(s,
			   "%s uses its node's network, so it counts as the node and no policy "
			   "applies on this side",
			   side->self->name);
	else if (pod->phase != BH_POD_RUNNING)
		bh_str_fmt(s, "%s has finished, so no policy selects it", side->self->name);
	else
		bh_str_fmt(s, "no policy selects %s for %s, and the default is to %s",
			   side->self->name, bh_report_dir(side->dir),
			   side->q->w->default_allow ? "allow" : "deny");
}

static void say_processes(struct bh_str *s, const struct side *side)
{
	BH_CLEANUP(bh_exes_done) struct bh_exes exes = {0};

	if (bh_party_exes(side->q, side->a, side->dir, &exes)) {
		s->failed = true;
		return;
	}
	bh_str_add(s, exes.is_except ? ", but not for " : ", only for ");
	for (size_t i = 0; i < exes.n; i++)
		bh_str_fmt(s, "%s%s", i ? ", " : "", exes.v[i]);
}

/* Half as it would be if no rule had ever expired: names the rule that did. */
static void say_expired(struct bh_str *s, const struct side *side)
{
	struct bh_world before = *side->q->w;
	struct bh_query q = *side->q;
	struct bh_half half;
	struct bh_answer a;
	char when[BH_TIME_TEXT];

	before.now_s = INT64_MIN;
	q.w = &before;
	a = bh_party_ask(&q);
	half = side->dir == BH_EGRESS ? a.cell.egress : a.cell.ingress;
	if (half.verdict != BH_ALLOWED || !half.rule || half.rule->reason.expires_s == INT64_MAX)
		return;
	bh_str_add(s, "; ");
	say_rule(s, side, &half);
	bh_str_fmt(s, " allowed it until it expired at %s",
		   bh_report_time(half.rule->reason.expires_s, when));
}

static void say_inert(struct bh_str *s, const struct side *side)
{
	const struct bh_policies *of = &side->self->of[side->dir];

	for (size_t i = 0; i < of->n; i++) {
		for (size_t k = 0; k < of->v[i]->n_rules[side->dir]; k++) {
			const struct bh_rule *r = &of->v[i]->rules[side->dir][k];

			if (!r->is_inert || r->action != BH_ACTION_ALLOW)
				continue;
			bh_str_add(s, "; ");
			say_rule(s, side, &(struct bh_half){.policy = of->v[i], .rule = r});
			bh_str_add(s, " matches nothing, for it holds something unknown");
			return;
		}
	}
}

static void say_unmatched(struct bh_str *s, const struct side *side)
{
	size_t n = side->self->of[side->dir].n;
	char port[BH_PORT_TEXT];

	bh_str_fmt(s, "%zu %s %s for %s, and no rule of %s matches %s on %s", n,
		   n == 1 ? "policy selects" : "policies select", side->self->name,
		   bh_report_dir(side->dir), n == 1 ? "it" : "them", side->peer->name,
		   bh_report_port(side->q->port, side->q->proto, port));
	say_expired(s, side);
	say_inert(s, side);
}

static char *why(const struct side *side)
{
	const struct bh_half *half = side->half;
	struct bh_str s = {0};

	if (half->is_self) {
		bh_str_add(&s, "a pod always reaches itself");
	} else if (!half->policy) {
		say_default(&s, side);
	} else if (!half->rule) {
		say_unmatched(&s, side);
	} else if (half->verdict == BH_ALLOWED) {
		say_rule(&s, side, half);
		bh_str_add(&s, " allows it");
		if (half->is_conditional)
			say_processes(&s, side);
	} else {
		say_rule(&s, side, half);
		bh_str_add(&s, half->rule->is_inert
				       ? " denies everything, for it holds something unknown"
				       : " denies it, and a Deny wins over every Allow");
	}
	return bh_str_take(&s);
}

/* ---- explain ---- */

static void put_place(json_t *half, const struct bh_half *h, enum bh_dir dir, bool *failed)
{
	struct bh_place place = bh_half_place(h, dir);

	if (!place.file)
		return;
	bh_report_put(half, "file", json_string(place.file), failed);
	if (place.line)
		bh_report_put(half, "line", json_integer(place.line), failed);
}

static json_t *explain_json(const struct bh_query *q, const struct bh_answer *a)
{
	json_t *cell = bh_report_answer(q, a);
	char port[BH_PORT_TEXT];
	bool failed = !cell;

	bh_report_put(cell, "port", json_string(bh_report_port(q->port, q->proto, port)), &failed);
	for (int dir = 0; dir < 2 && !failed; dir++) {
		struct side side = side_of(q, a, (enum bh_dir)dir);
		json_t *half = json_object_get(cell, bh_report_dir(side.dir));
		BH_CLEANUP(bh_freep) char *text = why(&side);

		bh_report_put(half, "why", text ? json_string(text) : NULL, &failed);
		put_place(half, side.half, side.dir, &failed);
	}
	if (!failed)
		return cell;
	json_decref(cell);
	return NULL;
}

int bh_report_explain(const struct bh_world *w, const char *from, const char *to, uint16_t port,
		      uint8_t proto, json_t **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_party_done) struct bh_party source = {0};
	BH_CLEANUP(bh_party_done) struct bh_party target = {0};
	struct bh_query q = {.w = w, .from = &source, .to = &target, .proto = proto, .port = port};
	struct bh_answer a;
	json_t *j;
	int r;

	r = bh_party_parse(w, from, &source, err);
	if (!r)
		r = bh_party_parse(w, to, &target, err);
	if (r)
		return r;
	a = bh_party_ask(&q);
	j = explain_json(&q, &a);
	if (!j)
		return bh_fail(err, ENOMEM, "no memory to explain '%s' to '%s'", from, to);
	*ret = j;
	return 0;
}

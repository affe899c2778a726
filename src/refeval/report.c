#include "refeval/report.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/str.h"
#include "refeval/report_json.h"

/* ---- words ---- */

const char *bh_report_verdict(enum bh_verdict v)
{
	return v == BH_ALLOWED ? "allowed" : "denied";
}

const char *bh_report_dir(enum bh_dir dir)
{
	return dir == BH_EGRESS ? "egress" : "ingress";
}

const char *bh_report_port(uint16_t port, uint8_t proto, char out[BH_PORT_TEXT])
{
	char name[8];

	bh_proto_format(proto, name);
	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP)
		snprintf(out, BH_PORT_TEXT, "%u/%s", port, name);
	else
		snprintf(out, BH_PORT_TEXT, "%s", name);
	return out;
}

const char *bh_report_time(int64_t unix_s, char out[BH_TIME_TEXT])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, BH_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, BH_TIME_TEXT, "@%lld", (long long)unix_s);
	return out;
}

void bh_report_put(json_t *obj, const char *key, json_t *value, bool *failed)
{
	*failed |= json_object_set_new(obj, key, value) != 0;
}

static char *policy_text(const struct bh_policy *p)
{
	return bh_strf("%s %s/%s", bh_policy_kind_name(p->kind), p->ns, p->name);
}

static char *rule_text(const struct bh_policy *p, enum bh_dir dir, const struct bh_rule *r)
{
	return bh_strf("%s %s/%s %s[%u]", bh_policy_kind_name(p->kind), p->ns, p->name,
		       bh_report_dir(dir), r->index);
}

char *bh_report_rule(const struct bh_half *h, enum bh_dir dir)
{
	if (h->is_self)
		return strdup("self");
	if (h->rule)
		return rule_text(h->policy, dir, h->rule);
	return strdup("default");
}

/* ---- cells ---- */

static json_t *take_text(char *text)
{
	json_t *j = text ? json_string(text) : NULL;

	free(text);
	return j;
}

static json_t *strings(const char *const *v, size_t n)
{
	json_t *list = json_array();
	bool failed = !list;

	for (size_t i = 0; i < n && !failed; i++)
		failed = json_array_append_new(list, json_string(v[i])) != 0;
	if (!failed)
		return list;
	json_decref(list);
	return NULL;
}

static json_t *half_json(const struct bh_half *h, enum bh_dir dir)
{
	json_t *j = json_object();
	bool failed = !j;

	bh_report_put(j, "verdict", json_string(bh_report_verdict(h->verdict)), &failed);
	bh_report_put(j, "rule", take_text(bh_report_rule(h, dir)), &failed);
	if (h->policy && !h->rule)
		bh_report_put(j, "isolatedBy", take_text(policy_text(h->policy)), &failed);
	if (h->verdict == BH_ALLOWED && h->is_conditional && h->rule && h->rule->n_processes)
		bh_report_put(
			j, "processes",
			strings((const char *const *)h->rule->processes, h->rule->n_processes),
			&failed);
	if (!failed)
		return j;
	json_decref(j);
	return NULL;
}

json_t *bh_report_cell(const struct bh_cell *c, const char *from, const char *to)
{
	json_t *j = json_object();
	bool failed = !j;

	bh_report_put(j, "from", json_string(from), &failed);
	bh_report_put(j, "to", json_string(to), &failed);
	bh_report_put(j, "verdict", json_string(bh_report_verdict(c->verdict)), &failed);
	bh_report_put(j, "egress", half_json(&c->egress, BH_EGRESS), &failed);
	bh_report_put(j, "ingress", half_json(&c->ingress, BH_INGRESS), &failed);
	if (!failed)
		return j;
	json_decref(j);
	return NULL;
}

static void put_exes(const struct bh_query *q, const struct bh_answer *a, enum bh_dir dir,
		     json_t *half, bool *failed)
{
	BH_CLEANUP(bh_exes_done) struct bh_exes exes = {0};

	if (bh_party_exes(q, a, dir, &exes)) {
		*failed = true;
		return;
	}
	json_object_del(half, "processes");
	bh_report_put(half, exes.is_except ? "exceptProcesses" : "processes",
		      strings(exes.v, exes.n), failed);
}

json_t *bh_report_answer(const struct bh_query *q, const struct bh_answer *a)
{
	json_t *j = bh_report_cell(&a->cell, q->from->name, q->to->name);
	const struct bh_half *halves[] = {
		[BH_EGRESS] = &a->cell.egress, [BH_INGRESS] = &a->cell.ingress};
	bool failed = !j;

	for (int dir = 0; dir < 2 && !failed; dir++) {
		if (halves[dir]->verdict == BH_ALLOWED && halves[dir]->is_conditional)
			put_exes(q, a, (enum bh_dir)dir,
				 json_object_get(j, bh_report_dir((enum bh_dir)dir)), &failed);
	}
	if (!failed)
		return j;
	json_decref(j);
	return NULL;
}

/* ---- matrix ---- */

static int add_cells(const struct bh_world *w, const struct bh_parties *all, struct bh_query *q,
		     json_t *cells)
{
	q->w = w;
	for (size_t i = 0; i < all->n; i++) {
		for (size_t k = 0; k < all->n; k++) {
			struct bh_answer a;

			q->from = &all->v[i];
			q->to = &all->v[k];
			a = bh_party_ask(q);
			if (json_array_append_new(cells, bh_report_answer(q, &a)))
				return -ENOMEM;
		}
	}
	return 0;
}

int bh_report_matrix(const struct bh_world *w, uint16_t port, uint8_t proto, json_t **ret,
		     struct bh_err *err)
{
	BH_CLEANUP(bh_parties_done) struct bh_parties all = {0};
	BH_CLEANUP(bh_json_decrefp) json_t *out = json_object();
	json_t *pods = json_array(), *cells = json_array();
	char text[BH_PORT_TEXT];
	bool failed = !out;
	int r;

	bh_report_put(out, "port", json_string(bh_report_port(port, proto, text)), &failed);
	bh_report_put(out, "pods", pods, &failed);
	bh_report_put(out, "cells", cells, &failed);
	if (failed)
		return bh_fail(err, ENOMEM, "no memory for the matrix");
	r = bh_parties_init(w, &all, err);
	if (r)
		return r;
	for (size_t i = 0; i < all.n; i++)
		failed |= json_array_append_new(pods, json_string(all.v[i].name)) != 0;
	failed |= add_cells(w, &all, &(struct bh_query){.proto = proto, .port = port}, cells) != 0;
	if (failed)
		return bh_fail(err, ENOMEM, "no memory for a matrix of %zu pods", all.n);
	*ret = BH_TAKE(out);
	return 0;
}

/* ---- exceptions ---- */

static void put_text(json_t *obj, const char *key, const char *text, bool *failed)
{
	bh_report_put(obj, key, text ? json_string(text) : json_null(), failed);
}

static json_t *exception_json(const struct bh_world *w, const struct bh_policy *p, enum bh_dir dir,
			      const struct bh_rule *r)
{
	struct bh_place place = bh_rule_place(p, dir, r);
	const char *file = place.file ? place.file : p->file;
	bool has_end = r->reason.expires_s != INT64_MAX;
	char end[BH_TIME_TEXT];
	json_t *j = json_object();
	bool failed = !j;

	bh_report_put(j, "policy", take_text(policy_text(p)), &failed);
	bh_report_put(j, "rule", take_text(rule_text(p, dir, r)), &failed);
	put_text(j, "why", r->reason.why, &failed);
	put_text(j, "useCase", r->reason.use_case, &failed);
	put_text(j, "owner", r->reason.owner, &failed);
	put_text(j, "expires", has_end ? bh_report_time(r->reason.expires_s, end) : NULL, &failed);
	bh_report_put(j, "expired", json_boolean(!bh_rule_lives(r, w->now_s)), &failed);
	put_text(j, "file", file, &failed);
	bh_report_put(j, "line", json_integer(place.line), &failed);
	if (!failed)
		return j;
	json_decref(j);
	return NULL;
}

static bool has_reason(const struct bh_reason_note *n)
{
	return n->why || n->use_case || n->owner || n->expires_s != INT64_MAX;
}

static int add_exceptions(const struct bh_world *w, const struct bh_policy *p, enum bh_dir dir,
			  json_t *list)
{
	for (size_t i = 0; i < p->n_rules[dir]; i++) {
		if (has_reason(&p->rules[dir][i].reason) &&
		    json_array_append_new(list, exception_json(w, p, dir, &p->rules[dir][i])))
			return -ENOMEM;
	}
	return 0;
}

int bh_report_exceptions(const struct bh_world *w, json_t **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *list = json_array();
	bool failed = !list;

	for (size_t i = 0; i < w->n_policies && !failed; i++) {
		failed = add_exceptions(w, w->policies[i], BH_INGRESS, list) ||
			 add_exceptions(w, w->policies[i], BH_EGRESS, list);
	}
	if (failed)
		return bh_fail(err, ENOMEM, "no memory for the list of exceptions");
	*ret = BH_TAKE(list);
	return 0;
}

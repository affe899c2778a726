/* What a change of policies or pods does to who reaches whom: `bulkhead policy diff`. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "refeval/report_json.h"

/* ---- ports worth asking about ---- */

/* A verdict can only change at the ends of ranges that some rule names, so asking at the ends and
 * beside them covers every port. is_in[port] per protocol. */
#define PORTS 65536

struct ports {
	bool *is_in[3];
};

static const uint8_t protos[3] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};

static void ports_done(struct ports *p)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(protos); i++)
		free(p->is_in[i]);
	*p = (struct ports){0};
}

static int ports_init(struct ports *p)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(protos); i++) {
		p->is_in[i] = calloc(PORTS, sizeof(*p->is_in[i]));
		if (!p->is_in[i])
			return -ENOMEM;
	}
	return 0;
}

static void mark(struct ports *p, uint8_t proto, int first, int last)
{
	const int around[] = {first - 1, first, last, last + 1};

	for (size_t i = 0; i < BH_ARRAY_SIZE(protos); i++) {
		for (size_t k = 0; k < BH_ARRAY_SIZE(around) && protos[i] == proto; k++) {
			if (around[k] > 0 && around[k] < PORTS)
				p->is_in[i][around[k]] = true;
		}
	}
}

static void mark_rule(struct ports *p, const struct bh_rule *r)
{
	for (size_t i = 0; i < r->n_ports; i++) {
		if (r->ports[i].kind == BH_PORT_RANGE)
			mark(p, r->ports[i].proto, r->ports[i].first, r->ports[i].last);
	}
}

/* Every port a rule names, and every port a pod names: names in rules resolve to those. */
static void mark_world(struct ports *p, const struct bh_world *w)
{
	for (size_t i = 0; i < w->n_policies; i++) {
		for (int dir = 0; dir < 2; dir++) {
			for (size_t k = 0; k < w->policies[i]->n_rules[dir]; k++)
				mark_rule(p, &w->policies[i]->rules[dir][k]);
		}
	}
	for (size_t i = 0; i < w->n_pods; i++) {
		const struct bh_ident *ident = w->pods[i]->ident;

		for (size_t k = 0; k < ident->n_ports; k++)
			mark(p, ident->ports[k].proto, ident->ports[k].port, ident->ports[k].port);
	}
}

/* Where nobody names a port of a protocol all its ports are alike: one stands for them. */
static void mark_any(struct ports *p)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(protos); i++) {
		if (!memchr(p->is_in[i], true, PORTS))
			p->is_in[i][1] = true;
	}
}

/* ---- pods of both worlds ---- */

struct both { /* one pod; NULL where it does not exist */
	const struct bh_party *v[2];
};

struct diff {
	const struct bh_world *w[2]; /* before, after */
	struct bh_parties parties[2];
	struct both *pods;
	size_t n_pods;
	struct ports ports;
	json_t *out;
};

static void diff_done(struct diff *d)
{
	bh_parties_done(&d->parties[0]);
	bh_parties_done(&d->parties[1]);
	free(d->pods);
	ports_done(&d->ports);
	json_decref(d->out);
}

static int pod_order(const struct bh_pod *a, const struct bh_pod *b)
{
	int r = strcmp(a->ident->ns, b->ident->ns);

	return r ? r : strcmp(a->name, b->name);
}

/* Both lists are sorted: merges them. */
static int merge_pods(struct diff *d)
{
	const struct bh_parties *a = &d->parties[0], *b = &d->parties[1];
	size_t i = 0, k = 0;

	d->pods = calloc(a->n + b->n + 1, sizeof(*d->pods));
	if (!d->pods)
		return -ENOMEM;
	while (i < a->n || k < b->n) {
		struct both *both = &d->pods[d->n_pods++];
		int order = 0;

		if (i < a->n && k < b->n)
			order = pod_order(a->v[i].pod, b->v[k].pod);
		else
			order = i < a->n ? -1 : 1;
		if (order <= 0)
			both->v[0] = &a->v[i++];
		if (order >= 0)
			both->v[1] = &b->v[k++];
	}
	return 0;
}

/* ---- one cell of both worlds ---- */

struct change {
	struct bh_query q[2];
	struct bh_answer a[2];
	bool exists[2];
};

static bool is_allowed(const struct change *c, int side)
{
	return c->exists[side] && c->a[side].cell.verdict == BH_ALLOWED;
}

/* "any", the executables that may, or {"except": those that may not}. */
static json_t *exes_json(const struct change *c, int side)
{
	BH_CLEANUP(bh_exes_done) struct bh_exes exes = {0};
	json_t *list;
	bool failed;

	if (!c->a[side].cell.egress.is_conditional)
		return json_string("any");
	if (bh_party_exes(&c->q[side], &c->a[side], BH_EGRESS, &exes))
		return NULL;
	list = json_array();
	failed = !list;
	for (size_t i = 0; i < exes.n; i++)
		failed |= json_array_append_new(list, json_string(exes.v[i])) != 0;
	if (failed) {
		json_decref(list);
		return NULL;
	}
	return exes.is_except ? json_pack("{s:o}", "except", list) : list;
}

static const char *word(const struct change *c, int side)
{
	return c->exists[side] ? bh_report_verdict(c->a[side].cell.verdict) : "absent";
}

static json_t *change_json(const struct change *c)
{
	const struct bh_query *q = &c->q[c->exists[0] ? 0 : 1];
	char port[BH_PORT_TEXT];
	json_t *j = json_object();
	bool failed = !j;

	bh_report_put(j, "from", json_string(q->from->name), &failed);
	bh_report_put(j, "to", json_string(q->to->name), &failed);
	bh_report_put(j, "port", json_string(bh_report_port(q->port, q->proto, port)), &failed);
	bh_report_put(j, "before", json_string(word(c, 0)), &failed);
	bh_report_put(j, "after", json_string(word(c, 1)), &failed);
	if (!failed)
		return j;
	json_decref(j);
	return NULL;
}

static int add_change(struct diff *d, const struct change *c, json_t *before, json_t *after)
{
	json_t *j = change_json(c);
	bool failed = !j;

	if (before) {
		bh_report_put(j, "beforeProcesses", json_incref(before), &failed);
		bh_report_put(j, "afterProcesses", json_incref(after), &failed);
	}
	if (failed) {
		json_decref(j);
		return -ENOMEM;
	}
	return json_array_append_new(d->out, j) ? -ENOMEM : 0;
}

/* Both worlds allow it: a change all the same when it is for other executables. */
static int compare_exes(struct diff *d, const struct change *c)
{
	BH_CLEANUP(bh_json_decrefp) json_t *before = exes_json(c, 0);
	BH_CLEANUP(bh_json_decrefp) json_t *after = exes_json(c, 1);

	if (!before || !after)
		return -ENOMEM;
	return json_equal(before, after) ? 0 : add_change(d, c, before, after);
}

static int compare(struct diff *d, const struct both *from, const struct both *to,
		   const struct bh_query *where)
{
	struct change c = {0};

	for (int side = 0; side < 2; side++) {
		c.q[side] = *where;
		c.q[side].w = d->w[side];
		c.q[side].from = from->v[side];
		c.q[side].to = to->v[side];
		c.exists[side] = from->v[side] && to->v[side];
		if (c.exists[side])
			c.a[side] = bh_party_ask(&c.q[side]);
	}
	if (is_allowed(&c, 0) != is_allowed(&c, 1))
		return add_change(d, &c, NULL, NULL);
	if (is_allowed(&c, 0) &&
	    (c.a[0].cell.egress.is_conditional || c.a[1].cell.egress.is_conditional))
		return compare_exes(d, &c);
	return 0;
}

/* ---- all cells ---- */

static int compare_pair(struct diff *d, const struct both *from, const struct both *to)
{
	/* Stands for every protocol without ports: no rule can tell those apart. */
	int r = compare(d, from, to, &(struct bh_query){.proto = IPPROTO_ICMP});

	for (size_t i = 0; i < BH_ARRAY_SIZE(protos); i++) {
		for (unsigned port = 1; port < PORTS && !r; port++) {
			if (d->ports.is_in[i][port])
				r = compare(d, from, to,
					    &(struct bh_query){.proto = protos[i],
							       .port = (uint16_t)port});
		}
	}
	return r;
}

static int compare_all(struct diff *d)
{
	int r = 0;

	for (size_t i = 0; i < d->n_pods; i++) {
		for (size_t k = 0; k < d->n_pods && !r; k++) {
			if (i != k) /* a pod always reaches itself */
				r = compare_pair(d, &d->pods[i], &d->pods[k]);
		}
	}
	return r;
}

int bh_report_diff(const struct bh_world *before, const struct bh_world *after, json_t **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(diff_done) struct diff d = {.w = {before, after}, .out = json_array()};
	int r = bh_parties_init(before, &d.parties[0], err);

	if (!r)
		r = bh_parties_init(after, &d.parties[1], err);
	if (r)
		return r;
	if (!d.out || merge_pods(&d) || ports_init(&d.ports))
		return bh_fail(err, ENOMEM, "no memory to compare %zu pods", d.parties[0].n);
	mark_world(&d.ports, before);
	mark_world(&d.ports, after);
	mark_any(&d.ports);
	if (compare_all(&d))
		return bh_fail(err, ENOMEM, "no memory to compare %zu pods", d.n_pods);
	*ret = BH_TAKE(d.out);
	return 0;
}

/* suggest.c - baselines > policies: labels that the pods of a workload share, found in the world.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/baselines_parts.h"
#include "detect/generate.h"
#include "policy/workload.h"

#define PEER_MAX 600

/* ---- who is who ---- */

struct workload {
	char *key; /* "ns/kind/owner", as edges name it */
	const char *ns;
	struct bh_labels labels; /* v owned; its strings are the world's */
};
BH_VEC_TYPE(workloads, struct workload);

static void workloads_done(struct workloads *all)
{
	bh_vec_each (x, all) {
		free(x->key);
		free(x->labels.v);
	}
	bh_vec_done(all);
}

static char *edge_name(const struct bh_pod *pod)
{
	struct bh_workload w;

	bh_workload_of(pod, pod->name, &w);
	return bh_strf("%s/%s/%s", pod->ident->ns, w.kind, w.name);
}

/* Keeps of x what l has too. */
static void intersect(struct bh_labels *x, const struct bh_labels *l)
{
	size_t n = 0;

	for (size_t i = 0; i < x->n; i++) {
		const char *value = bh_labels_get(l, x->v[i].key);

		if (value && !strcmp(value, x->v[i].value))
			x->v[n++] = x->v[i];
	}
	x->n = n;
}

static int add_pod(struct workloads *all, const struct bh_pod *pod)
{
	const struct bh_labels *l = &pod->ident->labels;
	BH_CLEANUP(bh_freep) char *key = edge_name(pod);
	struct workload new = {.ns = pod->ident->ns};

	if (!key)
		return -ENOMEM;
	bh_vec_each (x, all) {
		if (!strcmp(x->key, key)) {
			intersect(&x->labels, l);
			return 0;
		}
	}
	new.labels.v = calloc(l->n + 1, sizeof(*l->v));
	if (!new.labels.v)
		return -ENOMEM;
	memcpy(new.labels.v, l->v, l->n * sizeof(*l->v));
	new.labels.n = l->n;
	if (bh_vec_push(all, new)) {
		free(new.labels.v);
		return -ENOMEM;
	}
	all->v[all->n - 1].key = BH_TAKE(key);
	return 0;
}

/* Is it a workload of the baseline's edges, or the baseline's own? */
static bool is_named(const struct bh_baseline *b, const struct bh_pod *pod)
{
	BH_CLEANUP(bh_freep) char *key = edge_name(pod);
	BH_CLEANUP(bh_freep) char *own = bh_strf("%s/%s/%s", b->ns, b->owner_kind, b->owner);
	struct bh_map_entry *e;
	size_t pos = 0;

	if (!key || !own || !strcmp(key, own))
		return key && own;
	while ((e = bh_map_next(&b->facts[BH_BASE_EDGE], &pos))) {
		const char *peer = strstr(e->key, " pod ");

		if (peer && !strcmp(peer + 5, key))
			return true;
	}
	return false;
}

static int find_workloads(const struct bh_baseline *b, const struct bh_world *w,
			  struct workloads *ret)
{
	int r = 0;

	for (size_t i = 0; !r && i < w->n_pods; i++) {
		if (!w->pods[i]->host_network && is_named(b, w->pods[i]))
			r = add_pod(ret, w->pods[i]);
	}
	return r;
}

/* ---- one policy ---- */

static json_t *made_json(const struct bh_baseline *b, const struct bh_str *text,
			 const struct bh_gen_report *r)
{
	BH_CLEANUP(bh_freep) char *name = bh_strf("%s/%s", b->ns, b->owner);

	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "workload", name ? name : "",
			 "text", bh_str_text(text), "observed", (json_int_t)r->observed, "admitted",
			 (json_int_t)r->admitted, "slack", (json_int_t)r->slack, "asked",
			 (json_int_t)r->asked, "what", r->what);
}

static int generate(const struct bh_baseline *b, enum bh_made what, const struct workloads *all,
		    json_t **ret, struct bh_err *err)
{
	static int (*const makers[])(const struct bh_gen_input *, struct bh_str *,
				     struct bh_gen_report *, struct bh_err *) = {
		[BH_MADE_NETWORK] = bh_generate_network,
		[BH_MADE_RUNTIME] = bh_generate_runtime,
		[BH_MADE_SECCOMP] = bh_generate_seccomp,
	};
	BH_CLEANUP(bh_freep) struct bh_gen_peer *peers = calloc(all->n + 1, sizeof(*peers));
	BH_CLEANUP(bh_freep) char *own = bh_strf("%s/Pod/%s", b->ns, b->owner);
	BH_CLEANUP(bh_str_done) struct bh_str text = {0};
	struct bh_gen_input in = {.baseline = b, .peers = peers, .n_peers = all->n};
	struct bh_gen_report report = {0};
	int r;

	if (!peers || !own)
		return bh_fail(err, ENOMEM, "policy");
	for (size_t i = 0; i < all->n; i++) {
		peers[i] = (struct bh_gen_peer){all->v[i].key, all->v[i].ns, all->v[i].labels};
		if (!strcmp(all->v[i].key, own))
			in.labels = all->v[i].labels;
	}
	if (!in.labels.n && what != BH_MADE_SECCOMP)
		return bh_fail(err, ENOENT, "no labels are known that select the pods of %s/%s",
			       b->ns, b->owner);
	r = makers[what](&in, &text, &report, err);
	if (r < 0)
		return r;
	*ret = made_json(b, &text, &report);
	return *ret ? 0 : bh_fail(err, ENOMEM, "policy");
}

int bh_make(const struct bh_baseline *b, enum bh_made what, const struct bh_world *w, json_t **ret,
	    struct bh_err *err)
{
	BH_CLEANUP(workloads_done) struct workloads all = {0};

	if (find_workloads(b, w, &all))
		return bh_fail(err, ENOMEM, "policy");
	return generate(b, what, &all, ret, err);
}

/* ---- from flows ---- */

static const char *text_of(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s ? s : "";
}

/* "NS/NAME" in two; false when it is no pod. */
static bool split_pod(const char *pod, char ns[256], const char **ret_name)
{
	const char *slash = strchr(pod, '/');

	if (!slash || slash == pod || slash - pod > 255)
		return false;
	snprintf(ns, 256, "%.*s", (int)(slash - pod), pod);
	*ret_name = slash + 1;
	return true;
}

static int set_edge(const struct bh_world *world, const json_t *row, char peer_name[PEER_MAX],
		    struct bh_act_edge *ret)
{
	bool is_egress = !strcmp(text_of(row, "direction"), "egress");
	const char *peer = text_of(row, is_egress ? "to" : "from");
	const char *address = text_of(row, is_egress ? "toAddress" : "fromAddress");
	struct bh_workload w;
	const char *name;
	struct bh_err err;
	char ns[256];

	*ret = (struct bh_act_edge){.is_egress = is_egress, .peer_name = ""};
	if (bh_port_proto_parse(text_of(row, "port"), &ret->port, &ret->proto, &err) ||
	    bh_ip_parse(address, &ret->remote, &err))
		return -EINVAL; /* overflow edges, and what has no address */
	if (split_pod(peer, ns, &name)) {
		bh_workload_of(bh_world_pod(world, ns, name), name, &w);
		snprintf(peer_name, PEER_MAX, "%s/%s/%s", ns, w.kind, w.name);
		ret->peer = BH_EDGE_POD;
		ret->peer_name = peer_name;
	} else {
		ret->peer = strcmp(peer, "node") ? BH_EDGE_OUTSIDE : BH_EDGE_NODE;
	}
	return 0;
}

static void baseline_free(void *b)
{
	bh_baseline_free(b);
}

static struct bh_baseline *baseline_of(struct bh_map *all, const struct bh_subject *s)
{
	struct bh_baseline *b = bh_map_get(all, &s->workload, sizeof(s->workload));
	struct bh_err err;

	if (b || bh_baseline_new(s, NULL, &b, &err))
		return b;
	if (!bh_map_set(all, &s->workload, sizeof(s->workload), b))
		return b;
	bh_baseline_free(b);
	return NULL;
}

static int take_row(struct bh_map *all, const struct bh_world *world, const json_t *row)
{
	struct bh_subject s = {.container = "", .image_digest = ""};
	char ns[256], peer[PEER_MAX];
	struct bh_workload w;
	struct bh_activity a = {.kind = BH_ACT_EDGE, .subject = &s, .ts_ns = 1};
	const struct bh_base_sighting seen = {.pod_id = 1, .ts_ns = 1};
	struct bh_baseline *b;
	const char *name;

	if (strcmp(text_of(row, "verdict"), "allowed") ||
	    !split_pod(text_of(row, "pod"), ns, &name) || set_edge(world, row, peer, &a.u.edge))
		return 0;
	s.ns = ns;
	bh_workload_of(bh_world_pod(world, ns, name), name, &w);
	s.owner_kind = w.kind;
	s.owner = w.name;
	s.is_guessed = w.is_guessed;
	s.pod = name;
	s.pod_uid = "";
	s.workload = bh_subject_workload(&s);
	s.pod_id = 1;
	b = baseline_of(all, &s);
	return b ? bh_baseline_observe(b, &a, &seen) : -ENOMEM;
}

static int make_all(const struct bh_map *all, const struct bh_world *w, json_t *policies,
		    json_t *failed)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(all, &pos))) {
		const struct bh_baseline *b = e->value;
		BH_CLEANUP(bh_freep) char *name = bh_strf("%s/%s", b->ns, b->owner);
		json_t *one = NULL;
		struct bh_err err = {0};
		int r = bh_make(b, BH_MADE_NETWORK, w, &one, &err);

		if (!r)
			r = json_array_append_new(policies, one);
		else
			r = json_array_append_new(failed,
						  json_pack("{s:s, s:s}", "workload",
							    name ? name : "", "why", err.text));
		if (r)
			return -ENOMEM;
	}
	return 0;
}

int bh_suggest(const json_t *flows, const struct bh_world *w, json_t **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_map_done) struct bh_map all = {.free_value = baseline_free};
	json_t *policies = json_array(), *failed = json_array();
	const json_t *row;
	size_t i;
	int r = 0;

	json_array_foreach(flows, i, row)
	{
		if (!r)
			r = take_row(&all, w, row);
	}
	if (!r)
		r = make_all(&all, w, policies, failed);
	*ret = r ? NULL : json_pack("{s:O, s:O}", "policies", policies, "failed", failed);
	json_decref(policies);
	json_decref(failed);
	return *ret ? 0 : bh_fail(err, ENOMEM, "suggestions");
}

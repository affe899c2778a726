#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/images.h"
#include "daemon/kernel_view.h"
#include "daemon/observe.h"
#include "daemon/saved.h"
#include "daemon/verbs.h"
#include "refeval/report.h"

const struct bh_world *bh_verb_world_of(const struct bh_daemon *d, struct bh_err *err)
{
	const struct bh_world *w = bh_reconcile_state(d->reconciler).world;

	if (!w)
		bh_fail(err, EAGAIN, "nothing is published yet");
	return w;
}

static int read_port(const json_t *args, uint16_t *ret_port, uint8_t *ret_proto, struct bh_err *err)
{
	const char *text = NULL;
	int r = bh_json_get_str(args, "port", true, &text, err);

	return r < 0 ? r : bh_port_proto_parse(text, ret_port, ret_proto, err);
}

void bh_verb_matrix(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_err err = {0};
	const struct bh_world *w = bh_verb_world_of(d, &err);
	json_t *result = NULL;
	uint16_t port = 0;
	uint8_t proto = 0;
	int r = w ? read_port(args, &port, &proto, &err) : err.code;

	if (!r)
		r = bh_report_matrix(w, port, proto, &result, &err);
	bh_verb_answer(rq, r, result, &err);
}

void bh_verb_explain(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_err err = {0};
	const struct bh_world *w = bh_verb_world_of(d, &err);
	const char *from = NULL, *to = NULL;
	json_t *cell = NULL;
	uint16_t port = 0;
	uint8_t proto = 0;
	int r = w ? read_port(args, &port, &proto, &err) : err.code;

	if (!r)
		r = bh_json_get_str(args, "from", true, &from, &err);
	if (!r)
		r = bh_json_get_str(args, "to", true, &to, &err);
	if (!r)
		r = bh_report_explain(w, from, to, port, proto, &cell, &err);
	if (!r) {
		struct bh_question q = {from, to, port, proto};

		json_object_set_new(cell, "kernel", bh_kernel_view(d, w, &q));
	}
	bh_verb_answer(rq, r, cell, &err);
}

/* Newest use of each rule, from what was observed. */
static json_t *last_uses(struct bh_daemon *d)
{
	struct bh_flow_filter all = {.verdict = BH_ALLOWED};
	json_t *uses = json_object(), *rows = NULL;
	struct bh_err err;

	if (bh_observer_flows(d->observer, &all, &rows, &err) < 0)
		return uses;
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *rule = json_string_value(json_object_get(row, "rule"));
		const char *last = json_string_value(json_object_get(row, "last"));
		const char *known;

		if (!rule || !last)
			continue;
		known = json_string_value(json_object_get(uses, rule));
		/* RFC 3339 in UTC sorts as text. */
		if (!known || strcmp(known, last) < 0)
			json_object_set(uses, rule, json_object_get(row, "last"));
	}
	json_decref(rows);
	return uses;
}

void bh_verb_exceptions(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	struct bh_err err = {0};
	const struct bh_world *w = bh_verb_world_of(d, &err);
	BH_CLEANUP(bh_json_decrefp) json_t *uses = NULL;
	json_t *rows = NULL;
	int r = w ? bh_report_exceptions(w, &rows, &err) : err.code;

	(void)args;
	if (!r)
		uses = last_uses(d);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);
		const char *rule = json_string_value(json_object_get(row, "rule"));
		json_t *use = rule ? json_object_get(uses, rule) : NULL;

		json_object_set(row, "lastUsed", use ? use : json_null());
	}
	if (!r) {
		json_t *images = bh_images_exceptions(d->images);

		json_array_extend(rows, images);
		json_decref(images);
	}
	bh_verb_answer(rq, r, rows, &err);
}

static int add_document(const char *text, void *arg)
{
	return json_array_append_new(arg, json_string(text)) ? -ENOMEM : 0;
}

/* Pods that only CNI knows, as manifests. */
static void add_endpoint_pods(const struct bh_daemon *d, json_t *documents)
{
	bh_vec_each (it, &d->endpoints.eps) {
		const struct bh_endpoint *ep = *it;
		json_t *labels = json_object(), *ips = json_array(), *pod;
		char text[BH_IP_TEXT], *dump;

		for (size_t i = 0; i < ep->labels.n; i++)
			json_object_set_new(labels, ep->labels.v[i].key,
					    json_string(ep->labels.v[i].value));
		for (size_t i = 0; i < ep->n_ips; i++)
			json_array_append_new(
				ips, json_pack("{ss}", "ip", bh_ip_format(&ep->ips[i], text)));
		pod = json_pack("{ss ss s{ss ss so} s{so}}", "apiVersion", "v1", "kind", "Pod",
				"metadata", "namespace", ep->ns, "name", ep->name, "labels", labels,
				"status", "podIPs", ips);
		dump = bh_objects_pod(d->objects, ep->ns, ep->name) ? NULL
								    : json_dumps(pod, JSON_COMPACT);
		if (dump)
			json_array_append_new(documents, json_string(dump));
		free(dump);
		json_decref(pod);
	}
}

void bh_verb_world(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	json_t *documents = json_array();
	struct bh_err err = {0};
	int r = bh_keeper_documents(d->keeper, add_document, documents, &err);

	(void)args;
	if (!r)
		add_endpoint_pods(d, documents);
	bh_verb_answer(rq, r,
		       json_pack("{ss so}", "default",
				 d->cfg->default_allow ? "kubernetes" : "deny", "documents",
				 documents),
		       &err);
}

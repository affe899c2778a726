#include "daemon/kernel_view.h"

#include <string.h>

#include "base/reason.h"
#include "daemon/daemon.h"
#include "daemon/verbs.h"

/* The endpoint an end of the question stands for, and its address; NULL when it is none of ours. */
static const struct bh_endpoint *end_of(const struct bh_daemon *d, const struct bh_world *w,
					const char *text, struct bh_ip *ret_ip, bool *ret_has_ip)
{
	struct bh_pod_ref_text ref;
	const struct bh_endpoint *ep;
	struct bh_err err;

	if (!bh_ip_parse(text, ret_ip, &err)) {
		*ret_has_ip = true;
		return bh_endpoint_table_ip(&d->endpoints, ret_ip);
	}
	*ret_has_ip = false;
	if (bh_pod_text_parse(text, &ref, &err) < 0)
		return NULL;
	ep = bh_endpoint_table_pod(&d->endpoints, ref.ns, ref.name);
	if (ep && ep->n_ips) {
		*ret_ip = ep->ips[0];
		*ret_has_ip = true;
	} else {
		const struct bh_pod *pod = bh_world_pod(w, ref.ns, ref.name);

		*ret_has_ip = pod && pod->n_ips;
		if (*ret_has_ip)
			*ret_ip = pod->ips[0];
	}
	return ep;
}

static json_t *half_json(struct bh_daemon *d, const struct bh_endpoint *ep, enum bh_dir dir,
			 const struct bh_ip *peer, const struct bh_question *q)
{
	const struct bh_kernel_question ask = {ep->slot, dir, *peer, q->proto, q->port};
	struct bh_kernel_verdict v;
	struct bh_err err = {0};

	if (bh_datapath_decide(d->dp, &ask, &v, &err) < 0)
		return json_pack("{ss}", "error", err.text);
	return json_pack("{ss ss si si si}", "verdict",
			 v.verdict == BH_ALLOWED || v.is_conditional ? "allowed" : "denied",
			 "reason", bh_reason_name(v.reason), "class", (int)v.class, "ruleset",
			 (int)v.ruleset, "portClass", (int)v.port_class);
}

json_t *bh_kernel_view(struct bh_daemon *d, const struct bh_world *w, const struct bh_question *q)
{
	struct bh_ip from_ip = {0}, to_ip = {0};
	bool has_from, has_to;
	const struct bh_endpoint *from = end_of(d, w, q->from, &from_ip, &has_from);
	const struct bh_endpoint *to = end_of(d, w, q->to, &to_ip, &has_to);
	json_t *out = json_null(), *in = json_null();

	if (from && has_to)
		out = half_json(d, from, BH_EGRESS, &to_ip, q);
	if (to && has_from)
		in = half_json(d, to, BH_INGRESS, &from_ip, q);
	return json_pack("{so so}", "egress", out, "ingress", in);
}

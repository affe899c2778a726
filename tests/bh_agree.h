/* bh_agree.h - compiled tables against the reference evaluator, half by half. For tests. */
#pragma once

#include "bh_test.h"

#include <netinet/in.h>

#include "base/str.h"
#include "policy/tables.h"
#include "refeval/refeval.h"

/* Tables of all pods of w that can be subjects, as if all ran on this node. */
static inline struct bh_tables *bh_agree_compile(const struct bh_world *w)
{
	struct bh_subject *subjects = calloc(w->n_pods + 1, sizeof(*subjects));
	struct bh_tables *t = NULL;
	struct bh_err err;
	size_t n = 0;

	assert_non_null(subjects);
	for (size_t i = 0; i < w->n_pods; i++) {
		const struct bh_pod *pod = w->pods[i];

		if (pod->phase == BH_POD_RUNNING && !pod->host_network)
			subjects[n++] = (struct bh_subject){pod->ident->ns, pod->name};
	}
	bh_assert_ok(&err, bh_compile(w, subjects, n, &t, &err));
	free(subjects);
	return t;
}

static inline void bh_agree_fail_(const struct bh_ask *ask, const struct bh_half *half,
				  const struct bh_tverdict *got)
{
	char ip[BH_IP_TEXT], proto[8];

	fail_msg("%s of %s/%s with %s on %u/%s by %s: reference %s%s, tables %s%s",
		 ask->dir == BH_EGRESS ? "egress" : "ingress", ask->self.pod->ident->ns,
		 ask->self.pod->name, bh_ip_format(&ask->peer.ip, ip), ask->port,
		 bh_proto_format(ask->proto, proto), ask->exe ? ask->exe : "anyone",
		 half->verdict == BH_ALLOWED ? "allows" : "denies",
		 half->is_conditional ? " some" : "", got->verdict == BH_ALLOWED ? "allow" : "deny",
		 got->is_conditional ? " some" : "");
}

/* Both must say the same about one half. The kernel does not decide about a pod to itself, and the
 * tables know addresses only, so those halves are passed over. Without an executable the tables
 * deny where it would matter. Returns the number of comparisons: 0 or 1. */
static inline size_t bh_agree_half(const struct bh_world *w, const struct bh_tables *t,
				   const struct bh_ask *ask)
{
	const struct bh_pod *pod = ask->self.pod;
	struct bh_half half = bh_refeval_ask(w, ask);
	const struct bh_tsubject *s;
	struct bh_tverdict got;
	bool is_same;

	if (!pod || pod->host_network || !ask->peer.has_ip || half.is_self)
		return 0;
	s = bh_tables_subject(t, pod->ident->ns, pod->name);
	assert_non_null(s);
	got = bh_tables_ask(t, &(struct bh_tquestion){.subject = s,
						      .dir = ask->dir,
						      .peer = ask->peer.ip,
						      .proto = ask->proto,
						      .port = ask->port,
						      .exe = ask->exe,
						      .now_s = w->now_s});
	if (half.is_conditional && !ask->exe)
		is_same = got.is_conditional && got.verdict == BH_DENIED;
	else
		is_same = got.verdict == half.verdict;
	if (!is_same)
		bh_agree_fail_(ask, &half, &got);
	return 1;
}

/* Both halves of a connection. */
static inline size_t bh_agree_cell(const struct bh_world *w, const struct bh_tables *t,
				   const struct bh_ask *egress)
{
	struct bh_ask ingress = *egress;

	ingress.dir = BH_INGRESS;
	ingress.self = egress->peer;
	ingress.peer = egress->self;
	return bh_agree_half(w, t, egress) + bh_agree_half(w, t, &ingress);
}

static inline size_t bh_agree_ends_(const struct bh_world *w, const struct bh_tables *t,
				    const struct bh_ask *ask, const struct bh_pod *to)
{
	struct bh_ask one = *ask;
	size_t n = 0;

	for (size_t i = 0; i < to->n_ips; i++) {
		if (bh_ip_is4(&to->ips[i]) != bh_ip_is4(&ask->self.ip))
			continue;
		one.peer = bh_refeval_end(w, &to->ips[i]);
		n += bh_agree_cell(w, t, &one);
	}
	return n;
}

/* Every pair of addresses of running pods, for one destination port and executable. */
static inline size_t bh_agree_all(const struct bh_world *w, const struct bh_tables *t,
				  const struct bh_ask *what)
{
	struct bh_ask ask = *what;
	size_t n = 0;

	ask.dir = BH_EGRESS;
	for (size_t i = 0; i < w->n_pods; i++) {
		if (w->pods[i]->phase != BH_POD_RUNNING)
			continue;
		for (size_t a = 0; a < w->pods[i]->n_ips; a++) {
			ask.self = bh_refeval_end(w, &w->pods[i]->ips[a]);
			for (size_t k = 0; k < w->n_pods; k++) {
				if (w->pods[k]->phase == BH_POD_RUNNING)
					n += bh_agree_ends_(w, t, &ask, w->pods[k]);
			}
		}
	}
	return n;
}

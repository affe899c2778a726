#include "refeval/party.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

void bh_party_done(struct bh_party *party)
{
	free(party->name);
	bh_policies_done(&party->of[BH_EGRESS]);
	bh_policies_done(&party->of[BH_INGRESS]);
	*party = (struct bh_party){0};
}

static int select_policies(const struct bh_world *w, struct bh_party *party)
{
	int r = bh_refeval_selecting(w, party->pod, BH_EGRESS, &party->of[BH_EGRESS]);

	return r ? r : bh_refeval_selecting(w, party->pod, BH_INGRESS, &party->of[BH_INGRESS]);
}

int bh_party_of_pod(const struct bh_world *w, const struct bh_pod *pod, struct bh_party *ret,
		    struct bh_err *err)
{
	struct bh_party party = {.pod = pod};

	party.name = bh_strf("%s/%s", pod->ident->ns, pod->name);
	if (!party.name || select_policies(w, &party)) {
		bh_party_done(&party);
		return bh_fail(err, ENOMEM, "no memory for pod '%s'", pod->name);
	}
	*ret = party;
	return 0;
}

static int of_address(const struct bh_world *w, const char *text, struct bh_party *ret,
		      struct bh_err *err)
{
	struct bh_party party = {.has_ip = true};
	int r = bh_ip_parse(text, &party.ip, err);

	if (r)
		return bh_note(err, r, "neither NS/POD nor an address");
	party.pod = bh_refeval_end(w, &party.ip).pod;
	party.name = strdup(text);
	if (!party.name || select_policies(w, &party)) {
		bh_party_done(&party);
		return bh_fail(err, ENOMEM, "no memory for '%s'", text);
	}
	*ret = party;
	return 0;
}

int bh_party_parse(const struct bh_world *w, const char *text, struct bh_party *ret,
		   struct bh_err *err)
{
	const char *slash = strchr(text, '/');
	BH_CLEANUP(bh_freep) char *ns = NULL;
	const struct bh_pod *pod;

	if (!slash)
		return of_address(w, text, ret, err);
	ns = strndup(text, (size_t)(slash - text));
	if (!ns)
		return bh_fail(err, ENOMEM, "no memory for '%s'", text);
	pod = bh_world_pod(w, ns, slash + 1);
	if (!pod)
		return bh_fail(err, ENOENT, "there is no pod '%s'", text);
	return bh_party_of_pod(w, pod, ret, err);
}

void bh_parties_done(struct bh_parties *parties)
{
	for (size_t i = 0; i < parties->n; i++)
		bh_party_done(&parties->v[i]);
	free(parties->v);
	*parties = (struct bh_parties){0};
}

int bh_parties_init(const struct bh_world *w, struct bh_parties *ret, struct bh_err *err)
{
	BH_CLEANUP(bh_parties_done) struct bh_parties all = {0};

	all.v = calloc(w->n_pods + 1, sizeof(*all.v));
	if (!all.v)
		return bh_fail(err, ENOMEM, "no memory for %zu pods", w->n_pods);
	for (size_t i = 0; i < w->n_pods; i++) {
		int r;

		if (w->pods[i]->phase != BH_POD_RUNNING)
			continue;
		r = bh_party_of_pod(w, w->pods[i], &all.v[all.n], err);
		if (r)
			return r;
		all.n++;
	}
	*ret = all;
	all = (struct bh_parties){0};
	return 0;
}

/* ---- asking ---- */

/* A party's ends: its one address, or each address of the pod, or the pod without any. */
static size_t end_count(const struct bh_party *p)
{
	return p->has_ip || !p->pod->n_ips ? 1 : p->pod->n_ips;
}

static struct bh_end end_at(const struct bh_party *p, size_t i)
{
	if (p->has_ip)
		return (struct bh_end){.pod = p->pod, .ip = p->ip, .has_ip = true};
	if (!p->pod->n_ips)
		return (struct bh_end){.pod = p->pod};
	return (struct bh_end){.pod = p->pod, .ip = p->pod->ips[i], .has_ip = true};
}

static struct bh_ask half_of(const struct bh_query *q, const struct bh_answer *a, enum bh_dir dir)
{
	return (struct bh_ask){.dir = dir,
			       .self = dir == BH_EGRESS ? a->from : a->to,
			       .peer = dir == BH_EGRESS ? a->to : a->from,
			       .proto = q->proto,
			       .port = q->port,
			       .exe = q->exe};
}

static struct bh_answer ask_pair(const struct bh_query *q, struct bh_end from, struct bh_end to)
{
	struct bh_answer a = {.from = from, .to = to};
	struct bh_ask egress = half_of(q, &a, BH_EGRESS), ingress = half_of(q, &a, BH_INGRESS);

	a.cell.egress = bh_refeval_among(q->w, &q->from->of[BH_EGRESS], &egress);
	a.cell.ingress = bh_refeval_among(q->w, &q->to->of[BH_INGRESS], &ingress);
	a.cell.verdict = a.cell.egress.verdict == BH_ALLOWED && a.cell.ingress.verdict == BH_ALLOWED
				 ? BH_ALLOWED
				 : BH_DENIED;
	return a;
}

static bool can_pair(const struct bh_end *a, const struct bh_end *b)
{
	return !a->has_ip || !b->has_ip || bh_ip_is4(&a->ip) == bh_ip_is4(&b->ip);
}

struct bh_answer bh_party_ask(const struct bh_query *q)
{
	struct bh_answer first = {0};
	bool has_first = false;

	for (size_t i = 0; i < end_count(q->from); i++) {
		for (size_t k = 0; k < end_count(q->to); k++) {
			struct bh_end from = end_at(q->from, i), to = end_at(q->to, k);
			struct bh_answer a;

			if (!can_pair(&from, &to))
				continue;
			a = ask_pair(q, from, to);
			if (a.cell.verdict == BH_ALLOWED)
				return a;
			if (!has_first)
				first = a;
			has_first = true;
		}
	}
	if (has_first)
		return first;
	return ask_pair(q, end_at(q->from, 0), end_at(q->to, 0));
}

int bh_party_exes(const struct bh_query *q, const struct bh_answer *a, enum bh_dir dir,
		  struct bh_exes *ret)
{
	const struct bh_party *self = dir == BH_EGRESS ? q->from : q->to;
	struct bh_ask ask = half_of(q, a, dir);

	return bh_refeval_exes(q->w, &self->of[dir], &ask, ret);
}

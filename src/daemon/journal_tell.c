/* What the daemon tells of pods: edges, interfaces, quarantine, kills. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/journal_parts.h"
#include "daemon/observe.h"
#include "daemon/runtime_who.h"
#include "daemon/whose.h"
#include "event/ocsf_process.h"

static struct bh_ocsf_actor actor_of(const struct bh_caller *by)
{
	/* what we do by ourselves is nobody's process */
	return (struct bh_ocsf_actor){by->pid != getpid(), by->pid, by->uid, by->exe};
}

void bh_journal_edge(struct bh_journal *j, const struct bh_journal_edge *e)
{
	const struct bh_edge_key *k = &e->fact->key;
	const struct bh_edge *v = &e->fact->value;
	struct bh_edge_event ev = {
		.ts_ns = v->last_ns,
		.slot = k->slot,
		.generation = v->generation,
		.dir = k->dir,
		.verdict = k->verdict,
		.reason = k->reason,
		.proto = k->proto,
		.port = ntohs(k->port),
		.pid = v->pid,
		.uid = v->uid,
	};
	struct bh_whose whose;
	struct bh_ocsf_edge o = {
		.time_ms = bh_wall_ms(v->last_ns),
		.event = &ev,
		.pod = bh_whose_pod(j->d, e->ep, &whose),
		.local = e->local,
		.peer = e->peer,
		.rule = e->rule,
		.place = e->place,
		.packets = v->packets,
		.bytes = v->bytes,
	};

	memcpy(ev.remote.b, k->remote, sizeof(ev.remote.b));
	memcpy(ev.comm, v->comm, sizeof(v->comm));
	if (e->path)
		snprintf(ev.path, sizeof(ev.path), "%s", e->path);
	bh_runtime_who_edge(j->d->runtime, e->ep, &o, &whose);
	bh_journal_event(j, bh_ocsf_edge(&j->ocsf, &o));
}

void bh_journal_endpoint(struct bh_journal *j, const struct bh_endpoint *ep, const char *what)
{
	static const struct {
		const char *what, *text;
		enum bh_ocsf_life life;
	} known[] = {
		{"registered", "the interface is registered and shut", BH_LIFE_CHANGED},
		{"opened", "the pod's table is live", BH_LIFE_STARTED},
		{"removed", "the interface is gone", BH_LIFE_STOPPED},
		{"refused", "ADD failed; the interface stays shut", BH_LIFE_REFUSED},
		{"shut", "the interface is shut until it is deleted or added again",
		 BH_LIFE_CHANGED},
		{"mended", "programs that were taken away are attached again", BH_LIFE_CHANGED},
	};
	struct bh_whose whose;
	struct bh_ocsf_lifecycle l = {.time_ms = bh_journal_now_ms(),
				      .pod = bh_whose_pod(j->d, ep, &whose)};
	BH_CLEANUP(bh_json_decrefp) json_t *details = NULL;
	struct bh_err err;

	for (size_t i = 0; i < BH_ARRAY_SIZE(known); i++) {
		if (!strcmp(known[i].what, what)) {
			l.text = known[i].text;
			l.life = known[i].life;
		}
	}
	bh_endpoint_to_json(ep, &details, &err);
	l.details = details;
	bh_journal_event(j, bh_ocsf_lifecycle(&j->ocsf, &l));
}

void bh_journal_quarantine(struct bh_journal *j, const struct bh_journal_cut *c)
{
	const char *pod = json_string_value(json_object_get(c->receipt, "pod"));
	const char *slash = pod ? strchr(pod, '/') : NULL;
	BH_CLEANUP(bh_freep)
	char *ns = slash ? bh_strf("%.*s", (int)(slash - pod), pod) : NULL;
	const struct bh_endpoint *ep =
		ns ? bh_endpoint_table_pod(&j->d->endpoints, ns, slash + 1) : NULL;
	struct bh_whose whose;
	struct bh_ocsf_quarantine q = {
		.time_ms = bh_journal_now_ms(),
		.is_release = c->is_release,
		.reason = json_string_value(json_object_get(c->receipt, "reason")),
		.failure = c->failure,
		.receipt = c->receipt,
		.actor = actor_of(c->by),
		.correlation = c->correlation,
	};

	if (!ns)
		return;
	if (c->rule)
		q.rule = *c->rule;
	q.pod = ep ? bh_whose_pod(j->d, ep, &whose)
		   : (struct bh_ocsf_pod){.ns = ns, .name = slash + 1};
	bh_journal_event(j, bh_ocsf_quarantine(&j->ocsf, &q));
	/* The record of who and why must not be lost to a power cut, nor wait for anything. */
	bh_journal_sync(j);
}

void bh_journal_kill(struct bh_journal *j, const struct bh_endpoint *ep, uint64_t exec_id,
		     const struct bh_ocsf_kill *k)
{
	struct bh_ocsf_kill o = *k;
	struct bh_whose whose;

	o.pod = bh_whose_pod(j->d, ep, &whose);
	bh_runtime_who_container(j->d->runtime, ep, exec_id, &whose, &o.pod);
	bh_journal_event(j, bh_ocsf_kill(&j->ocsf, &o));
}

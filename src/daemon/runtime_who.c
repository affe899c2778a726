#include "daemon/runtime_who.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/map.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/containers.h"
#include "daemon/runtime_hash.h"
#include "daemon/runtime_parts.h"
#include "daemon/whose.h"
#include "endpoint/endpoint.h"

#define KNOWN	 2048 /* executables of pods; each has its place */
#define READ_MAX 1024 /* records, while somebody who ended is looked for */

/* An executable of a pod, as it was executed last. */
struct known {
	uint64_t key; /* of slot, tenant and path; 0: none */
	uint64_t exec_id;
	enum bh_trace_origin origin;
};

struct bh_who_memory {
	uint64_t seed;
	struct known known[KNOWN];
	char path[BH_TRACE_PARENT];
};

int bh_who_memory_open(struct bh_who_memory **ret, struct bh_err *err)
{
	struct bh_who_memory *m = calloc(1, sizeof(*m));

	if (!m)
		return bh_fail(err, ENOMEM, "executables of pods");
	/* paths are the pods' own: without it they could be made to look alike */
	if (getrandom(&m->seed, sizeof(m->seed), GRND_NONBLOCK) != sizeof(m->seed))
		m->seed = (uintptr_t)m;
	*ret = m;
	return 0;
}

void bh_who_memory_close(struct bh_who_memory *m)
{
	free(m);
}

static uint64_t key_of(const struct bh_who_memory *m, uint64_t tenant, const char *path)
{
	uint64_t h = bh_hash(path, strlen(path), m->seed ^ tenant * 0x9e3779b97f4a7c15ull);

	return h ? h : 1;
}

void bh_who_memory_note(struct bh_who_memory *m, const struct bh_trace_event *ev)
{
	uint64_t key = key_of(m, (uint64_t)ev->slot << 32 | ev->generation, ev->path);

	if (ev->kind == BH_TRACE_EXEC && *ev->path && !(ev->flags & BH_TRACE_F_PATH_CUT))
		m->known[key % KNOWN] = (struct known){key, ev->exec_id, ev->origin};
}

static const struct known *find_known(const struct bh_who_memory *m, const struct bh_endpoint *ep,
				      const char *path)
{
	uint64_t key = key_of(m, (uint64_t)ep->slot << 32 | ep->generation, path);
	const struct known *k = &m->known[key % KNOWN];

	return k->key == key ? k : NULL;
}

/* What a path of a task is worth: it carries the beginning only. */
static bool is_path(const struct bh_trace_task *t, const char *path)
{
	return !*path || !strncmp(t->path, path, sizeof(t->path) - 1);
}

/* Into an event without a kind of its own: exec_id and what comes with it. False: nothing is known
 * of it. */
static bool look(struct bh_runtime *rt, const struct bh_endpoint *ep, const char *path,
		 struct bh_trace_event *ev)
{
	const struct known *k = NULL;
	struct bh_trace_task t;

	if (!bh_trace_task(rt->trace, (int)ev->pid, &t) && t.slot == ep->slot &&
	    t.generation == ep->generation && is_path(&t, path)) {
		ev->exec_id = t.exec_id;
		ev->parent_exec_id = t.parent_exec_id;
		ev->parent_origin = t.origin;
		snprintf(rt->who->path, sizeof(rt->who->path), "%s", t.path);
		ev->parent_path = rt->who->path;
		return true;
	}
	if (!*path)
		return false;
	k = find_known(rt->who, ep, path);
	if (!k) {
		/* it may have been executed a moment ago, and waits to be read */
		bh_runtime_catch_up(rt, READ_MAX);
		k = find_known(rt->who, ep, path);
	}
	if (k)
		ev->parent_origin = k->origin;
	return k != NULL;
}

/* The digest of one that is not known by its execution is that of the last execution of its path,
 * for as long as nobody has written there, which the origin says. */
static void add_digest(struct bh_runtime *rt, const struct bh_endpoint *ep, const char *path,
		       struct bh_trace_event *ev)
{
	struct bh_trace_event by_path = {.path = ""};
	const struct known *k = *path ? find_known(rt->who, ep, path) : NULL;

	bh_digests_ask(rt->digests, ev);
	if ((ev->parent_sha256 && *ev->parent_sha256) || !k || k->origin != ev->parent_origin ||
	    k->origin != BH_TRACE_O_IMAGE)
		return;
	by_path.exec_id = k->exec_id;
	bh_digests_ask(rt->digests, &by_path);
	ev->parent_sha256 = by_path.parent_sha256;
}

char *bh_runtime_who_path(struct bh_runtime *rt, const struct bh_event_edge *ev)
{
	struct bh_trace_task t;

	if (ev->path_len)
		return bh_strf("%.*s", (int)ev->path_len, ev->path);
	/* its beginning is not enough */
	if (!rt || !rt->trace || bh_trace_task(rt->trace, (int)ev->pid, &t) ||
	    t.slot != ev->key.slot || t.generation != ev->generation || !*t.path ||
	    strnlen(t.path, sizeof(t.path)) >= sizeof(t.path) - 1)
		return NULL;
	return bh_strf("%s", t.path);
}

void bh_runtime_who_edge(struct bh_runtime *rt, const struct bh_endpoint *ep,
			 struct bh_ocsf_edge *o, struct bh_whose *whose)
{
	struct bh_trace_event ev = {.pid = o->event->pid, .path = "", .parent_path = ""};

	if (!rt || !rt->trace || !ev.pid || !look(rt, ep, o->event->path, &ev))
		return;
	add_digest(rt, ep, o->event->path, &ev);
	o->who = (struct bh_ocsf_who){
		.exec_id = ev.exec_id,
		.parent_exec_id = ev.parent_exec_id,
		.provenance = bh_trace_origin_name(ev.parent_origin),
		.sha256 = ev.parent_sha256,
	};
	bh_containers_name(rt->containers, ep, &ev, whose, &o->pod);
}

void bh_runtime_who_container(struct bh_runtime *rt, const struct bh_endpoint *ep, uint64_t exec_id,
			      struct bh_whose *whose, struct bh_ocsf_pod *pod)
{
	const struct bh_trace_event ev = {.exec_id = exec_id, .path = ""};

	if (rt && exec_id)
		bh_containers_name(rt->containers, ep, &ev, whose, pod);
}

void bh_runtime_who_name(struct bh_runtime *rt, struct bh_trace_event *ev)
{
	const struct bh_endpoint *ep = bh_runtime_endpoint_of(rt, ev);

	if (ep && ev->pid && !ev->exec_id && look(rt, ep, "", ev))
		add_digest(rt, ep, ev->parent_path, ev);
}

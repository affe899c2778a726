#include "daemon/runtime_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "store/store.h"

#define TABLE	  "meta"
#define ROW	  "runtime"
#define MAX_TEXT  (4u << 20) /* of MAX_DEEDS of the longest names */
#define PIDS	  8
#define HOUR_NS	  (3600ull * 1000000000ull)
#define MAX_DEEDS 4096

struct bh_runtime_memory {
	struct bh_store *store;
	pid_t pids[PIDS]; /* ours first */
	size_t n_pids;
	json_t *deeds; /* [{"ns", "kind", "owner", "response", "at"}], owned */
	char *boot;    /* number of this boot; process numbers and times mean nothing in another */
};

static void save(struct bh_runtime_memory *m)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	BH_CLEANUP(bh_json_decrefp)
	json_t *row = json_pack("{ss s[] sO}", "boot", m->boot, "pids", "isolated", m->deeds);
	struct bh_err err = {0};

	for (size_t i = 0; i < m->n_pids; i++)
		json_array_append_new(json_object_get(row, "pids"), json_integer(m->pids[i]));
	text = row ? json_dumps(row, JSON_COMPACT) : NULL;
	if (!text || bh_store_put(m->store, TABLE, ROW, text, &err) < 0)
		bh_warn("automatic answers are not remembered: %s", text ? err.text : "no memory");
}

static void take(struct bh_runtime_memory *m, const json_t *row)
{
	const json_t *pids = json_object_get(row, "pids"), *deed;
	const char *boot = json_string_value(json_object_get(row, "boot"));
	size_t i;

	if (!boot || strcmp(boot, m->boot))
		return;
	for (i = 0; i < json_array_size(pids) && m->n_pids < PIDS; i++)
		m->pids[m->n_pids++] = (pid_t)json_integer_value(json_array_get(pids, i));
	json_array_foreach(json_object_get(row, "isolated"), i, deed)
		json_array_append(m->deeds, (json_t *)deed);
}

static void restore(struct bh_runtime_memory *m)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *row = NULL;
	struct bh_err err = {0};

	if (bh_store_get(m->store, TABLE, ROW, &text, &err) < 0 || !text)
		return;
	if (bh_json_parse(text, strlen(text), MAX_TEXT, &row, &err) < 0)
		bh_warn("former automatic answers are forgotten: %s", err.text);
	else
		take(m, row);
}

static void memory_freep(struct bh_runtime_memory **m)
{
	bh_runtime_memory_close(*m);
	*m = NULL;
}

int bh_runtime_memory_open(struct bh_store *store, struct bh_runtime_memory **ret,
			   struct bh_err *err)
{
	BH_CLEANUP(memory_freep) struct bh_runtime_memory *m = calloc(1, sizeof(*m));
	size_t n;
	int r;

	if (!m)
		return bh_fail(err, ENOMEM, "runtime memory");
	m->store = store;
	m->deeds = json_array();
	if (!m->deeds)
		return bh_fail(err, ENOMEM, "runtime memory");
	m->pids[m->n_pids++] = getpid();
	r = bh_fs_read("/proc/sys/kernel/random/boot_id", 64, &m->boot, &n, err);
	if (r < 0)
		return r;
	restore(m);
	save(m);
	*ret = BH_TAKE(m);
	return 0;
}

void bh_runtime_memory_close(struct bh_runtime_memory *m)
{
	if (!m)
		return;
	json_decref(m->deeds);
	free(m->boot);
	free(m);
}

struct bh_guard_pids bh_runtime_memory_pids(const struct bh_runtime_memory *m)
{
	return (struct bh_guard_pids){m->pids, m->n_pids};
}

static uint64_t time_of(const json_t *deed)
{
	return (uint64_t)json_integer_value(json_object_get(deed, "at"));
}

void bh_runtime_memory_spent(struct bh_runtime_memory *m, const struct bh_subject *s,
			     enum bh_response response, uint64_t ts_ns)
{
	while (json_array_size(m->deeds) &&
	       (json_array_size(m->deeds) >= MAX_DEEDS ||
		time_of(json_array_get(m->deeds, 0)) + HOUR_NS < ts_ns))
		json_array_remove(m->deeds, 0);
	json_array_append_new(m->deeds,
			      json_pack("{ss ss ss ss sI}", "ns", s->ns, "kind", s->owner_kind,
					"owner", s->owner, "response", bh_response_name(response),
					"at", (json_int_t)ts_ns));
	save(m);
}

static const char *text_of(const json_t *deed, const char *key)
{
	const char *text = json_string_value(json_object_get(deed, key));

	return text ? text : "";
}

void bh_runtime_memory_each(const struct bh_runtime_memory *m,
			    void (*fn)(const struct bh_subject *s, enum bh_response response,
				       uint64_t ts_ns, void *arg),
			    void *arg)
{
	enum bh_response response;
	const json_t *deed;
	size_t i;

	json_array_foreach(m->deeds, i, deed)
	{
		const struct bh_subject s = {.ns = text_of(deed, "ns"),
					     .owner_kind = text_of(deed, "kind"),
					     .owner = text_of(deed, "owner")};

		/* a daemon that noted none of them knew isolation only */
		if (bh_response_parse(text_of(deed, "response"), &response))
			response = BH_RESPOND_QUARANTINE;
		fn(&s, response, time_of(deed), arg);
	}
}

#include "daemon/saved.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/daemon.h"

struct saving {
	struct bh_daemon *d;
	struct bh_map known; /* key > stored row, owned; what is left over is to be deleted */
	struct bh_err err;
};

static int note_row(const char *key, const char *json, void *arg)
{
	struct saving *s = arg;
	char *copy = bh_strf("%s", json);

	if (!copy || bh_map_set_s(&s->known, key, copy)) {
		free(copy);
		return -ENOMEM;
	}
	return 0;
}

static int save_object(const char *key, const char *file, const char *text, void *arg)
{
	struct saving *s = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = json_pack("{ss? ss}", "file", file, "text", text);
	BH_CLEANUP(bh_freep) char *row = j ? json_dumps(j, JSON_COMPACT) : NULL;
	bool same;

	if (!row)
		return -ENOMEM;
	same = bh_streq(bh_map_get_s(&s->known, key), row);
	bh_map_del_s(&s->known, key);
	return same ? 0 : bh_store_put(s->d->store, "object", key, row, &s->err);
}

void bh_saved_store(struct bh_daemon *d)
{
	struct saving s = {.d = d};
	struct bh_map_entry *e;
	size_t pos = 0;
	int r;

	bh_map_init(&s.known, free);
	r = bh_store_begin(d->store, &s.err);
	if (!r)
		r = bh_store_each(d->store, "object", note_row, &s, &s.err);
	if (!r)
		r = bh_objects_saved(d->objects, save_object, &s);
	while (!r && (e = bh_map_next(&s.known, &pos)))
		r = bh_store_del(d->store, "object", e->key, &s.err);
	if (bh_store_commit(d->store, &s.err) < 0 || r < 0)
		bh_error("objects are not kept: %s", s.err.text);
	bh_map_done(&s.known);
}

static int restore_row(const char *key, const char *json, void *arg)
{
	struct bh_daemon *d = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	const char *file = NULL, *text = NULL;
	struct bh_err err = {0};
	int r = bh_json_parse(json, strlen(json), SIZE_MAX, &j, &err);

	if (!r)
		r = bh_json_get_str(j, "file", false, &file, &err);
	if (!r)
		r = bh_json_get_str(j, "text", true, &text, &err);
	if (!r)
		r = bh_objects_restore(d->objects, key, file, text, &err);
	if (r < 0)
		bh_warn("kept object '%s' is unreadable: %s", key, err.text);
	return 0;
}

int bh_saved_restore(struct bh_daemon *d, struct bh_err *err)
{
	return bh_store_each(d->store, "object", restore_row, d, err);
}

#include "daemon/image_cache.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/str.h"
#include "store/store.h"

#define TABLE	    "meta"
#define PREFIX	    "image/"
#define MAX_ENTRIES 4096
#define ACCEPT_S    86400
#define TAG_S	    30
#define REJECT_S    60
#define UNDECIDED_S 10
#define MAX_WAIT_S  300
#define GOOD_S	    (7 * 86400)
#define MAX_ROW	    (1u << 20)

struct entry {
	json_t *answer;
	int64_t at_s, until_s; /* until: of this answer */
	int64_t good_s;	       /* when it last was an accept; 0: never */
	int64_t good_until_s;  /* what keys and reports allowed then */
	int64_t wait_s;	       /* of the last undecided */
	bool is_kept;	       /* in the database */
};

struct bh_image_cache {
	struct bh_store *store;
	struct bh_map entries;
};

static void entry_free(void *v)
{
	struct entry *e = v;

	json_decref(e->answer);
	free(e);
}

/* ---- the database ---- */

static char *row_key(const char *question)
{
	return bh_strf(PREFIX "%s", question);
}

static void keep(struct bh_image_cache *c, const char *question, struct entry *e)
{
	BH_CLEANUP(bh_json_decrefp)
	json_t *row = json_pack("{s:O, s:I, s:I}", "answer", e->answer, "at", (json_int_t)e->at_s,
				"until", (json_int_t)e->until_s);
	BH_CLEANUP(bh_freep) char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
	BH_CLEANUP(bh_freep) char *key = row_key(question);
	struct bh_err ignored;

	/* a row less is a verification more, not a wrong verdict */
	e->is_kept = text && key && !bh_store_put(c->store, TABLE, key, text, &ignored);
}

static void forget(struct bh_image_cache *c, const char *question, struct entry *e)
{
	BH_CLEANUP(bh_freep) char *key = row_key(question);
	struct bh_err ignored;

	if (e->is_kept && key && !bh_store_del(c->store, TABLE, key, &ignored))
		e->is_kept = false;
}

struct loading {
	struct bh_image_cache *c;
	int64_t now_s;
};

/* How long the keys and reports behind an accept hold. */
static int64_t limit_of(const json_t *answer)
{
	const json_t *until = json_object_get(answer, "until");

	return json_is_integer(until) ? json_integer_value(until) : INT64_MAX;
}

static int load_row(const char *key, const char *text, void *arg)
{
	struct loading *l = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *row = NULL;
	struct entry *e;
	json_t *answer = NULL;
	int64_t at = 0, until = 0;
	struct bh_err err;

	if (strncmp(key, PREFIX, strlen(PREFIX)) ||
	    bh_json_parse(text, strlen(text), MAX_ROW, &row, &err) ||
	    bh_json_get_obj(row, "answer", true, &answer, &err) ||
	    /* of a version that did not say what else the verdict covers */
	    !json_object_get(answer, "contents") ||
	    bh_json_get_int(row, "at", true, 0, l->now_s, &at, &err) ||
	    bh_json_get_int(row, "until", true, 0, INT64_MAX, &until, &err))
		return 0;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = (struct entry){.answer = json_incref(answer),
			    .at_s = at,
			    .until_s = until,
			    .good_s = at,
			    .good_until_s = limit_of(answer),
			    .is_kept = true};
	if (!bh_map_set_s(&l->c->entries, key + strlen(PREFIX), e))
		return 0;
	entry_free(e);
	return -ENOMEM;
}

int bh_image_cache_open(struct bh_store *store, int64_t now_s, struct bh_image_cache **ret,
			struct bh_err *err)
{
	struct bh_image_cache *c = calloc(1, sizeof(*c));
	struct loading l = {c, now_s};
	int r;

	if (!c)
		return bh_fail(err, ENOMEM, "image verdicts");
	c->store = store;
	bh_map_init(&c->entries, entry_free);
	r = bh_store_each(store, TABLE, load_row, &l, err);
	if (r) {
		bh_image_cache_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void bh_image_cache_close(struct bh_image_cache *c)
{
	if (!c)
		return;
	bh_map_done(&c->entries);
	free(c);
}

/* ---- questions and answers ---- */

const json_t *bh_image_cache_get(const struct bh_image_cache *c, const char *question,
				 int64_t now_s)
{
	const struct entry *e = bh_map_get_s(&c->entries, question);

	/* a clock that was set back makes no verdict younger */
	return e && now_s >= e->at_s && now_s < e->until_s ? e->answer : NULL;
}

bool bh_image_cache_was_good(const struct bh_image_cache *c, const char *question, int64_t now_s)
{
	const struct entry *e = bh_map_get_s(&c->entries, question);

	return e && e->good_s && now_s >= e->good_s && now_s - e->good_s < GOOD_S &&
	       now_s < e->good_until_s;
}

/* What is over and of no use as a last good verdict either. */
static void purge(struct bh_image_cache *c, int64_t now_s)
{
	struct bh_map_entry *m;
	size_t pos = 0;

	while ((m = bh_map_next(&c->entries, &pos))) {
		struct entry *e = m->value;

		if (now_s < e->until_s || now_s - e->good_s < GOOD_S)
			continue;
		forget(c, m->key, e);
		bh_map_del(&c->entries, m->key, m->key_len);
	}
}

static struct entry *entry_of(struct bh_image_cache *c, const char *question, int64_t now_s)
{
	struct entry *e = bh_map_get_s(&c->entries, question);

	if (e)
		return e;
	if (c->entries.count >= MAX_ENTRIES)
		purge(c, now_s);
	if (c->entries.count >= MAX_ENTRIES)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (e && !bh_map_set_s(&c->entries, question, e))
		return e;
	free(e);
	return NULL;
}

/* Images of one minute are not all asked about again in the same second. */
static int64_t jitter(const char *question, int64_t most)
{
	return (int64_t)(bh_hash(question, strlen(question), 0) % (uint64_t)(most + 1));
}

static int64_t time_of(struct entry *e, const char *question, const json_t *answer, bool by_digest)
{
	const char *verdict = json_string_value(json_object_get(answer, "verdict"));

	if (bh_streq(verdict, "accept"))
		return by_digest ? ACCEPT_S : TAG_S;
	if (bh_streq(verdict, "reject"))
		return REJECT_S + jitter(question, REJECT_S / 6);
	e->wait_s = e->wait_s ? e->wait_s * 2 : UNDECIDED_S;
	if (e->wait_s > MAX_WAIT_S)
		e->wait_s = MAX_WAIT_S;
	return e->wait_s;
}

void bh_image_cache_put(struct bh_image_cache *c, const char *question, const json_t *answer,
			bool by_digest, int64_t now_s)
{
	const char *verdict = json_string_value(json_object_get(answer, "verdict"));
	struct entry *e = entry_of(c, question, now_s);
	json_t *copy = json_deep_copy(answer);

	if (!e || !copy) {
		json_decref(copy);
		return;
	}
	json_decref(e->answer);
	e->answer = copy;
	e->at_s = now_s;
	e->until_s = now_s + time_of(e, question, answer, by_digest);
	if (bh_streq(verdict, "accept")) {
		e->good_s = now_s;
		e->good_until_s = limit_of(answer);
		e->wait_s = 0;
		if (e->good_until_s < e->until_s)
			e->until_s = e->good_until_s;
		if (by_digest)
			keep(c, question, e);
	} else if (bh_streq(verdict, "reject")) {
		e->good_s = 0;
		forget(c, question, e);
	}
}

size_t bh_image_cache_count(const struct bh_image_cache *c)
{
	return c->entries.count;
}

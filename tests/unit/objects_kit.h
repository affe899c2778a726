/* objects_kit.h - an object set fed from strings, and its problems as one text, for tests. */
#pragma once

#include "bh_test.h"

#include "base/str.h"
#include "policy/objects.h"

static inline struct bh_objects *ok_new(void)
{
	struct bh_objects *o = NULL;
	struct bh_err err;

	bh_assert_ok(&err,
		     bh_objects_new(&(struct bh_objects_options){.keep_text = true}, &o, &err));
	return o;
}

static inline bool ok_load_n(struct bh_objects *o, const char *file, const char *text, size_t n)
{
	bool changed = false;
	struct bh_err err;

	bh_assert_ok(&err, bh_objects_load(o, file, text, n, &changed, &err));
	return changed;
}

/* true when the set differs now. */
static inline bool ok_load(struct bh_objects *o, const char *file, const char *text)
{
	return ok_load_n(o, file, text, strlen(text));
}

/* One "file:line:col: level: object: sentence" per line; the caller frees. */
static inline char *ok_problems(const struct bh_objects *o)
{
	static const char *const levels[] = {"error", "warning", "note"};
	struct bh_problems all = {0};
	struct bh_str out = {0};

	assert_int_equal(bh_objects_problems(o, &all), 0);
	for (size_t i = 0; i < all.n; i++)
		bh_str_fmt(&out, "%s:%u:%u: %s: %s: %s\n", all.v[i].file, all.v[i].line,
			   all.v[i].col, levels[all.v[i].level],
			   all.v[i].object ? all.v[i].object : "-", all.v[i].text);
	bh_problems_done(&all);
	return bh_str_take(&out);
}

static inline void ok_assert_problems(const struct bh_objects *o, const char *want)
{
	char *text = ok_problems(o);

	assert_string_equal(text ? text : "", want);
	free(text);
}

static inline struct bh_world *ok_world(const struct bh_objects *o)
{
	struct bh_world *w = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_world_new(&w, &err));
	bh_assert_ok(&err, bh_objects_fill(o, w, &err));
	bh_assert_ok(&err, bh_world_seal(w, &err));
	return w;
}

/* bh_cases.h - reads the catalogue in tests/cases (its README.md has the format) and plays a case's
 * steps into worlds. For every runner written in C; failures are cmocka failures. */
#pragma once

#include "bh_test.h"

#include <dirent.h>
#include <jansson.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "policy/objects.h"

#define BH_CASES_MAX	     256
#define BH_CASES_FILE	     (1u << 20)
#define BH_CASES_DEFAULT_NOW 1767225600 /* 2026-01-01T00:00:00Z */

/* The repository's root: BH_SOURCE_DIR, which ctest sets, else the working directory. */
static inline const char *bh_source_dir(void)
{
	const char *dir = getenv("BH_SOURCE_DIR");

	return dir ? dir : ".";
}

static inline int bh_cases_is_case_(const struct dirent *e)
{
	return e->d_name[0] >= '0' && e->d_name[0] <= '9';
}

/* Directory names of all cases, sorted; the caller frees each and the array. */
static inline size_t bh_cases_list(char **ret_names)
{
	BH_CLEANUP(bh_freep) char *dir = bh_strf("%s/tests/cases", bh_source_dir());
	struct dirent **list = NULL;
	int n;

	assert_non_null(dir);
	n = scandir(dir, &list, bh_cases_is_case_, alphasort);
	if (n <= 0 || n > BH_CASES_MAX)
		fail_msg("'%s': %d cases", dir, n);
	for (int i = 0; i < n; i++) {
		ret_names[i] = strdup(list[i]->d_name);
		assert_non_null(ret_names[i]);
		free(list[i]);
	}
	free(list);
	return (size_t)n;
}

/* A case being played. */
struct bh_case {
	char *dir; /* absolute or from the working directory */
	json_t *json;
	struct bh_objects *objects;
	bool default_allow;
	int64_t now_s;
};

static inline char *bh_case_read_(const struct bh_case *c, const char *name, size_t *ret_len)
{
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/%s", c->dir, name);
	char *text = NULL;
	struct bh_err err;

	assert_non_null(path);
	bh_assert_ok(&err, bh_fs_read(path, BH_CASES_FILE, &text, ret_len, &err));
	return text;
}

static inline void bh_case_open(const char *name, struct bh_case *c)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	size_t len;

	*c = (struct bh_case){.default_allow = true, .now_s = BH_CASES_DEFAULT_NOW};
	c->dir = bh_strf("%s/tests/cases/%s", bh_source_dir(), name);
	assert_non_null(c->dir);
	text = bh_case_read_(c, "case.json", &len);
	bh_assert_ok(&err, bh_json_parse(text, len, BH_CASES_FILE, &c->json, &err));
	bh_assert_ok(&err, bh_objects_new(&(struct bh_objects_options){0}, &c->objects, &err));
}

static inline void bh_case_close(struct bh_case *c)
{
	bh_objects_free(c->objects);
	json_decref(c->json);
	free(c->dir);
}

static inline json_t *bh_case_steps(const struct bh_case *c)
{
	return json_object_get(c->json, "steps");
}

/* Files are named by their slot in the manifest directory, whatever text they hold now. */
static inline void bh_case_load_(struct bh_case *c, const char *slot, const json_t *source)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	bool changed;
	size_t len;

	if (json_is_null(source)) {
		assert_int_equal(bh_objects_unload(c->objects, slot, &changed), 0);
		return;
	}
	text = bh_case_read_(c, json_string_value(source), &len);
	bh_assert_ok(&err, bh_objects_load(c->objects, slot, text, len, &changed, &err));
}

/* Plays the step's changes and makes the world that follows; the caller unrefs it. */
static inline struct bh_world *bh_case_step(struct bh_case *c, json_t *step)
{
	const char *mode = json_string_value(json_object_get(step, "default"));
	const char *node = json_string_value(json_object_get(step, "node"));
	json_t *now = json_object_get(step, "now"), *source;
	struct bh_world *w = NULL;
	struct bh_err err;
	const char *slot;

	if (mode)
		c->default_allow = strcmp(mode, "kubernetes") == 0;
	if (now)
		c->now_s = json_integer_value(now);
	json_object_foreach(json_object_get(step, "files"), slot, source)
		bh_case_load_(c, slot, source);
	bh_assert_ok(&err, bh_world_new(&w, &err));
	bh_assert_ok(&err, bh_objects_fill(c->objects, w, &err));
	if (node)
		assert_int_equal(bh_objects_fill_node(c->objects, node, w), 0);
	w->default_allow = c->default_allow;
	w->now_s = c->now_s;
	bh_assert_ok(&err, bh_world_seal(w, &err));
	return w;
}

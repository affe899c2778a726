/* verify_set.h - the signature vectors as data: BH_SIGNATURES names their directory, else it is
 * looked for beside the checkout. load_set and drop_set belong to the group of tests. */
#pragma once

#include "verify_kit.h"

#include "verify/rfc3339.h"

static char *set_dir;
static json_t *set;

static int64_t kit_time(const json_t *obj, const char *key, int64_t otherwise)
{
	const char *text = json_string_value(json_object_get(obj, key));
	int64_t at_s = otherwise;

	if (text)
		assert_int_equal(bh_rfc3339_parse(text, &at_s), 0);
	return at_s;
}

static int load_set(void **state)
{
	const char *path = getenv("BH_SIGNATURES"), *dir = getenv("BH_SOURCE_DIR");
	char *file;

	(void)state;
	set_dir = path ? strdup(path) : bh_strf("%s/../shared/vectors/signatures", dir ? dir : ".");
	file = bh_strf("%s/vectors.json", set_dir);
	set = json_load_file(file, JSON_ALLOW_NUL, NULL);
	if (!set)
		print_error("%s cannot be read; BH_SIGNATURES names the directory\n", file);
	free(file);
	return set ? 0 : -1;
}

static int drop_set(void **state)
{
	(void)state;
	json_decref(set);
	free(set_dir);
	return 0;
}

#include "daemon/image_same.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "verify/ref.h"

static bool has(const json_t *list, const char *digest)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		if (bh_streq(json_string_value(one), digest))
			return true;
	}
	return false;
}

/* The judged digest itself, or a platform of the judged index. */
static bool covers(const json_t *row, const char *digest)
{
	const json_t *contents = json_object_get(row, "contents");

	return bh_streq(json_string_value(json_object_get(row, "digest")), digest) ||
	       has(json_object_get(contents, "platforms"), digest);
}

bool bh_image_is_same(const json_t *row, const struct bh_image_real *real)
{
	const json_t *configs = json_object_get(json_object_get(row, "contents"), "configs"), *one;
	char id[160];
	size_t i;

	/* CRI-O leaves the algorithm out */
	snprintf(id, sizeof(id), "%s%.128s", strchr(real->id, ':') ? "" : "sha256:", real->id);
	if (json_array_size(configs) && bh_digest_ok(id))
		return has(configs, id) || covers(row, id);
	json_array_foreach(real->digests, i, one)
	{
		const char *text = json_string_value(one);
		const char *at = text ? strrchr(text, '@') : NULL;

		if (at && bh_digest_ok(at + 1) && covers(row, at + 1))
			return true;
	}
	return bh_digest_ok(id) && covers(row, id);
}

static bool is_of(const struct bh_image_ref *a, const char *text)
{
	struct bh_image_ref b;
	struct bh_err err;

	return !bh_image_ref_parse(text, &b, &err) && *b.digest &&
	       !strcmp(a->registry, b.registry) && !strcmp(a->repository, b.repository);
}

char *bh_image_real_reference(const struct bh_image_real *real)
{
	const char *found = NULL;
	struct bh_image_ref wanted, ref;
	bool has_wanted;
	const json_t *one;
	struct bh_err err;
	size_t i;

	has_wanted = !bh_image_ref_parse(real->image, &wanted, &err);
	json_array_foreach(real->digests, i, one)
	{
		const char *text = json_string_value(one);

		if (!text)
			continue;
		if (has_wanted && is_of(&wanted, text))
			return strdup(text);
		if (!found && !bh_image_ref_parse(text, &ref, &err) && *ref.digest)
			found = text;
	}
	return found ? strdup(found) : NULL;
}

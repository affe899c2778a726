/* The hardened JSON parse and the getters on whatever it lets through. */
#include "base/json.h"
#include "base/str.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_sentence(const struct bh_err *err)
{
	size_t left = strlen(err->text);

	if (!left || err->code >= 0)
		abort();
	for (const char *s = err->text; left;) {
		size_t n = bh_utf8_len(s, left);

		if (!n)
			abort();
		s += n;
		left -= n;
	}
}

static void read_members(const json_t *obj)
{
	static const char *const keys[] = {"a", "s", "i", ""};
	struct bh_err err = {0};
	const char *s = NULL;
	json_t *sub = NULL;
	int64_t i = 0;
	bool b = false;

	for (size_t k = 0; k < BH_ARRAY_SIZE(keys); k++) {
		if (bh_json_get_str(obj, keys[k], true, &s, &err))
			check_sentence(&err);
		if (bh_json_get_int(obj, keys[k], true, 0, 65535, &i, &err))
			check_sentence(&err);
		else if (i < 0 || i > 65535)
			abort();
		if (bh_json_get_bool(obj, keys[k], true, &b, &err))
			check_sentence(&err);
		if (bh_json_get_obj(obj, keys[k], true, &sub, &err))
			check_sentence(&err);
		if (bh_json_get_arr(obj, keys[k], true, &sub, &err))
			check_sentence(&err);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	struct bh_err err = {0};

	if (bh_json_parse((const char *)data, size, 65536, &j, &err)) {
		if (j)
			abort();
		check_sentence(&err);
		return 0;
	}
	read_members(j);
	return 0;
}

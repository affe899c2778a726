#include "verify/vjson.h"

#include <errno.h>
#include <string.h>

/* What jansson takes per node, rounded up: an object brings a hash table of its own. */
#define COST_OBJECT 260
#define COST_NODE   96
#define COST_MAX    (40u << 20)

static size_t cost_of(const char *text, size_t n)
{
	size_t cost = n;
	bool is_in_string = false;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (is_in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				is_in_string = false;
		} else if (c == '"') {
			is_in_string = true;
		} else if (c == '{') {
			cost += COST_OBJECT;
		} else if (c == '[' || c == ',' || c == ':') {
			cost += COST_NODE;
		}
	}
	return cost;
}

int bh_vjson_parse(const void *bytes, size_t n, size_t max, json_t **ret, struct bh_flaw *flaw)
{
	struct bh_err err;
	int r;

	if (n > max)
		return bh_flaw(flaw, BH_WORD_TOO_LARGE, "JSON of %zu bytes, at most %zu", n, max);
	if (cost_of(bytes, n) > COST_MAX)
		return bh_flaw(flaw, BH_WORD_TOO_LARGE, "JSON with too many values");
	r = bh_json_parse(bytes ? bytes : "", n, max, ret, &err);
	if (r)
		return bh_flaw(flaw, r == -ENOMEM ? BH_WORD_TOO_LARGE : BH_WORD_MALFORMED, "%s",
			       err.text);
	return 0;
}

json_t *bh_vjson_get(const json_t *obj, const char *key)
{
	json_t *j = json_object_get(obj, key);

	return json_is_null(j) ? NULL : j;
}

const char *bh_vjson_str(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

bool bh_vjson_is(const json_t *obj, const char *key, const char *want)
{
	const char *text = bh_vjson_str(obj, key);

	return text && !strcmp(text, want);
}

json_t *bh_vjson_obj(const json_t *obj, const char *key)
{
	json_t *j = json_object_get(obj, key);

	return json_is_object(j) ? j : NULL;
}

json_t *bh_vjson_arr(const json_t *obj, const char *key)
{
	json_t *j = json_object_get(obj, key);

	return json_is_array(j) ? j : NULL;
}

int bh_vjson_b64(const json_t *obj, const char *key, size_t max, struct bh_blob *ret,
		 struct bh_flaw *flaw)
{
	json_t *j = json_object_get(obj, key);
	struct bh_blob bytes = {0};
	int r;

	if (!json_is_string(j) || !json_string_length(j))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "'%s' is missing", key);
	if (json_string_length(j) / 4 > max / 3 + 1)
		return bh_flaw(flaw, BH_WORD_TOO_LARGE, "'%s' is larger than %zu bytes", key, max);
	r = bh_b64_decode(json_string_value(j), json_string_length(j), &bytes);
	if (r == -ENOMEM)
		return bh_flaw(flaw, BH_WORD_TOO_LARGE, "'%s': out of memory", key);
	if (r)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "'%s' is no canonical base64", key);
	*ret = bytes;
	return 0;
}

static int i64_of_text(const char *text, int64_t *ret)
{
	size_t n = strlen(text);
	char *end;

	if (!n || strspn(text, "0123456789") != n || (n > 1 && *text == '0'))
		return -EINVAL;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno ? -EINVAL : 0;
}

int bh_vjson_i64(const json_t *obj, const char *key, int64_t *ret)
{
	json_t *j = bh_vjson_get(obj, key);

	if (json_is_string(j))
		return i64_of_text(json_string_value(j), ret);
	if (j && (!json_is_integer(j) || json_integer_value(j) < 0))
		return -EINVAL;
	*ret = j ? json_integer_value(j) : 0;
	return 0;
}

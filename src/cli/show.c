/* Members of an answer, ready for showing. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/out.h"

const char *bh_show_str(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s && *s ? s : "-";
}

long long bh_show_int(const json_t *obj, const char *key)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_number(v) ? (long long)json_number_value(v) : 0;
}

bool bh_show_bool(const json_t *obj, const char *key)
{
	return json_is_true(json_object_get(obj, key));
}

char *bh_show_list(const json_t *obj, const char *key)
{
	BH_CLEANUP(bh_str_done) struct bh_str s = {0};
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(obj, key), i, v)
	{
		if (json_is_string(v))
			bh_str_fmt(&s, "%s%s", s.n ? ", " : "", json_string_value(v));
	}
	if (!s.n)
		bh_str_add(&s, "-");
	return bh_str_take(&s);
}

const char *bh_show_bytes(unsigned long long n, char out[16])
{
	static const char units[] = "BKMGTP";
	double v = (double)n;
	size_t u = 0;

	while (v >= 1024 && u + 2 < sizeof(units)) {
		v /= 1024;
		u++;
	}
	snprintf(out, 16, u && v < 10 ? "%.1f%c" : "%.0f%c", v, units[u]);
	return out;
}

enum bh_paint bh_show_paint(const char *verdict)
{
	static const struct {
		const char *name;
		enum bh_paint paint;
	} paints[] = {
		{"allowed", BH_GOOD},	 {"open", BH_GOOD}, {"ok", BH_GOOD},   {"denied", BH_BAD},
		{"quarantined", BH_BAD}, {"wrong", BH_BAD}, {"shut", BH_WARN}, {"missing", BH_WARN},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(paints); i++) {
		if (!strcmp(paints[i].name, verdict))
			return paints[i].paint;
	}
	return BH_PLAIN;
}

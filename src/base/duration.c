#include "base/duration.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define MAX_MS (100ull * 366 * 24 * 3600 * 1000)

static const struct {
	const char *name;
	uint64_t ms;
} units[] = {
	{"w", 7ull * 24 * 3600 * 1000},
	{"d", 24ull * 3600 * 1000},
	{"h", 3600 * 1000},
	{"m", 60 * 1000},
	{"s", 1000},
	{"ms", 1},
};

/* Length of one unit in milliseconds, 0 when it is none. */
static uint64_t unit_ms(const char *name, size_t len)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(units); i++) {
		if (strlen(units[i].name) == len && !strncmp(units[i].name, name, len))
			return units[i].ms;
	}
	return 0;
}

static int bad(const char *text, struct bh_err *err)
{
	return bh_fail(err, EINVAL, "'%s' is not a length of time (write 500ms, 10s, 5m, 2h or 7d)",
		       text);
}

int bh_duration_parse(const char *text, uint64_t *ret_ms, struct bh_err *err)
{
	uint64_t total = 0, last_unit = UINT64_MAX;
	const char *s = text;

	if (!*s)
		return bad(text, err);
	while (*s) {
		uint64_t n = 0, unit;
		const char *name;

		if (!isdigit((unsigned char)*s))
			return bad(text, err);
		for (; isdigit((unsigned char)*s); s++) {
			n = n * 10 + (uint64_t)(*s - '0');
			if (n > MAX_MS)
				return bad(text, err);
		}
		for (name = s; isalpha((unsigned char)*s); s++)
			;
		unit = name == s && !*s && total == 0 ? 1000 : unit_ms(name, (size_t)(s - name));
		if (!unit || unit >= last_unit || n > MAX_MS / unit)
			return bad(text, err);
		last_unit = unit;
		total += n * unit;
		if (total > MAX_MS)
			return bad(text, err);
	}
	*ret_ms = total;
	return 0;
}

#include "verify/expr.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Characters and groups that an expression may have once its repetitions are written out: 500 that
 * may all be missing take 30 MiB, 1000 take 80. A UUID has 36. */
#define MAX_SIZE  500
#define MAX_DEPTH 32

/* Behind the bracket expression that begins at `at`. */
static const char *behind_bracket(const char *at)
{
	at += at[1] == '^' ? 2 : 1;
	at += *at == ']';
	while (*at && *at != ']') {
		const char *end = *at == '[' && at[1] == ':' ? strstr(at, ":]") : NULL;

		at = end ? end + 2 : at + 1;
	}
	return at + (*at == ']');
}

/* Behind one character, escape or bracket expression. */
static const char *behind_one(const char *at)
{
	if (*at == '[')
		return behind_bracket(at);
	return at + 1 + (*at == '\\' && at[1]);
}

/* Backreferences make matching exponential. Other escapes of letters are other dialects': "\d" is a
 * 'd' here, and in brackets a backslash is itself. */
static int check_escapes(const char *regex, struct bh_err *err)
{
	const char *at = regex, *escape = NULL;

	while (*at && !escape) {
		bool is_bracket = *at == '[';
		const char *end = behind_one(at);

		for (const char *c = at; c < end && !escape; c += is_bracket ? 1 : 2)
			if (*c == '\\' && (!c[1] || isalnum((unsigned char)c[1])) &&
			    (is_bracket || !c[1] || !strchr("wWsSbB", c[1])))
				escape = c;
		at = end;
	}
	if (!escape)
		return 0;
	return bh_fail(err, EINVAL,
		       "expression '%s': '%.2s' means nothing to POSIX expressions; '[0-9]' is a "
		       "digit, '[[:alnum:]_]' a letter of a word",
		       regex, escape);
}

/* ---- repetitions ---- */

/* What the groups that are open hold so far. */
struct sizes {
	unsigned long total[MAX_DEPTH], last; /* of a group; of what a repetition would repeat */
	size_t depth;
};

/* "{m,n}" at `at`: how often, at most; 0 when it is none. */
static unsigned long times(const char *at)
{
	char *end;
	unsigned long low, high;

	if (*at != '{' || !(isdigit((unsigned char)at[1]) || at[1] == ','))
		return 0;
	low = high = strtoul(at + 1, &end, 10);
	if (*end == ',')
		high = strtoul(end + 1, NULL, 10);
	high = high > low ? high : low;
	return high < MAX_SIZE ? high + 1 : MAX_SIZE;
}

/* Its copies join the group; saturates. */
static void repeat(struct sizes *s, unsigned long n)
{
	unsigned long *total = &s->total[s->depth];

	*total += s->last * (n - 1);
	s->last *= n;
	if (*total > MAX_SIZE || s->last > MAX_SIZE)
		*total = s->last = MAX_SIZE + 1;
}

static void close_group(struct sizes *s)
{
	s->last = s->total[s->depth--] + 1;
	s->total[s->depth] += s->last;
}

/* false: too deep. Alternatives are added up like what stands side by side. */
static bool take(struct sizes *s, const char *at)
{
	unsigned long n = times(at);

	if (n) {
		repeat(s, n);
	} else if (*at == '+') {
		repeat(s, 2); /* written out as "aa*" */
	} else if (*at == '(') {
		if (++s->depth == MAX_DEPTH)
			return false;
		s->total[s->depth] = 0;
	} else if (*at == ')' && s->depth) {
		close_group(s);
	} else if (!strchr("*?|", *at)) {
		s->last = 1;
		s->total[s->depth]++;
	}
	return true;
}

static int check_size(const char *regex, struct bh_err *err)
{
	struct sizes s = {.depth = 0};
	bool is_fine = true;

	for (const char *at = regex; *at && is_fine; at = behind_one(at))
		is_fine = take(&s, at) && s.total[s.depth] <= MAX_SIZE;
	if (is_fine)
		return 0;
	return bh_fail(err, EINVAL,
		       "expression '%s': its repetitions multiply to more than %d characters, or "
		       "its groups are deeper than %d",
		       regex, MAX_SIZE, MAX_DEPTH - 1);
}

int bh_expr_check(const char *regex, struct bh_err *err)
{
	int r;

	if (!*regex || strlen(regex) > BH_MAX_REGEX)
		return bh_fail(err, EINVAL, "an expression has 1 to %d characters", BH_MAX_REGEX);
	r = check_escapes(regex, err);
	return r ? r : check_size(regex, err);
}

/* yaml_scalar.c - what plain scalars mean, as the YAML library behind kubectl reads them. */
#include "policy/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static bool is_word(const char *s, size_t n, const char *const *words)
{
	for (; *words; words++) {
		if (strlen(*words) == n && !memcmp(*words, s, n))
			return true;
	}
	return false;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const bool_words[] = {"true", "True", "TRUE", "false", "False", "FALSE", "yes",
					 "Yes",	 "YES",	 "no",	 "No",	  "NO",	   "on",    "On",
					 "ON",	 "off",	 "Off",	 "OFF",	  NULL};
static const char *const float_words[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
					  "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
					  ".NaN",  ".NAN",  NULL};

/* Base of the digits behind the sign, and where they begin. */
static unsigned base_of(const char **s, const char *end)
{
	const char *d = *s;

	if (end - d < 2 || d[0] != '0')
		return 10;
	*s = d + 2;
	if (d[1] == 'x' || d[1] == 'X')
		return 16;
	if (d[1] == 'o' || d[1] == 'O')
		return 8;
	if (d[1] == 'b' || d[1] == 'B')
		return 2;
	*s = d + 1;
	return 8;
}

static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
}

/* 0, -EINVAL when it is no integer, -ERANGE when it is one that does not fit. Underscores between
 * digits count for nothing. */
static int parse_int(const char *s, size_t n, int64_t *ret)
{
	const char *end = s + n;
	bool is_negative = n && *s == '-', is_big = false, has_digit = false;
	uint64_t v = 0, limit = (uint64_t)INT64_MAX + is_negative;
	unsigned base;

	if (n && (*s == '-' || *s == '+'))
		s++;
	base = base_of(&s, end);
	for (; s < end; s++) {
		unsigned d = digit(*s);

		if (*s == '_')
			continue;
		if (d >= base)
			return -EINVAL;
		has_digit = true;
		is_big |= v > (limit - d) / base;
		v = is_big ? 0 : v * base + d;
	}
	if (!has_digit)
		return -EINVAL;
	if (is_big)
		return -ERANGE;
	*ret = is_negative ? (int64_t)-v : (int64_t)v;
	return 0;
}

static size_t digits(const char *s, const char *end)
{
	size_t n = 0;

	while (s + n < end && (isdigit((unsigned char)s[n]) || s[n] == '_'))
		n++;
	return n;
}

/* [-+]? (digits [. digits?] | . digits) ([eE] [-+]? digits)? */
static bool is_float(const char *s, size_t n)
{
	const char *end = s + n;
	size_t whole, part = 0;

	if (s < end && (*s == '-' || *s == '+'))
		s++;
	whole = digits(s, end);
	s += whole;
	if (s < end && *s == '.') {
		part = digits(++s, end);
		s += part;
	}
	if (!whole && !part)
		return false;
	if (s == end)
		return true;
	if (*s != 'e' && *s != 'E')
		return false;
	s++;
	if (s < end && (*s == '-' || *s == '+'))
		s++;
	whole = digits(s, end);
	return whole && s + whole == end;
}

enum bh_yaml_type bh_yaml_plain_type(const char *s, size_t n)
{
	int64_t v;

	if (is_word(s, n, null_words))
		return BH_YAML_NULL;
	if (is_word(s, n, bool_words))
		return BH_YAML_BOOL;
	if (!isdigit((unsigned char)*s) && !strchr("+-.", *s))
		return BH_YAML_STRING;
	if (parse_int(s, n, &v) != -EINVAL)
		return BH_YAML_INT;
	if (is_float(s, n) || is_word(s, n, float_words))
		return BH_YAML_FLOAT;
	return BH_YAML_STRING;
}

int bh_yaml_int(const struct bh_yaml *n, int64_t *ret)
{
	return parse_int(n->text, n->n, ret);
}

/* Reads exactly `count` digits. */
static bool number(const char **s, int count, int *ret)
{
	int v = 0;

	for (; count; count--, (*s)++) {
		if (!isdigit((unsigned char)**s))
			return false;
		v = v * 10 + (**s - '0');
	}
	*ret = v;
	return true;
}

/* A number that ends with the character `sep`. */
static bool field(const char **s, int count, char sep, int *ret)
{
	return number(s, count, ret) && *(*s)++ == sep;
}

static bool parse_zone(const char *s, int *ret_s)
{
	int sign = *s == '-' ? -1 : 1, h, m;

	*ret_s = 0;
	if ((*s | 0x20) == 'z')
		return !s[1];
	if (*s != '+' && *s != '-')
		return false;
	s++;
	if (!field(&s, 2, ':', &h) || !number(&s, 2, &m) || *s || h > 23 || m > 59)
		return false;
	*ret_s = sign * (h * 3600 + m * 60);
	return true;
}

static int days_in_month(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = (y % 4 == 0 && y % 100) || y % 400 == 0;

	return days[m - 1] + (m == 2 && is_leap);
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar; years begin in March, so that the leap
 * day is the last of its year. */
static int64_t days_since_epoch(int y, int m, int d)
{
	int64_t year = m > 2 ? y : y - 1;
	int64_t month = m > 2 ? m - 3 : m + 9;

	return year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + d - 1 -
	       719468;
}

int bh_time_parse(const char *s, int64_t *ret_s)
{
	int y, mo, d, h, mi, sec, zone;

	if (!field(&s, 4, '-', &y) || !field(&s, 2, '-', &mo) || !number(&s, 2, &d))
		return -EINVAL;
	if ((*s | 0x20) != 't' && *s != ' ')
		return -EINVAL;
	s++;
	if (!field(&s, 2, ':', &h) || !field(&s, 2, ':', &mi) || !number(&s, 2, &sec))
		return -EINVAL;
	if (*s == '.') {
		size_t n = strspn(s + 1, "0123456789");

		if (!n)
			return -EINVAL;
		s += 1 + n;
	}
	if (y < 1 || mo < 1 || mo > 12 || d < 1 || d > days_in_month(y, mo) || h > 23 || mi > 59 ||
	    sec > 60 || !parse_zone(s, &zone))
		return -EINVAL;
	*ret_s = days_since_epoch(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - zone;
	return 0;
}

#include "verify/rfc3339.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define DIGITS "0123456789"

/* Two or four digits at *at; -1 when there are none. Moves on. */
static int number(const char **at, size_t n)
{
	int value = 0;

	if (strspn(*at, DIGITS) < n)
		return -1;
	for (size_t i = 0; i < n; i++)
		value = value * 10 + (*at)[i] - '0';
	*at += n;
	return value;
}

static bool letter(const char **at, const char *any)
{
	if (!**at || !strchr(any, **at))
		return false;
	(*at)++;
	return true;
}

static int64_t days_before(int year, int month)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	bool is_leap = (!(year % 4) && year % 100) || !(year % 400);
	int64_t y = year - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 - 719162 + before[month - 1] +
	       (month > 2 && is_leap);
}

static bool date(const char **at, int64_t *ret_days)
{
	int year = number(at, 4);
	int month = letter(at, "-") ? number(at, 2) : -1;
	int day = letter(at, "-") ? number(at, 2) : -1;
	int64_t next;

	if (year < 1970 || month < 1 || month > 12 || day < 1)
		return false;
	next = month < 12 ? days_before(year, month + 1) : days_before(year + 1, 1);
	*ret_days = days_before(year, month) + day - 1;
	return *ret_days < next;
}

/* "Z" or "+hh:mm"; the offset in seconds. */
static bool zone(const char **at, int64_t *ret_s)
{
	bool is_west = **at == '-';
	int hour, minute;

	*ret_s = 0;
	if (letter(at, "Zz"))
		return true;
	if (!letter(at, "+-"))
		return false;
	hour = number(at, 2);
	minute = letter(at, ":") ? number(at, 2) : -1;
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59)
		return false;
	*ret_s = (hour * 60 + minute) * 60 * (is_west ? -1 : 1);
	return true;
}

int bh_rfc3339_parse(const char *text, int64_t *ret_s)
{
	int64_t days, offset;
	int hour, minute, second;

	if (!date(&text, &days) || !letter(&text, "Tt "))
		return -EINVAL;
	hour = number(&text, 2);
	minute = letter(&text, ":") ? number(&text, 2) : -1;
	second = letter(&text, ":") ? number(&text, 2) : -1;
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
		return -EINVAL;
	if (letter(&text, ".")) {
		size_t n = strspn(text, DIGITS);

		if (!n)
			return -EINVAL;
		text += n;
	}
	if (!zone(&text, &offset) || *text)
		return -EINVAL;
	*ret_s = days * 86400 + hour * 3600 + minute * 60 + second - offset;
	return 0;
}

void bh_rfc3339_print(int64_t at_s, char *out)
{
	time_t at = (time_t)at_s;
	struct tm tm;

	if (!gmtime_r(&at, &tm) || !strftime(out, BH_RFC3339_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm))
		memcpy(out, "?", 2);
}

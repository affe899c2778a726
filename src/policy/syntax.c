#include "policy/syntax.h"

#include <string.h>

static bool is_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_dns_label(const char *s, size_t n)
{
	size_t i;

	if (!n || !is_lower(s[0]) || !is_lower(s[n - 1]))
		return false;
	for (i = 0; i < n; i++) {
		if (!is_lower(s[i]) && s[i] != '-')
			return false;
	}
	return true;
}

bool bh_is_dns_label(const char *s)
{
	size_t n = strnlen(s, 64);

	return n <= 63 && is_dns_label(s, n);
}

static bool is_subdomain(const char *s, size_t n)
{
	const char *end = s + n, *dot;

	if (n > 253)
		return false;
	for (; (dot = memchr(s, '.', (size_t)(end - s))); s = dot + 1) {
		if (!is_dns_label(s, (size_t)(dot - s)))
			return false;
	}
	return is_dns_label(s, (size_t)(end - s));
}

bool bh_is_dns_subdomain(const char *s)
{
	return is_subdomain(s, strnlen(s, 254));
}

static bool is_qualified_name(const char *s)
{
	size_t n = strnlen(s, 64), i;

	if (!n || n > 63 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
		return false;
	for (i = 0; i < n; i++) {
		if (!is_alnum(s[i]) && !strchr("-_.", s[i]))
			return false;
	}
	return true;
}

bool bh_is_label_key(const char *s)
{
	const char *slash = strchr(s, '/');

	if (!slash)
		return is_qualified_name(s);
	return is_subdomain(s, (size_t)(slash - s)) && is_qualified_name(slash + 1);
}

bool bh_is_label_value(const char *s)
{
	return !*s || is_qualified_name(s);
}

bool bh_is_port_name(const char *s)
{
	size_t n = strnlen(s, 16);

	return n <= 15 && is_dns_label(s, n) && !strstr(s, "--") && strspn(s, "0123456789-") < n;
}

bool bh_is_exe_path(const char *s)
{
	size_t n = strnlen(s, 256), part;

	if (n > 255 || *s != '/')
		return false;
	while (*s == '/') {
		part = strcspn(++s, "/");
		if (!part || (part == 1 && s[0] == '.') || (part == 2 && !memcmp(s, "..", 2)))
			return false;
		s += part;
	}
	return true;
}

#include "registry/link.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t"

/* Behind a parameter, which may be quoted and hold commas then. */
static const char *behind_param(const char *s)
{
	bool is_quoted = false;

	for (; *s && (is_quoted || !strchr(",;", *s)); s++) {
		if (*s == '\\' && is_quoted && s[1])
			s++;
		else if (*s == '"')
			is_quoted = !is_quoted;
	}
	return s;
}

/* rel="a next b": one of the words is it. */
static bool is_next(const char *param, const char *end)
{
	const char *s = param + strlen("rel");

	if (strncasecmp(param, "rel", strlen("rel")) != 0)
		return false;
	s += strspn(s, BLANKS);
	if (*s++ != '=')
		return false;
	while (s < end) {
		size_t n;

		s += strspn(s, BLANKS "\"");
		n = strcspn(s, BLANKS "\",;");
		if (n == 4 && !strncasecmp(s, "next", 4))
			return s < end;
		if (!n)
			return false;
		s += n;
	}
	return false;
}

char *bh_link_next(const char *header)
{
	const char *s = header ? header + strspn(header, BLANKS ",") : "";

	while (*s == '<') {
		const char *target = s + 1, *end = strchr(s, '>');
		bool is_it = false;

		if (!end)
			return NULL;
		s = end + 1 + strspn(end + 1, BLANKS);
		while (*s == ';') {
			const char *param = s + 1 + strspn(s + 1, BLANKS);

			s = behind_param(param);
			is_it = is_it || is_next(param, s);
		}
		if (is_it)
			return strndup(target, (size_t)(end - target));
		s += strspn(s, BLANKS ",");
	}
	return NULL;
}

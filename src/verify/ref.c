#include "verify/ref.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool lower_hex(const char *s, size_t n)
{
	return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

bool bh_digest_ok(const char *text)
{
	if (!strncmp(text, "sha256:", 7))
		return lower_hex(text + 7, 64);
	return !strncmp(text, "sha512:", 7) && lower_hex(text + 7, 128);
}

static bool alnum_or(char c, const char *more)
{
	return isascii((unsigned char)c) &&
	       (isalnum((unsigned char)c) || (c != '\0' && strchr(more, c)));
}

bool bh_tag_ok(const char *text)
{
	size_t n = strlen(text);

	if (!n || n > 128 || !alnum_or(text[0], "_"))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!alnum_or(text[i], "._-"))
			return false;
	return true;
}

/* Parts of lower-case letters and digits, joined by one '.', one or two '_' or any number of '-'.
 */
static bool repository_ok(const char *s)
{
	char last = '/';

	for (; *s; last = *s++) {
		bool letter = islower((unsigned char)*s) || isdigit((unsigned char)*s);
		bool glue = *s == '.' || *s == '_' || *s == '-';

		if (*s == '/' && (last == '/' || strchr("._-", last)))
			return false;
		if (!letter && !glue && *s != '/')
			return false;
		if (glue && (last == '/' || (*s == '.' && strchr("._-", last))))
			return false;
	}
	return last != '/' && !strchr("._-", last);
}

bool bh_registry_ok(const char *text)
{
	const char *s = text, *port = s;
	size_t n = strlen(s);

	if (*s == '[') {
		port = strchr(s, ']');
		if (!port || strspn(s + 1, "0123456789abcdefABCDEF:.") != (size_t)(port - s - 1))
			return false;
		port++;
	} else {
		for (; *port && *port != ':'; port++)
			if (!alnum_or(*port, ".-"))
				return false;
		if (port == s || *s == '-' || *s == '.')
			return false;
	}
	if (*port == '\0')
		return true;
	n -= (size_t)(port - s);
	return *port == ':' && n > 1 && n <= 6 && strspn(port + 1, "0123456789") == n - 1;
}

static bool is_registry(const char *part)
{
	return strpbrk(part, ".:[") || !strcmp(part, "localhost");
}

bool bh_image_ref_is_short(const char *text)
{
	char first[256] = "";
	size_t head = strcspn(text, "/");

	if (!text[head])
		return true;
	if (head < sizeof(first))
		memcpy(first, text, head);
	return !is_registry(first);
}

const char *bh_registry_server(const char *registry)
{
	return strcmp(registry, "docker.io") ? registry : "registry-1.docker.io";
}

static int split_name(const char *name, struct bh_image_ref *ret, struct bh_err *err)
{
	const char *slash = strchr(name, '/');
	size_t head = slash ? (size_t)(slash - name) : 0;
	char first[sizeof(ret->registry)] = "";
	int n;

	if (head >= sizeof(first) || strlen(name) >= sizeof(ret->repository))
		return bh_fail(err, EINVAL, "the name is too long");
	memcpy(first, name, head);
	if (head && is_registry(first)) {
		name = slash + 1;
	} else {
		memcpy(first, "docker.io", sizeof("docker.io"));
		head = 0;
	}
	if (!strcmp(first, "index.docker.io"))
		memcpy(first, "docker.io", sizeof("docker.io"));
	if (!bh_registry_ok(first))
		return bh_fail(err, EINVAL, "'%s' is no registry", first);
	n = snprintf(ret->repository, sizeof(ret->repository), "%s%s",
		     !strcmp(first, "docker.io") && !strchr(name, '/') ? "library/" : "", name);
	if (n < 0 || (size_t)n >= sizeof(ret->repository) || !repository_ok(ret->repository))
		return bh_fail(err, EINVAL, "'%s' is no repository", name);
	memcpy(ret->registry, first, sizeof(first));
	return 0;
}

int bh_image_ref_parse(const char *text, struct bh_image_ref *ret, struct bh_err *err)
{
	struct bh_image_ref ref = {0};
	char name[BH_REF_MAX];
	char *at, *colon;
	size_t n = strlen(text);
	int r;

	if (!n || n >= sizeof(name))
		return bh_fail(err, EINVAL, "an image reference has 1 to %d characters",
			       BH_REF_MAX - 1);
	memcpy(name, text, n + 1);
	at = strchr(name, '@');
	if (at) {
		*at++ = '\0';
		if (!bh_digest_ok(at))
			return bh_fail(err, EINVAL, "'%s' is no digest", at);
		memcpy(ref.digest, at, strlen(at) + 1);
	}
	colon = strrchr(name, ':');
	if (colon && !strchr(colon, '/') && !strchr(colon, ']')) {
		*colon++ = '\0';
		if (!bh_tag_ok(colon))
			return bh_fail(err, EINVAL, "'%s' is no tag", colon);
		memcpy(ref.tag, colon, strlen(colon) + 1);
	} else if (!at) {
		memcpy(ref.tag, "latest", sizeof("latest"));
	}
	r = split_name(name, &ref, err);
	if (r)
		return bh_note(err, r, "image '%s'", text);
	*ret = ref;
	return 0;
}

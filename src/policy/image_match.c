/* image_match.c - which images a policy is about. By repository, never by substring. */
#include "policy/image.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FULL_NAME 600

/* Going back to the last star only keeps it linear in both lengths. */
bool bh_glob_part(const char *pattern, size_t np, const char *s, size_t n, bool folds)
{
	size_t p = 0, i = 0, star = SIZE_MAX, from = 0;

	while (i < n) {
		bool is_same = p < np && (pattern[p] == s[i] ||
					  (folds && tolower((unsigned char)pattern[p]) ==
							    tolower((unsigned char)s[i])));

		if (p < np && pattern[p] == '*') {
			star = p++;
			from = i;
		} else if (is_same) {
			p++;
			i++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			i = ++from;
		} else {
			return false;
		}
	}
	while (p < np && pattern[p] == '*')
		p++;
	return p == np;
}

bool bh_glob_match(const char *pattern, const char *text)
{
	return bh_glob_part(pattern, strlen(pattern), text, strlen(text), false);
}

static const char *behind(const char *s, size_t part)
{
	return s[part] == '/' ? s + part + 1 : s + part;
}

/* The part's own stars are tried inside it, "**" over whole parts; again only the last "**" is
 * worth going back to. The first part of the text is the host. */
static bool path_match(const char *pattern, const char *text)
{
	const char *star = NULL, *from = NULL, *host = text;

	while (*text) {
		size_t np = strcspn(pattern, "/"), n = strcspn(text, "/");

		if (np == 2 && !strncmp(pattern, "**", 2)) {
			star = pattern = behind(pattern, np);
			from = text;
			if (!*star)
				return true;
		} else if (np && bh_glob_part(pattern, np, text, n, text == host)) {
			pattern = behind(pattern, np);
			text = behind(text, n);
		} else if (star) {
			from = behind(from, strcspn(from, "/"));
			text = from;
			pattern = star;
		} else {
			return false;
		}
	}
	return !*pattern;
}

/* "registry.example:0443" and "registry.example." are the same server as "registry.example", and
 * Docker Hub has three names. */
static void plain_host(const char *host, char *out, size_t size)
{
	const char *colon = strrchr(host, ':');
	const char *port = colon && !strchr(colon, ']') ? colon + 1 : "";
	size_t n = *port ? (size_t)(colon - host) : strlen(host);

	while (port[0] == '0' && port[1])
		port++;
	if (n && host[n - 1] == '.')
		n--;
	if (!strcmp(port, "443"))
		port = "";
	snprintf(out, size, "%.*s%s%s", (int)n, host, *port ? ":" : "", port);
	if (!strcasecmp(out, "index.docker.io") || !strcasecmp(out, "registry-1.docker.io"))
		snprintf(out, size, "docker.io");
}

/* Completes a pattern as references are completed, unless a wildcard may be the registry. A single
 * part is a name of Docker Hub, with or without wildcards: nothing else could match it. */
static void full_pattern(const char *pattern, char *out, size_t size)
{
	size_t first = strcspn(pattern, "/");
	bool is_single = !pattern[first] && strcmp(pattern, "**");
	bool has_host = strcspn(pattern, "/.:*") < first || !strncmp(pattern, "localhost/", 10);
	char host[256];

	if (!has_host || is_single) {
		snprintf(out, size, "docker.io/%s%s", is_single ? "library/" : "", pattern);
		return;
	}
	if (first >= sizeof(host)) {
		snprintf(out, size, "%s", pattern);
		return;
	}
	snprintf(out, size, "%.*s", (int)first, pattern);
	plain_host(out, host, sizeof(host));
	snprintf(out, size, "%s%s", host, pattern + first);
}

bool bh_image_glob_match(const char *pattern, const struct bh_image_ref *ref)
{
	char full[1024], name[FULL_NAME], host[sizeof(ref->registry)];

	if (strlen(pattern) + 32 > sizeof(full))
		return false;
	full_pattern(pattern, full, sizeof(full));
	plain_host(ref->registry, host, sizeof(host));
	snprintf(name, sizeof(name), "%s/%s", host, ref->repository);
	return path_match(full, name);
}

static bool any_image(const struct bh_image_strings *patterns, const struct bh_image_ref *ref)
{
	for (size_t i = 0; i < patterns->n; i++) {
		if (bh_image_glob_match(patterns->v[i], ref))
			return true;
	}
	return false;
}

bool bh_image_policy_names(const struct bh_image_policy *p, const char *ns)
{
	for (size_t i = 0; i < p->match.namespaces.n; i++) {
		if (bh_glob_match(p->match.namespaces.v[i], ns))
			return true;
	}
	return false;
}

bool bh_image_policy_applies(const struct bh_image_policy *p, const char *ns,
			     const struct bh_image_ref *ref)
{
	if (ns && p->match.namespaces.n && !bh_image_policy_names(p, ns))
		return false;
	if (p->match.images.n && !any_image(&p->match.images, ref))
		return false;
	return !any_image(&p->match.exclude, ref);
}

/* Several keys are a rotation: what counts is when the last of them ends. */
static int64_t last_of_signers(const struct bh_image_signers *signers)
{
	int64_t last = BH_TIME_MIN;

	for (size_t i = 0; i < signers->n; i++) {
		const struct bh_image_signer *s = &signers->v[i];

		if (s->kind != BH_IMAGE_KEYS)
			return BH_TIME_MAX;
		for (size_t k = 0; k < s->keys.n; k++) {
			if (s->keys.v[k].not_after_s > last)
				last = s->keys.v[k].not_after_s;
		}
	}
	return signers->n ? last : BH_TIME_MAX;
}

int64_t bh_image_policy_last_key(const struct bh_image_policy *p)
{
	int64_t first = last_of_signers(&p->signers);

	for (size_t i = 0; i < p->attestations.n; i++) {
		int64_t t = last_of_signers(&p->attestations.v[i].signers);

		if (t < first)
			first = t;
	}
	return first;
}

#include "registry/mirror.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "verify/ref.h"

void bh_target_done(struct bh_target *t)
{
	free(t->url);
	free(t->host);
	*t = (struct bh_target){0};
}

bool bh_is_insecure(const struct bh_registry_options *opt, const char *host)
{
	const char *end = *host == '[' ? strchr(host, ']') : NULL;
	size_t name = end ? (size_t)(end + 1 - host) : strcspn(host, ":");

	for (size_t i = 0; i < opt->n_insecure; i++) {
		const char *entry = opt->insecure[i];

		if (!strcasecmp(entry, host) ||
		    (strlen(entry) == name && !strncasecmp(entry, host, name)))
			return true;
	}
	return false;
}

bool bh_mirror_is_about(const struct bh_mirror *m, const char *registry, const char *repository)
{
	size_t n = strlen(registry);

	return !strncmp(m->of, registry, n) && m->of[n] == '/' &&
	       !strcmp(m->of + n + 1, repository);
}

/* A list is no content by digest, but nothing is believed because it stands in one. */
bool bh_mirror_serves(const struct bh_mirror *m, const struct bh_registry_get *get)
{
	bool is_tag = get->kind == BH_REGISTRY_MANIFEST && !strchr(get->ref, ':');

	return is_tag ? m->has_tags : m->has_digests;
}

static char *url_below(const char *base, const char *repository, const struct bh_registry_get *get)
{
	static const char *const words[] = {[BH_REGISTRY_MANIFEST] = "manifests",
					    [BH_REGISTRY_BLOB] = "blobs",
					    [BH_REGISTRY_REFERRERS] = "referrers"};

	return bh_strf("%s/%s/%s/%s", base, repository, words[get->kind], get->ref);
}

static int checked(struct bh_target *t, struct bh_target *ret, struct bh_err *err)
{
	if (!t->url || !t->host) {
		bh_target_done(t);
		return bh_fail(err, ENOMEM, "URL");
	}
	*ret = *t;
	return 0;
}

/* "//host/path" is plain where that is allowed, but never at the port of https. */
static const char *scheme_for(const struct bh_registry_options *opt, const char *host)
{
	size_t n = strlen(host);

	return bh_is_insecure(opt, host) && !(n > 4 && !strcmp(host + n - 4, ":443")) ? "http:"
										      : "https:";
}

int bh_target_of_mirror(const struct bh_registry_options *opt, const struct bh_mirror *m,
			const struct bh_registry_get *get, struct bh_target *ret,
			struct bh_err *err)
{
	const char *place = strstr(m->base, "//");
	const char *host = place ? place + 2 : m->base;
	BH_CLEANUP(bh_freep) char *url = NULL;
	BH_CLEANUP(bh_freep) char *base = NULL;
	struct bh_target t = {
		.host = strndup(host, strcspn(host, "/")),
		.repository = m->repository,
		.ca_pem = m->ca_pem,
		.cert_pem = m->cert_pem,
		.key_pem = m->key_pem,
		.headers = m->headers,
		.deadline_ms = opt->deadline_ms,
	};

	if (t.host && !strncasecmp(m->base, "http://", 7) && !bh_is_insecure(opt, t.host)) {
		bh_fail(err, EPERM, "%s: plain http, and not one of insecureRegistries", t.host);
		bh_target_done(&t);
		return -EPERM;
	}
	base = bh_strf("%s%s", place == m->base && t.host ? scheme_for(opt, t.host) : "", m->base);
	url = base ? url_below(base, m->repository, get) : NULL;
	t.url = !url ? NULL : m->ns ? bh_strf("%s?ns=%s", url, m->ns) : BH_TAKE(url);
	return checked(&t, ret, err);
}

int bh_target_of_registry(const struct bh_registry_options *opt, const struct bh_registry_get *get,
			  struct bh_target *ret, struct bh_err *err)
{
	const char *server = bh_registry_server(get->host);
	BH_CLEANUP(bh_freep) char *base = bh_strf("%s//%s/v2", scheme_for(opt, server), server);
	struct bh_target t = {
		.url = base ? url_below(base, get->repository, get) : NULL,
		.host = strdup(get->host),
		.repository = get->repository,
		.deadline_ms = opt->deadline_ms,
	};

	return checked(&t, ret, err);
}

int bh_target_of_page(const struct bh_mirror *from, const struct bh_registry_get *get,
		      const char *next, struct bh_target *ret, struct bh_err *err)
{
	const char *host = from ? strstr(from->base, "//") + 2 : get->host;
	struct bh_target t = {
		.url = strdup(next),
		.host = strndup(host, from ? strcspn(host, "/") : strlen(host)),
		.repository = from ? from->repository : get->repository,
	};

	if (from) {
		t.ca_pem = from->ca_pem;
		t.cert_pem = from->cert_pem;
		t.key_pem = from->key_pem;
		t.headers = from->headers;
	}
	return checked(&t, ret, err);
}

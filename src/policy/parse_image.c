/* parse_image.c - ImagePolicy of bulkhead.io/v1alpha1: the document and its match. What signers
 * look like is in parse_image_signer.c. */
#include "policy/parse_image.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policy/syntax.h"
#include "verify/ref.h"
#include "verify/verify.h"

/* ---- members (shared with parse_image_signer.c) ---- */

char *bh_image_str(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
		   bool required)
{
	const char *s = bh_parse_str(x->p, map, key, required);

	if (s && !*s) {
		bh_parse_refuse(x->p, bh_yaml_find(map, key), "'%s' is empty", key);
		return NULL;
	}
	return s ? bh_parse_strdup(x->p, s) : NULL;
}

/* A date alone is its first second, or with `is_end` its last one. */
int64_t bh_image_time(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
		      bool is_end, int64_t otherwise)
{
	const struct bh_yaml *n = bh_yaml_find(map, key);
	struct bh_yaml_err e;
	int64_t t = otherwise;
	char full[32];

	if (n && n->type == BH_YAML_STRING && n->n == 10) {
		snprintf(full, sizeof(full), "%sT%s", n->text, is_end ? "23:59:59Z" : "00:00:00Z");
		if (!bh_time_parse(full, &t))
			return t;
	}
	if (bh_yaml_get_time(map, key, false, &t, &e))
		bh_parse_fail(x->p, &e);
	return t;
}

/* The policy's own folder decides what a relative name means. */
static char *path_of(struct bh_image_parse *x, const char *file)
{
	const char *slash = strrchr(x->p->file, '/');
	char *path;

	if (*file == '/' || !slash)
		return bh_parse_strdup(x->p, file);
	path = bh_strf("%.*s/%s", (int)(slash - x->p->file), x->p->file, file);
	if (!path)
		bh_parse_no_memory(x->p);
	return path;
}

char *bh_image_file(struct bh_image_parse *x, const struct bh_yaml *at, const char *file,
		    struct bh_blob *ret)
{
	BH_CLEANUP(bh_freep) char *path = NULL;
	struct bh_err err;

	if (!*file) {
		bh_parse_refuse(x->p, at, "the name of a file is empty");
		return NULL;
	}
	path = path_of(x, file);
	if (!path)
		return NULL;
	if (x->files && x->files->read &&
	    x->files->read(x->files->ctx, path, BH_IMAGE_MAX_FILE, ret, &err)) {
		bh_parse_refuse(x->p, at, "%s", err.text);
		return NULL;
	}
	return BH_TAKE(path);
}

void bh_image_list(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
		   struct bh_image_strings *ret)
{
	const struct bh_yaml *list = bh_parse_list(x->p, map, key);

	for (size_t i = 0; list && i < list->n; i++) {
		const struct bh_yaml *n = list->items[i];
		char *copy;

		if (!bh_parse_is(x->p, n, BH_YAML_STRING, key))
			continue;
		if (!*n->text || n->n > BH_IMAGE_MAX_PATTERN) {
			bh_parse_refuse(x->p, n, "'%s': an entry has 1-%d characters", key,
					BH_IMAGE_MAX_PATTERN);
			continue;
		}
		copy = bh_parse_strdup(x->p, n->text);
		if (copy && bh_vec_push(ret, copy)) {
			free(copy);
			bh_parse_no_memory(x->p);
		}
	}
}

/* ---- the document ---- */

/* Looks a word up; *ret keeps its value when the key is absent. */
static void word(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
		 const char *const *words, int *ret)
{
	const char *s = bh_parse_str(x->p, map, key, false);
	BH_CLEANUP(bh_str_done) struct bh_str all = {0};

	for (int i = 0; s && words[i]; i++) {
		if (!strcmp(words[i], s)) {
			*ret = i;
			return;
		}
		bh_str_fmt(&all, "%s%s", i ? ", " : "", words[i]);
	}
	if (s)
		bh_parse_refuse(x->p, bh_yaml_find(map, key), "'%s': '%s' is none of %s", key, s,
				bh_str_text(&all));
}

static void parse_modes(struct bh_image_parse *x, const struct bh_yaml *spec,
			struct bh_image_policy *ret)
{
	static const char *const modes[] = {"enforce", "quarantine", "audit", NULL};
	static const char *const on_errors[] = {"deny", "quarantine", "allow", NULL};
	int mode = 0, on_error = -1;
	struct bh_yaml_err e;

	word(x, spec, "mode", modes, &mode);
	word(x, spec, "onError", on_errors, &on_error);
	ret->mode = (enum bh_image_mode)mode;
	ret->on_error = BH_IMAGE_ON_ERROR_LAST;
	if (on_error >= 0)
		ret->on_error = (enum bh_image_on_error)(BH_IMAGE_ON_ERROR_DENY + on_error);
	if (bh_yaml_get_bool(spec, "requireDigest", false, &ret->require_digest, &e))
		bh_parse_fail(x->p, &e);
}

#define ALNUM "abcdefghijklmnopqrstuvwxyz0123456789"

/* host, host:port or [v6]:port, with stars anywhere. */
static bool is_host_pattern(const char *host, size_t n)
{
	const char *in = *host == '[' ? memchr(host, ']', n) : NULL;
	size_t start = in ? (size_t)(in - host) + 1 : 0;

	if (start && strspn(host + 1, "0123456789abcdefABCDEF:.*") != start - 2)
		return false;
	for (size_t i = start; i < n; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr(".-_:*", host[i]))
			return false;
	return true;
}

/* What could match nothing would be a policy about nothing, and its author would not know. */
static void check_parts(struct bh_image_parse *x, const struct bh_yaml *n, const char *key)
{
	const char *slash = strchr(n->text, '/'), *path = slash ? slash + 1 : n->text;

	if (*n->text == '/')
		bh_parse_refuse(x->p, n, "'%s': '%s' matches nothing: a part between '/' is empty",
				key, n->text);
	for (const char *part = n->text; part; part = strchr(part, '/')) {
		size_t len;

		part += *part == '/';
		len = strcspn(part, "/");
		if (!len)
			bh_parse_refuse(x->p, n,
					"'%s': '%s' matches nothing: a part between '/' is empty",
					key, n->text);
		else if (len > 2 && memmem(part, len, "**", 2))
			bh_parse_refuse(x->p, n,
					"'%s': '%s': '**' stands for whole parts, '*' for "
					"what is inside one",
					key, n->text);
		if (!len)
			return;
	}
	if (!slash && strchr(n->text, '.') && !strchr(n->text, '*'))
		bh_parse_warn(x->p, n,
			      "'%s': '%s' alone is an image of Docker Hub; those of a registry are "
			      "'%s/**'",
			      key, n->text, n->text);
	if (slash && !is_host_pattern(n->text, (size_t)(slash - n->text)))
		bh_parse_refuse(x->p, n, "'%s': '%s' matches nothing: '%.*s' can be no registry",
				key, n->text, (int)(slash - n->text), n->text);
	if (path[strspn(path, ALNUM "._-*/")])
		bh_parse_refuse(x->p, n, "'%s': '%s' matches nothing: '%s' can be no repository",
				key, n->text, path);
}

static void check_image_pattern(struct bh_image_parse *x, const struct bh_yaml *match,
				const char *key)
{
	const struct bh_yaml *list = bh_yaml_find(match, key);

	for (size_t i = 0; list && list->type == BH_YAML_LIST && i < list->n; i++) {
		const struct bh_yaml *n = list->items[i];

		if (n->type != BH_YAML_STRING)
			continue;
		if (strchr(n->text, '@') || strstr(n->text, "://") || strstr(n->text, "//") ||
		    strrchr(n->text, ':') > strrchr(n->text, '/'))
			bh_parse_refuse(x->p, n,
					"'%s': '%s' is no pattern of registry/repository; tags and "
					"digests have no place in it",
					key, n->text);
		else
			check_parts(x, n, key);
	}
}

/* Strictly "*" would be the images of Docker Hub with a name of one part, but who writes it alone
 * means all: more are judged then, and none fewer. */
static void widen_star(struct bh_image_parse *x, const struct bh_yaml *match,
		       struct bh_image_match *ret)
{
	const struct bh_yaml *exclude = bh_yaml_find(match, "exclude");

	bh_vec_each (pattern, &ret->images) {
		if (strcmp(*pattern, "*"))
			continue;
		free(*pattern);
		*pattern = bh_parse_strdup(x->p, "**");
	}
	for (size_t i = 0; exclude && exclude->type == BH_YAML_LIST && i < exclude->n; i++) {
		const struct bh_yaml *n = exclude->items[i];

		if (n->type == BH_YAML_STRING && !strcmp(n->text, "*"))
			bh_parse_refuse(x->p, n,
					"'exclude': '*' alone: '**' is every image, "
					"'docker.io/library/*' those of Docker Hub");
	}
}

static void check_namespaces(struct bh_image_parse *x, const struct bh_yaml *match)
{
	const struct bh_yaml *list = bh_yaml_find(match, "namespaces");

	for (size_t i = 0; list && list->type == BH_YAML_LIST && i < list->n; i++) {
		const struct bh_yaml *n = list->items[i];

		if (n->type == BH_YAML_STRING && n->text[strspn(n->text, ALNUM "-*")])
			bh_parse_refuse(x->p, n, "'namespaces': no namespace can be named '%.64s'",
					n->text);
	}
}

static void parse_match(struct bh_image_parse *x, const struct bh_yaml *spec,
			struct bh_image_match *ret)
{
	static const char *const keys[] = {"namespaces", "images", "exclude", NULL};
	const struct bh_yaml *n = bh_parse_map(x->p, spec, "match");

	if (!n)
		return;
	bh_parse_keys(x->p, n, keys);
	bh_image_list(x, n, "namespaces", &ret->namespaces);
	bh_image_list(x, n, "images", &ret->images);
	bh_image_list(x, n, "exclude", &ret->exclude);
	check_image_pattern(x, n, "images");
	check_image_pattern(x, n, "exclude");
	check_namespaces(x, n);
	widen_star(x, n, ret);
}

static void parse_insecure(struct bh_image_parse *x, const struct bh_yaml *spec,
			   struct bh_image_policy *ret)
{
	const struct bh_yaml *list = bh_yaml_find(spec, "insecureRegistries");

	bh_image_list(x, spec, "insecureRegistries", &ret->insecure_registries);
	for (size_t i = 0; list && list->type == BH_YAML_LIST && i < list->n; i++) {
		const struct bh_yaml *n = list->items[i];

		if (n->type == BH_YAML_STRING && *n->text && !bh_registry_ok(n->text))
			bh_parse_refuse(x->p, n,
					"'insecureRegistries': '%.260s' is neither host nor "
					"host:port",
					n->text);
	}
}

static void parse_trust_roots(struct bh_image_parse *x, const struct bh_yaml *spec,
			      struct bh_image_policy *ret)
{
	const struct bh_yaml *map = bh_parse_map(x->p, spec, "trustRoots");

	for (size_t i = 0; map && i < map->n; i++) {
		const struct bh_yaml *file = map->pairs[i].value;
		struct bh_image_trust_root root = {0};

		if (!bh_parse_is(x->p, file, BH_YAML_STRING, "'trustRoots'"))
			continue;
		root.name = bh_parse_strdup(x->p, map->pairs[i].key->text);
		root.file = bh_image_file(x, file, file->text, &root.json);
		if (!root.name || !root.file || bh_vec_push(&ret->trust_roots, root)) {
			free(root.name);
			free(root.file);
			bh_blob_done(&root.json);
		}
	}
}

/* How many different ones can sign at most; an expression may stand for any number. */
static int64_t most_signers(const struct bh_image_policy *p)
{
	int64_t n = 0;

	bh_vec_each (s, &p->signers) {
		n += (int64_t)(s->keys.n + s->identities.n) + (s->kind == BH_IMAGE_CERTIFICATES);
		if (s->kind == BH_IMAGE_NOTATION)
			return INT64_MAX;
		bh_vec_each (id, &s->identities)
			if (id->issuer_regex || id->subject_regex)
				return INT64_MAX;
	}
	return n;
}

static void parse_threshold(struct bh_image_parse *x, const struct bh_yaml *spec,
			    struct bh_image_policy *ret)
{
	int64_t threshold = 1;
	struct bh_yaml_err e;

	if (bh_yaml_get_int(spec, "threshold", false, (struct bh_yaml_range){1, 64}, &threshold,
			    &e))
		bh_parse_fail(x->p, &e);
	ret->threshold = (uint32_t)threshold;
	if (threshold > 1 && !ret->signers.n)
		bh_parse_refuse(x->p, bh_yaml_find(spec, "threshold"),
				"'threshold' counts signers, and there are none");
	else if (threshold > 1 && threshold > most_signers(ret))
		bh_parse_warn(x->p, bh_yaml_find(spec, "threshold"),
			      "'threshold': there are only %" PRId64
			      " different keys and identities, so nothing is ever accepted",
			      most_signers(ret));
}

/* What the words are fit for, is known once keys and expressions are parsed. */
static void check_rules(struct bh_image_parse *x, const struct bh_yaml *spec,
			const struct bh_image_policy *policy)
{
	BH_CLEANUP(bh_image_rules_freep) struct bh_image_rules *rules = NULL;
	const char *weak;
	struct bh_err err;
	int r;

	if (x->p->is_refused || !x->files || !x->files->read)
		return;
	r = bh_image_rules_new(policy, &rules, &err);
	if (r == -ENOMEM)
		bh_parse_no_memory(x->p);
	else if (r)
		bh_parse_refuse(x->p, spec, "%s", err.text);
	weak = rules ? bh_image_rules_weak(rules) : NULL;
	if (weak)
		bh_parse_warn(x->p, spec, "key '%s' is too weak; its signatures do not count",
			      weak);
}

/* Where cosign's COSIGN_REPOSITORY puts signatures. */
static void parse_signature_repository(struct bh_image_parse *x, const struct bh_yaml *spec,
				       struct bh_image_policy *ret)
{
	const struct bh_yaml *n = bh_yaml_find(spec, "signatureRepository");
	struct bh_image_ref ref;
	struct bh_err err;

	ret->signature_repository = bh_image_str(x, spec, "signatureRepository", false);
	if (!ret->signature_repository)
		return;
	if (bh_image_ref_parse(ret->signature_repository, &ref, &err))
		bh_parse_refuse(x->p, n, "'signatureRepository': %s", err.text);
	else if (*ref.digest || strcmp(ref.tag, "latest") ||
		 strrchr(ret->signature_repository, ':') >
			 strrchr(ret->signature_repository, '/') ||
		 bh_image_ref_is_short(ret->signature_repository))
		bh_parse_refuse(x->p, n, "'signatureRepository': '%s' is not registry/repository",
				ret->signature_repository);
}

static void parse_spec(struct bh_image_parse *x, const struct bh_yaml *spec,
		       struct bh_image_policy *ret)
{
	static const char *const keys[] = {"match",
					   "mode",
					   "onError",
					   "requireDigest",
					   "trustRoots",
					   "insecureRegistries",
					   "signatureStore",
					   "signers",
					   "threshold",
					   "attestations",
					   "signatureRepository",
					   NULL};
	BH_CLEANUP(bh_freep) char *store = NULL;

	bh_parse_keys(x->p, spec, keys);
	parse_match(x, spec, &ret->match);
	parse_modes(x, spec, ret);
	parse_insecure(x, spec, ret);
	store = bh_image_str(x, spec, "signatureStore", false);
	if (store)
		ret->signature_store = path_of(x, store);
	parse_signature_repository(x, spec, ret);
	parse_trust_roots(x, spec, ret);
	bh_image_signers(x, bh_parse_list(x->p, spec, "signers"), &ret->signers);
	bh_image_attestations(x, spec, ret);
	parse_threshold(x, spec, ret);
	if (!ret->signers.n && !ret->attestations.n && !ret->require_digest)
		bh_parse_refuse(x->p, spec,
				"neither 'signers' nor 'attestations': it would accept any image");
	check_rules(x, spec, ret);
}

static void warn_of_namespace(struct bh_image_parse *x, const struct bh_yaml *object)
{
	const struct bh_yaml *metadata = bh_yaml_find(object, "metadata");
	const struct bh_yaml *ns = metadata ? bh_yaml_find(metadata, "namespace") : NULL;

	if (ns)
		bh_parse_warn(x->p, ns,
			      "an ImagePolicy is in no namespace; 'match.namespaces' says whose "
			      "pods it is about");
}

struct bh_image_policy *bh_parse_image_policy(struct bh_parse *p, const struct bh_yaml *object,
					      const char *name, const struct bh_image_files *files)
{
	static const char *const keys[] = {"apiVersion", "kind",   "metadata",
					   "spec",	 "status", NULL};
	struct bh_image_parse x = {.p = p, .files = files};
	BH_CLEANUP(bh_image_policy_freep) struct bh_image_policy *policy = bh_image_policy_new();
	const struct bh_yaml *spec;
	struct bh_yaml_err e;

	if (!policy) {
		bh_parse_no_memory(p);
		return NULL;
	}
	bh_parse_keys(p, object, keys);
	policy->name = bh_parse_strdup(p, name);
	policy->origin = bh_strf("%s:%u", p->file, object->line);
	if (!policy->origin)
		bh_parse_no_memory(p);
	warn_of_namespace(&x, object);
	if (bh_yaml_get_map(object, "spec", true, &spec, &e))
		bh_parse_fail(p, &e);
	else
		parse_spec(&x, spec, policy);
	return p->is_refused ? NULL : BH_TAKE(policy);
}

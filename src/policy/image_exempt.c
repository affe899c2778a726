#include "policy/image_exempt.h"

#include <string.h>

#include "base/str.h"
#include "policy/parse_image.h"
#include "policy/syntax.h"
#include "verify/bytes.h"

#define MAX_WHY 1024

void bh_image_exempt_free(struct bh_image_exempt *e)
{
	if (!e)
		return;
	free(e->name);
	free(e->why);
	free(e->owner);
	free(e->until);
	bh_image_strings_done(&e->images);
	bh_image_strings_done(&e->namespaces);
	bh_blob_done(&e->signature);
	free(e);
}

void bh_image_exempt_freep(struct bh_image_exempt **e)
{
	bh_image_exempt_free(*e);
	*e = NULL;
}

void bh_image_exempts_done(struct bh_image_exempts *l)
{
	bh_vec_each (e, l)
		bh_image_exempt_free(*e);
	bh_vec_done(l);
}

/* ---- parsing ---- */

/* Whatever could end a line could make one signed text say two things. */
static char *line_of(struct bh_image_parse *x, const struct bh_yaml *spec, const char *key,
		     bool required)
{
	char *s = bh_image_str(x, spec, key, required);

	for (const char *c = s; c && *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f || strlen(s) > MAX_WHY) {
			bh_parse_refuse(x->p, bh_yaml_find(spec, key),
					"'%s': one line of at most %d characters is expected", key,
					MAX_WHY);
			break;
		}
	}
	return s;
}

static void check_images(struct bh_image_parse *x, const struct bh_yaml *spec)
{
	const struct bh_yaml *list = bh_yaml_find(spec, "images");
	struct bh_image_ref ref;
	struct bh_err err;

	if (!list || list->type != BH_YAML_LIST || !list->n) {
		bh_parse_refuse(x->p, spec, "'images' names nothing");
		return;
	}
	for (size_t i = 0; i < list->n; i++) {
		const struct bh_yaml *n = list->items[i];

		if (n->type != BH_YAML_STRING)
			continue;
		if (bh_image_ref_parse(n->text, &ref, &err))
			bh_parse_refuse(x->p, n, "'images': %s", err.text);
		else if (strrchr(n->text, ':') > strrchr(n->text, '/') && !*ref.digest)
			bh_parse_refuse(x->p, n,
					"'images': '%.256s': a tag moves; name the digest, or the "
					"whole repository",
					n->text);
	}
}

static void check_namespaces(struct bh_image_parse *x, const struct bh_yaml *spec)
{
	const struct bh_yaml *list = bh_yaml_find(spec, "namespaces");

	for (size_t i = 0; list && list->type == BH_YAML_LIST && i < list->n; i++) {
		const struct bh_yaml *n = list->items[i];

		if (n->type == BH_YAML_STRING && !bh_is_dns_label(n->text))
			bh_parse_refuse(x->p, n, "'namespaces': '%.64s' is no name of a namespace",
					n->text);
	}
}

static void parse_signature(struct bh_image_parse *x, const struct bh_yaml *spec,
			    struct bh_image_exempt *ret)
{
	BH_CLEANUP(bh_freep) char *text = bh_image_str(x, spec, "signature", false);

	if (text && bh_b64_decode(text, strlen(text), &ret->signature))
		bh_parse_refuse(x->p, bh_yaml_find(spec, "signature"),
				"'signature' is not base64 in one piece");
}

static void parse_spec(struct bh_image_parse *x, const struct bh_yaml *spec,
		       struct bh_image_exempt *ret)
{
	static const char *const keys[] = {"images", "namespaces", "why", "owner",
					   "until",  "signature",  NULL};

	bh_parse_keys(x->p, spec, keys);
	bh_image_list(x, spec, "images", &ret->images);
	bh_image_list(x, spec, "namespaces", &ret->namespaces);
	check_images(x, spec);
	check_namespaces(x, spec);
	ret->why = line_of(x, spec, "why", true);
	ret->owner = line_of(x, spec, "owner", false);
	ret->until = line_of(x, spec, "until", true);
	if (ret->until && bh_time_parse(ret->until, &ret->until_s))
		bh_parse_refuse(x->p, bh_yaml_find(spec, "until"),
				"'until': '%.64s' is not a time like 2027-01-31T00:00:00Z",
				ret->until);
	parse_signature(x, spec, ret);
}

struct bh_image_exempt *bh_parse_image_exempt(struct bh_parse *p, const struct bh_yaml *object,
					      const char *name)
{
	BH_CLEANUP(bh_image_exempt_freep)
	struct bh_image_exempt *e = calloc(1, sizeof(*e));
	struct bh_image_parse x = {.p = p};
	const struct bh_yaml *spec;

	if (!e) {
		bh_parse_no_memory(p);
		return NULL;
	}
	e->line = object->line;
	e->name = bh_parse_strdup(p, name);
	spec = bh_parse_map(p, object, "spec");
	if (spec)
		parse_spec(&x, spec, e);
	else
		bh_parse_refuse(p, object, "'spec' is missing");
	if (p->is_refused || p->has_no_memory)
		return NULL;
	return BH_TAKE(e);
}

/* ---- what it says ---- */

char *bh_image_exempt_text(const struct bh_image_exempt *e)
{
	struct bh_str s = {0};

	bh_str_fmt(&s, "bulkhead.io/v1alpha1 ImageException\nname %s\nuntil %s\nwhy %s\n", e->name,
		   e->until, e->why);
	if (e->owner)
		bh_str_fmt(&s, "owner %s\n", e->owner);
	for (size_t i = 0; i < e->namespaces.n; i++)
		bh_str_fmt(&s, "namespace %s\n", e->namespaces.v[i]);
	for (size_t i = 0; i < e->images.n; i++)
		bh_str_fmt(&s, "image %s\n", e->images.v[i]);
	return bh_str_take(&s);
}

bool bh_image_exempt_is_signed(const struct bh_image_exempt *e, const struct bh_key *keys,
			       size_t n_keys)
{
	BH_CLEANUP(bh_freep) char *text = bh_image_exempt_text(e);
	struct bh_blob message = {.v = (unsigned char *)text, .n = text ? strlen(text) : 0};
	struct bh_flaw flaw;

	for (size_t i = 0; text && e->signature.n && i < n_keys; i++) {
		if (!bh_key_verify(&keys[i], BH_SIG_CLASSIC, &message, &e->signature, &flaw))
			return true;
	}
	return false;
}

static bool is_about(const char *image, const struct bh_image_ref *ref, const char *digest)
{
	struct bh_image_ref own;
	struct bh_err err;

	if (bh_image_ref_parse(image, &own, &err))
		return false;
	if (*own.digest)
		return !strcmp(own.digest, *ref->digest ? ref->digest : digest);
	return !strcmp(own.registry, ref->registry) && !strcmp(own.repository, ref->repository);
}

bool bh_image_exempt_covers(const struct bh_image_exempt *e, const char *ns,
			    const struct bh_image_ref *ref, const char *digest)
{
	bool is_here = !e->namespaces.n;

	for (size_t i = 0; ns && i < e->namespaces.n; i++)
		is_here |= !strcmp(e->namespaces.v[i], ns);
	for (size_t i = 0; is_here && i < e->images.n; i++) {
		if (is_about(e->images.v[i], ref, digest))
			return true;
	}
	return false;
}

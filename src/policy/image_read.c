/* image_read.c - the ImagePolicies, or the ImageExceptions, of one file, for who has no set of
 * objects. */
#include "policy/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/image_exempt.h"
#include "policy/syntax.h"

#define API "bulkhead.io/v1alpha1"

struct reading {
	const char *file, *kind;
	const struct bh_image_files *files;
	struct bh_image_policies *policies;  /* NULL: exceptions */
	struct bh_image_exempts *exceptions; /* NULL: policies */
	struct bh_problems *problems;
};

static int report(const struct reading *r, const struct bh_yaml_err *e)
{
	struct bh_about about = {.place = {.file = r->file, .line = e->line, .col = e->col}};

	if (e->err.code == -ENOMEM)
		return -ENOMEM;
	return bh_problems_add(r->problems, BH_PROBLEM_ERROR, &about, "%s", e->err.text);
}

bool bh_image_is_foreign(const char *api_version)
{
	return strchr(api_version, '/') && !strcasestr(api_version, "bulkhead");
}

static int read_name(const struct reading *rd, const struct bh_yaml *object, const char **ret,
		     struct bh_yaml_err *e)
{
	const struct bh_yaml *metadata = NULL;
	const char *api = NULL;
	int r = bh_yaml_get_str(object, "apiVersion", true, &api, e);

	if (!r && strcmp(api, API))
		return bh_yaml_fail(e, bh_yaml_find(object, "apiVersion"),
				    "%s has apiVersion '" API "', not '%.64s'", rd->kind, api);
	if (!r)
		r = bh_yaml_get_map(object, "metadata", true, &metadata, e);
	if (!r)
		r = bh_yaml_get_str(metadata, "name", true, ret, e);
	if (!r && !bh_is_dns_subdomain(*ret))
		return bh_yaml_fail(e, bh_yaml_find(metadata, "name"),
				    "'%.260s' is not a valid name", *ret);
	return r;
}

static int add_policy(const struct reading *r, struct bh_parse *p, const struct bh_yaml *object,
		      const char *name)
{
	BH_CLEANUP(bh_image_policy_freep)
	struct bh_image_policy *policy = bh_parse_image_policy(p, object, name, r->files);

	if (policy && bh_vec_push(r->policies, policy))
		return -ENOMEM;
	policy = NULL;
	return 0;
}

static int add_exception(const struct reading *r, struct bh_parse *p, const struct bh_yaml *object,
			 const char *name)
{
	BH_CLEANUP(bh_image_exempt_freep)
	struct bh_image_exempt *e = bh_parse_image_exempt(p, object, name);

	if (e && bh_vec_push(r->exceptions, e))
		return -ENOMEM;
	e = NULL;
	return 0;
}

static int read_one(const struct reading *r, const struct bh_yaml *object)
{
	struct bh_parse p = {.problems = r->problems, .file = r->file};
	BH_CLEANUP(bh_freep) char *title = NULL;
	const char *name = NULL;
	struct bh_yaml_err e;
	int code;

	if (read_name(r, object, &name, &e))
		return report(r, &e);
	title = bh_strf("%s %s", r->kind, name);
	if (!title)
		return -ENOMEM;
	p.object = title;
	code = r->policies ? add_policy(r, &p, object, name) : add_exception(r, &p, object, name);
	free(p.why);
	return p.has_no_memory ? -ENOMEM : code;
}

static int read_object(const struct reading *r, const struct bh_yaml *object, unsigned depth)
{
	const struct bh_yaml *kind = bh_yaml_find(object, "kind");
	const struct bh_yaml *api = bh_yaml_find(object, "apiVersion");
	const struct bh_yaml *items = bh_yaml_find(object, "items");
	int ret = 0;

	if (kind && kind->type == BH_YAML_STRING && !strcmp(kind->text, r->kind))
		return api && api->type == BH_YAML_STRING && bh_image_is_foreign(api->text)
			       ? 0
			       : read_one(r, object);
	for (size_t i = 0; items && items->type == BH_YAML_LIST && !ret && depth && i < items->n;
	     i++)
		ret = read_object(r, items->items[i], depth - 1);
	return ret;
}

static int read_text(const struct reading *r, const char *text, size_t len)
{
	struct bh_yaml_slice slice;
	struct bh_yaml_stream s;
	struct bh_yaml_err e;
	int code = 0;

	if (bh_yaml_open(&s, text, len, &e))
		return report(r, &e);
	while (!code && bh_yaml_next(&s, &slice)) {
		BH_CLEANUP(bh_yaml_doc_freep) struct bh_yaml_doc *doc = NULL;

		code = bh_yaml_parse(&s, &slice, &doc, &e) ? report(r, &e)
							   : read_object(r, bh_yaml_root(doc), 4);
	}
	return code;
}

int bh_image_policies_read(const char *file, const char *text, size_t len,
			   const struct bh_image_files *files, struct bh_image_policies *ret,
			   struct bh_problems *problems)
{
	struct reading r = {.file = file,
			    .kind = "ImagePolicy",
			    .files = files,
			    .policies = ret,
			    .problems = problems};

	return read_text(&r, text, len);
}

int bh_image_exempts_read(const char *file, const char *text, size_t len,
			  struct bh_image_exempts *ret, struct bh_problems *problems)
{
	struct reading r = {
		.file = file, .kind = "ImageException", .exceptions = ret, .problems = problems};

	return read_text(&r, text, len);
}

void bh_image_policies_done(struct bh_image_policies *l)
{
	bh_vec_each (p, l)
		bh_image_policy_free(*p);
	bh_vec_done(l);
}

/* objects_read.c - the text of a file > claims and problems. */
#include "policy/objects_set.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "policy/image.h"
#include "policy/image_exempt.h"
#include "policy/syntax.h"

enum treatment {
	T_OBJECT,      /* becomes part of the set */
	T_CHECKED,     /* looked at, of no consequence yet */
	T_IMAGES,      /* checked here, enforced by who judges images */
	T_EXCEPTION,   /* the same */
	T_UNSUPPORTED, /* leaving it out would change what is allowed */
};

struct kind_row {
	const char *api, *name;
	enum treatment treatment;
	enum bh_kind kind; /* T_OBJECT */
	bool is_global;	   /* has no namespace */
};

static const struct kind_row rows[] = {
	{"v1", "Namespace", T_OBJECT, BH_KIND_NAMESPACE, true},
	{"v1", "Pod", T_OBJECT, BH_KIND_POD, false},
	{"v1", "Node", T_OBJECT, BH_KIND_NODE, true},
	{"networking.k8s.io/v1", "NetworkPolicy", T_OBJECT, BH_KIND_NETWORK_POLICY, false},
	{"bulkhead.io/v1alpha1", "SegmentationPolicy", T_OBJECT, BH_KIND_SEGMENTATION_POLICY,
	 false},
	{"v1", "Service", T_CHECKED, BH_KIND_COUNT, false},
	{"discovery.k8s.io/v1", "EndpointSlice", T_CHECKED, BH_KIND_COUNT, false},
	{"bulkhead.io/v1alpha1", "ImagePolicy", T_IMAGES, BH_KIND_COUNT, true},
	{"bulkhead.io/v1alpha1", "ImageException", T_EXCEPTION, BH_KIND_COUNT, true},
	{"bulkhead.io/v1alpha1", "RuntimePolicy", T_OBJECT, BH_KIND_RUNTIME_POLICY, false},
	{"policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", T_UNSUPPORTED, BH_KIND_COUNT,
	 true},
};

struct document {
	struct bh_reading *r;
	const struct bh_yaml_slice *slice;
	const struct bh_yaml *root;
	uint64_t hash;	   /* of its text; 0: not to be found by it */
	size_t n_problems; /* before it */
};

/* apiVersion and kind of an object, its own or its list's. */
struct type {
	const char *api, *kind;
	size_t kind_len;
};

static int problem(struct bh_reading *r, enum bh_problem_level level, const struct bh_yaml *at,
		   const char *fmt, const char *arg)
{
	struct bh_about about = {
		.place = {.file = r->file->name, .line = at->line, .col = at->col}};

	if (r->problems.n > BH_PARSE_MAX_PROBLEMS)
		return 0;
	if (r->problems.n == BH_PARSE_MAX_PROBLEMS)
		return bh_problems_add(
			&r->problems, BH_PROBLEM_ERROR, &about,
			"more than %d problems; the rest of the file's are not listed",
			BH_PARSE_MAX_PROBLEMS);
	if (arg)
		return bh_problems_add(&r->problems, level, &about, fmt, arg);
	return bh_problems_add(&r->problems, level, &about, "%s", fmt);
}

/* Something could not be recognised, so it may have been any object of this file. */
static int unseen(struct bh_reading *r, const struct bh_yaml_err *e)
{
	struct bh_yaml at = {.line = e->line, .col = e->col};

	if (e->err.code == -ENOMEM)
		return -ENOMEM;
	if (!r->unseen)
		r->unseen = bh_strf("%u:%u: %s", e->line, e->col, e->err.text);
	if (!r->unseen)
		return -ENOMEM;
	bh_problem_scrub(r->unseen);
	return problem(r, BH_PROBLEM_ERROR, &at, "%s", e->err.text);
}

static const struct kind_row *find_row(const struct type *t)
{
	size_t i;

	for (i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		if (strlen(rows[i].name) == t->kind_len &&
		    !memcmp(rows[i].name, t->kind, t->kind_len))
			return &rows[i];
	}
	return NULL;
}

static int read_name(const struct bh_yaml *object, const struct kind_row *row, const char **ns,
		     const char **name, struct bh_yaml_err *e)
{
	const struct bh_yaml *metadata = NULL;
	bool is_valid;
	int r = bh_yaml_get_map(object, "metadata", true, &metadata, e);

	if (!r)
		r = bh_yaml_get_str(metadata, "name", true, name, e);
	if (r)
		return r;
	is_valid = row->kind == BH_KIND_NAMESPACE ? bh_is_dns_label(*name)
						  : bh_is_dns_subdomain(*name);
	if (!is_valid)
		return bh_yaml_fail(e, bh_yaml_find(metadata, "name"),
				    "'%.260s' is not a valid name", *name);
	*ns = row->is_global ? "" : "default";
	if (row->is_global)
		return 0;
	r = bh_yaml_get_str(metadata, "namespace", false, ns, e);
	if (!r && !**ns)
		*ns = "default";
	if (!r && !bh_is_dns_label(*ns))
		return bh_yaml_fail(e, bh_yaml_find(metadata, "namespace"),
				    "'%.260s' is not a valid namespace", *ns);
	return r;
}

static void *parse_object(struct bh_parse *p, const struct bh_yaml *object, enum bh_kind kind,
			  const char *ns, const char *name)
{
	switch (kind) {
	case BH_KIND_NAMESPACE:
		return bh_parse_namespace(p, object, name);
	case BH_KIND_POD:
		return bh_parse_pod(p, object, ns, name);
	case BH_KIND_NODE:
		return bh_parse_node(p, object, name);
	case BH_KIND_RUNTIME_POLICY:
		return bh_parse_runtime(p, object, ns, name);
	default:
		return bh_parse_policy(p, object,
				       kind == BH_KIND_NETWORK_POLICY ? BH_NETWORK_POLICY
								      : BH_SEGMENTATION_POLICY,
				       ns, name);
	}
}

/* What a parser reads of metadata; managedFields and the like would only fill memory. */
static void dump_metadata(const struct bh_yaml *metadata, struct bh_str *out)
{
	static const char *const keys[] = {"name", "namespace", "annotations"};
	size_t i, n = 0;

	for (i = 0; i < BH_ARRAY_SIZE(keys); i++) {
		const struct bh_yaml *value = bh_yaml_find(metadata, keys[i]);

		if (!value)
			continue;
		bh_str_fmt(out, "%s\"%s\": ", n++ ? ", " : "", keys[i]);
		bh_yaml_dump(value, out);
	}
}

/* A document of its own keeps what the file says. */
static int keep_slice(const struct document *d, struct bh_claim_more *more)
{
	struct bh_reading *r = d->r;

	if (!r->words)
		r->words = bh_words_new(r->text, r->len);
	if (!r->words)
		return -ENOMEM;
	more->words = bh_words_ref(r->words);
	more->offset = (size_t)(d->slice->s - r->text);
	more->len = d->slice->n;
	more->text_line = d->slice->line;
	return 0;
}

/* An item of a list is written out as a document of its own, on one line. */
static int keep_item(const struct bh_yaml *object, const struct type *t, struct bh_claim_more *more)
{
	const struct bh_yaml *spec = bh_yaml_find(object, "spec");
	struct bh_str out = {0};

	bh_str_add(&out, "{\"apiVersion\": ");
	bh_yaml_dump_string(t->api, &out);
	bh_str_fmt(&out, ", \"kind\": \"%.*s\", \"metadata\": {", (int)t->kind_len, t->kind);
	dump_metadata(bh_yaml_find(object, "metadata"), &out);
	bh_str_add(&out, "}");
	if (spec) {
		bh_str_add(&out, ", \"spec\": ");
		bh_yaml_dump(spec, &out);
	}
	bh_str_add(&out, "}\n");
	if (!out.failed)
		more->words = bh_words_new(bh_str_text(&out), out.n);
	more->len = out.n;
	more->text_line = object->line;
	bh_str_done(&out);
	return more->words ? 0 : -ENOMEM;
}

static int refused_claim(struct bh_claim *c, struct bh_parse *p, const struct bh_yaml *object,
			 const char *ns, const char *name)
{
	struct bh_claim_more *more = bh_claim_more(c);

	c->state = BH_CLAIM_REFUSED;
	if (!more)
		return -ENOMEM;
	more->ns = strdup(ns);
	more->name = strdup(name);
	more->line = object->line;
	more->col = object->col;
	more->why = BH_TAKE(p->why);
	return more->ns && more->name ? 0 : -ENOMEM;
}

/* What was complained about must be said again when the document is read again. */
static int live_policy(const struct document *d, const struct bh_yaml *object, const struct type *t,
		       struct bh_claim *c)
{
	*bh_claim_tree_hash(c) = bh_yaml_hash(object, true);
	if (object == d->root && d->r->problems.n == d->n_problems &&
	    d->n_problems < BH_PARSE_MAX_PROBLEMS)
		*bh_claim_text_hash(c) = d->hash;
	if (!d->r->opt->keep_text)
		return 0;
	if (!bh_claim_more(c))
		return -ENOMEM;
	return object == d->root ? keep_slice(d, c->more) : keep_item(object, t, c->more);
}

/* Adds the claim of one object whose name is known. `wrong`: a reason to refuse it unseen. */
static int add_claim(const struct document *d, const struct bh_yaml *object, const struct type *t,
		     const struct kind_row *row, const char *wrong)
{
	struct bh_reading *r = d->r;
	struct bh_claim c = {
		.kind = (uint8_t)row->kind, .file = r->file, .pos = (uint32_t)r->claims.n};
	BH_CLEANUP(bh_freep) char *title = NULL;
	struct bh_parse p = {.problems = &r->problems,
			     .file = r->file->name,
			     .require_reason = r->opt->require_reason};
	const struct bh_yaml *api = bh_yaml_find(object, "apiVersion");
	const char *ns = NULL, *name = NULL;
	struct bh_yaml_err e;
	int ret = 0;

	if (read_name(object, row, &ns, &name, &e))
		return unseen(r, &e);
	title = bh_strf("%s %s%s%s", row->name, ns, *ns ? "/" : "", name);
	if (!title)
		return -ENOMEM;
	p.object = title;
	if (wrong)
		bh_parse_refuse(&p, api ? api : object, "%s", wrong);
	else
		c.obj = parse_object(&p, object, row->kind, ns, name);
	if (!c.obj && !p.has_no_memory)
		ret = refused_claim(&c, &p, object, ns, name);
	else if (!p.has_no_memory && bh_kind_is_policy(row->kind))
		ret = live_policy(d, object, t, &c);
	if (p.has_no_memory || ret || bh_vec_push(&r->claims, c)) {
		bh_claim_done(&c);
		ret = -ENOMEM;
	}
	free(p.why);
	return ret;
}

static int on_other_kind(struct bh_reading *r, const struct bh_yaml *object, const struct type *t)
{
	char kind[64];

	snprintf(kind, sizeof(kind), "%.*s", (int)t->kind_len, t->kind);
	if (strstr(kind, "NetworkPolicy"))
		return problem(r, BH_PROBLEM_WARNING, object, "kind '%s' is not enforced", kind);
	return problem(r, BH_PROBLEM_NOTE, object, "kind '%s' is ignored", kind);
}

/* Its form only: the files that it names are read by those who use it. */
static int check_image_policy(struct bh_reading *r, const struct bh_yaml *object,
			      const struct kind_row *row)
{
	struct bh_parse p = {.problems = &r->problems, .file = r->file->name};
	BH_CLEANUP(bh_freep) char *title = NULL;
	const char *ns, *name = NULL;
	struct bh_yaml_err e;

	if (read_name(object, row, &ns, &name, &e))
		return problem(r, BH_PROBLEM_ERROR, &(struct bh_yaml){.line = e.line, .col = e.col},
			       "%s", e.err.text);
	title = bh_strf("%s %s", row->name, name);
	if (!title)
		return -ENOMEM;
	p.object = title;
	if (row->treatment == T_EXCEPTION)
		bh_image_exempt_free(bh_parse_image_exempt(&p, object, name));
	else
		bh_image_policy_free(bh_parse_image_policy(&p, object, name, NULL));
	free(p.why);
	return p.has_no_memory ? -ENOMEM : 0;
}

static int on_known_kind(const struct document *d, const struct bh_yaml *object,
			 const struct type *t, const struct kind_row *row)
{
	const char *ns = NULL, *name = NULL;
	struct bh_yaml_err e;
	char wrong[BH_ERR_TEXT];

	if (strcmp(t->api, row->api)) {
		bool is_image = row->treatment == T_IMAGES || row->treatment == T_EXCEPTION;

		/* Other groups have their own idea of a Service. */
		if (row->treatment == T_CHECKED || (is_image && bh_image_is_foreign(t->api)))
			return on_other_kind(d->r, object, t);
		snprintf(wrong, sizeof(wrong), "%s has apiVersion '%s', not '%.64s'", row->name,
			 row->api, t->api);
		if (row->treatment == T_OBJECT)
			return add_claim(d, object, t, row, wrong);
		return problem(d->r, BH_PROBLEM_ERROR, object, "%s", wrong);
	}
	if (row->treatment == T_OBJECT)
		return add_claim(d, object, t, row, NULL);
	if (row->treatment == T_IMAGES || row->treatment == T_EXCEPTION)
		return check_image_policy(d->r, object, row);
	if (row->treatment == T_UNSUPPORTED)
		return problem(d->r, BH_PROBLEM_ERROR, object,
			       "%s is not supported by this version and not in force", row->name);
	if (read_name(object, row, &ns, &name, &e))
		return problem(d->r, BH_PROBLEM_ERROR,
			       &(struct bh_yaml){.line = e.line, .col = e.col}, "%s", e.err.text);
	return 0;
}

static int read_type(const struct bh_yaml *object, const struct type *list, struct type *ret,
		     struct bh_yaml_err *e)
{
	int r;

	*ret = list ? *list : (struct type){0};
	if (object->type != BH_YAML_MAP)
		return bh_yaml_fail(e, object,
				    "expected an object with apiVersion and kind, found %s",
				    bh_yaml_type_text(object->type));
	r = bh_yaml_get_str(object, "apiVersion", !list, &ret->api, e);
	if (r)
		return r;
	if (list && !bh_yaml_find(object, "kind"))
		return 0;
	r = bh_yaml_get_str(object, "kind", true, &ret->kind, e);
	if (!r)
		ret->kind_len = strlen(ret->kind);
	return r;
}

static bool is_list(const struct type *t)
{
	return t->kind_len >= 4 && !memcmp(t->kind + t->kind_len - 4, "List", 4);
}

static int read_object(const struct document *d, const struct bh_yaml *object,
		       const struct type *list);

/* Items of a typed list (PodList) may leave out what the list's kind says. */
static int read_list(const struct document *d, const struct bh_yaml *object, const struct type *t)
{
	struct type item = {.api = t->api, .kind = t->kind, .kind_len = t->kind_len - 4};
	const struct bh_yaml *items = NULL;
	struct bh_yaml_err e;
	size_t i;
	int r = 0;

	if (bh_yaml_get_list(object, "items", false, &items, &e))
		return unseen(d->r, &e);
	for (i = 0; !r && items && i < items->n; i++)
		r = read_object(d, items->items[i], item.kind_len ? &item : NULL);
	return r;
}

/* Trust roots may lie beside the policies that name them. */
static bool is_trust_root(const struct bh_yaml *object)
{
	static const char type[] = "application/vnd.dev.sigstore.trustedroot";
	const struct bh_yaml *n =
		object->type == BH_YAML_MAP ? bh_yaml_find(object, "mediaType") : NULL;

	return n && n->type == BH_YAML_STRING && !strncmp(n->text, type, sizeof(type) - 1) &&
	       !bh_yaml_find(object, "apiVersion") && !bh_yaml_find(object, "kind");
}

static int read_object(const struct document *d, const struct bh_yaml *object,
		       const struct type *list)
{
	const struct kind_row *row;
	struct bh_yaml_err e;
	struct type t;

	if (!list && is_trust_root(object))
		return 0;
	if (read_type(object, list, &t, &e))
		return unseen(d->r, &e);
	row = find_row(&t);
	if (row)
		return on_known_kind(d, object, &t, row);
	if (is_list(&t) && bh_yaml_find(object, "items"))
		return read_list(d, object, &t);
	if (!strncmp(t.api, "policy.networking.k8s.io/", 25))
		return problem(d->r, BH_PROBLEM_ERROR, object,
			       "apiVersion '%s' is not supported by this version and not in force",
			       t.api);
	return is_list(&t) ? 0 : on_other_kind(d->r, object, &t);
}

static int take_over(struct bh_reading *r, const struct bh_claim *from)
{
	struct bh_claim c = {.kind = from->kind, .file = r->file, .pos = (uint32_t)r->claims.n};

	if (bh_claim_inherit(&c, from) || bh_vec_push(&r->claims, c)) {
		bh_claim_done(&c);
		return -ENOMEM;
	}
	return 0;
}

static int read_document(struct bh_reading *r, struct bh_yaml_stream *s,
			 const struct bh_yaml_slice *slice)
{
	BH_CLEANUP(bh_yaml_doc_freep) struct bh_yaml_doc *doc = NULL;
	struct document d = {.r = r, .slice = slice, .n_problems = r->problems.n};
	const struct bh_claim *same;
	struct bh_yaml_err e;

	d.hash = bh_reuse_hash(r, slice);
	same = bh_reuse_find(r, d.hash);
	if (same)
		return take_over(r, same);
	if (bh_yaml_parse(s, slice, &doc, &e))
		return unseen(r, &e);
	d.root = bh_yaml_root(doc);
	return d.root->type == BH_YAML_NULL ? 0 : read_object(&d, d.root, NULL);
}

int bh_reading_run(struct bh_reading *r, const char *text, size_t len)
{
	struct bh_yaml_slice slice;
	struct bh_yaml_stream s;
	struct bh_yaml_err e;
	int ret;

	r->text = text;
	r->len = len;
	if (bh_yaml_open(&s, text, len, &e))
		return unseen(r, &e);
	s.line += (unsigned)r->line_shift;
	ret = bh_reuse_new(r, &r->reuse);
	while (!ret && bh_yaml_next(&s, &slice))
		ret = read_document(r, &s, &slice);
	bh_claims_sort(&r->claims);
	return ret;
}

void bh_reading_done(struct bh_reading *r)
{
	bh_claims_done(&r->claims);
	bh_problems_done(&r->problems);
	bh_words_unref(r->words);
	free(r->reuse);
	free(r->unseen);
	*r = (struct bh_reading){0};
}

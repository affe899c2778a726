#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "detect/generate_parts.h"
#include "policy/yaml.h"

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int bh_gen_keys(const struct bh_gen_input *in, enum bh_base_kind kind, struct bh_gen_keys *ret)
{
	const struct bh_map *facts = &in->baseline->facts[kind];
	struct bh_map_entry *e;
	size_t pos = 0;

	*ret = (struct bh_gen_keys){.v = calloc(facts->count + 1, sizeof(*ret->v))};
	if (!ret->v)
		return -ENOMEM;
	while ((e = bh_map_next(facts, &pos))) {
		const struct bh_base_fact *f = e->value;

		if (f->is_confirmed || !in->only_confirmed)
			ret->v[ret->n++] = e->key;
	}
	qsort(ret->v, ret->n, sizeof(*ret->v), text_cmp);
	return 0;
}

void bh_gen_keys_done(struct bh_gen_keys *k)
{
	free(k->v);
	*k = (struct bh_gen_keys){0};
}

void bh_gen_labels(const struct bh_labels *l, struct bh_str *out)
{
	size_t i;

	bh_str_add(out, "{matchLabels: {");
	for (i = 0; i < l->n; i++) {
		bh_str_add(out, i ? ", " : "");
		bh_yaml_dump_string(l->v[i].key, out);
		bh_str_add(out, ": ");
		bh_yaml_dump_string(l->v[i].value, out);
	}
	bh_str_add(out, "}}");
}

void bh_gen_head(const struct bh_gen_input *in, const char *api, const char *kind,
		 struct bh_str *out)
{
	const struct bh_baseline *b = in->baseline;

	bh_str_fmt(out, "# From the baseline of %s %s/%s, container %s, %u starts.\n",
		   b->owner_kind, b->ns, b->owner, b->container, b->starts);
	bh_str_fmt(out, "apiVersion: %s\nkind: %s\nmetadata: {name: ", api, kind);
	bh_yaml_dump_string(b->owner, out);
	bh_str_add(out, ", namespace: ");
	bh_yaml_dump_string(b->ns, out);
	bh_str_add(out, "}\nspec:\n  podSelector: ");
	bh_gen_labels(&in->labels, out);
	bh_str_add(out, "\n");
}

int bh_gen_parse(const char *text, struct bh_objects **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_objects_freep) struct bh_objects *o = NULL;
	struct bh_problems problems = {0};
	bool changed;
	size_t i;
	int r = bh_objects_new(&(struct bh_objects_options){0}, &o, err);

	if (!r)
		r = bh_objects_load(o, "generated", text, strlen(text), &changed, err);
	if (!r && bh_objects_problems(o, &problems))
		r = bh_fail(err, ENOMEM, "reading back");
	for (i = 0; !r && i < problems.n; i++) {
		if (problems.v[i].level == BH_PROBLEM_ERROR)
			r = bh_fail(err, EPROTO, "what was generated is not valid: %u:%u: %s",
				    problems.v[i].line, problems.v[i].col, problems.v[i].text);
	}
	bh_problems_done(&problems);
	if (!r)
		*ret = BH_TAKE(o);
	return r;
}

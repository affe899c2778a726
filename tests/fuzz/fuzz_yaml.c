/* Manifests: the tree on its own, then the object set that is fed with it between good versions. */
#include <stdlib.h>
#include <string.h>

#include "policy/objects.h"
#include "policy/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			abort();                                                                   \
	} while (0)

static const char good[] =
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: "
	"shop}\n"
	"spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: http}]}]}\n---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\n"
	"status: {podIP: 10.0.0.1}\n";

static void check_sentence(const char *text)
{
	size_t left = strlen(text), n;

	CHECK(left);
	for (; left; text += n, left -= n) {
		n = bh_utf8_len(text, left);
		CHECK(n && (n > 1 || ((unsigned char)*text >= 0x20 && *text != 0x7f)));
	}
}

/* What is dumped is read back alike. */
static void dump_again(const struct bh_yaml *root)
{
	struct bh_str out = {0}, again = {0};
	struct bh_yaml_doc *doc = NULL;
	struct bh_yaml_stream s;
	struct bh_yaml_slice slice;
	struct bh_yaml_err e;

	bh_yaml_dump(root, &out);
	if (!out.failed && out.n < BH_YAML_MAX_BYTES && root->weight < BH_YAML_MAX_NODES / 2) {
		CHECK(!bh_yaml_open(&s, out.s, out.n, &e));
		CHECK(bh_yaml_next(&s, &slice));
		CHECK(!bh_yaml_parse(&s, &slice, &doc, &e));
		bh_yaml_dump(bh_yaml_root(doc), &again);
		CHECK(!strcmp(bh_str_text(&out), bh_str_text(&again)));
		bh_yaml_doc_free(doc);
	}
	bh_str_done(&out);
	bh_str_done(&again);
}

static void read_tree(const char *text, size_t size)
{
	struct bh_yaml_stream s;
	struct bh_yaml_slice slice;
	struct bh_yaml_doc *doc;
	struct bh_yaml_err e;

	if (bh_yaml_open(&s, text, size, &e)) {
		CHECK(*e.err.text);
		return;
	}
	while (bh_yaml_next(&s, &slice)) {
		CHECK(slice.s >= text && slice.s + slice.n <= text + size);
		if (bh_yaml_parse(&s, &slice, &doc, &e)) {
			CHECK(*e.err.text && e.line && e.col);
			continue;
		}
		if (bh_yaml_root(doc)->type != BH_YAML_NULL)
			dump_again(bh_yaml_root(doc));
		bh_yaml_doc_free(doc);
	}
}

static struct bh_objects *objects(void)
{
	struct bh_objects_options opt = {.keep_text = true};
	struct bh_objects *o = NULL;
	struct bh_err err;

	CHECK(!bh_objects_new(&opt, &o, &err));
	bh_objects_set_time(o, 1800000000);
	return o;
}

static bool load(struct bh_objects *o, const char *text, size_t size)
{
	bool changed = false;
	struct bh_err err;

	CHECK(!bh_objects_load(o, "f", text, size, &changed, &err));
	return changed;
}

static struct bh_world *world(const struct bh_objects *o)
{
	struct bh_world *w = NULL;
	struct bh_err err;

	CHECK(!bh_world_new(&w, &err));
	CHECK(!bh_objects_fill(o, w, &err));
	CHECK(!bh_world_seal(w, &err));
	return w;
}

static void check_problems(const struct bh_objects *o)
{
	struct bh_problems all = {0};

	CHECK(!bh_objects_problems(o, &all));
	for (size_t i = 0; i < all.n; i++)
		check_sentence(all.v[i].text);
	bh_problems_done(&all);
}

static int restore(const char *key, const char *file, const char *text, void *arg)
{
	struct bh_err err;

	CHECK(!bh_objects_restore(arg, key, file, text, &err));
	return 0;
}

static int check_state(const struct bh_policy_state *s, void *arg)
{
	(void)arg;
	CHECK(s->is_live == !s->why);
	if (s->why)
		check_sentence(s->why);
	return 0;
}

/* What was saved comes back as the same world. */
static void check_saved(const struct bh_objects *o)
{
	struct bh_objects *again = objects();
	struct bh_world *a = world(o), *b;

	CHECK(!bh_objects_saved(o, restore, again));
	b = world(again);
	CHECK(a->n_pods == b->n_pods && a->n_policies == b->n_policies);
	for (size_t i = 0; i < a->n_pods; i++)
		CHECK(a->pods[i]->ident == b->pods[i]->ident &&
		      a->pods[i]->n_ips == b->pods[i]->n_ips);
	for (size_t i = 0; i < a->n_policies; i++)
		CHECK(!strcmp(a->policies[i]->pods.text, b->policies[i]->pods.text));
	bh_world_unref(a);
	bh_world_unref(b);
	bh_objects_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct bh_objects *o;
	bool changed;

	read_tree(text, size);
	o = objects();
	CHECK(load(o, good, sizeof(good) - 1));
	load(o, text, size);
	check_problems(o);
	check_saved(o);
	CHECK(!bh_objects_policies(o, check_state, NULL));
	CHECK(!load(o, text, size));
	load(o, good, sizeof(good) - 1);
	CHECK(bh_objects_pod(o, "shop", "web"));
	CHECK(!bh_objects_unload(o, "f", &changed));
	CHECK(changed);
	bh_objects_free(o);
	return 0;
}

/* baseline_file.c - baselines as text, and signed. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/vec.h"
#include "detect/baseline_seq.h"

#define API	  "bulkhead.io/v1alpha1"
#define MAX_TEXT  (16u << 20)
#define MAX_COUNT 1000000000
#define NOT_AFTER 4102444800 /* 2100: times beyond it are nonsense */

BH_VEC_TYPE(keys, const struct bh_map_entry *);

static int entry_cmp(const void *pa, const void *pb)
{
	const struct bh_map_entry *a = *(const struct bh_map_entry *const *)pa;
	const struct bh_map_entry *b = *(const struct bh_map_entry *const *)pb;

	return strcmp(a->key, b->key);
}

static int sorted(const struct bh_map *m, struct keys *ret)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(m, &pos))) {
		if (bh_vec_push(ret, e))
			return -ENOMEM;
	}
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), entry_cmp);
	return 0;
}

/* ---- writing ---- */

static void add_json(struct bh_str *out, json_t *take_value)
{
	BH_CLEANUP(bh_freep) char *text = json_dumps(take_value, JSON_COMPACT | JSON_ENCODE_ANY);

	if (text)
		bh_str_add(out, text);
	else
		out->failed = true;
	json_decref(take_value);
}

/* The replicas that have seen the fact in the slice they are in: one bit each. */
static int now_of(const struct bh_baseline *b, const struct bh_base_fact *f)
{
	int bits = 0, i;

	for (i = 0; i < BH_BASE_REPLICAS; i++)
		bits |= (b->unit_of[i] && f->last_unit[i] == b->unit_of[i]) << i;
	return bits;
}

static int write_kind(const struct bh_baseline *b, enum bh_base_kind kind, struct bh_str *out)
{
	struct keys keys = {0};
	size_t i;
	int r = sorted(&b->facts[kind], &keys);

	bh_str_fmt(out, "%s\n  \"%s\": [", kind ? "," : "", bh_base_kind_name(kind));
	for (i = 0; !r && i < keys.n; i++) {
		const struct bh_base_fact *f = keys.v[i]->value;

		bh_str_add(out, i ? ",\n   " : "\n   ");
		add_json(out, json_pack("{s:s, s:i, s:i, s:i, s:b, s:I, s:I, s:o*}", "key",
					keys.v[i]->key, "units", (int)f->units, "replicas",
					(int)f->replicas, "seenBy", (int)f->sound, "confirmed",
					(int)f->is_confirmed, "first", (json_int_t)f->first_s,
					"last", (json_int_t)f->last_s, "now",
					b->is_closed ? NULL : json_integer(now_of(b, f))));
	}
	bh_str_add(out, keys.n ? "\n  ]" : "]");
	bh_vec_done(&keys);
	return r;
}

static void write_bloom(const struct bh_baseline *b, struct bh_str *out)
{
	char *text = b->bloom ? malloc(2 * BH_BASE_BLOOM + 1) : NULL;

	if (!text) {
		out->failed |= b->bloom != NULL;
		return;
	}
	bh_hex(b->bloom, BH_BASE_BLOOM, text);
	bh_str_fmt(out, ",\n \"bigrams\": \"%s\"", text);
	free(text);
}

/* Where learning stands, so that it goes on from there. */
static void write_progress(const struct bh_baseline *b, struct bh_str *out)
{
	uint32_t n = b->n_held_out < BH_BASE_HELD ? b->n_held_out : BH_BASE_HELD, i;

	bh_str_fmt(out,
		   ",\n \"progress\": {\"slice\": %llu, \"suspects\": %u, \"heldOut\": %u, "
		   "\"in\": [",
		   (unsigned long long)b->opt.slice_ns, b->suspects, b->n_held_out);
	for (i = 0; i < BH_BASE_REPLICAS; i++)
		bh_str_fmt(out, "%s%u", i ? ", " : "", b->unit_of[i]);
	bh_str_add(out, "], \"scores\": [");
	for (i = 0; i < BH_BASE_REPLICAS; i++)
		bh_str_fmt(out, "%s%.3f", i ? ", " : "", b->unit_score[i]);
	bh_str_add(out, "], \"normal\": [");
	for (i = 0; i < n; i++)
		bh_str_fmt(out, "%s%.3f", i ? ", " : "", b->held_out[i]);
	bh_str_add(out, "]}");
}

int bh_baseline_write(const struct bh_baseline *b, struct bh_str *out)
{
	int i, r = 0;

	bh_str_add(out, "{\"apiVersion\": \"" API "\", \"kind\": \"Baseline\",\n \"workload\": ");
	add_json(out, json_pack("{s:s, s:s, s:s, s:s, s:s, s:o*}", "namespace", b->ns, "ownerKind",
				b->owner_kind, "owner", b->owner, "container", b->container,
				"imageDigest", b->image_digest, "guessed",
				b->is_guessed ? json_true() : NULL));
	bh_str_add(out, ",\n \"replicas\": [");
	for (i = 0; i < BH_BASE_REPLICAS; i++)
		bh_str_fmt(out, "%s\"%016llx\"", i ? ", " : "", (unsigned long long)b->replica[i]);
	bh_str_fmt(out,
		   "],\n \"closed\": %s, \"starts\": %u, \"units\": %u, \"overflow\": %llu, "
		   "\"threshold\": %.3f",
		   b->is_closed ? "true" : "false", b->starts, b->units,
		   (unsigned long long)b->overflow, b->threshold);
	if (!b->is_closed)
		write_progress(b, out);
	bh_str_add(out, ",\n \"facts\": {");
	for (i = 0; !r && i < BH_BASE_KINDS; i++)
		r = write_kind(b, (enum bh_base_kind)i, out);
	bh_str_add(out, "\n }");
	write_bloom(b, out);
	if (!r)
		r = bh_base_seq_write(b, out);
	bh_str_add(out, "}\n");
	return r || out->failed ? -ENOMEM : 0;
}

/* ---- reading ---- */

static int read_fact(struct bh_baseline *b, enum bh_base_kind kind, const json_t *j,
		     struct bh_err *err)
{
	int64_t units = 1, replicas = 0, sound = 0, now = 0, first = 0, last = 0;
	struct bh_base_fact *f;
	bool confirmed = false;
	const char *key = NULL;
	int r = bh_json_get_str(j, "key", true, &key, err);

	if (!r && (!*key || strlen(key) >= BH_BASE_KEY))
		r = bh_fail(err, EINVAL, "a key has %zu bytes", strlen(key));
	if (!r)
		r = bh_json_get_int(j, "units", true, 1, MAX_COUNT, &units, err);
	if (!r)
		r = bh_json_get_int(j, "replicas", true, 0, UINT8_MAX, &replicas, err);
	if (!r)
		r = bh_json_get_int(j, "seenBy", false, 0, UINT8_MAX, &sound, err);
	if (!r)
		r = bh_json_get_int(j, "now", false, 0, UINT8_MAX, &now, err);
	if (!r)
		r = bh_json_get_bool(j, "confirmed", true, &confirmed, err);
	if (!r)
		r = bh_json_get_int(j, "first", true, 0, NOT_AFTER, &first, err);
	if (!r)
		r = bh_json_get_int(j, "last", true, first, NOT_AFTER, &last, err);
	if (r)
		return r;
	if (bh_map_get_s(&b->facts[kind], key))
		return bh_fail(err, EINVAL, "'%s' is there twice", key);
	f = calloc(1, sizeof(*f));
	if (!f || bh_map_set_s(&b->facts[kind], key, f)) {
		free(f);
		return bh_fail(err, ENOMEM, "baseline");
	}
	*f = (struct bh_base_fact){.units = (uint32_t)units,
				   .replicas = (uint8_t)replicas,
				   .sound = (uint8_t)sound,
				   .is_confirmed = confirmed,
				   .first_s = first,
				   .last_s = last};
	for (int i = 0; i < BH_BASE_REPLICAS; i++)
		f->last_unit[i] = now >> i & 1 ? b->unit_of[i] : 0;
	return 0;
}

static int read_facts(struct bh_baseline *b, const json_t *root, struct bh_err *err)
{
	json_t *facts = NULL, *list;
	int i, r = bh_json_get_obj(root, "facts", true, &facts, err);
	size_t k;

	for (i = 0; !r && i < BH_BASE_KINDS; i++) {
		list = NULL;
		r = bh_json_get_arr(facts, bh_base_kind_name((enum bh_base_kind)i), false, &list,
				    err);
		if (!r && json_array_size(list) > BH_BASE_MAX_KEYS)
			r = bh_fail(err, E2BIG, "more than %d keys", BH_BASE_MAX_KEYS);
		for (k = 0; !r && k < json_array_size(list); k++)
			r = read_fact(b, (enum bh_base_kind)i, json_array_get(list, k), err);
		if (r)
			r = bh_note(err, r, "%s", bh_base_kind_name((enum bh_base_kind)i));
	}
	return r;
}

static int nibble(char c)
{
	const char *at = c ? strchr("0123456789abcdef", c) : NULL;

	return at ? (int)(at - "0123456789abcdef") : -1;
}

static int read_bloom(struct bh_baseline *b, const json_t *root, struct bh_err *err)
{
	const char *text = NULL;
	size_t i;
	int r = bh_json_get_str(root, "bigrams", false, &text, err);

	if (r || !text)
		return r;
	if (strlen(text) != 2 * BH_BASE_BLOOM)
		return bh_fail(err, EINVAL, "'bigrams' has %zu digits", strlen(text));
	b->bloom = calloc(1, BH_BASE_BLOOM);
	if (!b->bloom)
		return bh_fail(err, ENOMEM, "baseline");
	for (i = 0; i < BH_BASE_BLOOM; i++) {
		int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return bh_fail(err, EINVAL, "'bigrams' is not hexadecimal");
		b->bloom[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

static int read_replicas(struct bh_baseline *b, const json_t *root, struct bh_err *err)
{
	json_t *list = NULL;
	size_t i;
	int r = bh_json_get_arr(root, "replicas", false, &list, err);

	for (i = 0; !r && i < BH_BASE_REPLICAS && i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
			return bh_fail(err, EINVAL, "'replicas' has '%.20s'", text ? text : "");
		b->replica[i] = strtoull(text, NULL, 16);
	}
	return r;
}

/* Up to max numbers; how many. */
static uint32_t read_numbers(const json_t *j, const char *key, double *ret, uint32_t max)
{
	const json_t *list = json_object_get(j, key);
	uint32_t n = 0;

	for (; n < max && n < json_array_size(list); n++)
		ret[n] = fmin(fmax(json_number_value(json_array_get(list, n)), 0), UINT32_MAX);
	return n;
}

static int read_progress(struct bh_baseline *b, const json_t *root, struct bh_err *err)
{
	int64_t slice = (int64_t)b->opt.slice_ns, suspects = 0, held = 0;
	double in[BH_BASE_REPLICAS] = {0};
	json_t *j = NULL;
	uint32_t n;
	int r = bh_json_get_obj(root, "progress", false, &j, err);

	if (r || !j)
		return r;
	r = bh_json_get_int(j, "slice", true, 1, INT64_MAX, &slice, err);
	if (!r)
		r = bh_json_get_int(j, "suspects", true, 0, UINT8_MAX, &suspects, err);
	if (!r)
		r = bh_json_get_int(j, "heldOut", true, 0, MAX_COUNT, &held, err);
	if (r)
		return bh_note(err, r, "progress");
	b->opt.slice_ns = (uint64_t)slice;
	b->suspects = (uint8_t)suspects;
	n = read_numbers(j, "normal", b->held_out, BH_BASE_HELD);
	b->n_held_out = n < BH_BASE_HELD ? n : (uint32_t)held;
	read_numbers(j, "scores", b->unit_score, BH_BASE_REPLICAS);
	read_numbers(j, "in", in, BH_BASE_REPLICAS);
	for (int i = 0; i < BH_BASE_REPLICAS; i++)
		b->unit_of[i] = (uint32_t)in[i];
	return 0;
}

static int read_head(const json_t *root, struct bh_baseline **ret, struct bh_err *err)
{
	static const char *const names[] = {"namespace", "ownerKind", "owner", "container",
					    "imageDigest"};
	const char *api = NULL, *kind = NULL;
	struct bh_subject s = {0};
	const char **const into[] = {&s.ns, &s.owner_kind, &s.owner, &s.container, &s.image_digest};
	json_t *workload = NULL;
	int i, r = bh_json_get_str(root, "apiVersion", true, &api, err);

	if (!r)
		r = bh_json_get_str(root, "kind", true, &kind, err);
	if (!r && (strcmp(api, API) || strcmp(kind, "Baseline")))
		r = bh_fail(err, EINVAL, "%s %s is not a Baseline of " API, api, kind);
	if (!r)
		r = bh_json_get_obj(root, "workload", true, &workload, err);
	for (i = 0; !r && i < 5; i++)
		r = bh_json_get_str(workload, names[i], true, into[i], err);
	if (!r)
		r = bh_json_get_bool(workload, "guessed", false, &s.is_guessed, err);
	return r ? r : bh_baseline_new(&s, NULL, ret, err);
}

int bh_baseline_read(const char *text, size_t len, struct bh_baseline **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	int64_t starts = 0, units = 0, overflow = 0;
	double threshold;
	int r = bh_json_parse(text, len, MAX_TEXT, &root, err);

	if (!r)
		r = read_head(root, &b, err);
	if (!r)
		r = bh_json_get_bool(root, "closed", true, &b->is_closed, err);
	if (!r)
		r = bh_json_get_int(root, "starts", true, 0, MAX_COUNT, &starts, err);
	if (!r)
		r = bh_json_get_int(root, "units", true, 0, MAX_COUNT, &units, err);
	if (!r)
		r = bh_json_get_int(root, "overflow", true, 0, INT64_MAX, &overflow, err);
	if (!r)
		r = read_progress(b, root, err);
	if (!r)
		r = read_facts(b, root, err);
	if (!r)
		r = read_bloom(b, root, err);
	if (!r)
		r = bh_base_seq_read(b, root, err);
	if (!r)
		r = read_replicas(b, root, err);
	if (r)
		return bh_note(err, r, "baseline");
	threshold = json_number_value(json_object_get(root, "threshold"));
	if (threshold > BH_BASE_LEAST_THRESHOLD)
		b->threshold = threshold;
	b->starts = (uint32_t)starts;
	b->units = (uint32_t)units;
	b->overflow = (uint64_t)overflow;
	*ret = BH_TAKE(b);
	return 0;
}

/* ---- comparing ---- */

static void diff_line(char sign, enum bh_base_kind kind, const char *key, struct bh_str *out)
{
	bh_str_fmt(out, "%c %s ", sign, bh_base_kind_name(kind));
	for (; *key; key++) {
		if (*key == '\n' || *key == '\\')
			bh_str_add(out, *key == '\n' ? "\\n" : "\\\\");
		else
			bh_str_addn(out, key, 1);
	}
	bh_str_add(out, "\n");
}

static size_t diff_kind(const struct bh_baseline *a, const struct bh_baseline *b,
			enum bh_base_kind kind, struct bh_str *out)
{
	struct keys ka = {0}, kb = {0};
	size_t i = 0, k = 0, n = 0;

	if (sorted(&a->facts[kind], &ka) || sorted(&b->facts[kind], &kb))
		out->failed = true;
	while (i < ka.n || k < kb.n) {
		int order = i == ka.n ? 1 : k == kb.n ? -1 : entry_cmp(&ka.v[i], &kb.v[k]);

		if (order)
			diff_line(order < 0 ? '-' : '+', kind, (order < 0 ? ka.v[i] : kb.v[k])->key,
				  out);
		n += order != 0;
		i += order <= 0;
		k += order >= 0;
	}
	bh_vec_done(&ka);
	bh_vec_done(&kb);
	return n;
}

size_t bh_baseline_diff(const struct bh_baseline *a, const struct bh_baseline *b,
			struct bh_str *out)
{
	size_t n = 0;
	int i;

	for (i = 0; i < BH_BASE_KINDS; i++)
		n += diff_kind(a, b, (enum bh_base_kind)i, out);
	return n + bh_base_seq_diff(a, b, out);
}

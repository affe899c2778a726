/* Every JSON and DER input of the signature vectors with something small changed in it, as deep as
 * the formats go: manifests, payloads, bundles, statements, log entries, checkpoints, certificates
 * with their lists of SCTs, timestamps, envelopes of notation, trusted roots. Digests are put right
 * again on the way, as somebody who may write to the registry would.
 *
 * Nothing crashes or hangs, what was refused stays refused, and what was accepted is refused when
 * the change is in anything that was signed.
 *
 * BH_MUTANTS: how many of each vector (24), BH_MUTANTS_S: at most so many seconds (60), which on a
 * slow machine leaves some out; BH_MUTANTS_SEED (1); ONLY: one vector; BH_SIGNATURES as elsewhere.
 */
#include "verify_set.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/map.h"
#include "mutate.h"

#define MUTANTS	   24
#define SECONDS	   60
#define ROUND	   8 /* mutants of a vector before the next one has its turn */
#define HANG_S	   20
#define MEMORY_KIB (64 << 10) /* as much as a worker may take */

/* ---- a layout in memory ---- */

#define MAX_THINGS 256
#define MAX_THING  (1u << 20)

struct thing {
	char digest[BH_DIGEST_TEXT];
	struct bh_blob bytes;
	bool is_signature; /* a manifest of signatures or a blob of one */
};

struct store {
	struct thing v[MAX_THINGS];
	size_t n;
	json_t *index;
	const char *image;
	struct bh_image_source source;
};

static struct thing *find(struct store *s, const char *digest)
{
	for (size_t i = 0; digest && i < s->n; i++)
		if (!strcmp(s->v[i].digest, digest))
			return &s->v[i];
	return NULL;
}

static enum bh_fetch get_blob(void *ctx, const char *digest, size_t limit, struct bh_blob *ret,
			      struct bh_fetch_why *why)
{
	struct thing *t = find(ctx, digest);

	if (!t)
		return BH_FETCH_ABSENT;
	if (t->bytes.n > limit) {
		why->word = BH_WORD_TOO_LARGE;
		bh_fail(&why->err, EFBIG, "too large");
		return BH_FETCH_REFUSED;
	}
	assert_int_equal(bh_blob_copy(t->bytes.v, t->bytes.n, ret), 0);
	return BH_FETCH_FOUND;
}

static enum bh_fetch get_manifest(void *ctx, const char *reference, size_t limit,
				  struct bh_blob *ret, struct bh_fetch_why *why)
{
	struct store *s = ctx;
	json_t *m;
	size_t i;

	if (strchr(reference, ':'))
		return get_blob(ctx, reference, limit, ret, why);
	json_array_foreach(json_object_get(s->index, "manifests"), i, m)
	{
		const json_t *notes = json_object_get(m, "annotations");
		const char *tag = json_string_value(
			json_object_get(notes, "org.opencontainers.image.ref.name"));

		if (bh_streq(tag, reference))
			return get_blob(ctx, json_string_value(json_object_get(m, "digest")), limit,
					ret, why);
	}
	return BH_FETCH_ABSENT;
}

static json_t *parse(const struct bh_blob *b)
{
	return json_loadb((char *)b->v, b->n, 0, NULL);
}

static enum bh_fetch get_referrers(void *ctx, const char *digest, unsigned int page,
				   struct bh_blob *ret, bool *ret_more, struct bh_fetch_why *why)
{
	struct store *s = ctx;
	json_t *list = json_array(), *index = json_pack("{s:o}", "manifests", list), *m;
	size_t i;

	(void)page;
	(void)why;
	json_array_foreach(json_object_get(s->index, "manifests"), i, m)
	{
		const char *own = json_string_value(json_object_get(m, "digest"));
		struct thing *t = find(s, own);
		json_t *j = t ? parse(&t->bytes) : NULL;
		const json_t *subject = json_object_get(j, "subject");

		if (bh_streq(json_string_value(json_object_get(subject, "digest")), digest))
			json_array_append_new(list, json_pack("{s:s}", "digest", own));
		json_decref(j);
	}
	ret->v = (unsigned char *)json_dumps(index, 0);
	ret->n = strlen((char *)ret->v);
	*ret_more = false;
	json_decref(index);
	return BH_FETCH_FOUND;
}

static int load_thing(const char *path, void *arg)
{
	struct store *s = arg;
	const char *name = strrchr(path, '/') + 1;
	struct thing *t = &s->v[s->n];

	assert_true(s->n < MAX_THINGS);
	snprintf(t->digest, sizeof(t->digest), "sha256:%s", name);
	if (strlen(name) == 64 && kit_read(path, &t->bytes) && t->bytes.n <= MAX_THING)
		s->n++;
	else
		bh_blob_done(&t->bytes);
	return 0;
}

/* Everything that index.json leads to but the image. */
static void mark(struct store *s, const json_t *list, int depth)
{
	const json_t *m;
	size_t i;

	json_array_foreach(list, i, m)
	{
		const char *digest = json_string_value(json_object_get(m, "digest"));
		struct thing *t = find(s, digest);
		json_t *j = t && strcmp(digest, s->image) ? parse(&t->bytes) : NULL;

		if (t && strcmp(digest, s->image))
			t->is_signature = true;
		if (depth) {
			mark(s, json_object_get(j, "layers"), 0);
			mark(s, json_object_get(j, "manifests"), depth - 1);
		}
		json_decref(j);
	}
}

static void load(struct store *s, const json_t *vector)
{
	const char *name = json_string_value(json_object_get(vector, "layout"));
	char *dir = bh_strf("%s/layouts/%s/blobs/sha256", set_dir, name);
	char *index = bh_strf("%s/layouts/%s/index.json", set_dir, name);
	struct bh_err err;

	s->image = json_string_value(json_object_get(vector, "digest"));
	s->index = json_load_file(index, 0, NULL);
	assert_non_null(s->index);
	bh_assert_ok(&err, bh_fs_walk(dir, load_thing, s, &err));
	mark(s, json_object_get(s->index, "manifests"), 2);
	free(dir);
	free(index);
}

static void store_done(struct store *s)
{
	for (size_t i = 0; i < s->n; i++)
		bh_blob_done(&s->v[i].bytes);
	json_decref(s->index);
	free(s);
}

static struct store *copy_of(const struct store *from)
{
	struct store *s = calloc(1, sizeof(*s));

	*s = *from;
	s->index = json_deep_copy(from->index);
	for (size_t i = 0; i < s->n; i++)
		assert_int_equal(
			bh_blob_copy(from->v[i].bytes.v, from->v[i].bytes.n, &s->v[i].bytes), 0);
	return s;
}

/* ---- one mutant ---- */

/* Descriptors of `old` become those of t. */
static bool point_to(json_t *j, const char *old, const struct thing *t)
{
	bool is_changed = false;
	const char *key;
	json_t *value;
	size_t i;

	if (bh_streq(json_string_value(json_object_get(j, "digest")), old)) {
		json_object_set_new(j, "digest", json_string(t->digest));
		json_object_set_new(j, "size", json_integer((json_int_t)t->bytes.n));
		is_changed = true;
	}
	json_object_foreach(j, key, value) is_changed |= point_to(value, old, t);
	json_array_foreach(j, i, value) is_changed |= point_to(value, old, t);
	return is_changed;
}

/* Whoever may write to a registry puts digests right. */
static void put_right(struct store *s, struct thing *t, int depth)
{
	char old[BH_DIGEST_TEXT];

	memcpy(old, t->digest, sizeof(old));
	assert_true(bh_digest_of(t->bytes.v, t->bytes.n, t->digest));
	point_to(s->index, old, t);
	for (size_t i = 0; i < s->n && depth; i++) {
		struct thing *other = &s->v[i];
		json_t *j = other->is_signature && other != t ? parse(&other->bytes) : NULL;

		if (j && point_to(j, old, t)) {
			bh_blob_done(&other->bytes);
			other->bytes.v = (unsigned char *)json_dumps(j, JSON_COMPACT);
			other->bytes.n = strlen((char *)other->bytes.v);
			put_right(s, other, depth - 1);
		}
		json_decref(j);
	}
}

static const char *what_is(const struct thing *t)
{
	static const struct {
		const char *member, *name;
	} rows[] = {{"\"layers\"", "manifest"},		{"\"manifests\"", "index"},
		    {"verificationMaterial", "bundle"}, {"\"critical\"", "payload"},
		    {"\"payloadType\"", "envelope"},	{"\"protected\"", "jws"}};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		if (memmem(t->bytes.v, t->bytes.n, rows[i].member, strlen(rows[i].member)))
			return rows[i].name;
	return "bytes";
}

/* Written in another way, or put back where it was. */
static bool is_same(const struct bh_blob *old, const struct bh_blob *new)
{
	json_t *a = parse(old), *b = parse(new);
	bool is_equal = a && b ? json_equal(a, b) : bh_blob_is(old, new->v, new->n);

	json_decref(a);
	json_decref(b);
	return is_equal;
}

/* false: there is nothing in the layout that could be changed, or nothing was. */
static bool mutate_store(struct store *s, struct mutation *m)
{
	size_t n = 0, at;
	struct thing *t = NULL;
	struct bh_blob old;
	bool is_equal;

	for (size_t i = 0; i < s->n; i++)
		n += s->v[i].is_signature;
	if (!n)
		return false;
	at = mutate_below(m, n);
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].is_signature && !at--)
			t = &s->v[i];
	bh_str_add(&m->path, what_is(t));
	assert_int_equal(bh_blob_copy(t->bytes.v, t->bytes.n, &old), 0);
	mutate_any(m, &t->bytes, 0);
	is_equal = is_same(&old, &t->bytes);
	bh_blob_done(&old);
	put_right(s, t, 3);
	return !is_equal;
}

/* ---- judging ---- */

struct subject {
	const json_t *vector;
	const char *id;
	struct store *store;
	struct bh_image_policy *policy;
	struct bh_image_rules *rules;
	char *reference;
	bool is_good;
	size_t n_accepted;
};

static enum bh_image_answer judge(const struct subject *u, struct store *s,
				  const struct bh_image_rules *rules)
{
	const char *referrers = json_string_value(json_object_get(u->vector, "referrers"));
	struct bh_image_verdict v;
	struct bh_image_query q = {
		.reference = u->reference,
		.image = &s->source,
		.now_s = kit_time(u->vector, "now", 0),
	};
	enum bh_image_answer answer;

	s->source = (struct bh_image_source){
		.ctx = s,
		.name = "memory",
		.manifest = get_manifest,
		.blob = get_blob,
		.referrers =
			referrers && !strcmp(referrers, "off") ? kit_no_referrers : get_referrers,
	};
	alarm(HANG_S);
	bh_image_verify(rules, &q, &v);
	alarm(0);
	answer = v.answer;
	bh_image_verdict_done(&v);
	return answer;
}

/* Places that nobody signs: whatever is written there, the image stays the one that was signed, by
 * whom the policy names. Each stands for all below it. */
static bool is_unsigned(const char *id, const char *path)
{
	static const char *const places[] = {
		/* of the manifest only the digests of the layers lead to what is signed */
		"manifest.schemaVersion",
		"manifest.mediaType",
		"manifest.artifactType",
		"manifest.config",
		"manifest.subject",
		"manifest.annotations",
		"manifest.layers[].size",
		/* bundles are known by the beginning of their type */
		"manifest.layers[].mediaType",
		/* hints: the statement says its type, the key is the policy's, the chain ends at
		   the policy's roots */
		"manifest.layers[].annotations.predicateType",
		"manifest.layers[].annotations.dev.sigstore.cosign/chain",
		"bundle.verificationMaterial.publicKey",
		"bundle.dsseEnvelope.signatures[].keyid",
		"envelope.signatures[].keyid",
		"jws.header.io.cncf.notary.signingAgent",
		/* certificates that come with a timestamp: the trust root has the right one */
		("manifest.layers[].annotations.dev.sigstore.cosign/rfc3161timestamp."
		 "SignedRFC3161Timestamp>b64>der/30/30/a0/30/a0"),
		/* the list of referrers by its tag */
		"index.",
		/* a key needs the log's proof, not its promise */
		"bundle.verificationMaterial.tlogEntries[].inclusionPromise",
	};
	size_t n = strlen(path);

	/* more of the same, or what nobody knows: seen in signed texts by their signature */
	if (n > 7 &&
	    (!strcmp(path + n - 7, "+member") || (n > 8 && !strcmp(path + n - 8, "+element"))))
		return true;
	/* Rekor 2 has one index, and that is the proof's */
	if (!strcmp(id, "bundle-keyless-r2") &&
	    !strcmp(path, "bundle.verificationMaterial.tlogEntries[].logIndex"))
		return true;
	for (size_t i = 0; i < BH_ARRAY_SIZE(places); i++)
		if (!strncmp(path, places[i], strlen(places[i])))
			return true;
	return false;
}

/* Vectors with one signature and nothing that the policy does not need. */
static bool is_strict(const char *id)
{
	static const char *const ids[] = {
		"classic-ec256",       "classic-rsa3072",      "classic-ed25519",
		"classic-annotations", "classic-key-r1",       "classic-key-tsa",
		"classic-keyless-r1",  "classic-byo-chain",    "bundle-ec256",
		"bundle-ec384",	       "bundle-rsa2048",       "bundle-annotations",
		"bundle-key-r1",       "bundle-key-tsa",       "bundle-keyless-r1",
		"bundle-keyless-r2",   "bundle-keyless-email", "notation-jws",
		"bundle-att-slsa1",    "bundle-att-vuln-low",
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(ids); i++)
		if (!strcmp(id, ids[i]))
			return true;
	return false;
}

/* Refused for something that nobody signed, or that was added: a change can take it away, and what
 * is left then was signed by whom the policy names. */
static bool is_repairable(const char *id)
{
	static const char *const ids[] = {
		"neg-att-vuln-newer-critical", /* the newer report is gone; maxAge bounds that */
		"neg-bundle-two-contents",     "neg-bundle-two-signatures",
		"neg-payload-tampered", /* a claim that was added to the payload */
		"neg-layer-mediatype",	       "neg-bundle-layer-mediatype",
		"neg-layer-size-huge",
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(ids); i++)
		if (!strcmp(id, ids[i]))
			return true;
	return false;
}

static bool holds(const struct subject *u, const struct mutation *m)
{
	const char *path = m->path.s ? m->path.s : "";

	if (!u->is_good)
		return is_repairable(u->id);
	return !is_strict(u->id) || m->is_raw || is_unsigned(u->id, path);
}

static bool run_one(struct subject *u, uint64_t seed)
{
	struct mutation m = {.state = seed};
	struct store *s = copy_of(u->store);
	bool ok = true;

	if (mutate_store(s, &m) && judge(u, s, u->rules) == BH_IMAGE_ACCEPT) {
		u->n_accepted++;
		ok = holds(u, &m);
	}
	if (!ok)
		print_error("%s: seed %llu: accepted with a change in %s\n", u->id,
			    (unsigned long long)seed, m.path.s ? m.path.s : "");
	bh_str_done(&m.path);
	store_done(s);
	return ok;
}

/* The operator's own file: it may be refused or not, and nothing else may happen. */
static void run_root(struct subject *u, uint64_t seed)
{
	struct mutation m = {.state = seed};
	struct bh_blob *json = &u->policy->trust_roots.v[0].json, old = *json;
	struct bh_image_rules *rules = NULL;
	struct bh_err err;

	assert_int_equal(bh_blob_copy(old.v, old.n, json), 0);
	mutate_any(&m, json, 0);
	if (!bh_image_rules_new(u->policy, &rules, &err))
		judge(u, u->store, rules);
	bh_image_rules_free(rules);
	bh_blob_done(json);
	*json = old;
	bh_str_done(&m.path);
}

static void open_subject(struct subject *u, const json_t *vector)
{
	const char *by = json_string_value(json_object_get(vector, "by"));
	const char *ref = json_string_value(json_object_get(vector, "ref"));
	struct bh_err err;

	*u = (struct subject){.vector = vector, .store = calloc(1, sizeof(struct store))};
	u->id = json_string_value(json_object_get(vector, "id"));
	load(u->store, vector);
	u->policy = kit_policy(set_dir, json_object_get(vector, "policy"));
	bh_assert_ok(&err, bh_image_rules_new(u->policy, &u->rules, &err));
	u->reference = strcmp(by, "tag") ? bh_strf("r.test/a@%s", u->store->image)
					 : bh_strf("r.test/a:%s", ref);
	u->is_good = judge(u, u->store, u->rules) == BH_IMAGE_ACCEPT;
}

static void close_subject(struct subject *u)
{
	store_done(u->store);
	bh_image_rules_free(u->rules);
	bh_image_policy_free(u->policy);
	free(u->reference);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* Sanitizers keep what was freed. */
static bool has_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	return true;
#endif
#endif
	return false;
}

struct tally {
	uint64_t seed;
	size_t n, n_bad, n_accepted;
};

/* The k-th mutant of every vector. */
static void run_round(uint64_t k, struct tally *sum)
{
	const char *only = getenv("ONLY");
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(set, "vectors"), i, v)
	{
		uint64_t seed = sum->seed << 32 | i << 20 | k;
		struct subject u;

		if (!strcmp(json_string_value(json_object_get(v, "group")), "fault") ||
		    (only && strcmp(only, json_string_value(json_object_get(v, "id")))))
			continue;
		open_subject(&u, v);
		for (uint64_t j = 0; j < ROUND; j++, sum->n++)
			sum->n_bad += !run_one(&u, seed + j);
		if (u.policy->trust_roots.n)
			run_root(&u, seed);
		sum->n_accepted += u.n_accepted;
		close_subject(&u);
	}
}

static void test_all(void **state)
{
	uint64_t mutants = setting("BH_MUTANTS", MUTANTS),
		 seconds = setting("BH_MUTANTS_S", SECONDS);
	struct tally sum = {.seed = setting("BH_MUTANTS_SEED", 1)};
	time_t end = time(NULL) + (time_t)seconds;
	struct rusage used;

	(void)state;
	for (uint64_t k = 0; k < mutants && time(NULL) < end; k += ROUND)
		run_round(k, &sum);
	getrusage(RUSAGE_SELF, &used);
	print_message("%zu mutants, %zu of them accepted, %ld KiB\n", sum.n, sum.n_accepted,
		      used.ru_maxrss);
	assert_int_equal(sum.n_bad, 0);
	assert_true(sum.n > 0 && (getenv("ONLY") || sum.n_accepted < sum.n / 4));
	assert_true(has_sanitizer() || used.ru_maxrss < MEMORY_KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
	};

	return cmocka_run_group_tests(tests, load_set, drop_set);
}

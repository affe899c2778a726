/* Inclusion proofs against trees built here, and checkpoints signed here. */
#include "bh_test.h"

#include <openssl/evp.h>

#include "base/own.h"
#include "base/str.h"
#include "verify/merkle.h"
#include "verify/note.h"

#define MAX_LEAVES 33

/* ---- a tree as RFC 6962 defines it, from the top ---- */

static void leaf_hash(size_t i, unsigned char *ret)
{
	unsigned char bytes[2] = {0, (unsigned char)i};

	bh_sha256(bytes, 2, ret);
}

static size_t split(size_t n)
{
	size_t k = 1;

	while (k * 2 < n)
		k *= 2;
	return k;
}

static void tree_hash(size_t from, size_t n, unsigned char *ret)
{
	unsigned char both[1 + 2 * BH_SHA256_LEN] = {1}, half[BH_HASH_MAX];

	if (n == 1) {
		leaf_hash(from, ret);
		return;
	}
	tree_hash(from, split(n), half);
	memcpy(both + 1, half, BH_SHA256_LEN);
	tree_hash(from + split(n), n - split(n), half);
	memcpy(both + 1 + BH_SHA256_LEN, half, BH_SHA256_LEN);
	bh_sha256(both, sizeof(both), ret);
}

static void tree_path(size_t i, size_t from, size_t n, struct bh_inclusion *p)
{
	unsigned char other[BH_HASH_MAX];
	size_t k = n > 1 ? split(n) : 0;

	if (n == 1)
		return;
	if (i < k) {
		tree_path(i, from, k, p);
		tree_hash(from + k, n - k, other);
	} else {
		tree_path(i - k, from + k, n - k, p);
		tree_hash(from, k, other);
	}
	memcpy(p->hashes[p->n++], other, BH_SHA256_LEN);
}

static bool leads_to(const struct bh_inclusion *p, size_t leaf, const unsigned char *want)
{
	unsigned char byte = (unsigned char)leaf, root[BH_SHA256_LEN];
	struct bh_blob bytes = {&byte, 1};
	struct bh_flaw flaw;

	return !bh_merkle_root(p, &bytes, root, &flaw) && !memcmp(root, want, sizeof(root));
}

static void test_every_leaf(void **state)
{
	(void)state;
	for (size_t n = 1; n <= MAX_LEAVES; n++) {
		unsigned char root[BH_HASH_MAX];

		tree_hash(0, n, root);
		for (size_t i = 0; i < n; i++) {
			struct bh_inclusion p = {.index = (int64_t)i, .size = (int64_t)n};

			tree_path(i, 0, n, &p);
			assert_true(leads_to(&p, i, root));
			assert_false(leads_to(&p, i + 1, root));
			p.n++;
			assert_false(leads_to(&p, i, root));
			p.n--;
			if (!p.n)
				continue;
			p.n--;
			assert_false(leads_to(&p, i, root));
			p.n++;
			p.hashes[p.n / 2][7] ^= 1;
			assert_false(leads_to(&p, i, root));
		}
	}
}

static void test_outside(void **state)
{
	static const struct {
		int64_t index, size;
	} rows[] = {{1, 1}, {0, 0}, {-1, 1}, {0, -1}, {INT64_MAX, INT64_MAX}, {5, 4}};
	unsigned char root[BH_HASH_MAX];

	(void)state;
	tree_hash(0, 1, root);
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_inclusion p = {.index = rows[i].index, .size = rows[i].size};

		assert_false(leads_to(&p, 0, root));
	}
}

/* ---- checkpoints ---- */

struct rig {
	struct bh_log log;
	EVP_PKEY *key;
};

static int make_rig(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct bh_flaw flaw;

	r->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY_up_ref(r->key);
	assert_int_equal(bh_key_init(&r->log.key, r->key, &flaw), 0);
	memcpy(r->log.id, r->log.key.spki, sizeof(r->log.id));
	memcpy(r->log.note_id, r->log.id, sizeof(r->log.note_id));
	r->log.host = strdup("log.test");
	*state = r;
	return 0;
}

static int drop_rig(void **state)
{
	struct rig *r = *state;

	bh_key_done(&r->log.key);
	EVP_PKEY_free(r->key);
	free(r->log.host);
	free(r);
	return 0;
}

/* "— name base64(id | signature)" over the text. */
static char *sign_line(const struct rig *r, const char *text, const char *name)
{
	unsigned char sig[4 + 64];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;
	char *b64, *line;

	memcpy(sig, r->log.id, 4);
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, r->key), 1);
	assert_int_equal(
		EVP_DigestSign(ctx, sig + 4, &n, (const unsigned char *)text, strlen(text)), 1);
	EVP_MD_CTX_free(ctx);
	b64 = bh_b64_encode(sig, sizeof(sig));
	line = bh_strf("\xe2\x80\x94 %s %s\n", name, b64);
	free(b64);
	return line;
}

#define ROOT "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static bool holds(const struct rig *r, const char *text, const char *before, const char *name)
{
	char *line = sign_line(r, text, name), *note = bh_strf("%s\n%s%s", text, before, line);
	struct bh_checkpoint point = {.size = -1};
	struct bh_flaw flaw;
	bool ok = !bh_checkpoint_verify(note, &r->log, &point, &flaw);

	if (ok) {
		assert_int_equal(point.size, 42);
		assert_int_equal(point.root[31], 31);
	} else {
		assert_int_equal(flaw.word, BH_WORD_TLOG_CHECKPOINT);
	}
	free(note);
	free(line);
	return ok;
}

static void test_checkpoint(void **state)
{
	const struct rig *r = *state;
	const char *good = "log.test\n42\n" ROOT "\n";

	assert_true(holds(r, good, "", "log.test"));
	assert_true(holds(r, "log.test - 1234\n42\n" ROOT "\n", "", "log.test"));
	assert_true(holds(r, "log.test\n42\n" ROOT "\nextra line\n", "", "log.test"));
	assert_true(holds(r, good, "\xe2\x80\x94 witness.test AAAAAAAA\n", "log.test"));
	assert_true(holds(r, good, "no signature at all\n", "log.test"));
	assert_false(holds(r, good, "", "other.test"));
	assert_false(holds(r, good, "", "log"));
	assert_false(holds(r, "other.test\n42\n" ROOT "\n", "", "other.test"));
	assert_false(holds(r, "log.test2\n42\n" ROOT "\n", "", "log.test2"));
	assert_false(holds(r, "log.test\n042\n" ROOT "\n", "", "log.test"));
	assert_false(holds(r, "log.test\n-1\n" ROOT "\n", "", "log.test"));
	assert_false(holds(r, "log.test\n42\nAAAA\n", "", "log.test"));
	assert_false(holds(r, "log.test\n42\n", "", "log.test"));
}

/* The port of the log's URL may be left out of the origin, and nothing else may. */
static void test_checkpoint_port(void **state)
{
	struct rig *r = *state;
	char *host = r->log.host;

	r->log.host = strdup("log.test:8443");
	assert_true(holds(r, "log.test\n42\n" ROOT "\n", "", "log.test"));
	assert_true(holds(r, "log.test:8443 - 9\n42\n" ROOT "\n", "", "log.test:8443"));
	assert_false(holds(r, "log.test:1\n42\n" ROOT "\n", "", "log.test:1"));
	assert_false(holds(r, "log\n42\n" ROOT "\n", "", "log"));
	free(r->log.host);
	r->log.host = host;
}

/* The signature must be over the text that was read. */
static void test_checkpoint_changed(void **state)
{
	const struct rig *r = *state;
	char *line = sign_line(r, "log.test\n41\n" ROOT "\n", "log.test");
	char *note = bh_strf("log.test\n42\n" ROOT "\n\n%s", line);
	struct bh_checkpoint point;
	struct bh_flaw flaw;

	assert_int_not_equal(bh_checkpoint_verify(note, &r->log, &point, &flaw), 0);
	assert_int_not_equal(bh_checkpoint_verify("", &r->log, &point, &flaw), 0);
	assert_int_not_equal(bh_checkpoint_verify("\n\nx", &r->log, &point, &flaw), 0);
	assert_int_not_equal(bh_checkpoint_verify("\n\n", &r->log, &point, &flaw), 0);
	free(note);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_leaf),	   cmocka_unit_test(test_outside),
		cmocka_unit_test(test_checkpoint),	   cmocka_unit_test(test_checkpoint_port),
		cmocka_unit_test(test_checkpoint_changed),
	};

	return cmocka_run_group_tests(tests, make_rig, drop_rig);
}

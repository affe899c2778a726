/* `baseline diff` of files: names that a pod made up neither write lines nor reach a terminal. */
#include "cli_fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "detect/baseline.h"

#define EVIL "/tmp/a\\n+ exec /bin/forged\\\\n\\u001b[31m"

static char dir[BH_TEST_DIR];
static char key_path[BH_TEST_DIR + 32], *key_pem;

static const char *path_of(const char *name)
{
	static char paths[4][BH_TEST_DIR + 32];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	(void)state;
	bh_test_mkdir(dir);
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(bio, &text);
	key_pem = strndup(text, (size_t)n);
	BIO_free(bio);
	EVP_PKEY_free(key);
	snprintf(key_path, sizeof(key_path), "%s", path_of("key"));
	put(key_path, key_pem);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(key_pem);
	unlink(key_path);
	unlink(path_of("a"));
	unlink(path_of("b"));
	return rmdir(dir);
}

/* A signed baseline of one program. */
static void put_baseline(const char *path, const char *program)
{
	BH_CLEANUP(bh_str_done) struct bh_str signed_text = {0};
	BH_CLEANUP(bh_freep)
	char *text =
		bh_strf("{\"apiVersion\":\"bulkhead.io/v1alpha1\",\"kind\":\"Baseline\","
			"\"workload\":{\"namespace\":\"a\",\"ownerKind\":\"Pod\",\"owner\":"
			"\"x\",\"container\":\"\",\"imageDigest\":\"\"},\"closed\":true,"
			"\"starts\":1,\"units\":1,\"overflow\":0,\"facts\":{\"exec\":[{"
			"\"key\":\"%s\",\"units\":1,\"replicas\":1,\"confirmed\":true,"
			"\"first\":1,\"last\":2}]}}",
			program);
	struct bh_err err;

	bh_assert_ok(&err, bh_signed_write(text, key_pem, &signed_text, &err));
	put(path, bh_str_text(&signed_text));
}

static void test_diff(void **state)
{
	char *a = strdup(path_of("a")), *b = strdup(path_of("b"));
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	const json_t *one;
	struct shot s;

	(void)state;
	put_baseline(a, "/bin/sh");
	put_baseline(b, EVIL);
	RUN(&s, "baseline", "diff", a, a, "--key", key_path);
	assert_string_equal(s.out, "");
	shot_is(&s, 0, "", "");
	RUN(&s, "baseline", "diff", a, b, "--key", key_path);
	assert_string_equal(s.out,
			    "- exec /bin/sh\n"
			    "+ exec /tmp/a\\n+ exec /bin/forged\\\\n?[31m\n");
	shot_is(&s, 1, "", "");
	RUN(&s, "baseline", "diff", a, b, "--key", key_path, "-o", "json");
	answer = json_loads(s.out, 0, NULL);
	one = json_array_get(json_object_get(answer, "added"), 0);
	assert_string_equal(json_string_value(json_object_get(one, "kind")), "exec");
	assert_string_equal(json_string_value(json_object_get(one, "key")),
			    "/tmp/a\n+ exec /bin/forged\\n\033[31m");
	one = json_array_get(json_object_get(answer, "removed"), 0);
	assert_string_equal(json_string_value(json_object_get(one, "key")), "/bin/sh");
	shot_is(&s, 1, "", "");
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_diff)};

	return cmocka_run_group_tests(tests, setup, teardown);
}

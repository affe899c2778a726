/* The directory of manifests, as the images of pods are read from it. */
#include "bh_test.h"

#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/image_files.h"
#include "daemon/image_glass.h"
#include "store/store.h"

#define NOBODY 65534

static struct {
	char dir[BH_TEST_DIR], manifests[BH_TEST_DIR + 8], pod[BH_TEST_DIR + 24];
	struct bh_store *store;
	struct bh_image_glass *glass;
	struct bh_image_files_set *set;
} fx;

static int setup(void **state)
{
	struct bh_err err;
	bool was_damaged;

	(void)state;
	bh_test_mkdir(fx.dir);
	snprintf(fx.manifests, sizeof(fx.manifests), "%s/m", fx.dir);
	snprintf(fx.pod, sizeof(fx.pod), "%s/web.yaml", fx.manifests);
	assert_int_equal(chmod(fx.dir, 0755) | mkdir(fx.manifests, 0755), 0);
	bh_assert_ok(&err, bh_store_open(fx.dir, &fx.store, &was_damaged, &err));
	bh_assert_ok(&err, bh_image_glass_open(NULL, &fx.glass, &err));
	bh_assert_ok(&err, bh_image_files_open(fx.manifests, fx.store, fx.glass, &fx.set, &err));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_image_files_close(fx.set);
	bh_image_glass_close(fx.glass);
	bh_store_close(fx.store);
	bh_test_rmdir(fx.dir);
	return 0;
}

static void write_pod(const char *image)
{
	BH_CLEANUP(bh_freep)
	char *text =
		bh_strf("apiVersion: v1\nkind: Pod\n"
			"metadata: {name: web, namespace: shop}\n"
			"spec: {containers: [{name: a, image: %s}]}\n",
			image);
	struct bh_err err;

	bh_assert_ok(&err, bh_fs_replace(fx.pod, text, strlen(text), 0600, &err));
}

static const char *image_of_pod(uint64_t now_ms)
{
	const struct bh_image_who who = {"shop", "web", NULL};
	char *const *images;
	struct bh_err err;
	size_t n = 0;

	bh_assert_ok(&err, bh_image_files_refresh(fx.set, now_ms, &err));
	images = bh_image_files_pod(fx.set, &who, &n);
	return n == 1 ? images[0] : "";
}

static void test_follows_the_file(void **state)
{
	(void)state;
	assert_string_equal(image_of_pod(1), "");
	write_pod("r.example/app:1");
	assert_string_equal(image_of_pod(2), "r.example/app:1");
	write_pod("r.example/app:2");
	assert_string_equal(image_of_pod(3), "r.example/app:2");
	assert_int_equal(unlink(fx.pod), 0);
	assert_string_equal(image_of_pod(4), "");
}

/* Whatever kept it from being read once, the next look finds what is new. */
static void test_reads_again_what_it_could_not(void **state)
{
	const char *image;

	(void)state;
	if (geteuid()) {
		print_message("needs root, to be somebody else for a moment\n");
		skip();
	}
	write_pod("r.example/app:1");
	assert_string_equal(image_of_pod(1), "r.example/app:1");
	write_pod("r.example/app:2");
	assert_int_equal(seteuid(NOBODY), 0);
	image = image_of_pod(2);
	assert_int_equal(seteuid(0), 0);
	assert_string_equal(image, "r.example/app:1");
	assert_string_equal(image_of_pod(3), "r.example/app:2");
}

static unsigned complaints;

static void count_complaint(enum bh_log_level level, const char *line)
{
	complaints += level == BH_LOG_ERROR && strstr(line, "web.yaml") != NULL;
}

static void write_policy(const char *spec)
{
	BH_CLEANUP(bh_freep)
	char *text =
		bh_strf("apiVersion: bulkhead.io/v1alpha1\nkind: ImagePolicy\n"
			"metadata: {name: p}\nspec: {%s}\n",
			spec);
	struct bh_err err;

	bh_assert_ok(&err, bh_fs_replace(fx.pod, text, strlen(text), 0600, &err));
}

/* It is read every few seconds, for the keys that it names. */
static void test_complains_once(void **state)
{
	(void)state;
	complaints = 0;
	bh_log_set_sink(count_complaint);
	write_policy("wrong: 1");
	for (uint64_t i = 1; i < 10; i++)
		image_of_pod(i * 10000);
	bh_log_set_sink(NULL);
	assert_int_equal(complaints, 1);
	assert_non_null(bh_image_files_trouble(fx.set));
	bh_log_set_sink(count_complaint);
	write_policy("other: 1");
	image_of_pod(100001);
	image_of_pod(110001);
	bh_log_set_sink(NULL);
	assert_int_equal(complaints, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_follows_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads_again_what_it_could_not, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_complains_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What was said about the images of pods: kept for those that are here, not for all there ever
 * were. */
#include "bh_test.h"

#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/image_files.h"
#include "daemon/image_glass.h"
#include "daemon/image_private.h"

#define PODS 3000

static struct {
	struct bh_daemon d;
	struct bh_images im;
} fx;

static void drop_json(void *v)
{
	json_decref(v);
}

static int setup(void **state)
{
	struct bh_err err;

	(void)state;
	fx.im.d = &fx.d;
	bh_map_init(&fx.im.records, drop_json);
	return bh_image_files_open(NULL, NULL, NULL, &fx.im.files, &err) ||
	       bh_image_glass_open(NULL, &fx.im.glass, &err);
}

static int teardown(void **state)
{
	(void)state;
	bh_map_done(&fx.im.records);
	bh_image_files_close(fx.im.files);
	bh_image_glass_close(fx.im.glass);
	bh_endpoint_table_done(&fx.d.endpoints);
	return 0;
}

static void add(char *name)
{
	struct bh_endpoint *ep = calloc(1, sizeof(*ep));
	struct bh_err err;

	assert_non_null(ep);
	ep->ns = strdup("shop");
	ep->name = strdup(name);
	ep->container_id = strdup(name);
	ep->ifname = strdup("eth0");
	assert_int_equal(bh_endpoint_table_add(&fx.d.endpoints, &ep, &err), 0);
}

static void keep(char *name)
{
	const struct bh_image_wait w = {.ns = (char[]){"shop"}, .name = name};
	json_t *rows = json_array();

	bh_images_keep(&fx.im, &w, rows);
	json_decref(rows);
}

static void test_forgets_pods_that_are_gone(void **state)
{
	(void)state;
	add((char[]){"here"});
	keep((char[]){"here"});
	for (int i = 0; i < PODS; i++) {
		BH_CLEANUP(bh_freep) char *name = bh_strf("job-%d", i);

		keep(name);
		assert_non_null(bh_images_record(&fx.im, "shop", name));
	}
	assert_in_range(fx.im.records.count, 1, 1100);
	assert_non_null(bh_images_record(&fx.im, "shop", "here"));
	assert_null(bh_images_record(&fx.im, "shop", "job-0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forgets_pods_that_are_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

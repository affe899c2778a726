/* When learning begins to count: pods that wait for their image teach nothing, however long. */
#include "bh_test.h"

#include "base/own.h"
#include "detect/baseline.h"

static const struct bh_subject web = {.ns = "shop",
				      .owner_kind = "Deployment",
				      .owner = "web",
				      .container = "web",
				      .image_digest = "sha256:11"};

static struct bh_base_sighting by(const struct bh_baseline *b, uint64_t pod, uint64_t slice)
{
	return (struct bh_base_sighting){.pod_id = pod, .ts_ns = slice * b->opt.slice_ns};
}

static void live(struct bh_baseline *b, uint64_t from, uint64_t to)
{
	for (uint64_t slice = from; slice <= to; slice++) {
		for (uint64_t pod = 1; pod <= 3; pod++) {
			const struct bh_base_sighting s = by(b, pod, slice);

			bh_baseline_live(b, &s);
		}
	}
}

static void test_nothing_is_no_baseline(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	struct bh_err err;
	char why[160];

	(void)state;
	bh_assert_ok(&err, bh_baseline_new(&web, NULL, &b, &err));
	live(b, 1, 50);
	assert_false(b->is_closed);
	assert_string_equal(bh_baseline_waits_for(b, why, sizeof(why)),
			    "nothing was seen of it yet");
	for (uint64_t slice = 51; slice <= 53; slice++) {
		for (uint64_t pod = 1; pod <= 3; pod++) {
			const struct bh_base_sighting s = by(b, pod, slice);

			assert_int_equal(bh_baseline_see(b, BH_BASE_EXEC, "/usr/sbin/app", &s), 0);
		}
	}
	/* what was before does not count */
	assert_false(b->is_closed);
	assert_non_null(strstr(bh_baseline_waits_for(b, why, sizeof(why)), "of 12 slices"));
	live(b, 54, 54);
	assert_true(b->is_closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_no_baseline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Questions about images that no worker can be had for: answered, and with the reason. */
#include "bh_test.h"

#include "base/loop.h"
#include "base/own.h"
#include "daemon/config.h"
#include "daemon/image_batch.h"
#include "daemon/image_want.h"

static struct {
	struct bh_loop *loop;
	struct bh_settings cfg;
	struct bh_image_access *access;
	struct bh_image_batches *batches;
	char verdict[32], reason[32], detail[600];
	unsigned n;
} fx;

static void on_answer(const char *question, const json_t *answer, void *arg)
{
	const json_t *check = json_array_get(json_object_get(answer, "checks"), 0);

	(void)arg;
	assert_string_equal(question, "question");
	snprintf(fx.verdict, sizeof(fx.verdict), "%s", bh_image_text(answer, "verdict"));
	snprintf(fx.reason, sizeof(fx.reason), "%s", bh_image_text(answer, "reason"));
	snprintf(fx.detail, sizeof(fx.detail), "%s", bh_image_text(check, "detail"));
	fx.n++;
	bh_loop_stop(fx.loop);
}

static int setup(void **state)
{
	struct bh_image_listener l = {.fn = on_answer};
	struct bh_err err;

	(void)state;
	memset(&fx, 0, sizeof(fx));
	bh_assert_ok(&err, bh_loop_new(&fx.loop, &err));
	bh_assert_ok(&err, bh_image_access_open(&fx.cfg, &fx.access, &err));
	l.access = fx.access;
	bh_assert_ok(&err, bh_image_batches_open(fx.loop, &l, &fx.batches, &err));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bh_image_batches_close(fx.batches);
	bh_image_access_close(fx.access);
	bh_loop_free(fx.loop);
	return 0;
}

/* There is no bulkhead-worker beside this test. */
static void test_tells_why_there_is_no_worker(void **state)
{
	json_t *bundle = json_object(), *names = json_array();
	struct bh_image_asked asked = {.now_s = 1, .bundle = bundle};
	struct bh_err err;

	(void)state;
	assert_int_equal(
		bh_image_batches_add(fx.batches, &asked, "question", "r.example/app:1", names), 0);
	bh_assert_ok(&err, bh_image_batches_send(fx.batches, &asked, &err));
	assert_int_equal(fx.n, 0);
	bh_assert_ok(&err, bh_loop_run(fx.loop, &err));
	assert_int_equal(fx.n, 1);
	assert_string_equal(fx.verdict, "undecided");
	assert_string_equal(fx.reason, "internal");
	assert_non_null(strstr(fx.detail, "not installed"));
	json_decref(names);
	json_decref(bundle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tells_why_there_is_no_worker, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Where on the node a file of some file system is. */
#include "bh_test.h"

#include "base/own.h"
#include "daemon/places.h"

static void places_closep(struct bh_places **p)
{
	bh_places_close(*p);
}

static void put(struct bh_places *p, struct bh_trace_event *ev, const char *dir, const char *within)
{
	struct stat st;

	assert_int_equal(stat(dir, &st), 0);
	memset(ev, 0, sizeof(*ev));
	ev->path = "/srv/x";
	ev->target = "";
	ev->place[0] = within;
	ev->place[1] = "";
	ev->place_dev[0] = st.st_dev;
	bh_places_put(p, ev);
}

static void test_on_the_node(void **state)
{
	BH_CLEANUP(places_closep) struct bh_places *p = NULL;
	struct bh_trace_event ev;
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_places_open(&p, &err));
	put(p, &ev, "/proc", "/sysrq-trigger");
	assert_string_equal(ev.place[0], "/proc/sysrq-trigger");
	assert_string_equal(ev.place[1], "");
	ev.place[0] = "/x";
	ev.place_dev[0] = UINT32_MAX; /* mounted nowhere */
	bh_places_put(p, &ev);
	assert_string_equal(ev.place[0], "");
}

/* What says nothing new is not said; what is of the container's own tree stays as it is. */
static void test_own_tree(void **state)
{
	BH_CLEANUP(places_closep) struct bh_places *p = NULL;
	struct bh_trace_event ev = {
		.path = "/srv/x", .target = "/srv/y", .place = {"/etc/x", "/srv/y"}};
	struct bh_err err;

	(void)state;
	bh_assert_ok(&err, bh_places_open(&p, &err));
	bh_places_put(p, &ev);
	assert_string_equal(ev.place[0], "/etc/x");
	assert_string_equal(ev.place[1], "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_the_node),
		cmocka_unit_test(test_own_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Where on the node a file of some file system is. */
#include "bh_test.h"

#include <sched.h>
#include <sys/mount.h>

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

static void mount_at(const char *dir, const char *name, const char *of, char out[BH_TEST_DIR + 16])
{
	char from[BH_TEST_DIR + 16];

	snprintf(out, BH_TEST_DIR + 16, "%s/%s", dir, name);
	snprintf(from, sizeof(from), "%s/%s", dir, of ? of : "");
	assert_int_equal(mkdir(out, 0700), 0);
	assert_int_equal(mount(of ? from : "tmpfs", out, "tmpfs", of ? MS_BIND : 0, NULL), 0);
}

/* A directory that is mounted once more, and mounts that came since the list was read: the shortest
 * path counts. In mounts of our own. */
static void test_mounted_again(void **state)
{
	BH_CLEANUP(places_closep) struct bh_places *p = NULL;
	char dir[BH_TEST_DIR], whole[BH_TEST_DIR + 16], sub[BH_TEST_DIR + 32];
	char other[BH_TEST_DIR + 16], want[BH_TEST_DIR + 48];
	struct bh_trace_event ev;
	struct bh_err err;

	(void)state;
	if (unshare(CLONE_NEWNS)) {
		print_message("needs root\n");
		skip();
	}
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	bh_assert_ok(&err, bh_places_open(&p, &err));
	put(p, &ev, "/proc", "/x"); /* now the list is read */
	bh_test_mkdir(dir);
	mount_at(dir, "whole", NULL, whole);
	snprintf(sub, sizeof(sub), "%s/sub", whole);
	assert_int_equal(mkdir(sub, 0700), 0);
	put(p, &ev, whole, "/sub/x");
	snprintf(want, sizeof(want), "%s/x", sub);
	assert_string_equal(ev.place[0], want);
	mount_at(dir, "b", "whole/sub", other);
	put(p, &ev, whole, "/sub/x");
	snprintf(want, sizeof(want), "%s/x", other);
	assert_string_equal(ev.place[0], want);
	mount_at(dir, "a-longer-name", "whole", other);
	put(p, &ev, whole, "/x");
	snprintf(want, sizeof(want), "%s/x", whole);
	assert_string_equal(ev.place[0], want);
	assert_int_equal(umount2(other, MNT_DETACH), 0);
	snprintf(other, sizeof(other), "%s/b", dir);
	assert_int_equal(umount2(other, MNT_DETACH), 0);
	assert_int_equal(umount2(whole, MNT_DETACH), 0);
	bh_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_the_node),
		cmocka_unit_test(test_own_tree),
		cmocka_unit_test(test_mounted_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the doctor says about kernels, and about containerd, from its configuration alone and from a
 * stand-in that answers as containerd does. tests/e2e/image_containerd.py has the real one. */
#include "bh_test.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "cli/doctor.h"

#define IMAGES	"[plugins.'io.containerd.cri.v1.images']\n"
#define CRI	"[plugins.'io.containerd.grpc.v1.cri']\n"
#define PAST	"past every image verifier"
#define VERSION "containerd github.com/containerd/containerd/v2 2.1.9+unknown "

static char dir[32], bin[160], conf[96], program[96];

static void put(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static char *in(const char *folder, const char *name)
{
	char *path = bh_strf("%s/%s", folder, name);

	assert_non_null(path);
	return path;
}

/* A verifier that containerd would run: ours where the link's target says so. */
static void link_verifier(const char *name, const char *target)
{
	BH_CLEANUP(bh_freep) char *path = in(bin, name);
	BH_CLEANUP(bh_freep) char *to = in(dir, target);

	put(to, "#!/bin/true\n", 0755);
	unlink(path);
	assert_int_equal(symlink(to, path), 0);
}

static void unlink_verifier(const char *name)
{
	BH_CLEANUP(bh_freep) char *path = in(bin, name);

	unlink(path);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/bh-doctor.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(bin, sizeof(bin), "%s/bin", dir);
	snprintf(conf, sizeof(conf), "%s/config.toml", dir);
	snprintf(program, sizeof(program), "%s/containerd", dir);
	return mkdir(bin, 0755);
}

static int teardown(void **state)
{
	BH_CLEANUP(bh_freep) char *command = bh_strf("rm -rf '%s'", dir);

	(void)state;
	return system(command);
}

/* All sentences about a configuration, each after its health. With a version a stand-in is asked.
 */
static char *examine(const char *settings, const char *version)
{
	BH_CLEANUP(bh_freep)
	char *text =
		bh_strf("version = 3\n%s\n"
			"[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '%s'\n",
			settings, bin);
	BH_CLEANUP(bh_freep)
	char *script =
		bh_strf("#!/bin/sh\ncase $1 in --version) echo '%s' ;; *) cat '%s' ;; esac\n",
			version ? version : "", conf);
	struct bh_doctor d = {.containerd = version ? program : NULL, .containerd_conf = conf};
	struct bh_findings f = {0};
	struct bh_str all = {0};

	put(conf, text, 0644);
	put(program, script, 0755);
	bh_doctor_containerd(&d, &f);
	assert_false(f.failed);
	bh_vec_each (it, &f.list) {
		assert_true(it->health == BH_HEALTH_OK || it->mend);
		bh_str_fmt(&all, "%d %s\n", (int)it->health, it->text);
	}
	bh_findings_done(&f);
	return bh_str_take(&all);
}

static void says(const char *settings, const char *version, const char *want)
{
	BH_CLEANUP(bh_freep) char *all = examine(settings, version);

	if (!strstr(all, want))
		fail_msg("%s: %snot %s", settings, all, want);
}

static void test_all_is_well(void **state)
{
	BH_CLEANUP(bh_freep) char *all = NULL;

	(void)state;
	link_verifier("bulkhead", "bulkhead-image-verifier");
	all = examine("[plugins.'io.containerd.gc.v1.scheduler']\npause_threshold = 0.02\n" IMAGES
		      "max_concurrent_downloads = 3\ndisable_snapshot_annotations = true\n"
		      "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/x'\n"
		      "[plugins.'io.containerd.cri.v1.images'.registry.mirrors]\n",
		      VERSION);
	assert_memory_equal(all, "0 asks /", 8);
	assert_null(strchr(strchr(all, '\n') + 1, '\n'));
}

/* Each of these makes CRI pull without asking. */
static void test_past(void **state)
{
	static const struct {
		const char *settings, *want;
	} rows[] = {
		{IMAGES "use_local_image_pull = true", "use_local_image_pull = true: CRI"},
		{IMAGES "discard_unpacked_layers = true", "discard_unpacked_layers = true: CRI"},
		{IMAGES "image_pull_with_sync_fs = true", "image_pull_with_sync_fs = true: CRI"},
		{IMAGES "disable_snapshot_annotations = false", "annotations = false: CRI"},
		{IMAGES "max_concurrent_downloads = 10", "max_concurrent_downloads = 10: CRI"},
		{IMAGES "max_concurrent_downloads = 0", "max_concurrent_downloads = 0: CRI"},
		{IMAGES "registry.mirrors.\"docker.io\".endpoint = ['https://m']", "mirrors: CRI"},
		{IMAGES "registry.configs.\"m\".tls.insecure_skip_verify = true", "configs: CRI"},
		{IMAGES "registry.auths.\"https://m\".username = 'u'", "registry.auths: CRI"},
		{CRI "max_concurrent_downloads = 5", "max_concurrent_downloads = 5: CRI"},
		{CRI "containerd.discard_unpacked_layers = true", "layers = true: CRI"},
		{CRI "registry.mirrors.\"docker.io\".endpoint = ['https://m']", "mirrors: CRI"},
	};

	(void)state;
	link_verifier("bulkhead", "bulkhead-image-verifier");
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_freep) char *all = examine(rows[i].settings, VERSION);

		if (!strstr(all, rows[i].want) || !strstr(all, PAST) || all[0] != '2' ||
		    strstr(all, "asks"))
			fail_msg("%s: %snot %s", rows[i].settings, all, rows[i].want);
	}
	says("disabled_plugins = ['io.containerd.image-verifier.v1.bindir']", VERSION,
	     "2 disabled_plugins has");
}

static void test_version(void **state)
{
	(void)state;
	link_verifier("bulkhead", "bulkhead-image-verifier");
	says("", "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6",
	     "2 version 1.7.24~ds1: image verifiers came with 2.0");
	says("", "containerd github.com/containerd/containerd/v2 v2.0.3 abc",
	     "2 version v2.0.3: CRI pulls by itself");
	says("", "containerd github.com/containerd/containerd/v2 v2.1.0 abc", "0 asks");
	says("", "containerd github.com/containerd/containerd/v2 3.0.0-rc1", "0 asks");
	says("", "something else entirely", "is no version");
}

static void test_directory(void **state)
{
	(void)state;
	unlink_verifier("bulkhead");
	says("", VERSION, "1 /tmp/");
	says("", VERSION, "has no bulkhead-image-verifier");
	says(IMAGES "use_local_image_pull = true", VERSION, "1 use_local_image_pull");
	link_verifier("other", "other-verifier");
	says("", VERSION, "has no bulkhead-image-verifier");
	link_verifier("zz", "bulkhead-image-verifier");
	says("", VERSION, "0 asks");
	for (int i = 0; i < 9; i++) {
		char name[3] = {'a', (char)('0' + i), '\0'};

		link_verifier(name, "other-verifier");
	}
	says("", VERSION, "is number 11 of its directory, and max_verifiers = 10");
	link_verifier("00-bulkhead", "bulkhead-image-verifier");
	says("", VERSION, "0 asks");
	unlink_verifier("00-bulkhead");
	unlink_verifier("zz");
}

/* Settings of the directory's own table, which examine() writes last. */
static void test_own_table(void **state)
{
	(void)state;
	link_verifier("bulkhead", "bulkhead-image-verifier");
	snprintf(bin, sizeof(bin), "%s/bin'\nmax_verifiers = 0\nper_verifier_timeout = '5s", dir);
	says("", VERSION, "2 /tmp/");
	says("", VERSION, "max_verifiers = 0");
	says("", VERSION, "1 per_verifier_timeout = 5s");
	snprintf(bin, sizeof(bin), "%s/bin'\nmax_verifiers = -1\nper_verifier_timeout = '1m0s",
		 dir);
	says("", VERSION, "0 asks");
	snprintf(bin, sizeof(bin), "%s/bin", dir);
}

/* Without the program: the file alone; without both: not a word, unless a file was named. */
static void test_absent(void **state)
{
	struct bh_doctor d = {.containerd = "/nonexistent/containerd"};
	struct bh_findings f = {0};

	(void)state;
	link_verifier("bulkhead", "bulkhead-image-verifier");
	says("", NULL, "0 asks");
	says("imports = ['/etc/containerd/conf.d/*.toml']", NULL, "1 /tmp/");
	says("imports = ['/etc/containerd/conf.d/*.toml']", NULL, "imports other files");
	says(IMAGES "use_local_image_pull = true", NULL, "2 use_local_image_pull");
	says("a = [", NULL, "1 line");
	if (access("/etc/containerd/config.toml", F_OK))
		bh_doctor_containerd(&d, &f);
	assert_int_equal(f.list.n, 0);
	d.containerd_conf = "/nonexistent/config.toml";
	bh_doctor_containerd(&d, &f);
	assert_int_equal(f.list.n, 1);
	assert_int_equal(f.list.v[0].health, BH_HEALTH_WARN);
	bh_findings_done(&f);
}

static void test_kernels(void **state)
{
	static const struct {
		const char *release;
		enum bh_health health;
		const char *text;
	} rows[] = {
		{"6.18.44-x", BH_HEALTH_OK, "Linux 6.18.44-x"},
		{"6.1.0-56-amd64", BH_HEALTH_OK, "Linux 6.1.0-56-amd64"},
		{"10.0", BH_HEALTH_OK, "Linux 10.0"},
		{"6.0.19", BH_HEALTH_WARN, "Linux 6.0.19"},
		{"5.15.0-1-generic", BH_HEALTH_WARN, "Linux 5.15.0-1-generic"},
		{"5.14.21", BH_HEALTH_WRONG, "Linux 5.14.21"},
		{"4.19.0", BH_HEALTH_WRONG, "Linux 4.19.0"},
		{"next", BH_HEALTH_WARN, "'next'"},
		{"", BH_HEALTH_WARN, "''"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_findings f = {0};

		bh_doctor_release(rows[i].release, &f);
		assert_int_equal(f.list.n, 1);
		assert_string_equal(f.list.v[0].name, "kernel");
		assert_non_null(strstr(f.list.v[0].text, rows[i].text));
		assert_int_equal(f.list.v[0].health, rows[i].health);
		assert_int_equal(!f.list.v[0].mend, rows[i].health == BH_HEALTH_OK);
		bh_findings_done(&f);
	}
}

static void test_this_kernel(void **state)
{
	struct bh_findings f = {0};
	struct utsname u;

	(void)state;
	assert_int_equal(uname(&u), 0);
	bh_doctor_kernel(&f);
	assert_true(f.list.n > 1);
	assert_string_equal(f.list.v[0].name, "kernel");
	assert_non_null(strstr(f.list.v[0].text, u.release));
	bh_findings_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_well), cmocka_unit_test(test_past),
		cmocka_unit_test(test_version),	    cmocka_unit_test(test_directory),
		cmocka_unit_test(test_own_table),   cmocka_unit_test(test_absent),
		cmocka_unit_test(test_kernels),	    cmocka_unit_test(test_this_kernel),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

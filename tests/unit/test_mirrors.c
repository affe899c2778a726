/* What the container runtime's settings say about where a repository is fetched from. */
#include "bh_test.h"

#include <errno.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/mirrors.h"

/* Files of the test: NULL-terminated. */
static const struct file {
	const char *path, *text;
} * files;

static int read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct bh_err *err)
{
	for (const struct file *f = files; f->path; f++) {
		if (strcmp(f->path, path))
			continue;
		assert_true(strlen(f->text) <= max);
		*ret = strdup(f->text);
		*ret_len = strlen(f->text);
		return 0;
	}
	return bh_fail(err, ENOENT, "%s", path);
}

static int list_files(const char *dir, int (*fn)(const char *path, void *arg), void *arg,
		      struct bh_err *err)
{
	int r = 0;

	(void)err;
	for (const struct file *f = files; f->path && !r; f++) {
		if (!strncmp(f->path, dir, strlen(dir)) && f->path[strlen(dir)] == '/')
			r = fn(f->path, arg);
	}
	return r;
}

/* "BASE REPOSITORY ns=NS tds", then authorities, client and headers; t: tags, d: digests, s: stands
 * for the registry. */
static void show(const json_t *j, struct bh_str *out)
{
	static const char *const texts[] = {"ns", "caPem", "certPem", "keyPem"};
	static const char *const flags[] = {"tags", "digests", "isServer", "isBroken"};
	const char *refusal = json_string_value(json_object_get(j, "refusal"));
	const json_t *h;
	size_t i;

	if (refusal)
		bh_str_fmt(out, "refused: %s ", refusal);
	else
		bh_str_fmt(out, "%s %s ", json_string_value(json_object_get(j, "base")),
			   json_string_value(json_object_get(j, "repository")));
	for (i = 0; i < BH_ARRAY_SIZE(flags); i++)
		bh_str_fmt(out, "%.1s",
			   json_is_true(json_object_get(j, flags[i])) ? &"tdsb"[i] : "");
	for (i = 0; i < BH_ARRAY_SIZE(texts); i++) {
		const char *text = json_string_value(json_object_get(j, texts[i]));

		if (text)
			bh_str_fmt(out, " %s=%.*s", texts[i], (int)strcspn(text, "\n"), text);
	}
	json_array_foreach(json_object_get(j, "headers"), i, h)
		bh_str_fmt(out, " [%s]", json_string_value(h));
	bh_str_add(out, "\n");
}

static const struct bh_mirror_files reader = {read_file, list_files};
static const struct bh_mirror_paths hosts = {.hosts_dir = "/c", .files = &reader};
static const struct bh_mirror_paths conf = {.registries_conf = "/r.conf", .files = &reader};

static void check(const struct bh_mirror_paths *p, const char *reference, const char *want)
{
	BH_CLEANUP(bh_json_decrefp) json_t *list = json_array();
	BH_CLEANUP(bh_str_done) struct bh_str got = {0};
	struct bh_err err;
	const json_t *j;
	size_t i;

	if (bh_mirrors_add(p, reference, list, &err))
		fail_msg("%s", err.text);
	json_array_foreach(list, i, j) show(j, &got);
	assert_string_equal(bh_str_text(&got), want);
}

static void hosts_toml(void **state)
{
	static const struct file all[] = {
		{"/c/docker.io/hosts.toml",
		 "server = \"https://registry-1.docker.io\"\n"
		 "[host.\"https://m1.example\"]\n"
		 "  capabilities = [\"pull\"]\n"
		 "  ca = \"ca.pem\"\n"
		 "[host.\"http://m2.example:5000\"]\n"
		 "  skip_verify = true\n"
		 "  [host.\"http://m2.example:5000\".header]\n"
		 "    x-one = [\"a\", \"b\"]\n"
		 "    X-Two = \"c\"\n"
		 "[host.\"https://h.example/v2/proxy\"]\n"
		 "  override_path = true\n"
		 "  client = [[\"/k/c.pem\", \"/k/k.pem\"]]\n"
		 "[host.\"m4.example/x/\"]\n"
		 "  capabilities = [\"resolve\", \"push\"]\n"
		 "[host.\"https://push.example\"]\n"
		 "  capabilities = [\"push\"]\n"},
		{"/c/docker.io/ca.pem", "CA"},
		{"/k/c.pem", "CERT"},
		{"/k/k.pem", "KEY"},
		{"/c/r.example_5000_/hosts.toml", "ca = ['/c/docker.io/ca.pem']\n"},
		{"/c/r.example/hosts.toml", "server = 'https://other.example'\n"},
		{"/c/_default/hosts.toml", "[host.'https://all.example']\n"},
		{0},
	};

	(void)state;
	files = all;
	check(&hosts, "nginx",
	      "https://m1.example/v2 library/nginx d ns=docker.io caPem=CA\n"
	      "http://m2.example:5000/v2 library/nginx td ns=docker.io [x-one: a] [x-one: b] "
	      "[X-Two: c]\n"
	      "https://h.example/v2 proxy/library/nginx td ns=docker.io certPem=CERT keyPem=KEY\n"
	      "https://m4.example/x/v2 library/nginx t ns=docker.io\n"
	      "https://registry-1.docker.io/v2 library/nginx tds\n");
	check(&hosts,
	      "r.example:5000/a/b@sha256:"
	      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	      "//r.example:5000/v2 a/b tds caPem=CA\n");
	check(&hosts, "r.example/a", "https://other.example/v2 a tds ns=r.example\n");
	check(&hosts, "q.example/a", "https://all.example/v2 a td ns=q.example\n");
	check(&hosts, "::no reference::", "");
}

static void hosts_toml_wrong(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"server = 1", "'server': expected a string"},
		{"host = 1", "'host': expected a table"},
		{"[host]\n'https://a' = 1", "expected a table"},
		{"[host.'https://a']\nca = 1", "'ca': expected"},
		{"[host.'https://a']\nca = 'gone.pem'", "there is no file '/c/r.example/gone.pem'"},
		{"[host.'https://a']\ncapabilities = 'pull'", "'capabilities': expected a list"},
		{"[host.'https://a'.header]\n'a b' = 'c'", "'header': expected"},
		{"[host.'https://a'.header]\na = \"c\\r\\nd: e\"", "'header': expected"},
		{"[host.'https://a']\nclient = [1]", "'client': expected"},
		{"[host.'https://a']\noverride_path = 1", "'override_path': expected"},
		{"[host", "line 1"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		const struct file one[] = {{"/c/r.example/hosts.toml", rows[i].text}, {0}};
		BH_CLEANUP(bh_json_decrefp) json_t *list = json_array();
		const char *refusal;
		struct bh_err err;

		files = one;
		assert_int_equal(bh_mirrors_add(&hosts, "r.example/a", list, &err), 0);
		assert_int_equal(json_array_size(list), 1);
		refusal = json_string_value(json_object_get(json_array_get(list, 0), "refusal"));
		assert_true(json_is_true(json_object_get(json_array_get(list, 0), "isBroken")));
		assert_non_null(refusal);
		if (!strstr(refusal, rows[i].want) || !strstr(refusal, "/c/r.example"))
			fail_msg("%s: %s", rows[i].text, refusal);
	}
}

static void registries_conf(void **state)
{
	static const struct file all[] = {
		{"/r.conf",
		 "unqualified-search-registries = ['docker.io']\n"
		 "[[registry]]\n"
		 "prefix = 'r.example/team'\n"
		 "location = 'inner.example:5000/mirror/team'\n"
		 "insecure = true\n"
		 "[[registry.mirror]]\n"
		 "location = 'm1.example/x'\n"
		 "[[registry.mirror]]\n"
		 "location = 'm2.example'\n"
		 "pull-from-mirror = 'tag-only'\n"
		 "[[registry]]\n"
		 "location = 'r.example'\n"
		 "mirror-by-digest-only = true\n"
		 "mirror = [{location = 'm3.example'}]\n"
		 "[[registry]]\n"
		 "prefix = '*.bad.example'\n"
		 "blocked = true\n"
		 "[[registry]]\n"
		 "prefix = 'docker.io'\n"
		 "location = 'hub.example/proxy'\n"},
		{"/r.conf.d/1.conf", "[[registry]]\nprefix = 'docker.io'\nblocked = true\n"},
		{"/r.conf.d/2.conf",
		 "[[registry]]\nprefix = 'docker.io'\nlocation = 'second.example'\n"},
		{"/r.conf.d/README", "{{{"},
		{0},
	};

	(void)state;
	files = all;
	check(&conf, "r.example/team/app:v1",
	      "//m1.example/v2 x/app td\n"
	      "//m2.example/v2 app t\n"
	      "//inner.example:5000/v2 mirror/team/app tds\n");
	check(&conf, "r.example/teams/app",
	      "//m3.example/v2 teams/app d\n//r.example/v2 teams/app tds\n");
	check(&conf, "a.b.bad.example/x", "refused: registries.conf blocks 'a.b.bad.example/x' \n");
	check(&conf, "bad.example/x", "");
	check(&conf, "docker.io/a/b", "//second.example/v2 a/b tds\n");
	check(&conf, "q.example/x", "");
	check(&conf, "nginx:v1",
	      "refused: the name says no registry, and registries.conf leaves open which one is "
	      "meant \n");
	check(&conf, "team/app",
	      "refused: the name says no registry, and registries.conf leaves open which one is "
	      "meant \n");
}

static void registries_conf_wrong(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"[registries.search]\nregistries = []", "version 1"},
		{"registry = 1", "'registry': expected tables"},
		{"[[registry]]\n", "without prefix and location"},
		{"[[registry]]\nprefix = 1", "'prefix' is of another type"},
		{"[[registry]]\nlocation = 'r.example'\nblocked = 'yes'", "'blocked': expected"},
		{"[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]", "without location"},
		{"[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\n"
		 "location = 'https://x'",
		 "is not host"},
		{"[[registry]]\nlocation = 'r.example'\n[[registry.mirror]]\n"
		 "location = 'x'\npull-from-mirror = 'never'",
		 "'never' is unknown"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		const struct file one[] = {{"/r.conf", rows[i].text}, {0}};
		BH_CLEANUP(bh_json_decrefp) json_t *list = json_array();
		const char *refusal;
		struct bh_err err;

		files = one;
		assert_int_equal(bh_mirrors_add(&conf, "r.example/a", list, &err), 0);
		refusal = json_string_value(json_object_get(json_array_get(list, 0), "refusal"));
		if (!refusal || !strstr(refusal, rows[i].want))
			fail_msg("%s: %s", rows[i].text, refusal ? refusal : "nothing");
	}
}

/* A file that is configured and gone is a broken setting, not none. */
static void registries_conf_gone(void **state)
{
	static const struct file none[] = {{0}};
	BH_CLEANUP(bh_json_decrefp) json_t *list = json_array();
	struct bh_err err;

	(void)state;
	files = none;
	assert_int_equal(bh_mirrors_add(&conf, "r.example/a", list, &err), 0);
	assert_int_equal(bh_mirrors_add(&conf, "r.example/a:v2", list, &err), 0);
	assert_int_equal(json_array_size(list), 1);
	assert_true(json_is_true(json_object_get(json_array_get(list, 0), "isBroken")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_toml),		cmocka_unit_test(hosts_toml_wrong),
		cmocka_unit_test(registries_conf),	cmocka_unit_test(registries_conf_wrong),
		cmocka_unit_test(registries_conf_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

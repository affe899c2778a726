#include "bh_test.h"

#include <errno.h>

#include "base/json.h"
#include "base/str.h"
#include "request.h"
#include "result.h"

#define PREV                                                                                       \
	"\"prevResult\":{\"cniVersion\":\"1.0.0\",\"interfaces\":["                                \
	"{\"name\":\"cni0\",\"mac\":\"00:00:00:00:00:01\"},"                                       \
	"{\"name\":\"veth1\",\"mac\":\"00:00:00:00:00:02\"},"                                      \
	"{\"name\":\"eth0\",\"mac\":\"0a:58:0a:16:00:05\",\"sandbox\":\"/run/netns/a\"}],"         \
	"\"ips\":[{\"address\":\"10.22.0.5/16\",\"gateway\":\"10.22.0.1\",\"interface\":2},"       \
	"{\"address\":\"fd00:0::5/64\",\"interface\":2}],\"dns\":{}}"
#define CONFIG(rest)                                                                               \
	"{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"type\":\"bulkhead-cni\"," rest "}"
#define ARGS                                                                                       \
	"IgnoreUnknown=1;K8S_POD_UID=5d0f-1;K8S_POD_NAME=web-0.x;K8S_POD_NAMESPACE=shop;"          \
	"K8S_POD_INFRA_CONTAINER_ID=abc123;OTHER=x"

static struct bh_cni_request rq;
static struct bh_err err;

static const struct bh_cni_env good = {.command = "ADD",
				       .container_id = "abc123",
				       .netns = "/run/netns/a",
				       .ifname = "eth0",
				       .args = ARGS};

static int teardown(void **state)
{
	(void)state;
	bh_cni_request_done(&rq);
	return 0;
}

static int read_it(const struct bh_cni_env *env, const char *config)
{
	bh_cni_request_done(&rq);
	return bh_cni_request_read(env, config, strlen(config), &rq, &err);
}

static void refuse(const struct bh_cni_env *env, const char *config, enum bh_cni_code code,
		   const char *part)
{
	assert_true(read_it(env, config) < 0);
	if (rq.code != code || !strstr(err.text, part))
		fail_msg("code %d, '%s': want code %d, '%s'", rq.code, err.text, code, part);
}

static char *addresses(void)
{
	return json_dumps(rq.addresses, JSON_COMPACT);
}

static void expect_addresses(const char *want)
{
	BH_CLEANUP(bh_freep) char *got = addresses();

	assert_string_equal(got, want);
}

/* ---- a whole ADD ---- */

static void test_add(void **state)
{
	(void)state;
	bh_assert_ok(
		&err,
		read_it(&good, CONFIG("\"socket\":\"/tmp/s\",\"timeoutSeconds\":7,"
				      "\"capabilities\":{\"cgroupPath\":true},"
				      "\"runtimeConfig\":{\"cgroupPath\":\"/kubepods/pod1\","
				      "\"portMappings\":[]},"
				      "\"args\":{\"cni\":{\"labels\":[{\"key\":\"app\","
				      "\"value\":\"web\",\"more\":1}]}},\"theirs\":[1]," PREV)));
	assert_int_equal(rq.command, BH_CNI_ADD);
	assert_string_equal(rq.version, "1.0.0");
	assert_string_equal(rq.network, "pods");
	assert_string_equal(rq.socket, "/tmp/s");
	assert_int_equal(rq.timeout_ms, 7000);
	assert_string_equal(rq.container_id, "abc123");
	assert_string_equal(rq.netns, "/run/netns/a");
	assert_string_equal(rq.ifname, "eth0");
	assert_string_equal(rq.pod_namespace, "shop");
	assert_string_equal(rq.pod_name, "web-0.x");
	assert_string_equal(rq.pod_uid, "5d0f-1");
	assert_string_equal(rq.sandbox_id, "abc123");
	assert_string_equal(rq.mac, "0a:58:0a:16:00:05");
	assert_string_equal(rq.sandbox, "/run/netns/a");
	assert_string_equal(rq.cgroup_path, "/kubepods/pod1");
	expect_addresses("[\"10.22.0.5\",\"fd00::5\"]");
	assert_int_equal(json_array_size(rq.labels), 1);
	assert_int_equal(json_object_size(json_array_get(rq.labels, 0)), 2);
}

static void test_defaults(void **state)
{
	struct bh_cni_env env = good;

	(void)state;
	env.args = NULL;
	bh_assert_ok(&err, read_it(&env, CONFIG(PREV)));
	assert_string_equal(rq.socket, "/run/bulkhead/bulkheadd.sock");
	assert_int_equal(rq.timeout_ms, 30000);
	assert_string_equal(rq.pod_namespace, "default");
	assert_string_equal(rq.pod_name, "abc123");
	assert_null(rq.pod_uid);
	assert_null(rq.sandbox_id);
	assert_null(rq.cgroup_path);
	assert_int_equal(json_array_size(rq.labels), 0);
}

/* ---- environment ---- */

static void test_bad_environment(void **state)
{
	static const struct {
		struct bh_cni_env env;
		const char *part;
	} rows[] = {
		{{NULL, "a", "/n", "eth0", NULL}, "CNI_COMMAND is not set"},
		{{"", "a", "/n", "eth0", NULL}, "CNI_COMMAND is not set"},
		{{"add", "a", "/n", "eth0", NULL}, "CNI_COMMAND 'add'"},
		{{"ADD", NULL, "/n", "eth0", NULL}, "CNI_CONTAINERID ''"},
		{{"ADD", "-a", "/n", "eth0", NULL}, "CNI_CONTAINERID '-a'"},
		{{"ADD", "a/b", "/n", "eth0", NULL}, "CNI_CONTAINERID 'a/b'"},
		{{"ADD", "a b", "/n", "eth0", NULL}, "CNI_CONTAINERID"},
		{{"ADD", "a", NULL, "eth0", NULL}, "CNI_NETNS ''"},
		{{"ADD", "a", "relative", "eth0", NULL}, "CNI_NETNS 'relative'"},
		{{"CHECK", "a", "", "eth0", NULL}, "CNI_NETNS ''"},
		{{"ADD", "a", "/n", NULL, NULL}, "CNI_IFNAME ''"},
		{{"ADD", "a", "/n", ".", NULL}, "CNI_IFNAME '.'"},
		{{"ADD", "a", "/n", "..", NULL}, "CNI_IFNAME '..'"},
		{{"ADD", "a", "/n", "e/0", NULL}, "CNI_IFNAME 'e/0'"},
		{{"ADD", "a", "/n", "e:0", NULL}, "CNI_IFNAME 'e:0'"},
		{{"ADD", "a", "/n", "e 0", NULL}, "CNI_IFNAME 'e 0'"},
		{{"ADD", "a", "/n", "e\t0", NULL}, "CNI_IFNAME"},
		{{"ADD", "a", "/n", "e\xff", NULL}, "CNI_IFNAME"},
		{{"ADD", "a", "/n", "sixteen-letters-", NULL}, "CNI_IFNAME 'sixteen"},
		{{"DEL", "", "", "eth0", NULL}, "CNI_CONTAINERID ''"},
		{{"DEL", "a", "", "", NULL}, "CNI_IFNAME ''"},
	};
	struct bh_cni_env env = good;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		refuse(&rows[i].env, CONFIG(PREV), BH_CNI_E_ENVIRONMENT, rows[i].part);
	env.ifname = "fifteen-letters";
	refuse(&env, CONFIG(PREV), BH_CNI_E_CONFIG, "no interface 'fifteen-letters'");
}

static void test_bad_args(void **state)
{
	static const char *const rows[][2] = {
		{"K8S_POD_NAME", "'K8S_POD_NAME' is not KEY=VALUE"},
		{"K8S_POD_NAME=a;OTHER=1", "unknown key 'OTHER'"},
		{"IgnoreUnknown=0;OTHER=1", "unknown key 'OTHER'"},
		{"IgnoreUnknown=yes;OTHER=1", "IgnoreUnknown 'yes' is not"},
		{"K8S_POD_NAME=a;K8S_POD_NAME=b", "K8S_POD_NAME is given twice"},
		{"K8S_POD_NAME=;K8S_POD_NAME=b", "K8S_POD_NAME is given twice"},
		{"K8S_POD_NAMESPACE=Shop", "K8S_POD_NAMESPACE 'Shop' is not a DNS-1123 label"},
		{"K8S_POD_NAMESPACE=a.b", "is not a DNS-1123 label"},
		{"K8S_POD_NAMESPACE=-a", "is not a DNS-1123 label"},
		{"K8S_POD_NAMESPACE=a-", "is not a DNS-1123 label"},
		{"K8S_POD_NAMESPACE=../../etc", "is not a DNS-1123 label"},
		{"K8S_POD_NAMESPACE="
		 "a123456789a123456789a123456789a123456789a123456789a123456789abcd",
		 "is not a DNS-1123 label"},
		{"K8S_POD_NAME=a_b", "is not a DNS-1123 subdomain"},
		{"K8S_POD_NAME=a..b", "is not a DNS-1123 subdomain"},
		{"K8S_POD_NAME=a-.b", "is not a DNS-1123 subdomain"},
		{"K8S_POD_NAME=a.-b", "is not a DNS-1123 subdomain"},
		{"K8S_POD_NAME=.a", "is not a DNS-1123 subdomain"},
		{"K8S_POD_NAME=a.", "is not a DNS-1123 subdomain"},
		{"K8S_POD_NAME=a/b", "is not a DNS-1123 subdomain"},
		{"K8S_POD_NAME=\xc3\xbc", "is not a DNS-1123 subdomain"},
		{"K8S_POD_NAME=a=b", "is not a DNS-1123 subdomain"},
		{"K8S_POD_UID=a b", "is not a UID"},
		{"K8S_POD_INFRA_CONTAINER_ID=/a", "is not a container id"},
	};
	struct bh_cni_env env = good;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		env.args = rows[i][0];
		refuse(&env, CONFIG(PREV), BH_CNI_E_ENVIRONMENT, rows[i][1]);
	}
}

static void test_good_args(void **state)
{
	static const struct {
		const char *args, *ns, *name;
	} rows[] = {
		{"", "default", "abc123"},
		{";;", "default", "abc123"},
		{"K8S_POD_NAMESPACE=;K8S_POD_NAME=;K8S_POD_UID=", "default", "abc123"},
		{"OTHER=1;IgnoreUnknown=true;K8S_POD_NAME=a", "default", "a"},
		{"IgnoreUnknown=TRUE;OTHER=a=b;K8S_POD_NAMESPACE=x-1", "x-1", "abc123"},
		{"K8S_POD_NAME=0.1.2;K8S_POD_NAMESPACE=0;", "0", "0.1.2"},
	};
	struct bh_cni_env env = good;

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		env.args = rows[i].args;
		bh_assert_ok(&err, read_it(&env, CONFIG(PREV)));
		assert_string_equal(rq.pod_namespace, rows[i].ns);
		assert_string_equal(rq.pod_name, rows[i].name);
	}
}

/* ids that are no pod names still give names, and different ids different ones */
static void test_name_from_id(void **state)
{
	BH_CLEANUP(bh_freep) char *first = NULL;
	struct bh_cni_env env = good;

	(void)state;
	env.args = NULL;
	env.container_id = "My_Id.";
	bh_assert_ok(&err, read_it(&env, CONFIG(PREV)));
	assert_int_equal(strncmp(rq.pod_name, "my-id--", 7), 0);
	assert_int_equal(strlen(rq.pod_name), 6 + 1 + 16);
	first = strdup(rq.pod_name);
	env.container_id = "my-Id.";
	bh_assert_ok(&err, read_it(&env, CONFIG(PREV)));
	assert_string_not_equal(rq.pod_name, first);
}

/* ---- configuration ---- */

static void test_bad_config(void **state)
{
	static const struct {
		const char *config;
		enum bh_cni_code code;
		const char *part;
	} rows[] = {
		{"", BH_CNI_E_DECODE, "network configuration: JSON"},
		{"{", BH_CNI_E_DECODE, "network configuration: JSON"},
		{"[]", BH_CNI_E_DECODE, "not a JSON object"},
		{"{\"name\":\"a\",\"name\":\"b\"}", BH_CNI_E_DECODE, "duplicate"},
		{"{}", BH_CNI_E_VERSION, "cniVersion '0.1.0' is not supported"},
		{"{\"cniVersion\":\"0.2.0\"}", BH_CNI_E_VERSION, "'0.2.0'"},
		{"{\"cniVersion\":\"1.2.0\"}", BH_CNI_E_VERSION, "'1.2.0'"},
		{"{\"cniVersion\":\"1.0\"}", BH_CNI_E_VERSION, "'1.0'"},
		{"{\"cniVersion\":1}", BH_CNI_E_CONFIG, "'cniVersion': expected a string"},
		{"{\"cniVersion\":\"1.0.0\"," PREV "}", BH_CNI_E_CONFIG, "'name' is missing"},
		{"{\"cniVersion\":\"1.0.0\",\"name\":\"/x\"," PREV "}", BH_CNI_E_CONFIG, "'/x'"},
		{CONFIG("\"x\":1"), BH_CNI_E_CONFIG, "'prevResult' is missing"},
		{CONFIG("\"prevResult\":null"), BH_CNI_E_CONFIG, "'prevResult' is missing"},
		{CONFIG("\"prevResult\":[]"), BH_CNI_E_CONFIG, "'prevResult': expected an object"},
		{CONFIG("\"socket\":7," PREV), BH_CNI_E_CONFIG, "'socket': expected a string"},
		{CONFIG("\"socket\":\"a\"," PREV), BH_CNI_E_CONFIG, "not an absolute path"},
		{CONFIG("\"timeoutSeconds\":0," PREV), BH_CNI_E_CONFIG, "'timeoutSeconds': 0 is"},
		{CONFIG("\"timeoutSeconds\":601," PREV), BH_CNI_E_CONFIG, "601 is not 1-600"},
		{CONFIG("\"timeoutSeconds\":1.5," PREV), BH_CNI_E_CONFIG, "an integer"},
		{CONFIG("\"timeoutSeconds\":\"9\"," PREV), BH_CNI_E_CONFIG, "an integer"},
		{CONFIG("\"capabilities\":[]," PREV), BH_CNI_E_CONFIG, "'capabilities'"},
		{CONFIG("\"runtimeConfig\":1," PREV), BH_CNI_E_CONFIG, "'runtimeConfig'"},
		{CONFIG("\"runtimeConfig\":{\"cgroupPath\":1}," PREV), BH_CNI_E_CONFIG,
		 "'cgroupPath'"},
		{CONFIG("\"args\":1," PREV), BH_CNI_E_CONFIG, "'args'"},
		{CONFIG("\"args\":{\"cni\":{\"labels\":{}}}," PREV), BH_CNI_E_CONFIG, "'labels'"},
		{CONFIG("\"args\":{\"cni\":{\"labels\":[{\"key\":\"a\"}]}}," PREV), BH_CNI_E_CONFIG,
		 "labels[0]: 'value' is missing"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		refuse(&good, rows[i].config, rows[i].code, rows[i].part);
}

static void test_every_version(void **state)
{
	(void)state;
	for (const char *const *v = bh_cni_versions; *v; v++) {
		BH_CLEANUP(bh_freep)
		char *config = bh_strf(
			"{\"cniVersion\":\"%s\",\"name\":\"n\",\"prevResult\":{\"ips\":[]}}", *v);

		bh_assert_ok(&err, read_it(&good, config));
		assert_string_equal(rq.version, *v);
	}
}

static void test_size_limit(void **state)
{
	BH_CLEANUP(bh_freep) char *big = malloc(BH_CNI_MAX_CONFIG + 2);

	(void)state;
	memset(big, ' ', BH_CNI_MAX_CONFIG + 1);
	memcpy(big, "{}", 2);
	assert_int_equal(bh_cni_request_read(&good, big, BH_CNI_MAX_CONFIG + 1, &rq, &err), -EFBIG);
	assert_int_equal(rq.code, BH_CNI_E_DECODE);
}

/* ---- what the other commands need ---- */

static void test_del_needs_little(void **state)
{
	struct bh_cni_env env = {.command = "DEL", .container_id = "a", .ifname = "eth0"};

	(void)state;
	bh_assert_ok(&err, read_it(&env, CONFIG("\"socket\":\"/s\"")));
	env.netns = "";
	env.args = "nonsense";
	bh_assert_ok(&err, read_it(&env, CONFIG("\"socket\":\"/s\"")));
	env.netns = "/gone";
	bh_assert_ok(&err, read_it(&env, CONFIG("\"prevResult\":{\"ips\":7}")));
}

static void test_check_needs_prev(void **state)
{
	struct bh_cni_env env = good;

	(void)state;
	env.command = "CHECK";
	refuse(&env, CONFIG("\"socket\":\"/s\""), BH_CNI_E_CONFIG, "'prevResult' is missing");
	bh_assert_ok(&err, read_it(&env, CONFIG(PREV)));
	expect_addresses("[\"10.22.0.5\",\"fd00::5\"]");
}

static void test_gc(void **state)
{
	struct bh_cni_env env = {.command = "GC"};
	BH_CLEANUP(bh_freep) char *got = NULL;

	(void)state;
	refuse(&env, CONFIG("\"x\":1"), BH_CNI_E_CONFIG, "valid-attachments' is missing");
	refuse(&env, CONFIG("\"cni.dev/valid-attachments\":[{\"ifname\":\"e\"}]"), BH_CNI_E_CONFIG,
	       "'containerID' is missing");
	bh_assert_ok(&err, read_it(&env, CONFIG("\"cni.dev/valid-attachments\":["
						"{\"containerID\":\"a\",\"ifname\":\"eth0\"}]")));
	got = json_dumps(rq.valid, JSON_COMPACT);
	assert_string_equal(got, "[{\"containerId\":\"a\",\"ifname\":\"eth0\"}]");
	bh_assert_ok(&err, read_it(&env, CONFIG("\"cni.dev/valid-attachments\":[]")));
	assert_int_equal(json_array_size(rq.valid), 0);
}

static void test_status_and_version(void **state)
{
	struct bh_cni_env env = {.command = "STATUS"};

	(void)state;
	bh_assert_ok(&err, read_it(&env, "{\"cniVersion\":\"1.1.0\"}"));
	env = (struct bh_cni_env){"VERSION", NULL, "dummy", "dummy", NULL};
	bh_assert_ok(&err, read_it(&env, "{\"cniVersion\":\"1.0.0\"}"));
	assert_string_equal(rq.version, "1.0.0");
	bh_assert_ok(&err, read_it(&env, " \n"));
	assert_string_equal(rq.version, "1.1.0");
	bh_assert_ok(&err, read_it(&env, "{\"cniVersion\":\"9.0.0\"}"));
	assert_string_equal(rq.version, "1.1.0");
	refuse(&env, "{\"cniVersion\":7}", BH_CNI_E_CONFIG, "'cniVersion'");
}

/* ---- prevResult ---- */

#define IF(name, sandbox) "{\"name\":\"" name "\",\"sandbox\":\"" sandbox "\"}"

static void test_addresses(void **state)
{
	static const struct {
		const char *prev, *want;
	} rows[] = {
		{"{}", "[]"},
		{"{\"interfaces\":[],\"ips\":[{\"address\":\"10.0.0.1/8\"}]}", "[\"10.0.0.1\"]"},
		/* no index, one interface in a sandbox */
		{"{\"interfaces\":[{\"name\":\"br0\"}," IF(
			 "eth0", "/run/netns/a") "],"
						 "\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0."
						 "1/8\"}]}",
		 "[\"10.0.0.1\"]"},
		/* no index, two of them: whose it is cannot be known */
		{"{\"interfaces\":[" IF("eth0", "/run/netns/a") "," IF(
			 "eth1",
			 "/run/netns/a") "],"
					 "\"ips\":[{\"address\":\"10.0.0.1/"
					 "8\"},{\"address\":\"10.0.0.2/8\",\"interface\":0},"
					 "{\"address\":\"10.0.0.3/8\",\"interface\":1}]}",
		 "[\"10.0.0.2\"]"},
		/* the same name elsewhere */
		{"{\"interfaces\":[" IF("eth0", "/run/netns/b") "," IF(
			 "eth0",
			 "/run/netns/a") "],"
					 "\"ips\":[{\"address\":\"10.0.0.2/8\",\"interface\":0},"
					 "{\"address\":\"10.0.0.3/8\",\"interface\":1}]}",
		 "[\"10.0.0.3\"]"},
		/* another path of the namespace */
		{"{\"interfaces\":[" IF("eth0", "/var/run/netns/a") "],"
								    "\"ips\":[{\"address\":\"10.0."
								    "0.2/8\",\"interface\":0}]}",
		 "[\"10.0.0.2\"]"},
		/* the bridge's own address is not the pod's */
		{"{\"interfaces\":[{\"name\":\"br0\"}," IF(
			 "eth0",
			 "/run/netns/a") "],"
					 "\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":0},"
					 "{\"address\":\"2001:DB8::1/128\",\"interface\":1}]}",
		 "[\"2001:db8::1\"]"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_freep)
		char *config =
			bh_strf("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"prevResult\":%s}",
				rows[i].prev);

		bh_assert_ok(&err, read_it(&good, config));
		expect_addresses(rows[i].want);
		assert_null(rq.mac);
	}
}

static void test_bad_prev(void **state)
{
	static const struct {
		const char *prev, *part;
		enum bh_cni_code code;
	} rows[] = {
		{"{\"cniVersion\":\"0.2.0\"}", "prevResult: cniVersion '0.2.0'", BH_CNI_E_VERSION},
		{"{\"interfaces\":{}}", "'interfaces': expected an array", BH_CNI_E_CONFIG},
		{"{\"interfaces\":[1]}", "interfaces[0]", BH_CNI_E_CONFIG},
		{"{\"interfaces\":[{\"mac\":\"x\"}]}", "'name' is missing", BH_CNI_E_CONFIG},
		{"{\"interfaces\":[{\"name\":\"eth0\"}]}", "no interface 'eth0'", BH_CNI_E_CONFIG},
		{"{\"interfaces\":[" IF("eth0", "/b") "," IF("eth0", "/c") "]}",
		 "no interface 'eth0'", BH_CNI_E_CONFIG},
		{"{\"ips\":{}}", "'ips': expected an array", BH_CNI_E_CONFIG},
		{"{\"ips\":[{}]}", "ips[0]: 'address' is missing", BH_CNI_E_CONFIG},
		{"{\"ips\":[{\"address\":\"10.0.0.1\"}]}", "ips[0]", BH_CNI_E_CONFIG},
		{"{\"ips\":[{\"address\":\"10.0.0.1/33\"}]}", "ips[0]", BH_CNI_E_CONFIG},
		{"{\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":1}]}", "no interface 1",
		 BH_CNI_E_CONFIG},
		{"{\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":-1}]}", "'interface': -1",
		 BH_CNI_E_CONFIG},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_freep)
		char *config =
			bh_strf("{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"prevResult\":%s}",
				rows[i].prev);

		refuse(&good, config, rows[i].code, rows[i].part);
	}
}

/* ---- results ---- */

static void test_conversion(void **state)
{
	static const struct {
		const char *version, *prev, *want;
	} rows[] = {
		/* the same version: unchanged, also what we do not know and what looks odd */
		{"1.0.0",
		 "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.1/"
		 "8\"}],"
		 "\"x\":{\"y\":[1,null,1.5]},\"routes\":[{\"dst\":\"0.0.0.0/0\"}],\"dns\":{}}",
		 NULL},
		{"0.4.0", "{\"cniVersion\":\"0.4.0\",\"ips\":[]}", NULL},
		/* a result without a version gets one */
		{"0.4.0", "{\"dns\":{}}", "{\"dns\":{},\"cniVersion\":\"0.4.0\"}"},
		{"1.0.0",
		 "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.1/8\","
		 "\"z\":1}]}",
		 "{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.0.0.1/8\",\"z\":1}]}"},
		{"0.3.1",
		 "{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"10.0.0.1/8\"},"
		 "{\"address\":\"fd00::1/8\"}],\"m\":[]}",
		 "{\"cniVersion\":\"0.3.1\",\"ips\":[{\"address\":\"10.0.0.1/"
		 "8\",\"version\":\"4\"},"
		 "{\"address\":\"fd00::1/8\",\"version\":\"6\"}],\"m\":[]}"},
		{"1.1.0", "{\"cniVersion\":\"1.0.0\",\"ips\":[]}",
		 "{\"cniVersion\":\"1.1.0\",\"ips\":[]}"},
		{"0.3.0",
		 "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.1/"
		 "8\"}]}",
		 "{\"cniVersion\":\"0.3.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.1/"
		 "8\"}]}"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_freep)
		char *config = bh_strf("{\"cniVersion\":\"%s\",\"name\":\"n\",\"prevResult\":%s}",
				       rows[i].version, rows[i].prev);
		BH_CLEANUP(bh_json_decrefp) json_t *result = NULL;
		BH_CLEANUP(bh_freep) char *got = NULL;

		bh_assert_ok(&err, read_it(&good, config));
		bh_assert_ok(&err, bh_cni_result_convert(&rq, &result, &err));
		got = json_dumps(result, JSON_COMPACT);
		assert_string_equal(got, rows[i].want ? rows[i].want : rows[i].prev);
	}
}

static void test_objects(void **state)
{
	BH_CLEANUP(bh_json_decrefp) json_t *versions = bh_cni_result_versions("0.4.0");
	BH_CLEANUP(bh_json_decrefp) json_t *error = NULL;
	BH_CLEANUP(bh_freep) char *a = NULL;
	BH_CLEANUP(bh_freep) char *b = NULL;

	(void)state;
	a = json_dumps(versions, JSON_COMPACT);
	assert_string_equal(a,
			    "{\"cniVersion\":\"0.4.0\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\","
			    "\"0.4.0\",\"1.0.0\",\"1.1.0\"]}");
	bh_fail(&err, EINVAL, "a \"quoted\" sentence");
	error = bh_cni_result_error("1.0.0", BH_CNI_E_AGAIN, &err);
	b = json_dumps(error, JSON_COMPACT);
	assert_string_equal(b,
			    "{\"cniVersion\":\"1.0.0\",\"code\":11,"
			    "\"msg\":\"a \\\"quoted\\\" sentence\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_add, teardown),
		cmocka_unit_test_teardown(test_defaults, teardown),
		cmocka_unit_test_teardown(test_bad_environment, teardown),
		cmocka_unit_test_teardown(test_bad_args, teardown),
		cmocka_unit_test_teardown(test_good_args, teardown),
		cmocka_unit_test_teardown(test_name_from_id, teardown),
		cmocka_unit_test_teardown(test_bad_config, teardown),
		cmocka_unit_test_teardown(test_every_version, teardown),
		cmocka_unit_test_teardown(test_size_limit, teardown),
		cmocka_unit_test_teardown(test_del_needs_little, teardown),
		cmocka_unit_test_teardown(test_check_needs_prev, teardown),
		cmocka_unit_test_teardown(test_gc, teardown),
		cmocka_unit_test_teardown(test_status_and_version, teardown),
		cmocka_unit_test_teardown(test_addresses, teardown),
		cmocka_unit_test_teardown(test_bad_prev, teardown),
		cmocka_unit_test_teardown(test_conversion, teardown),
		cmocka_unit_test_teardown(test_objects, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

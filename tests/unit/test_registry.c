/* The pure parts of the registry client: URLs, challenges, credentials. */
#include "bh_test.h"

#include <errno.h>

#include "base/str.h"
#include "registry/challenge.h"
#include "registry/creds.h"
#include "registry/link.h"
#include "registry/mirror.h"
#include "registry/url.h"

static void url_parses(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} rows[] = {
		{"https://r.example/v2/", "https://r.example:443/v2/"},
		{"http://127.0.0.1:5000/v2/a?b=c#d", "http://127.0.0.1:5000/v2/a?b=c"},
		{"HTTPS://R.Example", "https://r.example:443/"},
		{"https://[fd00::1]:8443/x", "https://[fd00::1]:8443/x"},
		{"https://r.example?x=y", "https://r.example:443/?x=y"},
		{"ftp://r.example/", NULL},
		{"https://user:pw@r.example/", NULL},
		{"https://r.example:0/", NULL},
		{"https://r.example:70000/", NULL},
		{"https://r.example:/", NULL},
		{"https:///x", NULL},
		{"https://r.example/a b", NULL},
		{"https://r.example/\r\nHost: x", NULL},
		{"https://r.example\\@evil.example/", NULL},
		{"//r.example/", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_url_done) struct bh_url u = {0};
		BH_CLEANUP(bh_freep) char *text = NULL;
		struct bh_err err;
		int r = bh_url_parse(rows[i].text, &u, &err);

		if (!rows[i].want) {
			assert_int_equal(r, -EINVAL);
			continue;
		}
		assert_int_equal(r, 0);
		text = bh_url_text(&u);
		assert_string_equal(text, rows[i].want);
	}
}

static void url_resolves(void **state)
{
	static const struct {
		const char *base, *text, *want;
	} rows[] = {
		{"https://r.example/v2/a/referrers/x?n=1", "/v2/b?last=2",
		 "https://r.example:443/v2/b?last=2"},
		{"https://r.example/v2/a/b?n=1", "c", "https://r.example:443/v2/a/c"},
		{"https://r.example/v2/a/b?n=1", "?n=2", "https://r.example:443/v2/a/b?n=2"},
		{"http://r.example:5000/v2/", "//m.example/x", "http://m.example:80/x"},
		{"http://r.example:5000/v2/", "https://m.example/x", "https://m.example:443/x"},
		{"https://r.example/v2/", "/x?u=http://y", "https://r.example:443/x?u=http://y"},
		{"https://r.example/v2/", "ftp://m.example/x", NULL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_url_done) struct bh_url base = {0}, u = {0};
		BH_CLEANUP(bh_freep) char *text = NULL;
		struct bh_err err;
		int r;

		assert_int_equal(bh_url_parse(rows[i].base, &base, &err), 0);
		r = bh_url_resolve(&base, rows[i].text, &u, &err);
		assert_int_equal(r, rows[i].want ? 0 : -EINVAL);
		if (!rows[i].want)
			continue;
		text = bh_url_text(&u);
		assert_string_equal(text, rows[i].want);
	}
}

static void url_same_server(void **state)
{
	static const struct {
		const char *a, *b;
		bool want;
	} rows[] = {
		{"https://r.example/x", "https://R.example:443/y", true},
		{"https://r.example/x", "http://r.example/x", false},
		{"https://r.example/x", "https://r.example:444/x", false},
		{"https://r.example/x", "https://r.example.evil.example/x", false},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_url_done) struct bh_url a = {0}, b = {0};
		struct bh_err err;

		assert_int_equal(bh_url_parse(rows[i].a, &a, &err), 0);
		assert_int_equal(bh_url_parse(rows[i].b, &b, &err), 0);
		assert_int_equal(bh_url_same_server(&a, &b), rows[i].want);
	}
}

static void challenge_rows(void **state)
{
	static const struct {
		const char *header;
		int r;
		enum bh_auth_scheme scheme;
		const char *realm, *service, *scope;
	} rows[] = {
		{NULL, 0, BH_AUTH_NONE, NULL, NULL, NULL},
		{"Basic realm=\"x\"", 0, BH_AUTH_BASIC, "x", NULL, NULL},
		{"Bearer realm=\"https://a/token\",service=\"s\",scope=\"repository:a/b:pull\"", 0,
		 BH_AUTH_BEARER, "https://a/token", "s", "repository:a/b:pull"},
		{"bearer realm=https://a/token, service=\"a \\\"b\\\"\"", 0, BH_AUTH_BEARER,
		 "https://a/token", "a \"b\"", NULL},
		{"Basic realm=\"x\", Bearer realm=\"https://a/t\"", 0, BH_AUTH_BEARER,
		 "https://a/t", NULL, NULL},
		{"Bearer realm=\"https://a/t\", Basic realm=\"x\"", 0, BH_AUTH_BEARER,
		 "https://a/t", NULL, NULL},
		{"Negotiate, Basic realm=\"x\"", 0, BH_AUTH_BASIC, "x", NULL, NULL},
		{"Negotiate abc==, Basic realm=\"x\"", 0, BH_AUTH_BASIC, "x", NULL, NULL},
		{"Bearer realm=\"https://a/t\",realm=\"https://evil/t\"", 0, BH_AUTH_BEARER,
		 "https://a/t", NULL, NULL},
		{"Bearer service=\"x\"", -EINVAL, BH_AUTH_NONE, NULL, NULL, NULL},
		{"Bearer realm=\"unterminated", -EINVAL, BH_AUTH_NONE, NULL, NULL, NULL},
		{"=", -EINVAL, BH_AUTH_NONE, NULL, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_challenge c = {0};
		struct bh_err err;

		assert_int_equal(bh_challenge_parse(rows[i].header, &c, &err), rows[i].r);
		if (rows[i].r)
			continue;
		assert_int_equal(c.scheme, rows[i].scheme);
		assert_true(bh_streq(c.realm, rows[i].realm));
		assert_true(bh_streq(c.service, rows[i].service));
		assert_true(bh_streq(c.scope, rows[i].scope));
		bh_challenge_done(&c);
	}
}

/* "dTpw" is "u:p" */
static const char config[] =
	"{\"auths\":{"
	"\"registry.example\":{\"auth\":\"dTpw\"},"
	"\"registry.example/team\":{\"username\":\"team\",\"password\":\"x\"},"
	"\"registry.example:5000\":{\"username\":\"port\",\"password\":\"x\"},"
	"\"*.cloud.example\":{\"username\":\"star\",\"password\":\"x\"},"
	"\"https://index.docker.io/v1/\":{\"username\":\"hub\",\"password\":\"x\"},"
	"\"token.example\":{\"identitytoken\":\"secret\"},"
	"\"helper.example\":{}}}";

static void creds_match(void **state)
{
	static const struct {
		const char *host, *repository, *user; /* NULL: none */
	} rows[] = {
		{"registry.example", "app", "u"},	   {"Registry.Example", "app", "u"},
		{"registry.example", "team/app", "team"},  {"registry.example", "team", "team"},
		{"registry.example", "teammate/app", "u"}, {"registry.example:5000", "app", "port"},
		{"registry.example:5001", "app", NULL},	   {"evilregistry.example", "app", NULL},
		{"registry.example.evil", "app", NULL},	   {"a.cloud.example", "app", "star"},
		{"a.b.cloud.example", "app", NULL},	   {"cloud.example", "app", NULL},
		{"docker.io", "library/nginx", "hub"},	   {"helper.example", "app", NULL},
	};
	BH_CLEANUP(bh_creds_freep) struct bh_creds *c = NULL;
	struct bh_err err;

	(void)state;
	assert_int_equal(bh_creds_new(&c, &err), 0);
	assert_int_equal(bh_creds_add(c, config, sizeof(config) - 1, &err), 0);
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		const struct bh_cred *found = bh_creds_find(c, rows[i].host, rows[i].repository);

		if (rows[i].user)
			assert_string_equal(found->user, rows[i].user);
		else
			assert_null(found);
	}
	assert_string_equal(bh_creds_find(c, "token.example", "a")->identity_token, "secret");
	assert_null(bh_creds_find(NULL, "registry.example", "app"));
}

static void creds_refuse(void **state)
{
	static const char *const rows[] = {
		"[]",
		"{\"auths\":[]}",
		"{\"auths\":{\"r\":{\"auth\":\"%%%\"}}}",
		"{\"auths\":{\"r\":{\"auth\":\"dXA=\"}}}", /* no colon */
		"{\"auths\":{\"r\":7}}",
		"{\"auths\":{\"r\":{\"auth\":7}}}",
		"{",
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_creds_freep) struct bh_creds *c = NULL;
		struct bh_err err;

		assert_int_equal(bh_creds_new(&c, &err), 0);
		assert_int_equal(bh_creds_add(c, rows[i], strlen(rows[i]), &err), -EINVAL);
	}
}

/* What comes first where several entries or members could be meant. */
static void creds_prefer(void **state)
{
	static const char text[] =
		"{\"auths\":{"
		"\"*.r.example\":{\"auth\":\"c3Rhcjpw\"},"
		"\"a.r.example\":{\"auth\":\"ZXhhY3Q6cA==\"},"
		"\"*.r.example/team\":{\"auth\":\"dGVhbTpw\"},"
		"\"b.example\":{\"auth\":\"YXV0aDpw\",\"username\":\"named\","
		"\"password\":\"q\"},"
		"\"https://index.docker.io/v1/\":{\"auth\":\"aHViOnA=\"}}}";
	static const char legacy[] = "{\"old.example\":{\"auth\":\"b2xkOnA=\",\"email\":\"x\"}}";
	static const struct {
		const char *host, *repository, *user;
	} rows[] = {
		{"a.r.example", "x", "exact"},
		{"c.r.example", "x", "star"},
		{"a.r.example", "team/x", "team"},
		{"b.example", "x", "auth"},
		{"registry-1.docker.io", "library/x", "hub"},
		{"old.example", "x", "old"},
	};
	BH_CLEANUP(bh_creds_freep) struct bh_creds *c = NULL;
	struct bh_err err;

	(void)state;
	assert_int_equal(bh_creds_new(&c, &err), 0);
	assert_int_equal(bh_creds_add(c, text, sizeof(text) - 1, &err), 0);
	assert_int_equal(bh_creds_add(c, legacy, sizeof(legacy) - 1, &err), 0);
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		assert_string_equal(bh_creds_find(c, rows[i].host, rows[i].repository)->user,
				    rows[i].user);
}

/* Neither the secret nor its encoding may come back in a sentence. */
static void creds_keep_secrets(void **state)
{
	static const char text[] = "{\"auths\":{\"r.example\":{\"auth\":\"c2VjcmV0!\"}}}";
	BH_CLEANUP(bh_creds_freep) struct bh_creds *c = NULL;
	struct bh_err err;

	(void)state;
	assert_int_equal(bh_creds_new(&c, &err), 0);
	assert_int_equal(bh_creds_add(c, text, sizeof(text) - 1, &err), -EINVAL);
	assert_non_null(strstr(err.text, "r.example"));
	assert_null(strstr(err.text, "c2VjcmV0"));
}

static void plain_hosts(void **state)
{
	static const struct {
		const char *entry, *host;
		bool want;
	} rows[] = {
		{"127.0.0.1", "127.0.0.1:5000", true},	{"127.0.0.1:5000", "127.0.0.1:5000", true},
		{"127.0.0.1:5000", "127.0.0.1", false}, {"127.0.0.1", "127.0.0.11", false},
		{"R.example", "r.example:80", true},	{"[::1]", "[::1]:5000", true},
		{"[::1]:5000", "[::1]:5000", true},	{"[", "[::1]:5000", false},
		{"[::1]", "[::11]:5000", false},	{"", "[::1", false},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		char *list[] = {(char *)(uintptr_t)rows[i].entry};
		struct bh_registry_options opt = {.insecure = list, .n_insecure = 1};

		if (bh_is_insecure(&opt, rows[i].host) != rows[i].want)
			fail_msg("row %zu", i);
	}
}

static void link_rows(void **state)
{
	static const struct {
		const char *header, *want;
	} rows[] = {
		{"</v2/a?n=2>; rel=\"next\"", "/v2/a?n=2"},
		{"</x>;rel=next", "/x"},
		{" , </x> ; REL = NEXT ", "/x"},
		{"</a>; rel=\"prev\", </b>; rel=\"next\"", "/b"},
		{"</a>; rel=next, </b>; rel=next", "/a"},
		{"</a>; title=\"x, y; rel=next\", </b>; rel=\"last next\"", "/b"},
		{"</a>; title=\"\\\"; rel=next\"; rel=\"prev\"", NULL},
		{"</a>; rel=nextish", NULL},
		{"</a>; relation=next", NULL},
		{"</a>; rel=\"\"", NULL},
		{"</a>; rel", NULL},
		{"</a>", NULL},
		{"<>; rel=next", ""},
		{"/a; rel=next", NULL},
		{"<", NULL},
		{"", NULL},
		{NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_freep) char *got = bh_link_next(rows[i].header);

		if (!got != !rows[i].want || (got && strcmp(got, rows[i].want)))
			fail_msg("row %zu: %s", i, got ? got : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(url_parses),	      cmocka_unit_test(url_resolves),
		cmocka_unit_test(url_same_server),    cmocka_unit_test(challenge_rows),
		cmocka_unit_test(creds_match),	      cmocka_unit_test(creds_refuse),
		cmocka_unit_test(creds_keep_secrets), cmocka_unit_test(creds_prefer),
		cmocka_unit_test(plain_hosts),	      cmocka_unit_test(link_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

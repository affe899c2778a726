/* The compiler against the rules of NetworkPolicy and SegmentationPolicy, case by case. */
#include "worldkit.h"

#define NOW 1000

/* One world with its compiled tables for all its pods. */
struct fixture {
	struct bh_world *w;
	struct bh_tables *t;
	struct bh_err err;
};

static void compile(struct fixture *f)
{
	struct bh_subject *s = calloc(f->w->n_pods + 1, sizeof(*s));
	size_t n = 0;

	for (size_t i = 0; i < f->w->n_pods; i++)
		s[n++] = (struct bh_subject){f->w->pods[i]->ident->ns, f->w->pods[i]->name};
	bh_assert_ok(&f->err, bh_compile(f->w, s, n, &f->t, &f->err));
	free(s);
}

static void done(struct fixture *f)
{
	bh_tables_freep(&f->t);
	bh_world_unrefp(&f->w);
}

/* shop: web 10.0.0.1, db 10.0.0.2 (http 8080, 8081); ops (team=ops): mon 10.0.1.1, both with IPv6.
 */
static void begin(struct fixture *f)
{
	*f = (struct fixture){.w = wk_world(NOW)};
	wk_add_namespace(f->w, wk_namespace("shop", "team=shop"));
	wk_add_namespace(f->w, wk_namespace("ops", "team=ops"));
	wk_add_pod(f->w, wk_pod(&(struct wk_pod){.ns = "shop",
						 .name = "web",
						 .labels = "app=web",
						 .ips = "10.0.0.1,fd00::1"}));
	wk_add_pod(f->w, wk_pod(&(struct wk_pod){.ns = "shop",
						 .name = "db",
						 .labels = "app=db,tier=",
						 .ips = "10.0.0.2,fd00::2",
						 .ports = {{"http", 6, 8080}, {"http", 6, 8081}}}));
	wk_add_pod(f->w, wk_pod(&(struct wk_pod){.ns = "ops",
						 .name = "mon",
						 .labels = "app=web",
						 .ips = "10.0.1.1,fd00::101",
						 .ports = {{"http", 6, 9090}}}));
}

static void finish(struct fixture *f)
{
	wk_seal(f->w);
	compile(f);
}

struct ask {
	const char *pod; /* in shop */
	enum bh_dir dir;
	const char *peer;
	uint8_t proto;
	uint16_t port;
};

static struct bh_tverdict ask(const struct fixture *f, struct ask a, const char *exe, int64_t now_s)
{
	const struct bh_tsubject *s = bh_tables_subject(f->t, "shop", a.pod);
	struct bh_ip ip = wk_ip(a.peer);

	assert_non_null(s);
	return bh_tables_decide(f->t, s, a.dir, &ip, a.proto, a.port, exe, now_s);
}

#define expect(f, want, ...) expect_of(f, want, NULL, NOW, __VA_ARGS__)
#define expect_of(f, want, exe, now_s, ...)                                                        \
	assert_int_equal(ask(f, (struct ask){__VA_ARGS__}, exe, now_s).reason, BH_R_##want)

static void one_rule(struct fixture *f, const char *pods, enum bh_dir dir, struct wk_rule rule)
{
	struct bh_policy *p = wk_policy("shop", "p", pods);

	wk_rule(p, dir, &rule);
	wk_add_policy(f->w, p);
}

static void test_no_policy(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	finish(&f);
	expect(&f, DEFAULT_DENY, "web", BH_INGRESS, "10.0.0.2", 6, 80);
	done(&f);
	begin(&f);
	f.w->default_allow = true;
	finish(&f);
	expect(&f, DEFAULT_ALLOW, "web", BH_INGRESS, "10.0.0.2", 6, 80);
	expect(&f, DEFAULT_ALLOW, "web", BH_EGRESS, "fd00::2", 58, 0);
	done(&f);
}

static void test_pod_selector(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.w->default_allow = true;
	one_rule(&f, "app=db", BH_INGRESS,
		 (struct wk_rule){.peers = {{.pods = "app=web"}}, .ports = {WK_TCP(80)}});
	finish(&f);
	expect(&f, POLICY, "db", BH_INGRESS, "10.0.0.1", 6, 80);
	expect(&f, POLICY, "db", BH_INGRESS, "fd00::1", 6, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 6, 81);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 17, 80);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.0.1", 1, 0);
	expect(&f, DEFAULT_DENY, "db", BH_INGRESS, "10.0.1.1", 6, 80); /* same label elsewhere */
	expect(&f, DEFAULT_ALLOW, "db", BH_EGRESS, "10.0.1.1", 6, 80);
	expect(&f, DEFAULT_ALLOW, "web", BH_INGRESS, "10.0.1.1", 6, 80);
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_policy),
		cmocka_unit_test(test_pod_selector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

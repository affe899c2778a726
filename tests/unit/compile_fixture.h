/* compile_fixture.h - one small world with its compiled tables, and questions to them. */
#pragma once

#include "worldkit.h"

#define NOW 1000

/* One world with its compiled tables for all its pods. */
struct fixture {
	struct bh_world *w;
	struct bh_tables *t;
	struct bh_err err;
};

static inline void compile(struct fixture *f)
{
	struct bh_subject *s = calloc(f->w->n_pods + 1, sizeof(*s));
	size_t n = 0;

	for (size_t i = 0; i < f->w->n_pods; i++)
		s[n++] = (struct bh_subject){f->w->pods[i]->ident->ns, f->w->pods[i]->name};
	bh_assert_ok(&f->err, bh_compile(f->w, s, n, &f->t, &f->err));
	free(s);
}

static inline void done(struct fixture *f)
{
	bh_tables_freep(&f->t);
	bh_world_unrefp(&f->w);
}

/* shop: web 10.0.0.1, db 10.0.0.2 (http 8080, 8081); ops (team=ops): mon 10.0.1.1, both with IPv6.
 */
static inline void begin(struct fixture *f)
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

static inline void finish(struct fixture *f)
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

static inline struct bh_tverdict ask(const struct fixture *f, struct ask a, const char *exe,
				     int64_t now_s)
{
	const struct bh_tsubject *s = bh_tables_subject(f->t, "shop", a.pod);

	assert_non_null(s);
	return bh_tables_ask(
		f->t, &(struct bh_tquestion){s, a.dir, wk_ip(a.peer), a.proto, a.port, exe, now_s});
}

#define expect(f, want, ...) expect_of(f, want, NULL, NOW, __VA_ARGS__)
#define expect_of(f, want, exe, now_s, ...)                                                        \
	assert_int_equal(ask(f, (struct ask){__VA_ARGS__}, exe, now_s).reason, BH_R_##want)

/* A policy in shop with one rule, named by its number. */
static inline void one_rule(struct fixture *f, const char *pods, enum bh_dir dir,
			    struct wk_rule rule)
{
	struct bh_policy *p;
	char name[16];

	snprintf(name, sizeof(name), "p%zu", f->w->n_policies);
	p = wk_policy("shop", name, pods);
	wk_rule(p, dir, &rule);
	wk_add_policy(f->w, p);
}

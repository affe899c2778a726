#include "daemon/config_runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/str.h"

#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define STARTUP_NS (60ull * 1000000000ull)
#define MAX_A_HOUR 1000000
#define RATES_MS   10000ull
#define BUSY_MS	   300000ull
#define DAY_MS	   86400000ull
#define SLICE_MS   600000ull
#define MAX_SLICES 1000000
#define MAX_PLACES 8   /* that a baseline tells apart */
#define MOST	   0.5 /* unseen, and all the same called known */

void bh_config_runtime_defaults(struct bh_runtime_settings *c)
{
	*c = (struct bh_runtime_settings){
		.mode = BH_RUNTIME_LIGHT,
		.startup_ns = STARTUP_NS,
		.rates_ms = RATES_MS,
		.busy_ns = BUSY_MS * 1000000,
		.learning = {.slice_ns = SLICE_MS * 1000000,
			     .slices = 12,
			     .replicas = 3,
			     .unseen = 0.02},
		.pods_per_hour = 3,
		.kills_per_hour = 120,
		.node_per_hour = 20,
		.least_share = 0.5,
	};
}

static int read_mode(const struct bh_yaml *m, struct bh_runtime_settings *c,
		     struct bh_yaml_err *err)
{
	static const char *const names[] = {"off", "light", "watch", "learn"};
	const struct bh_yaml *n = bh_yaml_find(m, "mode");

	if (!n)
		return 0;
	/* `off` is a boolean to YAML 1.1, and what people write here */
	for (size_t i = 0; n->type <= BH_YAML_STRING && i < BH_ARRAY_SIZE(names); i++) {
		if (!strcmp(n->text, names[i])) {
			c->mode = (enum bh_runtime_mode)i;
			return 0;
		}
	}
	return bh_yaml_fail(err, n, "'mode' is off, light, watch or learn");
}

/* A length of time; *ret_ms stays when none is given. */
static int read_span(const struct bh_yaml *m, const char *key, const uint64_t bounds_ms[2],
		     uint64_t *ret_ms, struct bh_yaml_err *err)
{
	const char *text = NULL;
	struct bh_err bad = {0};
	uint64_t ms = 0;
	int r = bh_yaml_get_str(m, key, false, &text, err);

	if (r < 0 || !text)
		return r;
	if (bh_duration_parse(text, &ms, &bad) < 0)
		return bh_yaml_fail(err, bh_yaml_find(m, key), "'%s': %s", key, bad.text);
	if (ms < bounds_ms[0] || ms > bounds_ms[1])
		return bh_yaml_fail(err, bh_yaml_find(m, key), "'%s': %s is too %s", key, text,
				    ms < bounds_ms[0] ? "short" : "long");
	*ret_ms = ms;
	return 0;
}

static int read_rates(const struct bh_yaml *m, struct bh_runtime_settings *c,
		      struct bh_yaml_err *err)
{
	static const uint64_t every[] = {200, 60000}, busy[] = {1000, DAY_MS};
	uint64_t busy_ms = c->busy_ns / 1000000;
	int r = bh_yaml_check_keys(m, KEYS("every", "busy"), err);

	if (!r)
		r = read_span(m, "every", every, &c->rates_ms, err);
	if (!r)
		r = read_span(m, "busy", busy, &busy_ms, err);
	c->busy_ns = busy_ms * 1000000;
	return r;
}

static int read_count(const struct bh_yaml *m, const char *key, struct bh_yaml_range range,
		      unsigned *ret, struct bh_yaml_err *err)
{
	int64_t n = *ret;
	int r = bh_yaml_get_int(m, key, false, range, &n, err);

	if (!r)
		*ret = (unsigned)n;
	return r;
}

static int read_unseen(const struct bh_yaml *m, struct bh_learning_settings *c,
		       struct bh_yaml_err *err)
{
	const char *text = NULL;
	double share;
	char *end;
	int r = bh_yaml_get_str(m, "unseen", false, &text, err);

	if (r < 0 || !text)
		return r;
	share = strtod(text, &end) / 100;
	if (strspn(text, "0123456789.") != (size_t)(end - text) || end == text ||
	    strcmp(end, "%") || share <= 0 || share > MOST)
		return bh_yaml_fail(err, bh_yaml_find(m, "unseen"),
				    "'unseen': '%s' is not above 0%% and up to 50%%", text);
	c->unseen = share;
	return 0;
}

static int read_learning(const struct bh_yaml *m, struct bh_learning_settings *c,
			 struct bh_yaml_err *err)
{
	static const uint64_t bounds[] = {1000, DAY_MS};
	uint64_t slice_ms = c->slice_ns / 1000000;
	int r = bh_yaml_check_keys(m, KEYS("slice", "slices", "replicas", "unseen"), err);

	if (!r)
		r = read_span(m, "slice", bounds, &slice_ms, err);
	c->slice_ns = slice_ms * 1000000;
	if (!r)
		r = read_count(m, "slices", (struct bh_yaml_range){1, MAX_SLICES}, &c->slices, err);
	if (!r)
		r = read_count(m, "replicas", (struct bh_yaml_range){1, MAX_PLACES}, &c->replicas,
			       err);
	return r < 0 ? r : read_unseen(m, c, err);
}

static int read_startup(const struct bh_yaml *m, struct bh_runtime_settings *c,
			struct bh_yaml_err *err)
{
	static const uint64_t bounds[] = {0, UINT64_MAX / 1000000};
	uint64_t ms = c->startup_ns / 1000000;
	int r = read_span(m, "startup", bounds, &ms, err);

	c->startup_ns = ms ? ms * 1000000 : 1;
	return r;
}

static int read_exempt(const struct bh_yaml *m, struct bh_runtime_settings *c,
		       struct bh_yaml_err *err)
{
	const struct bh_yaml *list = NULL;
	int r = bh_yaml_get_list(m, "exemptNamespaces", false, &list, err);

	if (r < 0 || !list)
		return r;
	c->exempt = calloc(list->n + 1, sizeof(*c->exempt));
	for (size_t i = 0; c->exempt && i < list->n; i++) {
		r = bh_yaml_expect(list->items[i], BH_YAML_STRING, "exemptNamespaces", err);
		if (r < 0)
			return r;
		c->exempt[i] = bh_strf("%s", list->items[i]->text);
		if (!c->exempt[i])
			return bh_fail(&err->err, ENOMEM, "settings");
	}
	return c->exempt ? 0 : bh_fail(&err->err, ENOMEM, "settings");
}

static int read_share(const struct bh_yaml *m, struct bh_runtime_settings *c,
		      struct bh_yaml_err *err)
{
	const char *text = NULL;
	unsigned long percent;
	char *end;
	int r = bh_yaml_get_str(m, "keepReplicas", false, &text, err);

	if (r < 0 || !text)
		return r;
	percent = strtoul(text, &end, 10);
	if (end == text || *text == '-' || strcmp(end, "%") || percent > 100)
		return bh_yaml_fail(err, bh_yaml_find(m, "keepReplicas"),
				    "'keepReplicas': '%s' is not 0%% to 100%%", text);
	c->least_share = (double)percent / 100;
	return 0;
}

static int read_response(const struct bh_yaml *m, struct bh_runtime_settings *c,
			 struct bh_yaml_err *err)
{
	const struct bh_yaml_range a_hour = {0, MAX_A_HOUR};
	int r = bh_yaml_check_keys(m,
				   KEYS("dryRun", "exemptNamespaces", "podsPerHour", "killsPerHour",
					"nodePerHour", "keepReplicas"),
				   err);

	if (!r)
		r = bh_yaml_get_bool(m, "dryRun", false, &c->is_dry_run, err);
	if (!r)
		r = read_exempt(m, c, err);
	if (!r)
		r = read_count(m, "podsPerHour", a_hour, &c->pods_per_hour, err);
	if (!r)
		r = read_count(m, "killsPerHour", a_hour, &c->kills_per_hour, err);
	if (!r)
		r = read_count(m, "nodePerHour", a_hour, &c->node_per_hour, err);
	return r < 0 ? r : read_share(m, c, err);
}

int bh_config_runtime(const struct bh_yaml *m, struct bh_runtime_settings *c,
		      struct bh_yaml_err *err)
{
	const struct bh_yaml *response = NULL, *rates = NULL, *learning = NULL;
	int r = bh_yaml_check_keys(
		m, KEYS("mode", "startup", "rates", "learning", "fanotify", "response"), err);

	if (!r)
		r = read_mode(m, c, err);
	if (!r)
		r = read_startup(m, c, err);
	if (!r)
		r = bh_yaml_get_bool(m, "fanotify", false, &c->has_fanotify, err);
	if (!r)
		r = bh_yaml_get_map(m, "rates", false, &rates, err);
	if (!r && rates)
		r = read_rates(rates, c, err);
	if (!r)
		r = bh_yaml_get_map(m, "learning", false, &learning, err);
	if (!r && learning)
		r = read_learning(learning, &c->learning, err);
	if (!r)
		r = bh_yaml_get_map(m, "response", false, &response, err);
	return r < 0 || !response ? r : read_response(response, c, err);
}

void bh_config_runtime_done(struct bh_runtime_settings *c)
{
	for (char **ns = c->exempt; ns && *ns; ns++)
		free(*ns);
	free(c->exempt);
	c->exempt = NULL;
}

const char *const *bh_config_exempt(const struct bh_runtime_settings *c)
{
	static const char *const usual[] = {"kube-system", NULL};

	return c->exempt ? (const char *const *)c->exempt : usual;
}

bool bh_config_may_kill(const struct bh_runtime_settings *c, const char *ns)
{
	const char *const *name = bh_config_exempt(c);

	while (*name && strcmp(*name, ns))
		name++;
	return !c->is_dry_run && !*name;
}

/* parse_runtime.c - RuntimePolicy of bulkhead.io/v1alpha1. Whatever is not understood refuses the
 * whole object: half of a policy about what may run would be a hole. */
#include "policy/parse.h"

#include <ctype.h>
#include <string.h>

#include "base/duration.h"
#include "policy/runtime.h"
#include "policy/syscalls.h"

#define MAX_ITEMS 4096

/* A list of strings with a check for each; the strings are copied. */
struct texts {
	char ***v;
	size_t *n;
	bool (*check)(struct bh_parse *p, const struct bh_yaml *at);
};

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void parse_texts(struct bh_parse *p, const struct bh_yaml *list, const char *what,
			const struct texts *to)
{
	size_t i;

	if (list->n > MAX_ITEMS) {
		bh_parse_refuse(p, list, "more than %d entries", MAX_ITEMS);
		return;
	}
	*to->v = bh_parse_calloc(p, list->n, sizeof(**to->v));
	for (i = 0; *to->v && i < list->n; i++) {
		const struct bh_yaml *at = list->items[i];

		if (!bh_parse_is(p, at, BH_YAML_STRING, what) || !to->check(p, at))
			continue;
		(*to->v)[*to->n] = bh_parse_strdup(p, at->text);
		*to->n += (*to->v)[*to->n] != NULL;
	}
	if (*to->n)
		qsort(*to->v, *to->n, sizeof(**to->v), text_cmp);
}

static bool is_path(struct bh_parse *p, const struct bh_yaml *at)
{
	const char *star = strchr(at->text, '*');
	size_t n = strlen(at->text);

	if (*at->text != '/')
		bh_parse_refuse(p, at, "'%s' is not an absolute path", at->text);
	else if (star && star[1])
		bh_parse_refuse(p, at, "'%s': '*' may only stand at the end", at->text);
	else if (strstr(at->text, "//") || strstr(at->text, "/../") || strstr(at->text, "/./") ||
		 (n > 1 && !strcmp(at->text + n - 2, "/.")) ||
		 (n > 2 && !strcmp(at->text + n - 3, "/..")))
		bh_parse_refuse(p, at, "'%s' has '//', '.' or '..' in it, as no real path has",
				at->text);
	else if (n > 4095)
		bh_parse_refuse(p, at, "the path is longer than 4095 bytes");
	else
		return true;
	return false;
}

static bool is_syscall(struct bh_parse *p, const struct bh_yaml *at)
{
	if (bh_syscall_exists(at->text))
		return true;
	bh_parse_refuse(p, at, "there is no system call '%s'", at->text);
	return false;
}

static unsigned line_of(struct bh_parse *p, const struct bh_yaml *at)
{
	return at ? bh_parse_place(p, at).line : 0;
}

/* ---- sections ---- */

static void parse_origins(struct bh_parse *p, const struct bh_yaml *list,
			  struct bh_runtime_policy *r)
{
	static const char *const names[] = {"image", "modified", "new",	 "tmpfs",
					    "memfd", "volume",	 "other"};
	size_t i, k;

	r->has_exec_origin = true;
	for (i = 0; i < list->n; i++) {
		const struct bh_yaml *at = list->items[i];

		if (!bh_parse_is(p, at, BH_YAML_STRING, "origin"))
			continue;
		for (k = 0; k < BH_ARRAY_SIZE(names) && strcmp(at->text, names[k]); k++)
			continue;
		if (k == BH_ARRAY_SIZE(names))
			bh_parse_refuse(p, at,
					"there is no origin '%s': image, modified, new, tmpfs, "
					"memfd, volume and other exist",
					at->text);
		else
			r->origins |= 1u << k;
	}
}

static void parse_exec(struct bh_parse *p, const struct bh_yaml *spec, struct bh_runtime_policy *r)
{
	static const char *const keys[] = {"origin", "allow", NULL};
	const struct texts allow = {&r->exec_allow.v, &r->exec_allow.n, is_path};
	const struct bh_yaml *exec = bh_parse_map(p, spec, "exec"), *origin, *list;

	if (!exec)
		return;
	bh_parse_keys(p, exec, keys);
	origin = bh_parse_list(p, exec, "origin");
	list = bh_parse_list(p, exec, "allow");
	if (origin)
		parse_origins(p, origin, r);
	r->has_exec_allow = list;
	r->line.origin = line_of(p, origin);
	r->line.allow = line_of(p, list);
	if (list)
		parse_texts(p, list, "executable", &allow);
	if ((origin && !origin->n) || (list && !list->n))
		bh_parse_warn(p, exec, "nothing may be executed");
}

static void parse_files(struct bh_parse *p, const struct bh_yaml *spec, struct bh_runtime_policy *r)
{
	static const char *const keys[] = {"writable", NULL};
	const struct texts writable = {&r->writable.v, &r->writable.n, is_path};
	const struct bh_yaml *files = bh_parse_map(p, spec, "files"), *list;

	if (!files)
		return;
	bh_parse_keys(p, files, keys);
	list = bh_parse_list(p, files, "writable");
	r->has_writable = list;
	r->line.writable = line_of(p, list);
	if (list)
		parse_texts(p, list, "path", &writable);
}

static void parse_syscalls(struct bh_parse *p, const struct bh_yaml *spec,
			   struct bh_runtime_policy *r)
{
	static const char *const keys[] = {"deny", NULL};
	const struct texts deny = {&r->denied_syscalls, &r->n_denied_syscalls, is_syscall};
	const struct bh_yaml *calls = bh_parse_map(p, spec, "syscalls"), *list;

	if (!calls)
		return;
	bh_parse_keys(p, calls, keys);
	list = bh_parse_list(p, calls, "deny");
	r->line.syscalls = line_of(p, list);
	if (list)
		parse_texts(p, list, "system call", &deny);
}

static void parse_user(struct bh_parse *p, const struct bh_yaml *at, struct bh_runtime_policy *r)
{
	char *end;
	unsigned long long uid;

	if (!bh_parse_is(p, at, BH_YAML_INT, "user"))
		return;
	uid = strtoull(at->text, &end, 10);
	if (*end || *at->text == '-' || uid > UINT32_MAX - 1) {
		bh_parse_refuse(p, at, "'%s' is no user id", at->text);
		return;
	}
	r->denied_users[r->n_denied_users++] = (uint32_t)uid;
}

static void parse_users(struct bh_parse *p, const struct bh_yaml *spec, struct bh_runtime_policy *r)
{
	static const char *const keys[] = {"deny", NULL};
	const struct bh_yaml *users = bh_parse_map(p, spec, "users"), *list;
	size_t i;

	if (!users)
		return;
	bh_parse_keys(p, users, keys);
	list = bh_parse_list(p, users, "deny");
	r->line.users = line_of(p, list);
	if (list && list->n > MAX_ITEMS)
		bh_parse_refuse(p, list, "more than %d entries", MAX_ITEMS);
	else if (list)
		r->denied_users = bh_parse_calloc(p, list->n, sizeof(*r->denied_users));
	for (i = 0; r->denied_users && i < list->n; i++)
		parse_user(p, list->items[i], r);
}

static void parse_lifetime(struct bh_parse *p, const struct bh_yaml *spec,
			   struct bh_runtime_policy *r)
{
	const char *text = bh_parse_str(p, spec, "maxLifetime", false);
	struct bh_err bad = {0};
	uint64_t ms = 0;

	if (!text)
		return;
	r->line.lifetime = line_of(p, bh_yaml_find(spec, "maxLifetime"));
	/* a bare number would leave it open whether seconds or hours are meant */
	if (!bh_duration_parse(text, &ms, &bad) && isalpha((unsigned char)text[strlen(text) - 1]))
		r->max_lifetime_s = (int64_t)(ms / 1000);
	if (!r->max_lifetime_s)
		bh_parse_refuse(p, bh_yaml_find(spec, "maxLifetime"),
				"'%s' is not a length of time like 30m, 168h or 7d", text);
}

/* YAML takes an unquoted `off` for a boolean, and nobody would quote it. */
static void parse_baseline(struct bh_parse *p, const struct bh_yaml *spec,
			   struct bh_runtime_policy *r)
{
	static const char *const names[] = {"off", "observe", "required"};
	const struct bh_yaml *n = bh_yaml_find(spec, "baseline");
	int i;

	if (!n)
		return;
	for (i = 0; n->type <= BH_YAML_STRING && i < 3; i++) {
		if (!strcmp(n->text, names[i])) {
			r->has_baseline = true;
			r->baseline = (enum bh_baseline_use)i;
			r->line.baseline = line_of(p, n);
			return;
		}
	}
	bh_parse_refuse(p, n, "'baseline' is off, observe or required");
}

/* ---- on ---- */

static bool parse_response(struct bh_parse *p, const struct bh_yaml_pair *pair,
			   enum bh_response *ret)
{
	if (!bh_parse_is(p, pair->value, BH_YAML_STRING, "response"))
		return false;
	if (!bh_response_parse(pair->value->text, ret))
		return true;
	bh_parse_refuse(p, pair->value,
			"there is no response '%s': alert, kill, freeze and quarantine exist",
			pair->value->text);
	return false;
}

static void parse_one(struct bh_parse *p, const struct bh_yaml_pair *pair,
		      struct bh_runtime_policy *r)
{
	enum bh_response response;

	if (!parse_response(p, pair, &response))
		return;
	if (!strcmp(pair->key->text, "violation")) {
		r->has_violation = true;
		r->on_violation = response;
		r->line.violation = line_of(p, pair->key);
	} else if (!strcmp(pair->key->text, "anomaly")) {
		r->has_anomaly = true;
		r->on_anomaly = response;
		r->line.anomaly = line_of(p, pair->key);
	} else if (!bh_runtime_is_detector(pair->key->text)) {
		bh_parse_refuse(p, pair->key, "there is no detector '%s'", pair->key->text);
	} else {
		r->on[r->n_on].detector = bh_parse_strdup(p, pair->key->text);
		r->on[r->n_on].response = response;
		r->on[r->n_on].line = line_of(p, pair->key);
		r->n_on += r->on[r->n_on].detector != NULL;
	}
}

static void parse_on(struct bh_parse *p, const struct bh_yaml *spec, struct bh_runtime_policy *r)
{
	const struct bh_yaml *on = bh_parse_map(p, spec, "on");
	size_t i;

	if (!on)
		return;
	r->on = bh_parse_calloc(p, on->n, sizeof(*r->on));
	for (i = 0; r->on && i < on->n; i++)
		parse_one(p, &on->pairs[i], r);
	if (r->n_on)
		/* the name is the first member */
		qsort(r->on, r->n_on, sizeof(*r->on), text_cmp);
}

static void parse_spec(struct bh_parse *p, const struct bh_yaml *spec, struct bh_runtime_policy *r)
{
	static const char *const keys[] = {"podSelector", "exec",	 "files",
					   "syscalls",	  "maxLifetime", "baseline",
					   "users",	  "on",		 NULL};

	bh_parse_keys(p, spec, keys);
	if (!bh_yaml_find(spec, "podSelector"))
		bh_parse_refuse(p, spec, "'podSelector' is missing; {} selects all pods");
	bh_parse_selector(p, bh_yaml_find(spec, "podSelector"), &r->pods);
	parse_exec(p, spec, r);
	parse_files(p, spec, r);
	parse_syscalls(p, spec, r);
	parse_lifetime(p, spec, r);
	parse_baseline(p, spec, r);
	parse_users(p, spec, r);
	parse_on(p, spec, r);
}

/* What was meant to stop something but only tells. */
static void lint(struct bh_parse *p, const struct bh_yaml *spec, const struct bh_runtime_policy *r)
{
	bool forbids = r->has_exec_origin || r->has_exec_allow || r->has_writable ||
		       r->n_denied_syscalls || r->n_denied_users || r->max_lifetime_s;

	if (!forbids && r->baseline == BH_BASELINE_OFF && !r->n_on && !r->has_anomaly)
		bh_parse_warn(p, spec, "the policy checks nothing");
	else if (r->has_violation && !forbids && r->baseline != BH_BASELINE_REQUIRED)
		bh_parse_warn(p, bh_yaml_find(spec, "on"),
			      "'violation' has no effect: nothing is forbidden");
}

struct bh_runtime_policy *bh_parse_runtime(struct bh_parse *p, const struct bh_yaml *object,
					   const char *ns, const char *name)
{
	BH_CLEANUP(bh_runtime_policy_unrefp)
	struct bh_runtime_policy *r = bh_parse_calloc(p, 1, sizeof(*r));
	const struct bh_yaml *spec = NULL, *metadata = bh_yaml_find(object, "metadata");
	const char *uid = metadata ? bh_parse_str(p, metadata, "uid", false) : NULL;
	struct bh_yaml_err e;

	if (!r)
		return NULL;
	r->refs = 1;
	r->place = bh_parse_place(p, object);
	r->uid = uid ? bh_parse_strdup(p, uid) : NULL;
	r->ns = bh_parse_strdup(p, ns);
	r->name = bh_parse_strdup(p, name);
	r->file = bh_parse_strdup(p, p->file);
	r->place.file = r->file;
	if (bh_yaml_get_map(object, "spec", true, &spec, &e)) {
		bh_parse_fail(p, &e);
		return NULL;
	}
	parse_spec(p, spec, r);
	if (p->is_refused)
		return NULL;
	lint(p, spec, r);
	return p->has_no_memory ? NULL : BH_TAKE(r);
}

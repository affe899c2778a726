#include "daemon/runtime_policy.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "daemon/daemon.h"
#include "policy/detectors.h"
#include "policy/syscalls.h"

void bh_runtime_rules_done(struct bh_runtime_rules *r)
{
	for (size_t i = 0; i < r->n_allow; i++)
		free(r->allow[i]);
	free(r->allow);
	bh_vec_each (it, &r->policies)
		bh_runtime_policy_unref(*it);
	bh_vec_done(&r->policies);
	*r = (struct bh_runtime_rules){0};
}

/* The kernel's origins by the policy's names; a metacopy is the image's data. */
static const unsigned origin_bits[BH_TRACE_O_COUNT] = {
	[BH_TRACE_O_IMAGE] = BH_ORIGIN_IMAGE,	    [BH_TRACE_O_METACOPY] = BH_ORIGIN_IMAGE,
	[BH_TRACE_O_MODIFIED] = BH_ORIGIN_MODIFIED, [BH_TRACE_O_NEW] = BH_ORIGIN_NEW,
	[BH_TRACE_O_TMPFS] = BH_ORIGIN_TMPFS,	    [BH_TRACE_O_MEMFD] = BH_ORIGIN_MEMFD,
	[BH_TRACE_O_VOLUME] = BH_ORIGIN_VOLUME,	    [BH_TRACE_O_OTHER] = BH_ORIGIN_OTHER,
};

static void add_origins(struct bh_runtime_rules *r, const struct bh_runtime_policy *p)
{
	for (unsigned o = 0; o < BH_TRACE_O_COUNT; o++)
		if (origin_bits[o] && !(p->origins & origin_bits[o]))
			r->kernel.origins |= 1u << o;
}

static bool is_exact(const struct bh_paths *paths)
{
	for (size_t i = 0; i < paths->n; i++) {
		size_t n = strlen(paths->v[i]);

		if (n == 0 || n >= BH_PATH_MAX || paths->v[i][n - 1] == '*')
			return false;
	}
	return true;
}

static int take_allow(struct bh_runtime_rules *r, const struct bh_paths *paths)
{
	r->allow = calloc(paths->n ? paths->n : 1, sizeof(*r->allow));
	for (size_t i = 0; r->allow && i < paths->n; i++) {
		r->allow[i] = bh_strf("%s", paths->v[i]);
		if (!r->allow[i])
			return -ENOMEM;
		r->n_allow++;
	}
	return r->allow ? 0 : -ENOMEM;
}

/* What both lists have. */
static void meet_allow(struct bh_runtime_rules *r, const struct bh_paths *paths)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n_allow; i++) {
		if (bh_paths_have(paths, r->allow[i], false))
			r->allow[kept++] = r->allow[i];
		else
			free(r->allow[i]);
	}
	r->n_allow = kept;
}

/* A list with patterns is left to the detectors: the kernel compares whole paths. */
static int add_allow(struct bh_runtime_rules *r, const struct bh_paths *paths)
{
	if (!is_exact(paths))
		return 0;
	if (r->kernel.flags & BH_TRACE_P_ALLOW) {
		meet_allow(r, paths);
		return 0;
	}
	r->kernel.flags |= BH_TRACE_P_ALLOW;
	return take_allow(r, paths);
}

static void add_users(struct bh_runtime_rules *r, const struct bh_runtime_policy *p)
{
	struct bh_trace_policy *k = &r->kernel;

	for (size_t i = 0; i < p->n_denied_users && k->n_uids < BH_TRACE_UIDS; i++)
		k->uid[k->n_uids++] = p->denied_users[i];
}

static void add_calls(struct bh_runtime_rules *r, const struct bh_runtime_policy *p)
{
	for (size_t i = 0; i < p->n_denied_syscalls; i++) {
		int nr = bh_syscall_number(p->denied_syscalls[i]);

		if (nr >= 0 && nr < BH_TRACE_CALLS)
			r->kernel.calls[nr / 64] |= 1ull << (nr % 64);
	}
	r->needs_calls = r->needs_calls || p->n_denied_syscalls || p->has_writable;
	if (p->has_writable)
		r->kernel.flags |= BH_TRACE_P_FILES;
}

/* What the kernel does by itself about one kind of refusal: its strictest answer. */
static bool is_deadly(const struct bh_runtime_set *set, const char *detector)
{
	struct bh_runtime_answer answer;

	return bh_runtime_answer(set, detector, "violation", &answer) &&
	       answer.response == BH_RESPOND_KILL;
}

/* Execs are refused for two reasons, with one answer in the kernel: when only one of them is deadly
 * the other is left to the detectors. */
static int add_rules(struct bh_runtime_rules *r, bool takes_execs, bool takes_users)
{
	int res = 0;

	bh_vec_each (it, &r->policies) {
		const struct bh_runtime_policy *p = *it;

		/* what interpreters are started on is seen when it is opened */
		r->needs_calls = r->needs_calls || p->has_exec_origin;
		if (takes_execs && p->has_exec_origin)
			add_origins(r, p);
		if (!res && takes_execs && p->has_exec_allow)
			res = add_allow(r, &p->exec_allow);
		if (takes_users)
			add_users(r, p);
		add_calls(r, p);
	}
	return res;
}

static int put_together(struct bh_runtime_rules *r, bool may_kill)
{
	const struct bh_runtime_set set = {r->policies.v, r->policies.n};
	bool execs = may_kill && is_deadly(&set, bh_detector_names.policy_exec);
	bool users = may_kill && is_deadly(&set, bh_detector_names.policy_user);

	if (execs || users)
		r->kernel.flags |= BH_TRACE_P_KILL;
	if (may_kill && is_deadly(&set, bh_detector_names.policy_syscall))
		r->kernel.flags |= BH_TRACE_P_KILL_CALLS;
	return add_rules(r, execs || !users, users || !execs);
}

static int add_policy(struct bh_runtime_rules *r, struct bh_runtime_policy *p)
{
	int res = bh_vec_push(&r->policies, p);

	if (!res)
		bh_runtime_policy_ref(p);
	return res;
}

static int collect(struct bh_runtime_policy *p, void *arg)
{
	struct bh_runtime_policies *list = arg;

	return bh_vec_push(list, p);
}

int bh_runtime_policies_collect(const struct bh_daemon *d, struct bh_runtime_policies *ret,
				struct bh_err *err)
{
	int r = bh_objects_runtime_policies(d->objects, collect, ret);

	return r < 0 ? bh_fail(err, -r, "RuntimePolicies") : 0;
}

int bh_runtime_rules_make(const struct bh_daemon *d, const struct bh_runtime_policies *policies,
			  const struct bh_endpoint *ep, struct bh_runtime_rules *ret,
			  struct bh_err *err)
{
	const struct bh_world *w = bh_reconcile_state(d->reconciler).world;
	struct bh_runtime_rules rules = {.kernel = {.generation = ep->generation}};
	const struct bh_pod *pod = w && policies->n ? bh_world_pod(w, ep->ns, ep->name) : NULL;
	int r = 0;

	for (size_t i = 0; !r && pod && i < policies->n; i++)
		if (bh_runtime_policy_selects(policies->v[i], pod))
			r = add_policy(&rules, policies->v[i]);
	if (!r)
		r = put_together(&rules, bh_config_may_kill(&d->cfg->runtime, ep->ns));
	if (r < 0) {
		bh_runtime_rules_done(&rules);
		return bh_fail(err, -r, "RuntimePolicies of pod '%s/%s'", ep->ns, ep->name);
	}
	*ret = rules;
	return 0;
}

static uint64_t mix(uint64_t sum, const void *bytes, size_t n)
{
	const unsigned char *b = bytes;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ b[i]) * 1099511628211ull;
	return sum;
}

uint64_t bh_runtime_rules_sum(const struct bh_runtime_rules *r)
{
	uint64_t sum = mix(14695981039346656037ull, &r->kernel, sizeof(r->kernel));

	for (size_t i = 0; i < r->n_allow; i++)
		sum = mix(sum, r->allow[i], strlen(r->allow[i]) + 1);
	return mix(sum, r->policies.v, r->policies.n * sizeof(*r->policies.v));
}

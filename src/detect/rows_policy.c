/* rows_policy.c - what the pod's RuntimePolicies forbid. Of several each is asked; the first that
 * forbids something is named, with the line that does. */
#include <stdio.h>
#include <string.h>

#include "detect/policy.h"
#include "detect/rows.h"

/* Notes which policy decides, and gives the words for it: "RuntimePolicy shop/web (web.yaml:12)".
 */
static const char *decided_by(struct bh_judge *j, const struct bh_runtime_policy *p, unsigned line,
			      char out[256])
{
	j->policy = p;
	j->line = line;
	if (p->place.file && line)
		snprintf(out, 256, "RuntimePolicy %s/%s (%s:%u)", p->ns, p->name,
			 bh_path_base(p->place.file), line);
	else
		snprintf(out, 256, "RuntimePolicy %s/%s", p->ns, p->name);
	return out;
}

/* ---- executions ---- */

/* What of it the policy does not let run. */
struct refused {
	const char *path, *verb;
	enum bh_provenance origin;
	unsigned line;
	bool is_by_name; /* it is the image's, only not wanted */
};

static bool map_is_refused(const struct bh_runtime_policy *p, const struct bh_activity *a,
			   struct refused *ret)
{
	if (a->u.map.is_shared || bh_policy_allows_origin(p, a->u.map.provenance))
		return false;
	*ret = (struct refused){a->u.map.path, "map", a->u.map.provenance, p->line.origin, false};
	return true;
}

static bool exec_is_refused(const struct bh_runtime_policy *p, const struct bh_act_process *x,
			    struct refused *ret)
{
	if (bh_policy_allows_exec(p, x))
		return false;
	*ret = (struct refused){x->path, "exec", x->provenance, p->line.origin, false};
	if (*x->script && bh_policy_allows_origin(p, x->provenance)) {
		ret->path = x->script;
		ret->origin = x->script_provenance;
	}
	if (bh_policy_allows_origin(p, ret->origin)) {
		ret->is_by_name = true;
		ret->line = p->line.allow;
	}
	return true;
}

static bool try_exec(struct bh_judge *j, const struct bh_runtime_policy *p)
{
	struct refused no;
	char who[256];

	if (j->a->kind == BH_ACT_MAP_EXEC ? !map_is_refused(p, j->a, &no)
					  : !exec_is_refused(p, &j->a->process, &no))
		return false;
	if (no.is_by_name)
		j->signal = BH_SIGNAL_PROCESS;
	bh_judge_key(j, "%s %s", no.verb, no.path);
	bh_judge_say(j, "%s does not let %s run (%s)", decided_by(j, p, no.line, who), no.path,
		     bh_provenance_name(no.origin));
	return true;
}

/* ---- files ---- */

static bool try_file(struct bh_judge *j, const struct bh_runtime_policy *p)
{
	const struct bh_act_file *f = &j->a->u.file;
	/* a link makes a name, a rename takes one away and makes another */
	const char *path = (f->op == BH_FILE_LINK || f->op == BH_FILE_RENAME) && *f->target
				   ? f->target
				   : f->path;
	static const char *const harmless[] = {"/dev/null", "/dev/tty",	    "/dev/pts/*",
					       "/dev/ptmx", "/dev/stdout",  "/dev/stderr",
					       "/dev/zero", "/proc/self/*", "/dev/full",
					       "pipe:*",    "socket:*",	    NULL};
	char who[256];

	if (!p->has_writable || f->op == BH_FILE_READ || !*path || bh_path_fits(path, harmless))
		return false;
	if (f->op == BH_FILE_RENAME && !bh_paths_have(&p->writable, f->path, true))
		path = f->path;
	if (bh_paths_have(&p->writable, path, true))
		return false;
	bh_path_collapse(path, 4, j->key, sizeof(j->key));
	bh_judge_say(j, "%s does not let %s change %s", decided_by(j, p, p->line.writable, who),
		     *j->a->process.path ? j->a->process.path : "the pod", path);
	return true;
}

/* ---- calls, users, age ---- */

static bool try_syscall(struct bh_judge *j, const struct bh_runtime_policy *p)
{
	const char *name = p->n_denied_syscalls ? bh_policy_denied_call(p, j->a) : NULL;
	char who[256];

	if (!name)
		return false;
	bh_judge_key(j, "%s", name);
	bh_judge_say(j, "%s forbids the system call %s", decided_by(j, p, p->line.syscalls, who),
		     name);
	return true;
}

static bool try_user(struct bh_judge *j, const struct bh_runtime_policy *p)
{
	uint32_t uid = j->a->kind == BH_ACT_SETID ? j->a->u.setid.new_uid : j->a->process.uid;
	char who[256];
	size_t i;

	/* the runtime is root until it becomes what the container asks for */
	if (j->a->process.flags & BH_PROC_RUNTIME)
		return false;
	for (i = 0; i < p->n_denied_users && p->denied_users[i] != uid; i++)
		continue;
	if (i == p->n_denied_users)
		return false;
	bh_judge_key(j, "user %u", uid);
	bh_judge_say(j, "%s does not let anything run as user %u",
		     decided_by(j, p, p->line.users, who), uid);
	return true;
}

/* "3 h", "90 s" */
static const char *span(uint64_t s, char out[32])
{
	if (s >= 2 * 3600)
		snprintf(out, 32, "%llu h", (unsigned long long)(s / 3600));
	else if (s >= 120)
		snprintf(out, 32, "%llu min", (unsigned long long)(s / 60));
	else
		snprintf(out, 32, "%llu s", (unsigned long long)s);
	return out;
}

/* Any sign of life after the allowed time; rates come at least once a minute. */
static bool try_age(struct bh_judge *j, const struct bh_runtime_policy *p)
{
	uint64_t start = j->a->subject->pod_start_ns, age_s;
	char who[256], is[32], may[32];

	if (!p->max_lifetime_s || !start || j->a->ts_ns < start)
		return false;
	age_s = (j->a->ts_ns - start) / BH_S;
	if (age_s < (uint64_t)p->max_lifetime_s)
		return false;
	bh_judge_key(j, "age");
	bh_judge_say(j, "the container is %s old; %s allows %s", span(age_s, is),
		     decided_by(j, p, p->line.lifetime, who),
		     span((uint64_t)p->max_lifetime_s, may));
	return true;
}

static bool ask_all(struct bh_judge *j,
		    bool (*try)(struct bh_judge *j, const struct bh_runtime_policy *p))
{
	size_t i;

	for (i = 0; i < j->pod->policies.n; i++) {
		if (try(j, j->pod->policies.v[i]))
			return true;
	}
	return false;
}

bool bh_row_policy_exec(struct bh_judge *j)
{
	return ask_all(j, try_exec);
}

bool bh_row_policy_file(struct bh_judge *j)
{
	return ask_all(j, try_file);
}

bool bh_row_policy_syscall(struct bh_judge *j)
{
	return ask_all(j, try_syscall);
}

bool bh_row_policy_user(struct bh_judge *j)
{
	return ask_all(j, try_user);
}

bool bh_row_policy_age(struct bh_judge *j)
{
	return ask_all(j, try_age);
}

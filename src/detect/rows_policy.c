/* rows_policy.c - what the pod's RuntimePolicy forbids. */
#include <stdio.h>
#include <string.h>

#include "detect/policy.h"
#include "detect/rows.h"

bool bh_row_policy_exec(struct bh_judge *j)
{
	const struct bh_runtime_policy *policy = j->pod->policy;
	const struct bh_act_process *p = &j->a->process;
	const char *path = p->path;
	enum bh_provenance origin = p->provenance;

	if (!policy)
		return false;
	if (j->a->kind == BH_ACT_MAP_EXEC) {
		path = j->a->u.map.path;
		origin = j->a->u.map.provenance;
		if (j->a->u.map.is_shared || bh_policy_allows_origin(policy, origin))
			return false;
		bh_judge_key(j, "map %s", path);
	} else if (!bh_policy_allows_exec(policy, p)) {
		if (*p->script && bh_policy_allows_origin(policy, p->provenance)) {
			path = p->script;
			origin = p->script_provenance;
		}
		/* the image's own, only not wanted */
		if (bh_policy_allows_origin(policy, origin))
			j->signal = BH_SIGNAL_PROCESS;
		bh_judge_key(j, "exec %s", path);
	} else {
		return false;
	}
	bh_judge_say(j, "RuntimePolicy %s/%s does not let %s run (%s)", policy->ns, policy->name,
		     path, bh_provenance_name(origin));
	return true;
}

bool bh_row_policy_file(struct bh_judge *j)
{
	const struct bh_runtime_policy *policy = j->pod->policy;
	const struct bh_act_file *f = &j->a->u.file;
	/* a link makes a name, a rename takes one away and makes another */
	const char *path = (f->op == BH_FILE_LINK || f->op == BH_FILE_RENAME) && *f->target
				   ? f->target
				   : f->path;
	static const char *const harmless[] = {"/dev/null", "/dev/tty",	    "/dev/pts/*",
					       "/dev/ptmx", "/dev/stdout",  "/dev/stderr",
					       "/dev/zero", "/proc/self/*", "/dev/full",
					       "pipe:*",    "socket:*",	    NULL};

	if (!policy || !policy->has_writable || f->op == BH_FILE_READ || !*path ||
	    bh_path_fits(path, harmless))
		return false;
	if (f->op == BH_FILE_RENAME && !bh_paths_have(&policy->writable, f->path, true))
		path = f->path;
	if (bh_paths_have(&policy->writable, path, true))
		return false;
	bh_path_collapse(path, 4, j->key, sizeof(j->key));
	bh_judge_say(j, "RuntimePolicy %s/%s does not let %s change %s", policy->ns, policy->name,
		     *j->a->process.path ? j->a->process.path : "the pod", path);
	return true;
}

bool bh_row_policy_syscall(struct bh_judge *j)
{
	const struct bh_runtime_policy *policy = j->pod->policy;
	const char *name;

	if (!policy || !policy->n_denied_syscalls)
		return false;
	name = bh_policy_denied_call(policy, j->a);
	if (!name)
		return false;
	bh_judge_key(j, "%s", name);
	bh_judge_say(j, "RuntimePolicy %s/%s forbids the system call %s", policy->ns, policy->name,
		     name);
	return true;
}

bool bh_row_policy_user(struct bh_judge *j)
{
	const struct bh_runtime_policy *policy = j->pod->policy;
	uint32_t uid = j->a->kind == BH_ACT_SETID ? j->a->u.setid.new_uid : j->a->process.uid;
	size_t i;

	/* the runtime is root until it becomes what the container asks for */
	if (j->a->process.flags & BH_PROC_RUNTIME)
		return false;
	for (i = 0; policy && i < policy->n_denied_users; i++) {
		if (policy->denied_users[i] != uid)
			continue;
		bh_judge_key(j, "user %u", uid);
		bh_judge_say(j, "RuntimePolicy %s/%s does not let anything run as user %u",
			     policy->ns, policy->name, uid);
		return true;
	}
	return false;
}

/* Any sign of life after the allowed time; rates come at least once a minute. */
bool bh_row_policy_age(struct bh_judge *j)
{
	const struct bh_runtime_policy *policy = j->pod->policy;
	uint64_t start = j->a->subject->pod_start_ns, age_s;

	if (!policy || !policy->max_lifetime_s || !start || j->a->ts_ns < start)
		return false;
	age_s = (j->a->ts_ns - start) / BH_S;
	if (age_s < (uint64_t)policy->max_lifetime_s)
		return false;
	bh_judge_key(j, "age");
	bh_judge_say(j, "the container is %llu hours old; RuntimePolicy %s/%s allows %lld",
		     (unsigned long long)(age_s / 3600), policy->ns, policy->name,
		     (long long)policy->max_lifetime_s / 3600);
	return true;
}

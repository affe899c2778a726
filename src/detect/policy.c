#include "detect/policy.h"

#include <string.h>

#include "policy/syscalls.h"

unsigned bh_provenance_origin(enum bh_provenance p)
{
	static const unsigned origins[BH_PROV_COUNT] = {
		[BH_PROV_IMAGE] = BH_ORIGIN_IMAGE,	 [BH_PROV_METACOPY] = BH_ORIGIN_IMAGE,
		[BH_PROV_MODIFIED] = BH_ORIGIN_MODIFIED, [BH_PROV_NEW] = BH_ORIGIN_NEW,
		[BH_PROV_TMPFS] = BH_ORIGIN_TMPFS,	 [BH_PROV_MEMFD] = BH_ORIGIN_MEMFD,
		[BH_PROV_VOLUME] = BH_ORIGIN_VOLUME,	 [BH_PROV_OTHER] = BH_ORIGIN_OTHER,
	};

	return (unsigned)p < BH_PROV_COUNT ? origins[p] : 0;
}

bool bh_policy_allows_origin(const struct bh_runtime_policy *p, enum bh_provenance provenance)
{
	unsigned origin = bh_provenance_origin(provenance);

	return !p->has_exec_origin || !origin || (p->origins & origin);
}

bool bh_policy_allows_exec(const struct bh_runtime_policy *p, const struct bh_act_process *exec)
{
	if (!bh_policy_allows_origin(p, exec->provenance) ||
	    (*exec->script && !bh_policy_allows_origin(p, exec->script_provenance)))
		return false;
	if (!p->has_exec_allow)
		return true;
	/* where the pod mounts what it likes, a path says nothing */
	if (exec->flags & BH_PROC_OWN_NS)
		return false;
	/* allowing a script allows the interpreter to run it, not to run anything */
	return bh_paths_have(&p->exec_allow, *exec->script ? exec->script : exec->path, false) ||
	       bh_paths_have(&p->exec_allow, exec->path, false);
}

/* What some kinds of activities are the sign of, where the set of system calls is not reported. */
static const char *sign_of(const struct bh_activity *a)
{
	switch (a->kind) {
	case BH_ACT_PTRACE:
		return "ptrace";
	case BH_ACT_MOUNT:
		return "mount";
	case BH_ACT_BPF:
		return "bpf";
	case BH_ACT_MODULE:
		return "init_module";
	case BH_ACT_USERFAULTFD:
		return "userfaultfd";
	case BH_ACT_IO_URING:
		return "io_uring_setup";
	case BH_ACT_MEMFD:
		return "memfd_create";
	case BH_ACT_NAMESPACE:
		if (a->u.ns.is_root_change)
			return "pivot_root";
		return a->u.ns.is_entering ? "setns" : "unshare";
	default:
		return NULL;
	}
}

const char *bh_policy_denied_call(const struct bh_runtime_policy *p, const struct bh_activity *a)
{
	const char *sign = sign_of(a);
	size_t i;
	int nr;

	for (i = 0; i < p->n_denied_syscalls; i++) {
		const char *name = p->denied_syscalls[i];

		if (sign && !strcmp(sign, name))
			return name;
		if (a->kind != BH_ACT_SYSCALLS)
			continue;
		nr = bh_syscall_number(name);
		if (nr >= 0 && (size_t)nr / 64 < a->u.syscalls.n_words &&
		    (a->u.syscalls.set[nr / 64] & (1ull << (nr % 64))))
			return name;
	}
	return NULL;
}

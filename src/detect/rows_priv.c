/* rows_priv.c - ways out of the container and into other processes or the kernel. */
#include <string.h>

#include "detect/rows.h"

static const char *who(const struct bh_judge *j)
{
	return *j->a->process.path ? j->a->process.path : "a process";
}

static bool raise_deed(struct bh_judge *j, const char *what)
{
	bh_judge_key(j, "%s", j->a->process.path);
	bh_judge_say(j, "%s %s", who(j), what);
	return true;
}

bool bh_row_root_gained(struct bh_judge *j)
{
	const struct bh_activity *a = j->a;

	if (a->u.setid.new_uid || !a->u.setid.old_uid || a->u.setid.had_right)
		return false;
	if (!a->u.setid.is_call)
		return raise_deed(j, "became root without a right to");
	/* a capability let it, which images give to nobody but root */
	bh_judge_weigh(j);
	return raise_deed(j, "became root by a capability, not by a set-user-id file");
}

/* A program that was written for a purpose, which is not to run others. */
static bool is_service(const struct bh_judge *j)
{
	static const char *const runners[] = {
		"chroot", "unshare", "pivot_root", "switch_root", "systemd-nspawn", "bwrap", NULL};
	const char *tool = bh_act_tool(&j->a->process);

	return j->a->process.provenance == BH_PROV_IMAGE && !bh_tool_is_generic(tool) &&
	       !bh_tool_is_interpreter(tool) && !bh_name_in(tool, runners) &&
	       (!bh_judge_is_tainted(j) || bh_judge_is_helper(j));
}

/* unshare() also parts tables of files and the like: then nothing is a namespace. */
#define NAMESPACES 0x7e020080ull

bool bh_row_namespace(struct bh_judge *j)
{
	bool is_tainted = bh_judge_is_tainted(j) && !bh_judge_is_helper(j);

	if (j->a->u.ns.is_root_change) {
		/* services lock themselves into a directory with chroot while they start, and some
		 * with each connection */
		if (!is_tainted)
			j->severity = j->is_starting ? BH_SEVERITY_INFO : BH_SEVERITY_LOW;
		bh_judge_key(j, "root %s", is_service(j) ? "" : j->a->process.path);
		bh_judge_say(j, "%s changed its root directory", who(j));
		return true;
	}
	if (!j->a->u.ns.is_entering && j->a->u.ns.flags && !(j->a->u.ns.flags & NAMESPACES))
		return false;
	if (j->a->u.ns.is_entering)
		j->severity = BH_SEVERITY_HIGH;
	bh_judge_weigh(j);
	bh_judge_key(j, "%s %s", j->a->u.ns.is_entering ? "enter" : "make", j->a->process.path);
	bh_judge_say(j, "%s %s (flags %#llx)", who(j),
		     j->a->u.ns.is_entering ? "entered another namespace" : "made new namespaces",
		     (unsigned long long)j->a->u.ns.flags);
	return true;
}

bool bh_row_mount(struct bh_judge *j)
{
	static const char *const kernel[] = {"proc",	 "sysfs",   "cgroup",	  "cgroup2",
					     "debugfs",	 "tracefs", "securityfs", "bpf",
					     "devtmpfs", NULL};
	static const char *const devices[] = {"/dev/*", NULL};

	if (bh_name_in(j->a->u.mount.type, kernel) || bh_path_fits(j->a->u.mount.source, devices))
		j->severity = BH_SEVERITY_HIGH;
	bh_judge_key(j, "%s %s", j->a->u.mount.type, j->a->process.path);
	if (!*j->a->u.mount.source && !*j->a->u.mount.target) {
		bh_judge_say(j, "%s changed what is mounted", who(j));
		return true;
	}
	bh_judge_say(j, "%s mounted %s (%s) at %s", who(j), j->a->u.mount.source,
		     j->a->u.mount.type, j->a->u.mount.target);
	return true;
}

bool bh_row_netns(struct bh_judge *j)
{
	return raise_deed(j, "is in another network namespace than its pod");
}

static bool raise_target(struct bh_judge *j, const char *what)
{
	enum bh_target_kind kind = j->a->u.target.kind;

	/* debuggers, crash handlers and tests look at what they started */
	if (kind == BH_TARGET_CHILD && !bh_judge_is_tainted(j))
		return false;
	if (kind == BH_TARGET_OTHER || kind == BH_TARGET_BULKHEAD)
		j->severity = BH_SEVERITY_HIGH;
	bh_judge_weigh(j);
	bh_judge_key(j, "%s %d", j->a->process.path, (int)kind);
	if (j->a->u.target.is_file) {
		bh_judge_say(j, "%s takes an open file from another process", who(j));
		return true;
	}
	bh_judge_say(j, "%s %s process %u%s", who(j), what, j->a->u.target.pid,
		     kind == BH_TARGET_OTHER ? ", which is not of its pod" : "");
	return true;
}

bool bh_row_ptrace(struct bh_judge *j)
{
	return raise_target(j, "traces");
}

bool bh_row_memory(struct bh_judge *j)
{
	return raise_target(j, j->a->u.target.is_write ? "writes into the memory of"
						       : "reads the memory of");
}

bool bh_row_signal(struct bh_judge *j)
{
	/* child, go on, urgent data, window size: all others end or stop a process */
	static const uint64_t harmless =
		1ull << 0 | 1ull << 17 | 1ull << 18 | 1ull << 23 | 1ull << 28;
	int signal = j->a->u.target.signal;

	if (j->a->u.target.kind != BH_TARGET_BULKHEAD)
		return false;
	if (signal < 0 || (signal < 64 && harmless >> signal & 1))
		return false;
	bh_judge_key(j, "signal %s", j->a->process.path);
	bh_judge_say(j, "%s sent signal %d to what guards it", who(j), signal);
	return true;
}

bool bh_row_module(struct bh_judge *j)
{
	const char *name = j->a->u.module.name;

	if (j->a->u.module.is_refused)
		j->severity = BH_SEVERITY_MEDIUM;
	bh_judge_key(j, "%s", *name ? name : j->a->process.path);
	bh_judge_say(j, "%s %s a kernel module%s%s", who(j),
		     j->a->u.module.is_refused ? "tried to load" : "loaded", *name ? ": " : "",
		     name);
	return true;
}

bool bh_row_bpf(struct bh_judge *j)
{
	/* a program is detached, or another one put in its place */
	if (j->a->u.number == 9 || j->a->u.number == 29 || j->a->u.number == 34)
		j->severity = BH_SEVERITY_HIGH;
	bh_judge_weigh(j);
	bh_judge_key(j, "%s %llu", j->a->process.path, (unsigned long long)j->a->u.number);
	bh_judge_say(j, "%s called bpf() (command %llu)", who(j),
		     (unsigned long long)j->a->u.number);
	return true;
}

bool bh_row_userfaultfd(struct bh_judge *j)
{
	bh_judge_weigh(j);
	return raise_deed(j, "handles page faults itself, as exploits of the kernel do");
}

/* Where the tables differ nothing is looked into: what is done this way is not seen. */
bool bh_row_abi(struct bh_judge *j)
{
	bh_judge_weigh(j);
	return raise_deed(j, "makes system calls of another architecture, which are not decoded");
}

/* What a service uses from the start it was built for. */
bool bh_row_io_uring(struct bh_judge *j)
{
	if (j->pod->has_io_uring || bh_judge_baseline_has(j, "io_uring"))
		return false;
	bh_judge_weigh(j);
	if (j->is_starting)
		j->severity = BH_SEVERITY_INFO;
	return raise_deed(j, "uses io_uring, which the workload never did");
}

/* rows_file.c - files that nobody should touch in a running container. */
#include <string.h>

#include "detect/rows.h"

static bool is_change(enum bh_file_op op)
{
	return op == BH_FILE_WRITE || op == BH_FILE_CREATE || op == BH_FILE_RENAME ||
	       op == BH_FILE_LINK;
}

/* The name that a change gives bytes to. */
static const char *changed(const struct bh_act_file *f)
{
	return (f->op == BH_FILE_RENAME || f->op == BH_FILE_LINK) && *f->target ? f->target
										: f->path;
}

/* Path and program into the key, a sentence from a verb. */
static bool raise_file(struct bh_judge *j, const char *path, const char *what)
{
	char dir[BH_FINDING_KEY];

	bh_path_collapse(path, 6, dir, sizeof(dir));
	bh_judge_key(j, "%s %s", dir, bh_path_base(j->a->process.path));
	bh_judge_say(j, "%s %s %s", *j->a->process.path ? j->a->process.path : "a process", what,
		     path);
	return true;
}

static const char *const system_dirs[] = {"/bin/*",	      "/sbin/*",
					  "/usr/bin/*",	      "/usr/sbin/*",
					  "/usr/local/bin/*", "/usr/local/sbin/*",
					  "/lib/*",	      "/lib64/*",
					  "/lib32/*",	      "/usr/lib/*",
					  "/usr/lib64/*",     "/usr/libexec/*",
					  "/usr/local/lib/*", NULL};

bool bh_row_system_write(struct bh_judge *j)
{
	static const char *const packagers[] = {"dpkg", "apk",	    "rpm",	"dnf",
						"yum",	"microdnf", "ldconfig", NULL};
	const struct bh_act_file *f = &j->a->u.file;
	const char *path = changed(f), *tool = bh_act_tool(&j->a->process);

	/* what is taken away from there is missing there */
	if (f->op == BH_FILE_RENAME && !bh_path_fits(path, system_dirs))
		path = f->path;
	if (!is_change(f->op) || !bh_path_fits(path, system_dirs))
		return false;
	/* interpreters put compiled modules beside the sources */
	if (strstr(path, "/__pycache__/") && bh_tool_is_interpreter(tool))
		return false;
	/* the package manager has its own row, and it writes thousands of files */
	if (bh_name_in(tool, packagers) && j->a->process.provenance == BH_PROV_IMAGE)
		return false;
	bh_judge_weigh(j);
	/* what an entry point puts there it runs, too: that is said when it does */
	if (j->is_starting)
		j->severity = BH_SEVERITY_INFO;
	raise_file(j, path, "changes programs or libraries of the image:");
	bh_path_collapse(path, 3, j->key, sizeof(j->key));
	return true;
}

bool bh_row_preload_file(struct bh_judge *j)
{
	static const char *const files[] = {"/etc/ld.so.preload", NULL};
	const struct bh_act_file *f = &j->a->u.file;

	return is_change(f->op) && bh_path_fits(changed(f), files) &&
	       raise_file(j, changed(f), "forces a library into every program:");
}

bool bh_row_cron(struct bh_judge *j)
{
	static const char *const files[] = {"/etc/cron*",
					    "/etc/anacrontab",
					    "/var/spool/cron/*",
					    "/var/spool/at/*",
					    "/var/spool/atjobs/*",
					    "/etc/periodic/*",
					    "/etc/systemd/system/*",
					    "/run/systemd/system/*",
					    "*/.config/systemd/user/*",
					    "/etc/rc.local",
					    "/usr/lib/systemd/system/*",
					    "/etc/init.d/*",
					    NULL};
	/* state that the schedulers themselves keep */
	static const char *const own[] = {"/var/spool/cron/atspool/*",
					  "*/cron.update",
					  "/var/spool/anacron/*",
					  "*.pid",
					  "*/.SEQ",
					  NULL};
	/* renamed when they are complete */
	static const char *const drafts[] = {"/var/spool/cron/*tmp.*", NULL};
	const struct bh_act_file *f = &j->a->u.file;

	if (!is_change(f->op) || !bh_path_fits(changed(f), files) || bh_path_fits(changed(f), own))
		return false;
	if (bh_path_fits(changed(f), drafts) && j->a->process.provenance == BH_PROV_IMAGE &&
	    !strcmp(bh_act_tool(&j->a->process), "crontab"))
		return false;
	bh_judge_weigh(j);
	raise_file(j, changed(f), "schedules something to run:");
	/* what an entry point brings is one thing, in however many files */
	if (j->is_starting)
		bh_judge_key(j, "starting");
	return true;
}

static bool raise_rights(struct bh_judge *j, const char *what)
{
	if (j->is_starting)
		j->severity = BH_SEVERITY_MEDIUM;
	return raise_file(j, j->a->u.file.path, what);
}

bool bh_row_setuid_bit(struct bh_judge *j)
{
	const struct bh_act_file *f = &j->a->u.file;
	uint32_t type = f->mode & 0170000;
	bool is_file = !type || type == 0100000;

	if (f->op != BH_FILE_CHMOD && f->op != BH_FILE_CREATE)
		return false;
	if (f->gives_caps)
		return raise_rights(j, "gave a program capabilities:");
	/* set-group-id without the right to execute marks mandatory locks, and on directories it
	 * only says which group new files get */
	if (!is_file || (!(f->mode & 04000) && (f->mode & 02010) != 02010))
		return false;
	raise_rights(j, "made a program run with its owner's rights:");
	if (!type && !(f->mode & 04000))
		j->severity = BH_SEVERITY_LOW; /* it may be a directory */
	return true;
}

bool bh_row_kernel_file(struct bh_judge *j)
{
	static const char *const files[] = {"*/release_agent",
					    "*/devices.allow",
					    "*/sys/kernel/core_pattern",
					    "*/sys/kernel/modprobe",
					    "*/sys/kernel/hotplug",
					    "*/sys/kernel/poweroff_cmd",
					    "*/sys/kernel/kptr_restrict",
					    "*/sys/kernel/sysrq",
					    "*/sys/fs/suid_dumpable",
					    "/sys/kernel/uevent_helper",
					    "/proc/sys/fs/binfmt_misc/*",
					    "*/sysrq-trigger",
					    "/sys/kernel/debug/*",
					    "/sys/kernel/tracing/*",
					    "/proc/sys/kernel/yama/*",
					    "/proc/sys/kernel/randomize_va_space",
					    "/dev/mem",
					    "/dev/kmem",
					    "/proc/kcore",
					    "/proc/sys/kernel/unprivileged_bpf_disabled",
					    NULL};
	const struct bh_act_file *f = &j->a->u.file;

	if (!bh_path_fits(changed(f), files) || (!is_change(f->op) && f->op != BH_FILE_READ))
		return false;
	if (f->op == BH_FILE_READ && !strstr(f->path, "mem") && !strstr(f->path, "kcore"))
		return false;
	return raise_file(j, changed(f), "touches the node's kernel:");
}

bool bh_row_host_root(struct bh_judge *j)
{
	static const char *const files[] = {"/proc/1/root/*", "/proc/1/cwd/*", "/proc/1/ns/*",
					    "/proc/1/fd/*",
					    /* where the kernel could not follow it */
					    "/proc/[0-9]*/root?*", "/proc/[0-9]*/cwd?*", NULL};
	/* a container's own first process has its output there: `ln -s /proc/1/fd/1 access.log` */
	static const char *const output[] = {"/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/fd/2", NULL};
	const struct bh_act_file *f = &j->a->u.file;

	if (j->a->kind == BH_ACT_EXEC) {
		if (!(j->a->process.flags & BH_PROC_OUTER))
			return false;
		bh_judge_weigh(j);
		return raise_file(j, j->a->process.path,
				  "is a program of another container or the node:");
	}
	/* a disk holds the node's files, or another's */
	if ((f->mode & 0170000) == 0060000 && f->op != BH_FILE_CHMOD) {
		bh_judge_weigh(j);
		return raise_file(j, f->path, "opened a disk of the node:");
	}
	if (f->is_outer) {
		bh_judge_weigh(j);
		return raise_file(j, f->path,
				  "reaches into another container's files or the node's:");
	}
	if (!bh_path_fits(f->path, files) || bh_path_fits(f->path, output) ||
	    bh_path_fits(changed(f), output))
		return false;
	bh_judge_weigh(j);
	return raise_file(j, f->path, "reaches through another process:");
}

bool bh_row_runtime_socket(struct bh_judge *j)
{
	static const char *const files[] = {
		"*/docker.sock",    "*/containerd.sock",	 "*/crio.sock",
		"*/podman.sock",    "*/cri-dockerd.sock",	 "*/dockershim.sock",
		"*/buildkitd.sock", "*/kubelet/pod-resources/*", NULL};
	const struct bh_act_file *f = &j->a->u.file;

	if (f->op != BH_FILE_READ && f->op != BH_FILE_WRITE)
		return false;
	return bh_path_fits(f->path, files) &&
	       raise_file(j, f->path, "talks to the container runtime through");
}

bool bh_row_own_pins(struct bh_judge *j)
{
	static const char *const files[] = {"*/sys/fs/bpf/*",	    "*/run/bulkhead/*",
					    "*/var/lib/bulkhead/*", "*/var/log/bulkhead/*",
					    "*/etc/bulkhead/*",	    NULL};
	const struct bh_act_file *f = &j->a->u.file;

	return bh_path_fits(f->path, files) && raise_file(j, f->path, "touches what guards it:");
}

/* ---- traces ---- */

static bool takes_away(const struct bh_judge *j)
{
	static const char *const wipers[] = {"shred", "wipe", "srm", NULL};
	const struct bh_act_file *f = &j->a->u.file;

	return f->op == BH_FILE_UNLINK || f->is_truncated || f->op == BH_FILE_RENAME ||
	       f->op == BH_FILE_LINK ||
	       (f->op == BH_FILE_WRITE && bh_name_in(bh_act_tool(&j->a->process), wipers));
}

/* `HISTFILE=/dev/null`: somebody does not want to be read. An image that has it has it from the
 * start. */
static bool keeps_none(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;

	if (!(p->flags & BH_PROC_NO_HISTORY) || !j->proc || j->proc->was_unkept ||
	    (p->flags & (BH_PROC_CONTAINER_INIT | BH_PROC_FROM_OUTSIDE)) || !p->parent_exec_id)
		return false;
	bh_judge_weigh(j);
	bh_judge_key(j, "environment");
	bh_judge_say(j, "%s was started so that shells keep no record of what is typed", p->path);
	return true;
}

bool bh_row_history(struct bh_judge *j)
{
	/* a shell renames the new history over the old one when it ends */
	static const char *const files[] = {"*/.*_history", "*/.histfile", "*/.history",
					    "*/.viminfo",   "*/.lesshst",  NULL};
	const struct bh_act_file *f = &j->a->u.file;
	bool is_moved_away;

	if (j->a->kind == BH_ACT_EXEC)
		return keeps_none(j);
	is_moved_away = f->op == BH_FILE_RENAME && bh_path_fits(f->path, files);
	if (!is_moved_away &&
	    (!takes_away(j) || !bh_path_fits(changed(f), files) ||
	     (f->op == BH_FILE_RENAME && bh_tool_is_shell(bh_act_tool(&j->a->process)))))
		return false;
	bh_judge_weigh(j);
	return raise_file(j, is_moved_away ? f->path : changed(f),
			  "removes the record of what was typed:");
}

bool bh_row_logs(struct bh_judge *j)
{
	static const char *const logins[] = {
		"/var/log/wtmp*",  "/var/log/btmp*",	"/var/log/lastlog",   "/var/run/utmp",
		"/run/utmp",	   "/var/log/auth.log", "/var/log/secure",    "/var/log/audit/*",
		"/var/log/syslog", "/var/log/messages", "/var/log/journal/*", NULL};
	static const char *const logs[] = {"/var/log/*", NULL};
	static const char *const rotators[] = {
		"logrotate",	    "savelog", "newsyslog", "rsyslogd", "syslogd",
		"systemd-journald", "svlogd",  "gzip",	    "xz",	"s6-log",
		"multilog",	    "dpkg",    NULL};
	static const char *const tools[] = {"rm",   "shred", "truncate", "unlink",
					    "wipe", "srm",   NULL};
	const struct bh_act_file *f = &j->a->u.file;
	const char *tool = bh_act_tool(&j->a->process);

	const char *path = bh_path_fits(changed(f), logins) ? changed(f) : f->path;

	if (!takes_away(j) || !bh_path_fits(path, logs) ||
	    (bh_name_in(tool, rotators) && !bh_judge_is_tainted(j)))
		return false;
	/* services rotate their own logs; what removes them by hand is another matter */
	if (!bh_path_fits(path, logins) && (!bh_judge_is_tainted(j) || f->op == BH_FILE_RENAME ||
					    !(bh_name_in(tool, tools) || bh_tool_is_shell(tool))))
		return false;
	bh_judge_weigh(j);
	if (j->is_starting)
		j->severity = BH_SEVERITY_INFO;
	raise_file(j, path, "removes logs:");
	bh_judge_key(j, "%s", tool);
	return true;
}

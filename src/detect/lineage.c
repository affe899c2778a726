/* lineage.c - what a process descends from. A cache of fixed size: a process that fell out of it
 * has no lineage, which lowers what is said about it and never stops a detector. */
#include <stdio.h>
#include <string.h>

#include "detect/names.h"
#include "detect/state.h"

static struct bh_proc *set_of(struct bh_detect *d, uint64_t exec_id)
{
	uint64_t hash = bh_hash(&exec_id, sizeof(exec_id), 0);

	return d->procs + (hash % BH_PROC_SETS) * BH_PROC_WAYS;
}

struct bh_proc *bh_proc_find(struct bh_detect *d, uint64_t exec_id)
{
	struct bh_proc *set = set_of(d, exec_id);
	int i;

	for (i = 0; exec_id && i < BH_PROC_WAYS; i++) {
		if (set[i].exec_id == exec_id) {
			set[i].used = ++d->clock;
			return &set[i];
		}
	}
	return NULL;
}

static struct bh_proc *get(struct bh_detect *d, uint64_t exec_id)
{
	struct bh_proc *p = bh_proc_find(d, exec_id), *set = set_of(d, exec_id);
	int i;

	if (p || !exec_id)
		return p;
	p = set;
	for (i = 1; i < BH_PROC_WAYS; i++) {
		if (d->clock - set[i].used > d->clock - p->used)
			p = &set[i];
	}
	*p = (struct bh_proc){.exec_id = exec_id, .used = ++d->clock};
	return p;
}

/* `-c`, `-ne`, `-Sc`: options the last of which is followed by a text to run. Of others, as -M, -I
 * and -W, the rest is a value. */
static bool is_text_option(const char *tool, const char *arg)
{
	static const char *const evals[] = {"--eval", "--print", "--run", NULL};
	static const struct {
		const char *tool, *text, *valued;
	} kinds[] = {{"python", "c", "WXm"},
		     {"node", "ep", "r"},
		     {"php", "rBRE", "dczt"},
		     {"", "eE", "MmIrFCVW"}};
	size_t i = 0;

	if (arg[1] == '-' || !arg[1])
		return bh_name_in(arg, evals);
	while (*kinds[i].tool && strncmp(tool, kinds[i].tool, strlen(kinds[i].tool)))
		i++;
	if (strchr(kinds[i].valued, arg[1]) && arg[2])
		return false;
	return strchr(kinds[i].text, arg[strlen(arg) - 1]);
}

/* `python3 -c TEXT`, `perl -e TEXT`, or a text from standard input: no program that somebody wrote
 * for a purpose. */
static bool is_inline(const struct bh_act_process *p)
{
	const char *tool = bh_act_tool(p), *arg;
	size_t i;

	if (!bh_tool_is_interpreter(tool) || !p->args_len)
		return false;
	for (i = 1; i < 6 && (arg = bh_act_arg(p, i)) && *arg == '-' && arg[1]; i++) {
		if (is_text_option(tool, arg))
			return true;
	}
	arg = bh_act_arg(p, i);
	return (i == 1 && !arg && p->stdio[0] != BH_STDIO_NULL && !*p->script) ||
	       (arg && !strcmp(arg, "-"));
}

/* What it was called by: its script, or the name of a tool that is one of many in a file. */
static void note_name(struct bh_proc *p, const struct bh_act_process *a)
{
	const char *tool = bh_act_tool(a);

	p->name[0] = '\0';
	if (*a->script)
		tool = bh_path_base(a->script);
	if (*a->script || tool != bh_path_base(a->path))
		snprintf(p->name, sizeof(p->name), "%s", tool);
}

static uint32_t own_line(const struct bh_activity *a)
{
	const struct bh_act_process *p = &a->process;
	uint32_t line = 0;

	if (bh_provenance_is_foreign(p->provenance) || (p->flags & BH_PROC_WROTE) ||
	    bh_provenance_is_foreign(p->script_provenance))
		line |= BH_LINE_FOREIGN;
	if (bh_act_is_interactive(a))
		line |= BH_LINE_INTERACTIVE;
	if (bh_act_is_net_shell(a))
		line |= BH_LINE_IN_SHELL;
	if ((p->flags & BH_PROC_FROM_OUTSIDE) && !(p->flags & BH_PROC_CONTAINER_INIT)) {
		line |= BH_LINE_ENTERED;
		if (p->stdio[0] != BH_STDIO_NULL && p->stdio[0] != BH_STDIO_UNKNOWN)
			line |= BH_LINE_FED;
	}
	if (is_inline(p))
		line |= BH_LINE_INLINE;
	return line;
}

static bool is_packager(const struct bh_activity *a)
{
	enum bh_provenance p = a->process.provenance;

	return (p == BH_PROV_IMAGE || p == BH_PROV_METACOPY) &&
	       bh_act_changes_packages(&a->process);
}

/* What servers come with lies where no user looks for programs; tools that could be made to print
 * a file do not. */
static bool is_helper(const struct bh_act_process *p, uint32_t above)
{
	static const char *const homes[] = {"/usr/lib/*",	"/usr/libexec/*",	"/lib/*",
					    "/usr/local/lib/*", "/usr/local/libexec/*", NULL};
	static const char *const tools[] = {"*/bin/*", "*/git-core/*", NULL};
	const char *tool = bh_act_tool(p);

	if ((above & BH_LINE_TAINT) &&
	    (above & (BH_LINE_TAINT | BH_LINE_HELPER)) != (BH_LINE_SERVER_CHILD | BH_LINE_HELPER))
		return false;
	return p->provenance == BH_PROV_IMAGE && !*p->script && bh_path_fits(p->path, homes) &&
	       !bh_path_fits(p->path, tools) && !bh_tool_is_generic(tool) &&
	       !bh_tool_is_interpreter(tool);
}

static bool is_wrapper(const struct bh_act_process *p)
{
	static const char *const wrappers[] = {
		"timeout", "env",     "nohup",	   "setsid",  "stdbuf",	   "nice",    "ionice",
		"chrt",	   "taskset", "time",	   "setpriv", "gosu",	   "su-exec", "sudo",
		"chpst",   "runuser", "setuidgid", "tini",    "dumb-init", NULL};

	return bh_name_in(bh_act_tool(p), wrappers);
}

static struct bh_proc *on_exec(struct bh_detect *d, const struct bh_activity *a)
{
	const struct bh_proc *found = bh_proc_find(d, a->process.parent_exec_id);
	/* a copy: making the new entry may replace the parent's */
	struct bh_proc parent = found ? *found : (struct bh_proc){0};
	struct bh_proc *p = get(d, a->process.exec_id);
	bool listened = (parent.line & BH_LINE_LISTENS) || (a->parent.flags & BH_PROC_LISTENS);

	if (!p)
		return NULL;
	p->parent_exec_id = a->process.parent_exec_id;
	p->pod_id = a->subject->pod_id;
	p->inherited = parent.line & BH_LINE_INHERITED;
	p->line = p->inherited | own_line(a);
	p->file = a->process.inode ? bh_made_id(a->process.inode, a->process.dev, "") : 0;
	p->is_wrapper = is_wrapper(&a->process);
	p->starter = parent.is_wrapper ? parent.starter : p->parent_exec_id;
	/* `sh -c 'exec bash || exec sh'`, and somebody types */
	if ((p->inherited & BH_LINE_FED) && bh_act_reads_input(&a->process))
		p->line |= BH_LINE_INTERACTIVE;
	if (is_packager(a))
		p->line |= BH_LINE_PACKAGES;
	/* its scripts are as new as what they install */
	if ((p->inherited & BH_LINE_PACKAGES) && !(p->inherited & BH_LINE_TAINT))
		p->line &= ~(uint32_t)BH_LINE_FOREIGN;
	if (listened && strcmp(a->process.path, a->parent.path))
		p->line |= BH_LINE_SERVER_CHILD;
	if ((p->line & BH_LINE_SERVER_CHILD) && is_helper(&a->process, parent.line))
		p->line |= BH_LINE_HELPER;
	if ((a->process.flags & BH_PROC_CONNECTED) ||
	    ((parent.line & BH_LINE_RELAYED) && bh_tool_is_shell(bh_act_tool(&a->parent))))
		p->line |= BH_LINE_RELAYED;
	if (a->process.flags & BH_PROC_LD_PRELOAD)
		p->line |= BH_LINE_PRELOADED;
	if (a->process.flags & BH_PROC_NO_HISTORY)
		p->line |= BH_LINE_NO_HISTORY;
	note_name(p, &a->process);
	p->was_unkept = !found || (parent.line & BH_LINE_NO_HISTORY);
	p->was_preloaded = !found || (parent.line & BH_LINE_PRELOADED);
	return p;
}

static struct bh_proc *on_fork(struct bh_detect *d, const struct bh_activity *a)
{
	const struct bh_proc *found = bh_proc_find(d, a->process.parent_exec_id);
	struct bh_proc parent = found ? *found : (struct bh_proc){0};
	struct bh_proc *p = get(d, a->process.exec_id);
	uint64_t exec_id = a->process.exec_id;

	/* with one exec id for all that run an image, parent and child are one entry */
	if (!p || !found || a->process.parent_exec_id == exec_id)
		return p;
	parent.exec_id = exec_id;
	parent.parent_exec_id = a->process.parent_exec_id;
	parent.used = p->used;
	*p = parent;
	return p;
}

struct bh_proc *bh_proc_follow(struct bh_detect *d, const struct bh_activity *a)
{
	struct bh_proc *p;

	if (a->kind == BH_ACT_EXEC)
		return on_exec(d, a);
	if (a->kind == BH_ACT_FORK)
		return on_fork(d, a);
	p = get(d, a->process.exec_id);
	if (!p)
		return NULL;
	p->pod_id = a->subject->pod_id;
	if ((a->kind == BH_ACT_LISTEN && !a->u.listen.is_loopback) ||
	    (a->process.flags & BH_PROC_LISTENS))
		p->line |= BH_LINE_LISTENS;
	return p;
}

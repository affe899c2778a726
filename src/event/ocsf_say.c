/* One sentence for each kind of event: what people read first. */
#include <string.h>

#include "base/str.h"
#include "event/ocsf_trace.h"

/* Who acts, or executed it. */
static const char *who(const struct bh_trace_event *ev)
{
	if (*ev->parent_path)
		return ev->parent_path;
	return ev->kind != BH_TRACE_EXEC && *ev->comm ? ev->comm : "a process";
}

static const char *end_of(const struct bh_trace_event *ev)
{
	if (ev->flags & BH_TRACE_F_BLOCKED)
		return ": refused";
	return ev->flags & BH_TRACE_F_KILLED ? ": killed" : "";
}

char *bh_ocsf_say_exec(const struct bh_trace_event *ev)
{
	bool is_runtime = !ev->parent_exec_id && !ev->ppid;

	return bh_strf("%s started %s%s%s (%s)%s%s", is_runtime ? "the runtime" : who(ev),
		       *ev->path ? ev->path : ev->comm, *ev->script ? " on " : "", ev->script,
		       bh_trace_origin_name(ev->origin),
		       ev->flags & BH_TRACE_F_OUTSIDE && !is_runtime ? ", from outside" : "",
		       end_of(ev));
}

static char *say_file(const struct bh_trace_event *ev)
{
	static const char *const verbs[BH_TRACE_OPS] = {
		[BH_TRACE_OP_NONE] = "touched",	  [BH_TRACE_OP_WRITE] = "wrote",
		[BH_TRACE_OP_CREATE] = "made",	  [BH_TRACE_OP_READ] = "read",
		[BH_TRACE_OP_RENAME] = "renamed", [BH_TRACE_OP_LINK] = "linked",
		[BH_TRACE_OP_CHMOD] = "changed",  [BH_TRACE_OP_UNLINK] = "removed",
		[BH_TRACE_OP_SCRIPT] = "runs",	  [BH_TRACE_OP_MKDIR] = "made",
		[BH_TRACE_OP_ATTR] = "changed",
	};
	const char *path = *ev->path ? ev->path : "a file without a name";

	if (!*ev->target)
		return bh_strf("%s %s %s (%s)%s", who(ev), verbs[ev->op], path,
			       bh_trace_origin_name(ev->origin), end_of(ev));
	return bh_strf("%s %s %s to %s%s", who(ev), verbs[ev->op], path, ev->target, end_of(ev));
}

char *bh_ocsf_say_act(const struct bh_trace_event *ev, const char *call)
{
	if (ev->kind == BH_TRACE_FILE)
		return say_file(ev);
	if (ev->kind == BH_TRACE_MAP)
		return bh_strf("%s mapped %s (%s)%s", who(ev), *ev->path ? ev->path : "memory",
			       bh_trace_origin_name(ev->origin), end_of(ev));
	return bh_strf("%s called %s%s%s%s", who(ev), call ? call : "the kernel",
		       *ev->path ? " on " : "", ev->path, end_of(ev));
}

char *bh_ocsf_say_edge(const struct bh_ocsf_edge *x, const char *reason)
{
	const struct bh_edge_event *ev = x->event;
	char ip[BH_IP_TEXT], proto[8], port[8] = "";

	if (ev->port)
		snprintf(port, sizeof(port), "%u/", ev->port);
	return bh_strf("%s %s %s%s: %s, %s", ev->dir == BH_EGRESS ? "to" : "from",
		       x->peer ? x->peer : bh_ip_format(&ev->remote, ip), port,
		       bh_proto_format(ev->proto, proto),
		       ev->verdict == BH_ALLOWED ? "allowed" : "denied",
		       x->rule ? x->rule : reason);
}

char *bh_ocsf_say_name(const struct bh_trace_event *ev)
{
	char type[16];

	return bh_strf("%s asked for %s (%s)%s%s", *ev->comm ? ev->comm : "a process", ev->name,
		       bh_dns_type(ev->type, type), ev->is_answer ? ": " : "",
		       ev->is_answer ? bh_dns_rcode(ev->rcode) : "");
}

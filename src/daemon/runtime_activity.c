#include "daemon/runtime_activity.h"

#include <fcntl.h>
#include <string.h>

#include "base/own.h"

static enum bh_provenance provenance_of(enum bh_trace_origin o)
{
	static const enum bh_provenance map[BH_TRACE_O_COUNT] = {
		[BH_TRACE_O_UNKNOWN] = BH_PROV_UNKNOWN,	  [BH_TRACE_O_IMAGE] = BH_PROV_IMAGE,
		[BH_TRACE_O_MODIFIED] = BH_PROV_MODIFIED, [BH_TRACE_O_NEW] = BH_PROV_NEW,
		[BH_TRACE_O_METACOPY] = BH_PROV_METACOPY, [BH_TRACE_O_TMPFS] = BH_PROV_TMPFS,
		[BH_TRACE_O_MEMFD] = BH_PROV_MEMFD,	  [BH_TRACE_O_VOLUME] = BH_PROV_VOLUME,
		[BH_TRACE_O_OTHER] = BH_PROV_OTHER,
	};

	return map[o];
}

static enum bh_stdio stdio_of(enum bh_trace_stdio s)
{
	static const enum bh_stdio map[] = {
		[BH_TSTDIO_UNKNOWN] = BH_STDIO_UNKNOWN, [BH_TSTDIO_NONE] = BH_STDIO_NULL,
		[BH_TSTDIO_TTY] = BH_STDIO_TTY,		[BH_TSTDIO_PIPE] = BH_STDIO_PIPE,
		[BH_TSTDIO_FILE] = BH_STDIO_FILE,	[BH_TSTDIO_INET] = BH_STDIO_INET,
		[BH_TSTDIO_UNIX] = BH_STDIO_UNIX,	[BH_TSTDIO_OTHER] = BH_STDIO_OTHER,
		[BH_TSTDIO_FIFO] = BH_STDIO_FIFO,
	};

	return map[s];
}

static uint32_t process_flags(uint32_t flags)
{
	static const struct {
		uint32_t from, to;
	} map[] = {
		{BH_TRACE_F_SETID, BH_PROC_SETUID_FILE},
		{BH_TRACE_F_OUTSIDE, BH_PROC_FROM_OUTSIDE},
		{BH_TRACE_F_INIT, BH_PROC_CONTAINER_INIT},
		{BH_TRACE_F_ARGS_CUT, BH_PROC_ARGS_CUT},
		{BH_TRACE_F_UNLINKED, BH_PROC_UNLINKED},
		{BH_TRACE_F_PRELOAD, BH_PROC_LD_PRELOAD},
		{BH_TRACE_F_CONNECTED, BH_PROC_CONNECTED},
		{BH_TRACE_F_OUTER, BH_PROC_OUTER},
		{BH_TRACE_F_WROTE, BH_PROC_WROTE},
		{BH_TRACE_F_NO_HISTORY, BH_PROC_NO_HISTORY},
		{BH_TRACE_F_OWN_NS, BH_PROC_OWN_NS},
	};
	uint32_t out = 0;

	for (size_t i = 0; i < BH_ARRAY_SIZE(map); i++)
		out |= flags & map[i].from ? map[i].to : 0;
	return out;
}

const struct bh_act_process bh_act_nobody = {
	.path = "", .comm = "", .cwd = "", .script = "", .args = "", .sha256 = ""};

static void set_process(const struct bh_trace_event *ev, struct bh_act_process *p)
{
	*p = bh_act_nobody;
	/* who was refused goes on as what it was, and is not to be answered for */
	p->pid = ev->flags & BH_TRACE_F_BLOCKED ? 0 : ev->pid;
	p->uid = ev->uid;
	p->gid = ev->gid;
	p->loginuid = ev->loginuid;
	p->exec_id = ev->exec_id;
	p->parent_exec_id = ev->parent_exec_id;
	p->comm = ev->comm;
	p->path = ev->kind == BH_TRACE_EXEC ? ev->path : ev->parent_path;
	p->provenance = provenance_of(ev->kind == BH_TRACE_EXEC ? ev->origin : ev->parent_origin);
	/* no image yet: a runtime's own code, which is about to become the container */
	if (ev->kind != BH_TRACE_EXEC && ev->kind != BH_TRACE_DNS && !ev->exec_id)
		p->flags = BH_PROC_RUNTIME;
	if (ev->flags & (BH_TRACE_F_KILLED | BH_TRACE_F_BLOCKED))
		p->flags |= BH_PROC_STOPPED;
	if (ev->kind != BH_TRACE_EXEC)
		return;
	/* a name that is too long for a path */
	if (!*p->path)
		p->path = ev->comm;
	p->cwd = ev->cwd;
	p->script = ev->script;
	p->args = ev->args;
	p->args_len = ev->args_len;
	p->caps = ev->caps;
	p->flags |= process_flags(ev->flags);
	p->inode = ev->ino;
	p->dev = ev->dev;
	p->sha256 = ev->sha256 ? ev->sha256 : "";
	for (int i = 0; i < 3; i++)
		p->stdio[i] = stdio_of(ev->stdio[i]);
}

static void set_parent(const struct bh_trace_event *ev, struct bh_act_process *p)
{
	*p = bh_act_nobody;
	if (ev->kind != BH_TRACE_EXEC || !ev->parent_exec_id)
		return;
	p->exec_id = ev->parent_exec_id;
	p->pid = ev->ppid;
	p->path = ev->parent_path;
	p->provenance = provenance_of(ev->parent_origin);
	p->inode = ev->parent_ino;
	p->dev = ev->parent_dev;
}

static bool is_process_memory(const char *path)
{
	size_t n = strlen(path);

	return strncmp(path, "/proc/", 6) == 0 && n > 4 && strcmp(path + n - 4, "/mem") == 0;
}

/* O_TMPFILE: it gets its name later. */
static bool is_made(const struct bh_trace_event *ev)
{
	return ev->op == BH_TRACE_OP_WRITE && (ev->arg[0] & O_TMPFILE & ~(uint64_t)O_DIRECTORY);
}

static void set_file(const struct bh_trace_event *ev, struct bh_activity *a)
{
	static const enum bh_file_op ops[BH_TRACE_OPS] = {
		[BH_TRACE_OP_NONE] = BH_FILE_READ,     [BH_TRACE_OP_WRITE] = BH_FILE_WRITE,
		[BH_TRACE_OP_CREATE] = BH_FILE_CREATE, [BH_TRACE_OP_READ] = BH_FILE_READ,
		[BH_TRACE_OP_RENAME] = BH_FILE_RENAME, [BH_TRACE_OP_LINK] = BH_FILE_LINK,
		[BH_TRACE_OP_CHMOD] = BH_FILE_CHMOD,   [BH_TRACE_OP_UNLINK] = BH_FILE_UNLINK,
		[BH_TRACE_OP_MKDIR] = BH_FILE_CHANGE,  [BH_TRACE_OP_ATTR] = BH_FILE_CHANGE,
	};

	if (is_process_memory(ev->path)) {
		a->kind = BH_ACT_MEMORY;
		a->u.target.is_write = ev->op == BH_TRACE_OP_WRITE;
		if (ev->flags & BH_TRACE_F_OWN)
			a->u.target.kind = BH_TARGET_CHILD;
		return;
	}
	/* the same by a device, where system calls may not */
	if (!strcmp(ev->path, "/dev/userfaultfd")) {
		a->kind = BH_ACT_USERFAULTFD;
		a->u.name = ev->path;
		return;
	}
	a->kind = BH_ACT_FILE;
	a->u.file = (struct bh_act_file){
		.op = is_made(ev) ? BH_FILE_CREATE : ops[ev->op],
		.path = ev->path,
		.target = ev->target,
		.mode = ev->op == BH_TRACE_OP_CHMOD ? (uint32_t)ev->arg[0] & 0177777 : ev->mode,
		.gives_caps = ev->op == BH_TRACE_OP_CHMOD && (ev->arg[0] & 0200000),
		.is_truncated = ev->flags & BH_TRACE_F_TRUNCATED,
		.is_symbolic = ev->op == BH_TRACE_OP_LINK && (ev->mode & 0170000) == 0120000,
		.is_outer = ev->flags & BH_TRACE_F_OUTER,
		.provenance = provenance_of(ev->origin),
		.inode = ev->ino,
		.dev = ev->dev,
		.place = {ev->place[0], ev->place[1]},
		.is_own_place = {!ev->place_dev[0], !ev->place_dev[1]},
	};
}

/* An interpreter with code that is not the image's: told as its exec, with where the script is
 * from. */
static void set_script(const struct bh_trace_event *ev, struct bh_activity *a)
{
	a->kind = BH_ACT_EXEC;
	a->process.script = *ev->path ? ev->path : "?"; /* its name is too long for a path */
	a->process.script_provenance = provenance_of(ev->origin);
	a->process.flags |= process_flags(ev->flags & BH_TRACE_F_WROTE);
}

static void set_map(const struct bh_trace_event *ev, struct bh_activity *a)
{
	if (ev->flags & BH_TRACE_F_ANON)
		return; /* just-in-time compilers; no file to speak of */
	a->kind = BH_ACT_MAP_EXEC;
	a->u.map.path = ev->path;
	a->u.map.provenance = provenance_of(ev->origin);
	a->u.map.is_shared = ev->flags & BH_TRACE_F_SHARED;
	a->u.map.is_writable = ev->flags & BH_TRACE_F_WRITABLE;
	a->u.map.is_own = ev->flags & BH_TRACE_F_WROTE;
	a->u.map.inode = ev->ino;
	a->u.map.dev = ev->dev;
}

static void set_namespace(const struct bh_trace_event *ev, struct bh_activity *a)
{
	a->kind = BH_ACT_NAMESPACE;
	a->u.ns.is_root_change = ev->op == BH_CALL_ROOT;
	a->u.ns.is_entering = ev->op == BH_CALL_SETNS;
	a->u.ns.flags = ev->op == BH_CALL_SETNS	    ? ev->arg[1]
			: ev->op == BH_CALL_UNSHARE ? ev->arg[0]
						    : 0;
}

static bool is_ours(const struct bh_guard_pids *ours, uint64_t pid)
{
	for (size_t i = 0; i < ours->n; i++) {
		if ((uint64_t)ours->v[i] == pid)
			return true;
	}
	return false;
}

static void set_target(const struct bh_trace_event *ev, const struct bh_guard_pids *ours,
		       struct bh_activity *a)
{
	static const enum bh_target_kind kinds[4] = {
		[BH_TRACE_TARGET_UNKNOWN] = BH_TARGET_POD,
		[BH_TRACE_TARGET_POD] = BH_TARGET_POD,
		[BH_TRACE_TARGET_OWN] = BH_TARGET_CHILD,
		[BH_TRACE_TARGET_OTHER] = BH_TARGET_OTHER,
	};

	a->kind = ev->op == BH_CALL_PTRACE ? BH_ACT_PTRACE : BH_ACT_MEMORY;
	a->u.target.pid = (uint32_t)(ev->op == BH_CALL_PTRACE ? ev->arg[1] : ev->arg[0]);
	a->u.target.is_write = ev->op == BH_CALL_VMWRITE;
	a->u.target.kind = kinds[ev->arg[2] & 3];
	if (ev->arg[3])
		a->u.target.pid = (uint32_t)ev->arg[3];
	if (ev->arg[3] && is_ours(ours, ev->arg[3]))
		a->u.target.kind = BH_TARGET_BULKHEAD;
}

static void set_socket(const struct bh_trace_event *ev, struct bh_activity *a)
{
	a->kind = BH_ACT_SOCKET;
	a->u.socket.family = (int)ev->arg[0];
	a->u.socket.type = (int)(ev->arg[1] & 0xf);
	a->u.socket.protocol = (int)ev->arg[2];
}

static void set_connection(const struct bh_trace_event *ev, struct bh_activity *a)
{
	a->kind = BH_ACT_CONNECT;
	a->u.edge = (struct bh_act_edge){
		.is_egress = true,
		.proto = 6,
		.port = (uint16_t)ev->arg[0],
		.peer_name = "",
		.is_second = ev->arg[0] >> 16 & 1,
	};
	memcpy(a->u.edge.remote.b, &ev->arg[1], sizeof(a->u.edge.remote.b));
}

/* Classes that are a kind of their own, with a name or a number at most. */
static void set_plain(const struct bh_trace_event *ev, struct bh_activity *a)
{
	static const enum bh_act kinds[BH_CALL_CLASSES] = {
		[BH_CALL_BPF] = BH_ACT_BPF,	[BH_CALL_UFFD] = BH_ACT_USERFAULTFD,
		[BH_CALL_MEMFD] = BH_ACT_MEMFD, [BH_CALL_URING] = BH_ACT_IO_URING,
		[BH_CALL_PRCTL] = BH_ACT_NAME,	[BH_CALL_FOREIGN] = BH_ACT_ABI,
	};

	a->kind = kinds[ev->op];
	if (a->kind == BH_ACT_BPF)
		a->u.number = ev->arg[0];
	else
		a->u.name = ev->path;
}

static void set_call(const struct bh_trace_event *ev, const struct bh_guard_pids *ours,
		     struct bh_activity *a)
{
	switch (ev->op) {
	case BH_CALL_SETID:
		a->kind = BH_ACT_SETID;
		a->u.setid.old_uid = (uint32_t)ev->arg[0];
		a->u.setid.new_uid = (uint32_t)ev->arg[1];
		a->u.setid.had_right = ev->arg[3];
		a->u.setid.is_call = true;
		break;
	case BH_CALL_SETNS:
	case BH_CALL_UNSHARE:
	case BH_CALL_ROOT:
		set_namespace(ev, a);
		break;
	case BH_CALL_MOUNT:
	case BH_CALL_NEWMOUNT:
		a->kind = BH_ACT_MOUNT;
		a->u.mount.source = ev->path;
		a->u.mount.target = ev->target;
		a->u.mount.type = "";
		break;
	case BH_CALL_PTRACE:
	case BH_CALL_VMREAD:
	case BH_CALL_VMWRITE:
		set_target(ev, ours, a);
		break;
	case BH_CALL_GETFD:
		a->kind = BH_ACT_MEMORY;
		a->u.target.kind = BH_TARGET_POD;
		a->u.target.is_file = true;
		break;
	case BH_CALL_SOCKET:
		set_socket(ev, a);
		break;
	case BH_CALL_LISTEN:
		a->kind = BH_ACT_LISTEN;
		a->u.listen.port = (uint16_t)ev->arg[0];
		a->u.listen.proto = (uint8_t)ev->arg[1];
		a->u.listen.is_loopback = ev->arg[2];
		break;
	case BH_CALL_SIGNAL:
		a->kind = BH_ACT_SIGNAL;
		a->u.target.signal = (int)ev->arg[0];
		a->u.target.pid = (uint32_t)ev->arg[1];
		a->u.target.kind = is_ours(ours, ev->arg[1]) ? BH_TARGET_BULKHEAD : BH_TARGET_OTHER;
		break;
	case BH_CALL_MODULE:
		a->kind = BH_ACT_MODULE;
		a->u.module.name = ev->path;
		a->u.module.is_refused = (int64_t)ev->arg[3] < 0;
		break;
	case BH_CALL_TCP:
		set_connection(ev, a);
		break;
	case BH_CALL_CONNECT:
		a->kind = BH_ACT_FILE;
		a->u.file = (struct bh_act_file){
			.op = BH_FILE_WRITE,
			.path = ev->path,
			.target = "",
			.place = {ev->place[0], NULL},
			.is_own_place = {!ev->place_dev[0], true},
		};
		break;
	default:
		set_plain(ev, a);
	}
}

void bh_activity_of(const struct bh_trace_event *ev, const struct bh_guard_pids *ours,
		    struct bh_activity *ret)
{
	struct bh_activity a = {.ts_ns = ev->ts_ns};

	set_process(ev, &a.process);
	set_parent(ev, &a.parent);
	switch (ev->kind) {
	case BH_TRACE_EXEC:
		a.kind = BH_ACT_EXEC;
		break;
	case BH_TRACE_EXIT:
		a.kind = BH_ACT_EXIT;
		a.u.exit.status = ev->status;
		break;
	case BH_TRACE_FILE:
		if (ev->op == BH_TRACE_OP_SCRIPT)
			set_script(ev, &a);
		else
			set_file(ev, &a);
		break;
	case BH_TRACE_MAP:
		set_map(ev, &a);
		break;
	case BH_TRACE_DNS: /* an answer says nothing that its question did not */
		a.kind = ev->is_answer ? BH_ACT_NONE : BH_ACT_DNS;
		a.u.dns.name = ev->name;
		a.u.dns.type = ev->type;
		break;
	default:
		set_call(ev, ours, &a);
	}
	*ret = a;
}

#include "event/ocsf_process.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "event/ocsf_trace.h"

#define NO_LOGIN UINT32_MAX

/* algorithm 3: SHA-256 */
static json_t *hashes(const char *sha256)
{
	return json_pack("[{s:i, s:s, s:s}]", "algorithm_id", 3, "algorithm", "SHA-256", "value",
			 sha256);
}

json_t *bh_ocsf_file_of(const char *path, const char *sha256)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	json_t *f;

	if (!path || !*path)
		return NULL;
	/* type 1: regular file */
	f = json_pack("{s:o*, s:o*, s:i}", "path", bh_ocsf_text(path), "name",
		      bh_ocsf_text(slash && slash[1] ? slash + 1 : path), "type_id", 1);
	bh_ocsf_put(f, "hashes", sha256 && *sha256 ? hashes(sha256) : NULL);
	return f;
}

/* The arguments in one line, as a shell would not need to quote them. */
static json_t *command_line(const struct bh_trace_event *ev)
{
	BH_CLEANUP(bh_freep) char *line = ev->args_len ? calloc(1, ev->args_len + 1) : NULL;
	size_t n = ev->args_len;

	if (!line)
		return NULL;
	memcpy(line, ev->args, n);
	while (n && !line[n - 1])
		n--;
	if (!n) /* none at all, or one without a letter */
		return NULL;
	for (size_t i = 0; i < n; i++)
		line[i] = line[i] ? line[i] : ' ';
	line[n] = '\0';
	return bh_ocsf_text(line);
}

static json_t *arguments(const struct bh_trace_event *ev)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < ev->args_len;) {
		size_t n = strnlen(ev->args + i, ev->args_len - i);
		BH_CLEANUP(bh_freep) char *one = bh_strf("%.*s", (int)n, ev->args + i);

		json_array_append_new(a, bh_ocsf_text(one ? one : ""));
		i += n + 1;
	}
	return a;
}

void bh_ocsf_put_digest_of(json_t *file, const char *sha256)
{
	if (file && sha256 && *sha256)
		bh_ocsf_put(file, "hashes", hashes(sha256));
}

static void put_exec_id(json_t *process, uint64_t exec_id)
{
	char text[24];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)exec_id);
	bh_ocsf_put_text(process, "uid", text);
}

void bh_ocsf_put_exec_ids(json_t *process, uint64_t exec_id, uint64_t parent_exec_id)
{
	if (exec_id)
		put_exec_id(process, exec_id);
	if (!parent_exec_id)
		return;
	bh_ocsf_put(process, "parent_process", json_object());
	put_exec_id(json_object_get(process, "parent_process"), parent_exec_id);
}

json_t *bh_ocsf_process_of(const struct bh_trace_event *ev, int64_t time_ms)
{
	json_t *p = json_pack("{s:i}", "pid", (int)ev->pid);
	char text[24];

	if (time_ms)
		bh_ocsf_put(p, "created_time", json_integer((json_int_t)time_ms));
	bh_ocsf_put_text(p, "name", ev->comm);
	if (ev->kind == BH_TRACE_EXEC)
		bh_ocsf_put(p, "file", bh_ocsf_file_of(ev->path, ev->sha256));
	else
		bh_ocsf_put(p, "file", bh_ocsf_file_of(ev->parent_path, ev->parent_sha256));
	bh_ocsf_put(p, "cmd_line", command_line(ev));
	snprintf(text, sizeof(text), "%u", ev->uid);
	bh_ocsf_put(p, "user", json_pack("{s:s}", "uid", text));
	if (ev->cwd)
		bh_ocsf_put_text(p, "working_directory", ev->cwd);
	bh_ocsf_put_exec_ids(p, ev->exec_id, ev->kind == BH_TRACE_EXEC ? 0 : ev->parent_exec_id);
	return p;
}

/* Who started it: the image that was executing before; NULL: nobody in the pod. */
static json_t *starter(const struct bh_trace_event *ev)
{
	json_t *p;

	if (!ev->parent_exec_id && !ev->ppid)
		return NULL;
	p = json_object();
	if (ev->ppid)
		bh_ocsf_put(p, "pid", json_integer(ev->ppid));
	bh_ocsf_put(p, "file", bh_ocsf_file_of(ev->parent_path, ev->parent_sha256));
	bh_ocsf_put_exec_ids(p, ev->parent_exec_id, 0);
	return p;
}

static json_t *actor(const struct bh_trace_event *ev)
{
	json_t *p = starter(ev);

	return p ? json_pack("{s:o}", "process", p)
		 : json_pack("{s:s}", "app_name", "container runtime");
}

json_t *bh_ocsf_process_and_parent(const struct bh_trace_event *ev)
{
	json_t *p = bh_ocsf_process_of(ev, 0);

	if (ev->kind == BH_TRACE_EXEC)
		bh_ocsf_put(p, "parent_process", starter(ev));
	return p;
}

void bh_ocsf_put_flags(json_t *ours, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{BH_TRACE_F_OUTSIDE, "fromOutside"},
		{BH_TRACE_F_INIT, "containerStart"},
		{BH_TRACE_F_UNLINKED, "unlinked"},
		{BH_TRACE_F_SETID, "setId"},
		{BH_TRACE_F_ARGS_CUT, "argsCut"},
		{BH_TRACE_F_NETNS_LEFT, "leftNetworkNamespace"},
		{BH_TRACE_F_KILLED, "killed"},
		{BH_TRACE_F_REFUSED, "refused"},
		{BH_TRACE_F_BLOCKED, "blocked"},
		{BH_TRACE_F_FIRST, "firstSeen"},
		{BH_TRACE_F_PATH_CUT, "pathCut"},
		{BH_TRACE_F_PRELOAD, "preload"},
		{BH_TRACE_F_ADOPTED, "ranBefore"},
		{BH_TRACE_F_UID_GAINED, "userZeroGained"},
		{BH_TRACE_F_OWN_NS, "ownMountNamespace"},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++)
		if (flags & names[i].flag)
			bh_ocsf_put(ours, names[i].name, json_true());
}

void bh_ocsf_put_count(json_t *e, const struct bh_trace_event *ev)
{
	if (ev->count > 1)
		bh_ocsf_put(e, "count", json_integer((json_int_t)ev->count));
}

/* What found no room: how much there is in all, and what tells the rest from another. */
static void put_args_rest(json_t *ours, const struct bh_trace_event *ev)
{
	char text[32];

	if (ev->args_total <= ev->args_len)
		return;
	bh_ocsf_put(ours, "argsBytes", json_integer(ev->args_total));
	if (!ev->args_rest)
		return;
	snprintf(text, sizeof(text), "xxh64:%016llx", (unsigned long long)ev->args_rest);
	bh_ocsf_put_text(ours, "argsRest", text);
}

static json_t *details(const struct bh_trace_event *ev)
{
	static const char *const stdio[] = {
		[BH_TSTDIO_UNKNOWN] = "unknown", [BH_TSTDIO_NONE] = "none",
		[BH_TSTDIO_TTY] = "tty",	 [BH_TSTDIO_PIPE] = "pipe",
		[BH_TSTDIO_FILE] = "file",	 [BH_TSTDIO_INET] = "inet",
		[BH_TSTDIO_UNIX] = "unix",	 [BH_TSTDIO_OTHER] = "other",
		[BH_TSTDIO_FIFO] = "fifo",
	};
	json_t *ours = json_pack("{s:s, s:o}", "provenance", bh_trace_origin_name(ev->origin),
				 "args", arguments(ev));
	char caps[24];

	put_args_rest(ours, ev);
	if (ev->parent_exec_id)
		bh_ocsf_put_text(ours, "parentProvenance", bh_trace_origin_name(ev->parent_origin));
	bh_ocsf_put_text(ours, "script", ev->script);
	bh_ocsf_put(ours, "gid", json_integer(ev->gid));
	if (ev->loginuid != NO_LOGIN)
		bh_ocsf_put(ours, "loginUid", json_integer(ev->loginuid));
	snprintf(caps, sizeof(caps), "%016llx", (unsigned long long)ev->caps);
	bh_ocsf_put_text(ours, "capabilities", caps);
	bh_ocsf_put(ours, "inode", json_integer((json_int_t)ev->ino));
	bh_ocsf_put(ours, "device", json_integer((json_int_t)ev->dev));
	bh_ocsf_put(ours, "stdio",
		    json_pack("[s, s, s]", stdio[ev->stdio[0]], stdio[ev->stdio[1]],
			      stdio[ev->stdio[2]]));
	bh_ocsf_put_text(ours, "sha256Missing", ev->sha256_why);
	bh_ocsf_put_flags(ours, ev->flags);
	return ours;
}

/* ---- digests that come later ---- */

static json_t *member(const json_t *obj, const char *key, const char *then)
{
	return json_object_get(json_object_get(obj, key), then);
}

/* The file object that the event's digest belongs to. */
static json_t *hashed_file(const json_t *event)
{
	const json_t *evidence = json_array_get(json_object_get(event, "evidences"), 0);

	switch (json_integer_value(json_object_get(event, "class_uid"))) {
	case BH_OCSF_PROCESS:
		return member(event, "process", "file");
	case BH_OCSF_MODULE:
		return member(event, "module", "file");
	default:
		return json_object_get(evidence, "file") ? json_object_get(evidence, "file")
							 : member(evidence, "process", "file");
	}
}

void bh_ocsf_put_digest(json_t *event, const char *sha256, const char *why)
{
	json_t *file = hashed_file(event), *ours = member(event, "unmapped", "bulkhead");

	if (sha256)
		bh_ocsf_put_digest_of(file, sha256);
	else
		bh_ocsf_put_text(ours, "sha256Missing", why);
}

json_t *bh_ocsf_late_digest(struct bh_ocsf *o, const json_t *event, const char *sha256,
			    int64_t time_ms)
{
	/* activity 99: other */
	const struct bh_ocsf_head h = {BH_OCSF_PROCESS, 99, "Hash", BH_SEV_INFO, time_ms};
	json_t *e = bh_ocsf_base(o, &h, NULL);
	const json_t *old = member(event, "unmapped", "bulkhead");
	json_t *ours = json_pack("{s:O*, s:O*, s:O*, s:O*}", "pod", json_object_get(old, "pod"),
				 "namespace", json_object_get(old, "namespace"), "workload",
				 json_object_get(old, "workload"), "provenance",
				 json_object_get(old, "provenance"));

	bh_ocsf_put(ours, "completes", json_incref(member(event, "metadata", "uid")));
	bh_ocsf_put(e, "process", json_deep_copy(json_object_get(event, "process")));
	bh_ocsf_put(e, "actor", json_deep_copy(json_object_get(event, "actor")));
	bh_ocsf_put(e, "container", json_deep_copy(json_object_get(event, "container")));
	bh_ocsf_put_status(e, true);
	e = bh_ocsf_finish(e, ours, "the digest of what was started");
	bh_ocsf_put_digest(e, sha256, NULL);
	return e;
}

enum bh_ocsf_outcome bh_ocsf_outcome_of(const struct bh_trace_event *ev, bool is_refused)
{
	if (ev->flags & (BH_TRACE_F_KILLED | BH_TRACE_F_BLOCKED))
		return BH_OUTCOME_BLOCKED;
	is_refused = is_refused || (ev->flags & BH_TRACE_F_REFUSED);
	return is_refused ? BH_OUTCOME_ALERT : BH_OUTCOME_ALLOWED;
}

json_t *bh_ocsf_process(struct bh_ocsf *o, const struct bh_ocsf_process *x)
{
	const struct bh_trace_event *ev = x->event;
	enum bh_ocsf_outcome outcome = bh_ocsf_outcome_of(ev, x->rule.name);
	bool is_stopped = outcome == BH_OUTCOME_BLOCKED;
	const struct bh_ocsf_head h = {BH_OCSF_PROCESS, 1, "Launch",
				       is_stopped ? BH_SEV_HIGH : BH_SEV_INFO, x->time_ms};
	BH_CLEANUP(bh_freep) char *message = bh_ocsf_say_exec(ev);
	json_t *e = bh_ocsf_base(o, &h, "security_control");
	json_t *ours = details(ev);

	bh_ocsf_put_pod(e, ours, &x->pod);
	bh_ocsf_put(e, "process", bh_ocsf_process_of(ev, x->time_ms));
	bh_ocsf_put(e, "actor", actor(ev));
	bh_ocsf_put_outcome(e, outcome);
	bh_ocsf_put_status(e, !is_stopped);
	bh_ocsf_put_rule(e, ours, &x->rule);
	bh_ocsf_put_count(e, ev);
	return bh_ocsf_finish(e, ours, message);
}

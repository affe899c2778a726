/* What pods do besides executing: OCSF 1001, 1002, 1003, 1005 and 1006. */
#include <string.h>

#include "base/str.h"
#include "event/ocsf_trace.h"

struct act_class {
	int class_uid, activity_id;
	const char *activity;
};

/* Where cron, at and systemd look for what to start, and when. */
static bool is_job(const char *path)
{
	static const char *const places[] = {"/etc/cron", "/etc/anacrontab", "/var/spool/cron",
					     "/var/spool/at", "/etc/crontabs"};
	size_t n = strlen(path);

	for (size_t i = 0; i < BH_ARRAY_SIZE(places); i++) {
		if (!strncmp(path, places[i], strlen(places[i])))
			return true;
	}
	return n > 6 && !strcmp(path + n - 6, ".timer") && strstr(path, "/systemd/");
}

/* What the act leaves behind. */
static const char *job_path(const struct bh_trace_event *ev)
{
	bool is_moved = ev->op == BH_TRACE_OP_RENAME || ev->op == BH_TRACE_OP_LINK;

	return is_moved && *ev->target ? ev->target : ev->path;
}

static struct act_class class_of(const struct bh_trace_event *ev)
{
	static const struct act_class files[BH_TRACE_OPS] = {
		[BH_TRACE_OP_NONE] = {BH_OCSF_FILE, 0, "Unknown"},
		[BH_TRACE_OP_CREATE] = {BH_OCSF_FILE, 1, "Create"},
		[BH_TRACE_OP_READ] = {BH_OCSF_FILE, 2, "Read"},
		[BH_TRACE_OP_WRITE] = {BH_OCSF_FILE, 3, "Update"},
		[BH_TRACE_OP_UNLINK] = {BH_OCSF_FILE, 4, "Delete"},
		[BH_TRACE_OP_RENAME] = {BH_OCSF_FILE, 5, "Rename"},
		[BH_TRACE_OP_CHMOD] = {BH_OCSF_FILE, 6, "Set Attributes"},
		[BH_TRACE_OP_SCRIPT] = {BH_OCSF_FILE, 2, "Read"},
		[BH_TRACE_OP_LINK] = {BH_OCSF_FILE, 99, "Link"},
		[BH_TRACE_OP_MKDIR] = {BH_OCSF_FILE, 1, "Create"},
		[BH_TRACE_OP_ATTR] = {BH_OCSF_FILE, 6, "Set Attributes"},
	};

	static const struct act_class jobs[BH_TRACE_OPS] = {
		[BH_TRACE_OP_CREATE] = {BH_OCSF_JOB, 1, "Create"},
		[BH_TRACE_OP_WRITE] = {BH_OCSF_JOB, 2, "Update"},
		[BH_TRACE_OP_UNLINK] = {BH_OCSF_JOB, 3, "Delete"},
		[BH_TRACE_OP_RENAME] = {BH_OCSF_JOB, 1, "Create"},
		[BH_TRACE_OP_CHMOD] = {BH_OCSF_JOB, 2, "Update"},
		[BH_TRACE_OP_LINK] = {BH_OCSF_JOB, 1, "Create"},
	};

	if (ev->kind == BH_TRACE_FILE)
		return jobs[ev->op].class_uid && is_job(job_path(ev)) ? jobs[ev->op]
								      : files[ev->op];
	if (ev->kind == BH_TRACE_MAP)
		return (struct act_class){BH_OCSF_MODULE, 1, "Load"};
	if (ev->op == BH_CALL_MODULE)
		return (struct act_class){BH_OCSF_EXTENSION, 1, "Load"};
	return (struct act_class){BH_OCSF_KERNEL, 4, "Invoke"};
}

static json_t *file_or_unknown(const char *path, const char *sha256)
{
	json_t *f = bh_ocsf_file_of(path, sha256);

	/* type 0: unknown */
	return f ? f : json_pack("{s:s, s:i}", "name", "memory", "type_id", 0);
}

static json_t *job_of(const struct bh_trace_event *ev)
{
	const char *path = job_path(ev), *slash = strrchr(path, '/');

	return json_pack("{s:o*, s:o}", "name", bh_ocsf_text(slash && slash[1] ? slash + 1 : path),
			 "file", file_or_unknown(path, NULL));
}

static void put_file(json_t *e, const struct bh_trace_event *ev)
{
	bh_ocsf_put(e, "file", file_or_unknown(ev->path, NULL));
	if (*ev->target)
		bh_ocsf_put(e, "file_result", file_or_unknown(ev->target, NULL));
}

static void put_object(json_t *e, const struct bh_ocsf_act *a, int class_uid)
{
	const struct bh_trace_event *ev = a->event;

	switch (class_uid) {
	case BH_OCSF_FILE:
		put_file(e, ev);
		break;
	case BH_OCSF_JOB:
		bh_ocsf_put(e, "job", job_of(ev));
		break;
	case BH_OCSF_MODULE:
		bh_ocsf_put(e, "module",
			    json_pack("{s:o, s:s, s:i}", "file",
				      file_or_unknown(ev->path, ev->sha256), "load_type", "Mapped",
				      "load_type_id", 4));
		break;
	case BH_OCSF_EXTENSION:
		bh_ocsf_put(e, "driver",
			    json_pack("{s:o}", "file", file_or_unknown(ev->path, NULL)));
		break;
	default:
		/* type 2: system call */
		bh_ocsf_put(e, "kernel",
			    json_pack("{s:s, s:i, s:s}", "name", a->call ? a->call : "unknown",
				      "type_id", 2, "type", "System Call"));
	}
}

static void put_act_flags(json_t *ours, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{BH_TRACE_F_CLAIMED, "pathAsWritten"}, {BH_TRACE_F_TRUNCATED, "truncated"},
		{BH_TRACE_F_SHARED, "shared"},	       {BH_TRACE_F_WRITABLE, "writable"},
		{BH_TRACE_F_ANON, "anonymous"},	       {BH_TRACE_F_COLLAPSED, "collapsed"},
		{BH_TRACE_F_RESOLVED, "pathResolved"},
	};

	bh_ocsf_put_flags(ours, flags);
	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++)
		if (flags & names[i].flag)
			bh_ocsf_put(ours, names[i].name, json_true());
}

json_t *bh_ocsf_act(struct bh_ocsf *o, const struct bh_ocsf_act *a)
{
	const struct bh_trace_event *ev = a->event;
	struct act_class c = class_of(ev);
	enum bh_ocsf_outcome outcome = bh_ocsf_outcome_of(ev, a->rule.name);
	bool is_stopped = outcome == BH_OUTCOME_BLOCKED;
	const struct bh_ocsf_head h = {c.class_uid, c.activity_id, c.activity,
				       is_stopped ? BH_SEV_HIGH : BH_SEV_INFO, a->time_ms};
	BH_CLEANUP(bh_freep) char *message = bh_ocsf_say_act(ev, a->call);
	json_t *e = bh_ocsf_base(o, &h, "security_control");
	json_t *ours = json_pack("{s:s, s:s, s:[I, I, I, I]}", "provenance",
				 bh_trace_origin_name(ev->origin), "processProvenance",
				 bh_trace_origin_name(ev->parent_origin), "arguments",
				 (json_int_t)ev->arg[0], (json_int_t)ev->arg[1],
				 (json_int_t)ev->arg[2], (json_int_t)ev->arg[3]);

	bh_ocsf_put_pod(e, ours, &a->pod);
	put_object(e, a, c.class_uid);
	bh_ocsf_put(e, "actor", json_pack("{s:o}", "process", bh_ocsf_process_of(ev, 0)));
	bh_ocsf_put_text(ours, "path", ev->kind == BH_TRACE_CALL ? ev->path : NULL);
	bh_ocsf_put_text(ours, "target", ev->kind == BH_TRACE_CALL ? ev->target : NULL);
	bh_ocsf_put_text(ours, "place", ev->place[0]);
	bh_ocsf_put_text(ours, "targetPlace", ev->place[1]);
	bh_ocsf_put_text(ours, "call", a->call);
	bh_ocsf_put_count(e, ev);
	bh_ocsf_put_text(ours, "sha256Missing", ev->sha256_why);
	put_act_flags(ours, ev->flags);
	bh_ocsf_put_outcome(e, outcome);
	bh_ocsf_put_status(e, !is_stopped);
	bh_ocsf_put_rule(e, ours, &a->rule);
	return bh_ocsf_finish(e, ours, message);
}

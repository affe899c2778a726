#include "event/trace.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

uint64_t bh_trace_device(uint32_t dev)
{
	return makedev(dev >> 20, dev & 0xfffff);
}

static int decode_head(const struct bh_trace_head *h, size_t len, struct bh_trace_event *ev,
		       struct bh_err *err)
{
	if (h->version != BH_TRACE_VERSION)
		return bh_fail(err, EBADMSG, "trace record of version %u, %u is known", h->version,
			       BH_TRACE_VERSION);
	if (h->len != len)
		return bh_fail(err, EBADMSG, "trace record of %u bytes, %zu arrived", h->len, len);
	if (h->kind == 0 || h->kind >= BH_TRACE_KINDS || h->slot == 0 || h->slot >= BH_TRACE_SLOTS)
		return bh_fail(err, EBADMSG, "trace record of kind %u in slot %u", h->kind,
			       h->slot);
	ev->kind = (enum bh_trace_kind)h->kind;
	ev->ts_ns = h->ts_ns;
	ev->exec_id = h->exec_id;
	ev->parent_exec_id = h->parent_exec_id;
	ev->slot = h->slot;
	ev->generation = h->generation;
	ev->pid = h->pid;
	ev->uid = h->uid;
	ev->gid = h->gid;
	ev->flags = h->flags;
	ev->count = 1;
	memcpy(ev->comm, h->comm, BH_COMM_LEN);
	return 0;
}

/* A string of n bytes with its NUL at p; the next one begins behind it. */
static int take_string(const char **p, const char *end, uint16_t n, const char **ret,
		       struct bh_err *err)
{
	*ret = "";
	if (n == 0)
		return 0;
	if ((size_t)(end - *p) < n || (*p)[n - 1] != '\0' || memchr(*p, '\0', n - 1u))
		return bh_fail(err, EBADMSG, "trace record: a string of %u bytes is broken", n);
	*ret = *p;
	*p += n;
	return 0;
}

static int check_exec(const struct bh_trace_exec *r, struct bh_err *err)
{
	bool is_good = r->origin < BH_TRACE_O_COUNT && r->parent_origin < BH_TRACE_O_COUNT;

	for (int i = 0; i < 3; i++)
		is_good = is_good && r->stdio[i] <= BH_TSTDIO_FIFO;
	return is_good ? 0
		       : bh_fail(err, EBADMSG, "trace record: origin %u, %u, stdio %u, %u, %u",
				 r->origin, r->parent_origin, r->stdio[0], r->stdio[1],
				 r->stdio[2]);
}

static int decode_exec(const void *record, size_t len, struct bh_trace_event *ev,
		       struct bh_err *err)
{
	const char *p = (const char *)record + sizeof(struct bh_trace_exec);
	const char *end = (const char *)record + len;
	const char **const strings[BH_TRACE_STRINGS] = {&ev->path, &ev->parent_path, &ev->script,
							&ev->cwd};
	struct bh_trace_exec r;
	int res;

	if (len < sizeof(r))
		return bh_fail(err, EBADMSG, "trace record of %zu bytes is no exec", len);
	memcpy(&r, record, sizeof(r));
	res = check_exec(&r, err);
	for (int i = 0; res == 0 && i < BH_TRACE_STRINGS; i++)
		res = take_string(&p, end, r.string_len[i], strings[i], err);
	if (res)
		return res;
	if ((size_t)(end - p) != r.args_len)
		return bh_fail(err, EBADMSG, "trace record: %u bytes of arguments, %zu arrived",
			       r.args_len, (size_t)(end - p));
	ev->args = p;
	ev->args_len = r.args_len;
	ev->args_total = r.args_total;
	ev->args_rest = r.args_rest;
	ev->ino = r.ino;
	ev->dev = bh_trace_device(r.dev);
	ev->parent_ino = r.parent_ino;
	ev->parent_dev = bh_trace_device(r.parent_dev);
	ev->caps = r.caps;
	ev->cgroup = r.cgroup;
	ev->loginuid = r.loginuid;
	ev->ppid = r.ppid;
	ev->mntns = r.mntns;
	ev->origin = (enum bh_trace_origin)r.origin;
	ev->parent_origin = (enum bh_trace_origin)r.parent_origin;
	for (int i = 0; i < 3; i++)
		ev->stdio[i] = (enum bh_trace_stdio)r.stdio[i];
	return 0;
}

static int decode_exit(const void *record, size_t len, struct bh_trace_event *ev,
		       struct bh_err *err)
{
	struct bh_trace_exit r;

	if (len != sizeof(r))
		return bh_fail(err, EBADMSG, "trace record of %zu bytes is no exit", len);
	memcpy(&r, record, sizeof(r));
	ev->start_ns = r.start_ns;
	ev->status = (int)r.status;
	return 0;
}

static unsigned ops_of(unsigned kind)
{
	if (kind == BH_TRACE_FILE)
		return BH_TRACE_OPS;
	if (kind == BH_TRACE_MAP)
		return BH_TRACE_MAP_OPS;
	return kind == BH_TRACE_CALL ? (unsigned)BH_CALL_CLASSES : 1u;
}

static int check_act(const struct bh_trace_act *r, struct bh_err *err)
{
	if (r->op >= ops_of(r->head.kind) || r->origin >= BH_TRACE_O_COUNT ||
	    r->image_origin >= BH_TRACE_O_COUNT)
		return bh_fail(err, EBADMSG, "trace record: kind %u, op %u, origin %u, %u",
			       r->head.kind, r->op, r->origin, r->image_origin);
	return 0;
}

static int decode_act(const void *record, size_t len, struct bh_trace_event *ev, struct bh_err *err)
{
	const char *p = (const char *)record + sizeof(struct bh_trace_act);
	const char *end = (const char *)record + len;
	struct bh_trace_act r;
	int res;

	if (len < sizeof(r))
		return bh_fail(err, EBADMSG, "trace record of %zu bytes is no act", len);
	memcpy(&r, record, sizeof(r));
	res = check_act(&r, err);
	if (res == 0)
		res = take_string(&p, end, r.string_len[BH_TRACE_A_PATH], &ev->path, err);
	if (res == 0)
		res = take_string(&p, end, r.string_len[BH_TRACE_A_TARGET], &ev->target, err);
	if (res == 0)
		res = take_string(&p, end, r.string_len[BH_TRACE_A_IMAGE], &ev->parent_path, err);
	for (int i = 0; res == 0 && i < 2; i++)
		res = take_string(&p, end, r.string_len[BH_TRACE_A_PLACE + i], &ev->place[i], err);
	if (res)
		return res;
	if (p != end)
		return bh_fail(err, EBADMSG, "trace record: %zu bytes behind its strings",
			       (size_t)(end - p));
	ev->ino = r.ino;
	ev->dev = bh_trace_device(r.dev);
	ev->origin = (enum bh_trace_origin)r.origin;
	ev->parent_origin = (enum bh_trace_origin)r.image_origin;
	ev->op = r.op;
	ev->call = r.call;
	ev->mode = r.mode;
	for (int i = 0; i < 2; i++)
		ev->place_dev[i] = r.place_dev[i] ? bh_trace_device(r.place_dev[i]) : 0;
	memcpy(ev->arg, r.arg, sizeof(ev->arg));
	return 0;
}

static int decode_dns(const void *record, size_t len, struct bh_trace_event *ev, struct bh_err *err)
{
	struct bh_trace_dns r;

	if (len < sizeof(r))
		return bh_fail(err, EBADMSG, "trace record of %zu bytes is no name", len);
	memcpy(&r, record, sizeof(r));
	if (len != sizeof(r) + r.name_len || r.is_answer > 1)
		return bh_fail(err, EBADMSG, "trace record: a name of %u bytes in %zu", r.name_len,
			       len);
	ev->type = r.type;
	ev->is_answer = r.is_answer;
	ev->rcode = r.rcode;
	ev->proto = r.proto;
	memcpy(ev->server, r.server, sizeof(ev->server));
	return bh_dns_text((const uint8_t *)record + sizeof(r), r.name_len, ev->name, err);
}

static int decode_body(const void *record, size_t len, struct bh_trace_event *ev,
		       struct bh_err *err)
{
	switch (ev->kind) {
	case BH_TRACE_EXEC:
		return decode_exec(record, len, ev, err);
	case BH_TRACE_EXIT:
		return decode_exit(record, len, ev, err);
	case BH_TRACE_DNS:
		return decode_dns(record, len, ev, err);
	default:
		return decode_act(record, len, ev, err);
	}
}

static void event_init(struct bh_trace_event *ev)
{
	memset(ev, 0, sizeof(*ev));
	ev->path = ev->parent_path = ev->script = ev->cwd = ev->args = ev->target = "";
	ev->place[0] = ev->place[1] = "";
	ev->sha256 = ev->parent_sha256 = ev->sha256_why = "";
	ev->loginuid = UINT32_MAX;
}

/* "/etc/./x/../cron.d//job" > "/etc/cron.d/job", as long as no link is in it. What is not absolute
 * stays. Returns out. */
static const char *tidy(const char *path, char out[BH_PATH_MAX])
{
	size_t n = 0;

	if (*path != '/') {
		snprintf(out, BH_PATH_MAX, "%s", path);
		return out;
	}
	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 2 && path[0] == '.' && path[1] == '.') {
			while (n && out[--n] != '/')
				;
		} else if (len && !(len == 1 && *path == '.') && n + 1 + len < BH_PATH_MAX) {
			out[n++] = '/';
			memcpy(out + n, path, len);
			n += len;
		}
		path += len;
	}
	if (!n)
		out[n++] = '/';
	out[n] = '\0';
	return out;
}

/* The caller's own root directory by way of itself: the same place. */
static const char *without_self(const char *path)
{
	static const char *const selves[] = {"/proc/self/root", "/proc/thread-self/root"};

	for (size_t i = 0; i < sizeof(selves) / sizeof(selves[0]); i++) {
		size_t n = strlen(selves[i]);

		if (!strncmp(path, selves[i], n) && path[n] == '/')
			return path + n;
	}
	return path;
}

/* The caller's spelling says nothing; two spellings of a file are one. */
static void tidy_claims(struct bh_trace_event *ev)
{
	if (ev->kind != BH_TRACE_FILE || !(ev->flags & BH_TRACE_F_CLAIMED))
		return;
	ev->path = without_self(tidy(ev->path, ev->claimed[0]));
	ev->target = without_self(tidy(ev->target, ev->claimed[1]));
}

int bh_trace_decode(const void *record, size_t len, struct bh_trace_event *ret, struct bh_err *err)
{
	struct bh_trace_head head;
	struct bh_trace_event ev;
	int r;

	if (len < sizeof(head))
		return bh_fail(err, EBADMSG, "trace record of %zu bytes", len);
	memcpy(&head, record, sizeof(head));
	event_init(&ev);
	r = decode_head(&head, len, &ev, err);
	if (r)
		return r;
	r = decode_body(record, len, &ev, err);
	if (r)
		return r;
	*ret = ev;
	tidy_claims(ret);
	return 0;
}

static bool fact_is_sound(const struct bh_fact_key *key, const struct bh_fact *fact)
{
	return key->kind && key->kind < BH_TRACE_KINDS && key->kind != BH_TRACE_EXIT &&
	       key->kind != BH_TRACE_DNS && key->op < ops_of(key->kind) &&
	       key->origin < BH_TRACE_O_COUNT && key->slot && key->slot < BH_TRACE_SLOTS &&
	       memchr(fact->path, '\0', sizeof(fact->path));
}

int bh_trace_decode_fact(const struct bh_fact_key *key, const struct bh_fact *fact,
			 struct bh_trace_event *ret, struct bh_err *err)
{
	struct bh_trace_event ev;

	if (!fact_is_sound(key, fact))
		return bh_fail(err, EBADMSG, "fact of kind %u, origin %u in slot %u", key->kind,
			       key->origin, key->slot);
	event_init(&ev);
	ev.kind = (enum bh_trace_kind)key->kind;
	ev.ts_ns = fact->first_ns;
	ev.exec_id = fact->exec_id;
	ev.parent_exec_id = fact->parent_exec_id;
	ev.slot = key->slot;
	ev.generation = fact->generation;
	ev.pid = fact->pid;
	ev.uid = key->uid;
	ev.flags = fact->flags & ~BH_TRACE_F_UNSENT;
	ev.count = fact->count;
	if (key->kind == BH_TRACE_EXEC)
		memcpy(ev.comm, key->name, BH_TRACE_NAME);
	ev.path = fact->path;
	ev.ino = key->ino;
	ev.dev = bh_trace_device(key->dev);
	ev.parent_ino = key->by;
	ev.origin = (enum bh_trace_origin)key->origin;
	ev.op = key->op;
	ev.arg[0] = fact->arg;
	ev.call = key->kind == BH_TRACE_CALL ? key->dev : 0;
	*ret = ev;
	tidy_claims(ret);
	return 0;
}

int bh_trace_decode_name(const struct bh_dns_key *key, const struct bh_dns *value,
			 struct bh_trace_event *ret, struct bh_err *err)
{
	struct bh_trace_event ev;
	int r;

	if (!key->slot || key->slot >= BH_TRACE_SLOTS || value->name_len > sizeof(key->name))
		return bh_fail(err, EBADMSG, "a name of %u bytes in slot %u", value->name_len,
			       key->slot);
	event_init(&ev);
	ev.kind = BH_TRACE_DNS;
	ev.ts_ns = value->first_ns;
	ev.slot = key->slot;
	ev.generation = value->generation;
	ev.count = value->questions;
	ev.type = key->type;
	r = bh_dns_text(key->name, value->name_len, ev.name, err);
	if (r == 0)
		*ret = ev;
	return r;
}

const char *bh_trace_origin_name(enum bh_trace_origin origin)
{
	static const char *const names[BH_TRACE_O_COUNT] = {
		[BH_TRACE_O_UNKNOWN] = "unknown",   [BH_TRACE_O_IMAGE] = "image",
		[BH_TRACE_O_MODIFIED] = "modified", [BH_TRACE_O_NEW] = "new",
		[BH_TRACE_O_METACOPY] = "metacopy", [BH_TRACE_O_TMPFS] = "tmpfs",
		[BH_TRACE_O_MEMFD] = "memfd",	    [BH_TRACE_O_VOLUME] = "volume",
		[BH_TRACE_O_OTHER] = "other",
	};

	return origin < BH_TRACE_O_COUNT ? names[origin] : names[0];
}

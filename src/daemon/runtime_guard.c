#include "daemon/runtime_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/vec.h"
#include "daemon/mountinfo.h"
#include "daemon/observe.h"
#include "daemon/procs.h"
#include "datapath/datapath.h"
#include "datapath/trace.h"
#include "endpoint/endpoint.h"

#define READ_BYTES 4096

struct watch {
	struct bh_guard *guard;
	const struct bh_endpoint *ep;
	struct bh_source *source;
	int fan; /* fanotify group */
};

struct bh_guard {
	struct bh_guard_options opt;
	struct watch *by_slot[BH_MAX_SLOTS]; /* owned; NULL: not guarded */
};

static void watch_free(struct watch *w)
{
	if (!w)
		return;
	bh_source_free(w->source);
	if (w->fan >= 0)
		close(w->fan); /* lets pass whoever waits */
	free(w);
}

static void watch_freep(struct watch **w)
{
	watch_free(*w);
}

/* ---- answers ---- */

static void tell(const struct watch *w, const struct fanotify_event_metadata *m,
		 const struct bh_guard_ask *ask)
{
	struct bh_trace_event ev = {
		.kind = BH_TRACE_EXEC,
		.ts_ns = bh_datapath_now_ns(),
		.slot = ask->slot,
		.generation = ask->generation,
		.pid = (uint32_t)m->pid,
		.flags = BH_TRACE_F_REFUSED | BH_TRACE_F_BLOCKED,
		.count = 1,
		.path = ask->path,
		.parent_path = "",
		.script = "",
		.cwd = "",
		.target = "",
		.args = "",
		.ino = ask->ino,
		.dev = bh_trace_device(ask->dev),
		.origin = (enum bh_trace_origin)ask->origin,
		.loginuid = UINT32_MAX,
	};
	const char *slash = strrchr(ask->path, '/');

	snprintf(ev.comm, sizeof(ev.comm), "%.16s", slash ? slash + 1 : ask->path);
	w->guard->opt.fn(w->ep, &ev, w->guard->opt.arg);
}

/* In doubt it passes: the exec program judges again, and kills. */
static void answer(struct watch *w, const struct fanotify_event_metadata *m)
{
	struct bh_guard_ask ask = {
		.fd = m->fd, .slot = w->ep->slot, .generation = w->ep->generation};
	struct fanotify_response reply = {.fd = m->fd, .response = FAN_ALLOW};
	struct bh_err err;

	if (bh_trace_guard_ask(w->guard->opt.trace, &ask, &err) == 0 && ask.is_refused)
		reply.response = FAN_DENY;
	if (write(w->fan, &reply, sizeof(reply)) != sizeof(reply))
		bh_error("fanotify: %s", strerror(errno));
	if (reply.response == FAN_DENY)
		tell(w, m, &ask);
}

static void on_events(int fd, unsigned events, void *arg)
{
	_Alignas(struct fanotify_event_metadata) char buf[READ_BYTES];
	const struct fanotify_event_metadata *m = (const void *)buf;
	ssize_t n = read(fd, buf, sizeof(buf));
	struct watch *w = arg;

	(void)events;
	if (n < 0)
		return;
	for (; FAN_EVENT_OK(m, n); m = FAN_EVENT_NEXT(m, n)) {
		if (m->vers != FANOTIFY_METADATA_VERSION || m->fd < 0)
			continue;
		if (m->mask & FAN_OPEN_EXEC_PERM)
			answer(w, m);
		close(m->fd);
	}
}

/* ---- marks ---- */

/* The directory as the container sees it, and nothing that it planted in the way there. */
static int open_below(int root, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

BH_VEC_TYPE(points, char *);

static void points_done(struct points *p)
{
	bh_vec_each (it, p)
		free(*it);
	bh_vec_done(p);
}

/* Where others would have to answer, who may be the pod's own processes. */
static int find_remote(struct bh_mounts *mounts, struct points *ret)
{
	struct bh_mount one;

	while (bh_mounts_next(mounts, &one)) {
		char *point = one.is_local ? NULL : strdup(one.point);

		if (!one.is_local && (!point || bh_vec_push(ret, point))) {
			free(point);
			return -ENOMEM;
		}
	}
	bh_mounts_rewind(mounts);
	return 0;
}

static bool is_reached(const struct points *remote, const char *point)
{
	bh_vec_each (it, remote) {
		if (bh_mount_has(*it, point))
			return false;
	}
	return true;
}

static void mark_mount(const struct watch *w, int root, const char *point)
{
	BH_CLEANUP(bh_closep) int fd = open_below(root, point);

	if (fd < 0)
		return; /* a single file, or gone */
	if (fanotify_mark(w->fan, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_EXEC_PERM, fd, NULL))
		bh_debug("fanotify: %s of %s/%s is not guarded: %s", point, w->ep->ns, w->ep->name,
			 strerror(errno));
}

/* Every local mount of the process's tree, unless that is the node's own. What is executed from
 * others is judged by the exec program alone. */
static void mark_tree(const struct watch *w, pid_t pid)
{
	BH_CLEANUP(bh_mounts_done) struct bh_mounts mounts = {0};
	BH_CLEANUP(points_done) struct points remote = {0};
	BH_CLEANUP(bh_closep) int root = -1;
	struct stat own, theirs;
	struct bh_mount one;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	if (stat("/proc/self/ns/mnt", &own) || stat(path, &theirs) || own.st_ino == theirs.st_ino)
		return;
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || !bh_mounts_open(&mounts, (uint32_t)pid) || find_remote(&mounts, &remote))
		return;
	while (bh_mounts_next(&mounts, &one)) {
		if (one.is_local && is_reached(&remote, one.point))
			mark_mount(w, root, one.point);
	}
}

struct trees {
	const struct watch *w;
	ino_t seen[64]; /* mount namespaces */
	size_t n;
};

static int mark_process(pid_t pid, void *arg)
{
	struct trees *t = arg;
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	if (stat(path, &st))
		return 0;
	for (size_t i = 0; i < t->n; i++)
		if (t->seen[i] == st.st_ino)
			return 0;
	if (t->n < BH_ARRAY_SIZE(t->seen))
		t->seen[t->n++] = st.st_ino;
	mark_tree(t->w, pid);
	return 0;
}

static void mark_pod(const struct watch *w)
{
	struct trees trees = {.w = w};
	BH_CLEANUP(bh_closep) int ns = -1;
	struct bh_netns_id id;
	struct bh_err ignored;

	if (w->ep->netns && bh_netns_open(w->ep->netns, &ns, &ignored) == 0 &&
	    bh_netns_id(ns, &id, &ignored) == 0)
		bh_procs_each(&id, mark_process, &trees, &ignored);
}

/* ---- which pods ---- */

static int watch_new(struct bh_guard *g, const struct bh_endpoint *ep, struct watch **ret,
		     struct bh_err *err)
{
	BH_CLEANUP(watch_freep) struct watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return bh_fail(err, ENOMEM, "fanotify");
	w->guard = g;
	w->ep = ep;
	w->fan = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK,
			       O_RDONLY | O_LARGEFILE | O_CLOEXEC);
	if (w->fan < 0)
		return bh_fail_sys(err, errno, "fanotify");
	r = bh_loop_fd(g->opt.loop, w->fan, BH_LOOP_READ, on_events, w, &w->source, err);
	if (r < 0)
		return r;
	*ret = BH_TAKE(w);
	return 0;
}

int bh_guard_set(struct bh_guard *g, const struct bh_endpoint *ep, bool is_wanted,
		 struct bh_err *err)
{
	struct watch **w;
	int r;

	if (!g || ep->slot >= BH_MAX_SLOTS)
		return 0;
	w = &g->by_slot[ep->slot];
	if (*w && (!is_wanted || (*w)->ep != ep)) {
		watch_free(*w);
		*w = NULL;
	}
	if (*w || !is_wanted)
		return 0;
	r = bh_trace_guard_begin(g->opt.trace, err);
	if (r == 0)
		r = watch_new(g, ep, w, err);
	if (r == 0)
		mark_pod(*w);
	return r;
}

void bh_guard_container(struct bh_guard *g, const struct bh_endpoint *ep, pid_t pid)
{
	struct watch *w = g && ep->slot < BH_MAX_SLOTS ? g->by_slot[ep->slot] : NULL;
	struct bh_netns_id pod, now;
	BH_CLEANUP(bh_closep) int ns = -1;
	BH_CLEANUP(bh_closep) int own = -1;
	struct bh_err ignored;
	char path[64];

	if (!w || w->ep != ep || !ep->netns)
		return;
	/* somebody else may have the number by now */
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	own = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || bh_netns_open(ep->netns, &ns, &ignored) || bh_netns_id(ns, &pod, &ignored) ||
	    bh_netns_id(own, &now, &ignored) || pod.ino != now.ino || pod.dev != now.dev)
		return;
	mark_tree(w, pid);
}

int bh_guard_open(const struct bh_guard_options *opt, struct bh_guard **ret, struct bh_err *err)
{
	struct bh_guard *g = calloc(1, sizeof(*g));

	if (!g)
		return bh_fail(err, ENOMEM, "fanotify");
	g->opt = *opt;
	*ret = g;
	return 0;
}

void bh_guard_close(struct bh_guard *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < BH_MAX_SLOTS; i++)
		watch_free(g->by_slot[i]);
	free(g);
}

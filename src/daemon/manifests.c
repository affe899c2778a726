#include "daemon/manifests.h"

#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"

#define WATCHED                                                                                    \
	(IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE |        \
	 IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

#define MODIFY_QUIET_MS 50   /* a writer may go on at once */
#define WRITER_MAX_MS	5000 /* one that has it open and does not go on: it is read as it is */
#define DELETE_QUIET_MS 120  /* is the whole directory going? */
#define DELETE_MAX_MS	2000 /* a deletion is believed after this whatever else goes on */
#define RETURN_QUIET_MS 1500 /* after the directory came back: files may still be on their way */
#define MISSING_POLL_MS 100

struct stamp { /* tells whether a file must be read again */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	unsigned seen;	     /* scan number */
	uint64_t missing_ms; /* when a scan first missed it; 0: it is there */
};

struct settle {
	bh_loop_fn *fn;
	void *arg;
};

struct bh_manifests {
	struct bh_loop *loop;
	char *dir;
	struct bh_objects *objects;
	bh_loop_fn *on_change, *on_read; /* on_read: NULL, or see the header */
	void *arg;
	int inotify_fd;
	struct bh_source *fd_source, *scan_timer, *poll_timer;
	struct bh_map files;   /* path > struct stamp */
	struct bh_map dirs;    /* watch descriptor > path */
	struct bh_map touched; /* path > itself: manifests that events named since the last scan */
	struct bh_map writing; /* path > uint64_t: last written to, and not closed since */
	unsigned scan_no;
	bool is_missing, is_returning, is_scan_due, is_tree_new, has_changed, has_read;
	uint64_t last_delete_ms, returned_ms;
	uint64_t again_ms; /* when the scan at hand wants another one; 0: it does not */
	char trouble[BH_ERR_TEXT];
	BH_VEC(struct settle) waiting;
};

bool bh_manifests_is_missing(const struct bh_manifests *m)
{
	return m->is_missing;
}

const char *bh_manifests_trouble(const struct bh_manifests *m)
{
	return m->trouble[0] ? m->trouble : NULL;
}

static bool is_manifest(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

static bool same_stamp(const struct stamp *a, const struct stat *st)
{
	return a->dev == st->st_dev && a->ino == st->st_ino && a->size == st->st_size &&
	       !memcmp(&a->mtime, &st->st_mtim, sizeof(a->mtime)) &&
	       !memcmp(&a->ctime, &st->st_ctim, sizeof(a->ctime));
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void set_trouble(struct bh_manifests *m, const char *text)
{
	snprintf(m->trouble, sizeof(m->trouble), "%s", text);
}

static int watch_dir(struct bh_manifests *m, const char *path)
{
	int wd = inotify_add_watch(m->inotify_fd, path, WATCHED);
	char *copy;

	if (wd < 0)
		return errno == ENOENT ? 0 : -errno;
	copy = bh_strf("%s", path);
	if (!copy || bh_map_set(&m->dirs, &wd, sizeof(wd), copy)) {
		free(copy);
		return -ENOMEM;
	}
	return 0;
}

/* Watches dir and every directory below it; a directory has its watch before its files are read, so
 * nothing written meanwhile is missed. The kernel gives one watch however often we ask. */
static void watch_tree(struct bh_manifests *m)
{
	char *const roots[] = {m->dir, NULL};
	FTS *fts = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	FTSENT *e;

	while (fts && (e = fts_read(fts))) {
		if (e->fts_info == FTS_D && watch_dir(m, e->fts_path) < 0)
			set_trouble(m,
				    "a manifest directory cannot be watched; its changes are not "
				    "seen");
	}
	if (fts)
		fts_close(fts);
}

/* Somebody wrote to it not longer than quiet_ms ago, and may go on: then it is looked at again. */
static bool is_being_written(struct bh_manifests *m, const char *path, uint64_t quiet_ms)
{
	const uint64_t *last = bh_map_get_s(&m->writing, path);

	if (!last || now_ms() - *last >= quiet_ms)
		return false;
	if (!m->again_ms || m->again_ms > MODIFY_QUIET_MS)
		m->again_ms = MODIFY_QUIET_MS;
	return true;
}

static void note_write(struct bh_manifests *m, const char *path)
{
	uint64_t *now = malloc(sizeof(*now));

	if (!now)
		return;
	*now = now_ms();
	if (bh_map_set_s(&m->writing, path, now))
		free(now);
}

/* Reads a file that nobody is writing to: what is there may be half of it, or nothing yet, and a
 * writer may have to wait long for a processor. Events tell of one only after the fact. The kernel
 * grants a lease when nobody has the file open for writing, and lets nobody until it ends. -EAGAIN:
 * somebody has; where there are no leases, events must do. */
static int read_whole(struct bh_manifests *m, const char *path, char **ret, size_t *ret_len,
		      struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EAGAIN) {
		if (!bh_map_get_s(&m->writing, path))
			note_write(m, path);
		if (is_being_written(m, path, WRITER_MAX_MS))
			return -EAGAIN;
	}
	return bh_fs_read(path, BH_MANIFEST_MAX_BYTES, ret, ret_len, err);
}

static int load_file(struct bh_manifests *m, const char *path, const struct stat *st)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct stamp *stamp = bh_map_get_s(&m->files, path);
	struct bh_err err = {0};
	bool changed = false;
	size_t len = 0;
	int r;

	if (stamp) {
		stamp->seen = m->scan_no;
		stamp->missing_ms = 0;
		if (same_stamp(stamp, st))
			return 0;
	}
	if (is_being_written(m, path, MODIFY_QUIET_MS))
		return 0;
	r = read_whole(m, path, &text, &len, &err);
	if (r < 0) {
		if (r != -ENOENT && r != -EAGAIN)
			set_trouble(m, err.text);
		return 0;
	}
	r = bh_objects_load(m->objects, path, text, len, &changed, &err);
	if (r < 0) {
		set_trouble(m, err.text);
		return r;
	}
	m->has_changed |= changed;
	m->has_read = true;
	if (!stamp) {
		stamp = calloc(1, sizeof(*stamp));
		if (!stamp || bh_map_set_s(&m->files, path, stamp)) {
			free(stamp);
			return -ENOMEM;
		}
	}
	*stamp = (struct stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim,
				m->scan_no, 0};
	return 0;
}

static int on_file(const char *path, void *arg)
{
	struct bh_manifests *m = arg;
	struct stat st;

	if (!is_manifest(path) || stat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	return load_file(m, path, &st);
}

/* Every file below the directory, for a start and where events do not tell enough. */
static int scan_all(struct bh_manifests *m)
{
	struct bh_err err = {0};
	struct bh_map_entry *e;
	size_t pos = 0;
	int r;

	m->trouble[0] = '\0';
	m->is_tree_new = false;
	watch_tree(m);
	r = bh_fs_walk(m->dir, on_file, m, &err);
	if (r < 0 && r != -ENOENT)
		set_trouble(m, err.text);
	while ((e = bh_map_next(&m->files, &pos))) {
		struct stamp *stamp = e->value;

		if (stamp->seen != m->scan_no && !stamp->missing_ms)
			stamp->missing_ms = now_ms();
	}
	return r == -ENOENT ? 0 : r;
}

/* Only what events named. */
static int scan_touched(struct bh_manifests *m)
{
	struct bh_map_entry *e;
	size_t pos = 0;
	int r = 0;

	while (!r && (e = bh_map_next(&m->touched, &pos))) {
		const char *path = e->value;
		struct stamp *stamp = bh_map_get_s(&m->files, path);
		struct stat st;

		if (!stat(path, &st) && S_ISREG(st.st_mode))
			r = load_file(m, path, &st);
		else if (stamp && !stamp->missing_ms)
			stamp->missing_ms = now_ms();
	}
	return r;
}

/* How long the absence of a file must still last before it counts as deleted; 0: it does now. */
static uint64_t wait_for(const struct bh_manifests *m, const struct stamp *stamp, uint64_t now)
{
	uint64_t quiet = m->is_returning ? RETURN_QUIET_MS : DELETE_QUIET_MS;
	uint64_t since = stamp->missing_ms;

	if (m->last_delete_ms > since)
		since = m->last_delete_ms;
	if (m->is_returning && m->returned_ms > since)
		since = m->returned_ms;
	if (now - since >= quiet || (!m->is_returning && now - stamp->missing_ms >= DELETE_MAX_MS))
		return 0;
	return quiet - (now - since);
}

/* Drops the files whose absence has lasted. Returns the time until another one is due, 0: none. */
static uint64_t unload_missing(struct bh_manifests *m)
{
	struct bh_map_entry *e;
	uint64_t now = now_ms(), again = 0;
	size_t pos = 0;

	while ((e = bh_map_next(&m->files, &pos))) {
		struct stamp *stamp = e->value;
		char path[PATH_MAX];
		bool changed = false;
		uint64_t wait;

		if (!stamp->missing_ms)
			continue;
		wait = wait_for(m, stamp, now);
		if (wait) {
			again = again && again < wait ? again : wait;
			continue;
		}
		snprintf(path, sizeof(path), "%.*s", (int)e->key_len, (const char *)e->key);
		bh_objects_unload(m->objects, path, &changed);
		m->has_changed |= changed;
		m->has_read = true;
		bh_map_del_s(&m->files, path);
	}
	return again;
}

static void tell_settled(struct bh_manifests *m)
{
	while (m->waiting.n) {
		struct settle s = m->waiting.v[--m->waiting.n];

		s.fn(s.arg);
	}
}

static void went_missing(struct bh_manifests *m)
{
	m->is_missing = true;
	m->is_tree_new = true;
	set_trouble(m, "the directory does not exist; its last state stays in force");
	bh_source_after(m->poll_timer, MISSING_POLL_MS);
}

/* The directory is there: files that are not are gone, once that has lasted. */
static void judge_missing(struct bh_manifests *m)
{
	uint64_t again;

	if (m->is_missing) {
		m->is_missing = false;
		m->is_returning = true;
		m->returned_ms = now_ms();
	}
	again = unload_missing(m);
	if (!again)
		m->is_returning = false;
	else if (!m->again_ms || again < m->again_ms)
		m->again_ms = again;
}

/* Reads what changed. The order matters: whether the directory is there is judged last, so that
 * files lost in a removal are never taken for deletions. */
static void scan(struct bh_manifests *m)
{
	bool is_whole = m->is_tree_new || m->is_missing || m->is_returning || m->trouble[0];
	struct stat st;
	int r;

	m->scan_no++;
	m->again_ms = 0;
	r = is_whole ? scan_all(m) : scan_touched(m);
	if (stat(m->dir, &st) || !S_ISDIR(st.st_mode))
		went_missing(m);
	else if (r >= 0)
		judge_missing(m);
	if (m->has_changed) {
		m->has_changed = false;
		m->on_change(m->arg);
	}
	if (m->has_read && m->on_read)
		m->on_read(m->arg);
	m->has_read = false;
	m->is_scan_due = m->again_ms != 0;
	if (m->is_scan_due) {
		bh_source_after(m->scan_timer, m->again_ms);
		return;
	}
	bh_map_done(&m->touched);
	bh_map_init(&m->touched, free);
	tell_settled(m);
}

static void scan_timer_fn(void *arg)
{
	scan(arg);
}

static void poll_timer_fn(void *arg)
{
	struct bh_manifests *m = arg;
	struct stat st;

	if (!m->is_missing)
		return;
	if (!stat(m->dir, &st))
		scan(m);
	else
		bh_source_after(m->poll_timer, MISSING_POLL_MS);
}

static uint64_t delay_for(const struct inotify_event *ev)
{
	if (ev->mask & IN_MODIFY)
		return MODIFY_QUIET_MS;
	return 0;
}

/* The file is being written to, or whoever did is done. */
static void note_writer(struct bh_manifests *m, const char *path, uint32_t mask)
{
	if (mask & IN_MODIFY)
		note_write(m, path);
	else if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM))
		bh_map_del_s(&m->writing, path);
}

/* A name that is no manifest's may be a link to a directory, or the "..data" link through which
 * Kubernetes swaps a volume's files: then the whole tree is looked at. */
static void note_name(struct bh_manifests *m, const struct inotify_event *ev)
{
	const char *dir = bh_map_get(&m->dirs, &ev->wd, sizeof(ev->wd));
	BH_CLEANUP(bh_freep) char *path = dir ? bh_strf("%s/%s", dir, ev->name) : NULL;
	struct stat st;

	if (!path) {
		m->is_tree_new = true;
		return;
	}
	if (!is_manifest(ev->name) || ev->name[0] == '.') {
		if ((ev->mask & (IN_CREATE | IN_MOVED_TO)) && !lstat(path, &st) &&
		    !S_ISREG(st.st_mode))
			m->is_tree_new = true;
		return;
	}
	note_writer(m, path, ev->mask);
	if (bh_map_get_s(&m->touched, path))
		return;
	if (bh_map_set_s(&m->touched, path, path))
		m->is_tree_new = true;
	else
		(void)BH_TAKE(path);
}

static void note_event(struct bh_manifests *m, const struct inotify_event *ev)
{
	if (ev->mask & (IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
		m->last_delete_ms = now_ms();
	if (ev->mask & IN_IGNORED)
		bh_map_del(&m->dirs, &ev->wd, sizeof(ev->wd));
	if ((ev->mask & (IN_ISDIR | IN_Q_OVERFLOW)) || !ev->len)
		m->is_tree_new = true;
	else
		note_name(m, ev);
}

/* Drains inotify; returns the shortest delay any of the events asks for, UINT64_MAX: no event. */
static uint64_t drain(struct bh_manifests *m)
{
	char buf[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	uint64_t delay = UINT64_MAX;
	ssize_t n;

	while ((n = read(m->inotify_fd, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;
			uint64_t d = delay_for(ev);

			note_event(m, ev);
			if (d < delay)
				delay = d;
			p += sizeof(*ev) + ev->len;
		}
	}
	return delay;
}

static void on_inotify(int fd, unsigned events, void *arg)
{
	struct bh_manifests *m = arg;
	uint64_t delay = drain(m);

	(void)fd;
	(void)events;
	if (delay == UINT64_MAX)
		return;
	m->is_scan_due = true;
	bh_source_after(m->scan_timer, delay);
}

int bh_manifests_settled(struct bh_manifests *m, bh_loop_fn *fn, void *arg)
{
	on_inotify(m->inotify_fd, 0, m);
	if (!m->is_scan_due) {
		fn(arg);
		return 0;
	}
	return bh_vec_push(&m->waiting, ((struct settle){fn, arg}));
}

void bh_manifests_on_read(struct bh_manifests *m, bh_loop_fn *fn)
{
	m->on_read = fn;
}

void bh_manifests_forget(struct bh_manifests *m, void *arg)
{
	for (size_t i = 0; i < m->waiting.n; i++) {
		if (m->waiting.v[i].arg == arg)
			m->waiting.v[i--] = m->waiting.v[--m->waiting.n];
	}
}

static void manifests_closep(struct bh_manifests **m)
{
	bh_manifests_close(*m);
}

static int start_watching(struct bh_manifests *m, struct bh_err *err)
{
	int r;

	signal(SIGIO, SIG_IGN); /* a writer waits for our lease */
	m->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (m->inotify_fd < 0)
		return bh_fail_sys(err, errno, "inotify");
	r = bh_loop_fd(m->loop, m->inotify_fd, BH_LOOP_READ, on_inotify, m, &m->fd_source, err);
	if (!r)
		r = bh_loop_timer(m->loop, UINT32_MAX, 0, scan_timer_fn, m, &m->scan_timer, err);
	if (!r)
		r = bh_loop_timer(m->loop, UINT32_MAX, 0, poll_timer_fn, m, &m->poll_timer, err);
	return r;
}

int bh_manifests_expect(struct bh_manifests *m)
{
	const char *const *file = bh_objects_files(m->objects);
	bool has_missing = false;

	for (; file && *file; file++) {
		struct stamp *stamp = bh_map_get_s(&m->files, *file);

		if (stamp)
			continue;
		stamp = calloc(1, sizeof(*stamp));
		if (!stamp || bh_map_set_s(&m->files, *file, stamp)) {
			free(stamp);
			return -ENOMEM;
		}
		has_missing = true;
	}
	m->is_tree_new |= has_missing;
	if (has_missing)
		scan(m);
	return 0;
}

int bh_manifests_open(struct bh_loop *loop, const char *dir, struct bh_objects *objects,
		      bh_loop_fn *on_change, void *arg, struct bh_manifests **ret,
		      struct bh_err *err)
{
	BH_CLEANUP(manifests_closep) struct bh_manifests *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return bh_fail(err, ENOMEM, "manifests");
	m->inotify_fd = -1;
	m->loop = loop;
	m->objects = objects;
	m->on_change = on_change;
	m->arg = arg;
	bh_map_init(&m->files, free);
	bh_map_init(&m->dirs, free);
	bh_map_init(&m->touched, free);
	bh_map_init(&m->writing, free);
	m->is_tree_new = true;
	m->dir = bh_strf("%s", dir);
	if (!m->dir)
		return bh_fail(err, ENOMEM, "manifests");
	r = start_watching(m, err);
	if (r < 0)
		return bh_note(err, r, "manifests '%s'", dir);
	scan(m);
	*ret = BH_TAKE(m);
	return 0;
}

void bh_manifests_close(struct bh_manifests *m)
{
	if (!m)
		return;
	bh_source_free(m->fd_source);
	bh_source_free(m->scan_timer);
	bh_source_free(m->poll_timer);
	bh_closep(&m->inotify_fd);
	bh_map_done(&m->files);
	bh_map_done(&m->dirs);
	bh_map_done(&m->touched);
	bh_map_done(&m->writing);
	bh_vec_done(&m->waiting);
	free(m->dir);
	free(m);
}

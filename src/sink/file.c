#include "sink/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "sink/parts.h"

#define MAX_DAMAGED 1000

struct bh_event_log {
	char *path;
	int fd; /* -1 after a rotation that could not make the new file */
	uint64_t size, max_bytes;
	unsigned keep;
	struct bh_chain_gap gap; /* not yet told in a line */
	bool has_begun;		 /* the head is what the files say */
	uint64_t known_first;	 /* for when it begins */
	struct bh_chain head;
	uint64_t first; /* oldest line that rotation has left */
	dev_t dev;	/* of the open file */
	ino_t ino;
};

char *bh_event_log_name(const char *path, unsigned n)
{
	return n ? bh_strf("%s.%u", path, n) : strdup(path);
}

bool bh_event_log_is_full(const char *path, unsigned keep)
{
	for (unsigned n = 1; n <= keep; n++) {
		BH_CLEANUP(bh_freep) char *name = bh_event_log_name(path, n);
		struct stat st;

		if (!name || lstat(name, &st) < 0)
			return false;
	}
	return true;
}

/* ---- the beginning ---- */

/* Number of the first line of PATH.n; 0: there is none. */
static uint64_t first_of(const char *path, unsigned n)
{
	BH_CLEANUP(bh_freep) char *name = bh_event_log_name(path, n);
	BH_CLEANUP(bh_freep) char *buf = malloc(BH_CHAIN_MAX_LINE);
	BH_CLEANUP(bh_closep)
	int fd = name ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	ssize_t got = fd >= 0 && buf ? pread(fd, buf, BH_CHAIN_MAX_LINE, 0) : -1;
	const char *end = got > 0 ? memchr(buf, '\n', (size_t)got) : NULL;
	struct bh_chain at = {0};
	struct bh_err err;

	if (!end || bh_chain_read(buf, (size_t)(end - buf), &at, NULL, NULL, &err))
		return 0;
	return at.seq;
}

/* What the caller noted, unless rotation may have gone on since. */
static void find_first(struct bh_event_log *l, uint64_t known)
{
	uint64_t first = 0;

	for (unsigned n = l->keep + 1; n > 0 && !first; n--)
		first = first_of(l->path, n - 1);
	if (!first)
		first = l->head.seq + 1;
	l->first =
		known && first > known && !bh_event_log_is_full(l->path, l->keep) ? known : first;
}

/* ---- opening ---- */

static int open_rw(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

/* Somebody removed the directory: that must not be the end of the log. false: it stays away. */
static bool make_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	BH_CLEANUP(bh_freep) char *dir = slash ? strndup(path, (size_t)(slash - path)) : NULL;
	struct bh_err ignored;

	return dir && *dir && !bh_fs_mkdirs(dir, 0755, &ignored);
}

static int open_file(struct bh_event_log *l, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = open_rw(l->path);
	struct stat st;

	if (fd < 0 && errno == ENOENT && make_directory(l->path))
		fd = open_rw(l->path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return bh_fail_sys(err, errno, "open '%s'", l->path);
	if (!S_ISREG(st.st_mode))
		return bh_fail(err, EINVAL, "'%s' is not a regular file", l->path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return bh_fail(err, EBUSY, "another process writes '%s'", l->path);
		return bh_fail_sys(err, errno, "lock '%s'", l->path);
	}
	l->fd = BH_TAKE_FD(fd);
	l->size = (uint64_t)st.st_size;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

/* Somebody may have moved or removed the file; what is written then would be seen by nobody. */
static bool is_in_place(const struct bh_event_log *l)
{
	struct stat st;

	return lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino;
}

/* Reads the file's end: the last whole line into *ret_head, and how many bytes follow it. -ENODATA:
 * the file holds no whole line; -EBADMSG: the last one is not ours. */
static int read_tail(int fd, uint64_t size, struct bh_chain *ret_head, size_t *ret_torn,
		     struct bh_err *err)
{
	size_t want = size < 2 * BH_CHAIN_MAX_LINE ? (size_t)size : 2 * BH_CHAIN_MAX_LINE;
	BH_CLEANUP(bh_freep) char *buf = malloc(want + 1);
	const char *end, *start;
	ssize_t n;

	if (!buf)
		return bh_fail(err, ENOMEM, "event log");
	n = pread(fd, buf, want, (off_t)(size - want));
	if (n < 0 || (size_t)n != want)
		return bh_fail_sys(err, n < 0 ? errno : EIO, "read the event log");
	end = memrchr(buf, '\n', want);
	*ret_torn = end ? want - (size_t)(end - buf) - 1 : want;
	if (!end)
		return want == size ? -ENODATA : bh_fail(err, EBADMSG, "a line has no end");
	start = memrchr(buf, '\n', (size_t)(end - buf));
	start = start ? start + 1 : buf;
	return bh_chain_read(start, (size_t)(end - start), ret_head, NULL, NULL, err);
}

/* The head of the youngest rotated file, or the caller's, whichever is further. */
static void inherit_head(struct bh_event_log *l, const struct bh_chain *known)
{
	BH_CLEANUP(bh_freep) char *name = bh_event_log_name(l->path, 1);
	BH_CLEANUP(bh_closep) int fd = name ? open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	struct bh_chain head = {0};
	struct bh_err err;
	struct stat st;
	size_t torn;

	if (fd >= 0 && fstat(fd, &st) == 0 &&
	    read_tail(fd, (uint64_t)st.st_size, &head, &torn, &err) == 0)
		l->head = head;
	if (known->seq > l->head.seq)
		l->head = *known;
}

static int move_aside(struct bh_event_log *l, struct bh_err *err)
{
	for (unsigned n = 1; n <= MAX_DAMAGED; n++) {
		BH_CLEANUP(bh_freep) char *to = bh_strf("%s.damaged-%u", l->path, n);
		struct stat st;

		if (!to)
			return bh_fail(err, ENOMEM, "move '%s' aside", l->path);
		if (lstat(to, &st) == 0)
			continue;
		if (rename(l->path, to) < 0)
			return bh_fail_sys(err, errno, "move '%s' aside", l->path);
		l->gap.torn = l->size;
		bh_closep(&l->fd);
		return open_file(l, err);
	}
	return bh_fail(err, EEXIST, "'%s' is damaged, and %u damaged ones lie beside it", l->path,
		       MAX_DAMAGED);
}

static int cut(struct bh_event_log *l, size_t torn, struct bh_err *err)
{
	if (!torn)
		return 0;
	if (ftruncate(l->fd, (off_t)(l->size - torn)) < 0)
		return bh_fail_sys(err, errno, "cut the torn line off '%s'", l->path);
	l->size -= torn;
	l->gap.torn = torn;
	return 0;
}

static int find_head(struct bh_event_log *l, const struct bh_chain *known, struct bh_err *err)
{
	size_t torn = 0;
	int r = read_tail(l->fd, l->size, &l->head, &torn, err);

	if (r == -EBADMSG) {
		r = move_aside(l, err);
		inherit_head(l, known);
		return r;
	}
	if (r && r != -ENODATA)
		return r;
	if (r == -ENODATA)
		inherit_head(l, known);
	else if (known->seq > l->head.seq)
		l->head = *known; /* lines are missing: the gap in the numbers says so */
	return cut(l, torn, err);
}

/* Opens the file and finds out where to go on: at the start, and after it could not be kept in
 * order. */
static int begin(struct bh_event_log *l, struct bh_err *err)
{
	struct bh_chain known = l->head;
	int r = open_file(l, err);

	if (!r && (l->size || !l->has_begun))
		r = find_head(l, &known, err);
	if (r) {
		bh_closep(&l->fd);
		return r;
	}
	if (!l->has_begun)
		find_first(l, l->known_first);
	l->has_begun = true;
	return 0;
}

/* What a disk says that may be well again, while everything else goes on. */
static bool is_passing(int r)
{
	return r == -EROFS || r == -ENOSPC || r == -EDQUOT || r == -EIO;
}

int bh_event_log_open(const struct bh_event_log_options *opt, struct bh_event_log **ret,
		      struct bh_err *err)
{
	BH_CLEANUP(bh_event_log_closep) struct bh_event_log *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return bh_fail(err, ENOMEM, "event log");
	l->fd = -1;
	l->path = strdup(opt->path);
	l->max_bytes = opt->max_bytes ? opt->max_bytes : BH_LOG_MAX_BYTES;
	l->keep = opt->keep ? opt->keep : BH_LOG_KEEP;
	l->head = opt->known;
	l->known_first = l->first = opt->known_first;
	l->gap.missed = opt->missed;
	if (l->keep > BH_LOG_MAX_KEEP)
		return bh_fail(err, EINVAL, "event log: %u files to keep, 1-%u are possible",
			       l->keep, BH_LOG_MAX_KEEP);
	if (!l->path)
		return bh_fail(err, ENOMEM, "event log");
	r = begin(l, err);
	if (r && !is_passing(r))
		return bh_note(err, r, "event log");
	*ret = BH_TAKE(l);
	return 0;
}

void bh_event_log_close(struct bh_event_log *l)
{
	if (!l)
		return;
	bh_closep(&l->fd);
	free(l->path);
	free(l);
}

void bh_event_log_closep(struct bh_event_log **l)
{
	bh_event_log_close(*l);
	*l = NULL;
}

/* ---- writing ---- */

/* Oldest first, so that a crash in between leaves a hole in the numbers but loses no file. */
static int rotate(struct bh_event_log *l, struct bh_err *err)
{
	bool drops_one = first_of(l->path, l->keep) != 0;
	uint64_t first;

	if (fdatasync(l->fd) < 0)
		return bh_fail_sys(err, errno, "sync '%s'", l->path);
	for (unsigned n = l->keep; n > 0; n--) {
		BH_CLEANUP(bh_freep) char *from = bh_event_log_name(l->path, n - 1);
		BH_CLEANUP(bh_freep) char *to = bh_event_log_name(l->path, n);

		if (!from || !to)
			return bh_fail(err, ENOMEM, "rotate '%s'", l->path);
		if (rename(from, to) < 0 && errno != ENOENT)
			return bh_fail_sys(err, errno, "rotate '%s'", from);
	}
	first = drops_one ? first_of(l->path, l->keep) : 0;
	l->first = first > l->first ? first : l->first;
	bh_closep(&l->fd);
	return open_file(l, err);
}

static int write_line(struct bh_event_log *l, const char *line, size_t len, struct bh_err *err)
{
	ssize_t n;

	do {
		n = write(l->fd, line, len);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len) {
		l->size += len;
		return 0;
	}
	/* a part of it (a full disk) must not stay before the next line */
	bh_fail_sys(err, n < 0 ? errno : ENOSPC, "write '%s'", l->path);
	if (n > 0 && ftruncate(l->fd, (off_t)l->size) < 0)
		bh_closep(&l->fd);
	return err->code;
}

int bh_event_log_append(struct bh_event_log *l, const json_t *event, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *line = NULL;
	struct bh_chain next;
	size_t len;
	int r = 0;

	if (l->fd >= 0 && !is_in_place(l))
		bh_closep(&l->fd);
	if (l->fd < 0)
		r = begin(l, err);
	if (!r)
		r = bh_chain_line(&l->head, event, &l->gap, &line, &len, &next, err);
	if (!r && l->size && l->size + len > l->max_bytes)
		r = rotate(l, err);
	if (!r)
		r = write_line(l, line, len, err);
	if (r)
		return bh_note(err, r, "event log");
	l->head = next;
	l->gap = (struct bh_chain_gap){0};
	return 0;
}

void bh_event_log_missed(struct bh_event_log *l, uint64_t n)
{
	l->gap.missed += n;
}

int bh_event_log_sync(struct bh_event_log *l, struct bh_err *err)
{
	if (l->fd >= 0 && fdatasync(l->fd) < 0)
		return bh_fail_sys(err, errno, "sync '%s'", l->path);
	return 0;
}

struct bh_chain bh_event_log_head(const struct bh_event_log *l)
{
	return l->head;
}

struct bh_event_log_state bh_event_log_state(const struct bh_event_log *l)
{
	return (struct bh_event_log_state){l->head, l->first, l->keep};
}

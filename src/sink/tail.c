#include "sink/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "event/export.h"
#include "sink/parts.h"

#define SLICE_LINES 500

struct bh_tail {
	char *path;
	int fd; /* -1: none is open */
	dev_t dev;
	ino_t ino;
	char *buf; /* 2 * BH_CHAIN_MAX_LINE bytes */
	size_t len, pos;
	bool is_skipping; /* within a line that is far too long */
	uint64_t last;	  /* number of the last event given, or passed over at the start */
	uint64_t lost;
};

void bh_tail_close(struct bh_tail *t)
{
	if (!t)
		return;
	bh_closep(&t->fd);
	free(t->path);
	free(t->buf);
	free(t);
}

void bh_tail_closep(struct bh_tail **t)
{
	bh_tail_close(*t);
	*t = NULL;
}

uint64_t bh_tail_lost(const struct bh_tail *t)
{
	return t->lost;
}

/* ---- files ---- */

/* -1 with errno ENOENT when there is no such file. */
static int open_nth(const struct bh_tail *t, unsigned n, struct stat *st)
{
	BH_CLEANUP(bh_freep) char *name = bh_event_log_name(t->path, n);
	BH_CLEANUP(bh_closep) int fd = -1;

	if (!name) {
		errno = ENOMEM;
		return -1;
	}
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, st) < 0)
		return -1;
	return BH_TAKE_FD(fd);
}

static void take_file(struct bh_tail *t, int fd, const struct stat *st)
{
	bh_closep(&t->fd);
	t->fd = fd;
	t->dev = st->st_dev;
	t->ino = st->st_ino;
	t->len = t->pos = 0;
	t->is_skipping = false;
}

/* The number of the first event in a file; 0 when it has none. */
static uint64_t first_seq(struct bh_tail *t, int fd)
{
	BH_CLEANUP(bh_json_decrefp) json_t *event = NULL;
	ssize_t n = pread(fd, t->buf, BH_CHAIN_MAX_LINE, 0);
	const char *end = n > 0 ? memchr(t->buf, '\n', (size_t)n) : NULL;
	struct bh_err err;

	if (!end || bh_json_parse(t->buf, (size_t)(end - t->buf), BH_CHAIN_MAX_LINE, &event, &err))
		return 0;
	return bh_export_seq(event);
}

/* Opens the youngest file that begins at or before the next event, else the oldest. 0: none. */
static int open_first(struct bh_tail *t)
{
	for (unsigned n = 0; n <= BH_LOG_MAX_KEEP; n++) {
		struct stat st;
		int fd = open_nth(t, n, &st);
		uint64_t first;

		if (fd < 0)
			continue;
		first = first_seq(t, fd);
		take_file(t, fd, &st);
		if (first && first <= t->last + 1)
			break;
	}
	return t->fd >= 0;
}

/* At the end of the open file: goes to the next younger one. 1: there is one; 0: it is the youngest
 * itself. Rotation may go on meanwhile; then the search is repeated at the next call. */
static int open_next(struct bh_tail *t)
{
	int younger = -1;
	struct stat younger_st = {0}, st;

	for (unsigned n = 0; n <= BH_LOG_MAX_KEEP; n++) {
		int fd = open_nth(t, n, &st);

		if (fd < 0)
			continue;
		if (st.st_dev == t->dev && st.st_ino == t->ino) {
			close(fd);
			if (younger < 0)
				return 0;
			take_file(t, younger, &younger_st);
			return 1;
		}
		if (younger >= 0)
			close(younger);
		younger = fd;
		younger_st = st;
	}
	if (younger < 0)
		return 0;
	take_file(t, younger, &younger_st); /* ours was rotated away: the oldest there is */
	return 1;
}

/* ---- lines ---- */

/* At the end of a file that has become shorter than what was read of it: somebody emptied it, and
 * what is written since begins anew. */
static bool was_cut(struct bh_tail *t)
{
	off_t at = lseek(t->fd, 0, SEEK_CUR);
	struct stat st;

	if (at < 0 || fstat(t->fd, &st) < 0 || st.st_size >= at)
		return false;
	t->len = t->pos = 0;
	t->is_skipping = false;
	return lseek(t->fd, 0, SEEK_SET) == 0;
}

/* 1: bytes were read; 0: the end of the file. No line is as long as the buffer: what is, is passed
 * over. */
static int fill(struct bh_tail *t, struct bh_err *err)
{
	ssize_t n;

	memmove(t->buf, t->buf + t->pos, t->len - t->pos);
	t->len -= t->pos;
	t->pos = 0;
	if (t->len == 2 * (size_t)BH_CHAIN_MAX_LINE) {
		t->len = 0;
		t->is_skipping = true;
	}
	do {
		n = read(t->fd, t->buf + t->len, 2 * (size_t)BH_CHAIN_MAX_LINE - t->len);
	} while ((n < 0 && errno == EINTR) || (!n && was_cut(t)));
	if (n < 0)
		return bh_fail_sys(err, errno, "read '%s'", t->path);
	t->len += (size_t)n;
	return n > 0;
}

/* 1: a whole line, borrowed; 0: none now. */
static int next_line(struct bh_tail *t, const char **ret, size_t *ret_len, struct bh_err *err)
{
	for (;;) {
		const char *start = t->buf + t->pos;
		const char *end = memchr(start, '\n', t->len - t->pos);
		int r;

		if (end) {
			*ret = start;
			*ret_len = (size_t)(end - start);
			t->pos += *ret_len + 1;
			if (!t->is_skipping)
				return 1;
			t->is_skipping = false;
			continue;
		}
		r = t->fd >= 0 ? fill(t, err) : 0;
		if (r < 0)
			return r;
		if (!r && !(t->fd >= 0 ? open_next(t) : open_first(t)))
			return 0;
	}
}

int bh_tail_open(const char *path, uint64_t after, struct bh_tail **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_tail_closep) struct bh_tail *t = calloc(1, sizeof(*t));

	if (!t)
		return bh_fail(err, ENOMEM, "no memory to follow the event log");
	t->fd = -1;
	t->last = after;
	t->path = strdup(path);
	t->buf = malloc(2 * (size_t)BH_CHAIN_MAX_LINE);
	if (!t->path || !t->buf)
		return bh_fail(err, ENOMEM, "no memory to follow the event log");
	*ret = BH_TAKE(t);
	return 0;
}

int bh_tail_next(struct bh_tail *t, json_t **ret_event, uint64_t *ret_seq, struct bh_err *err)
{
	for (int i = 0; i < SLICE_LINES; i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *event = NULL;
		struct bh_err bad;
		const char *line;
		uint64_t seq;
		size_t len;
		int r = next_line(t, &line, &len, err);

		if (r <= 0)
			return r;
		if (bh_json_parse(line, len, BH_CHAIN_MAX_LINE, &event, &bad))
			continue; /* verify is there to find it */
		seq = bh_export_seq(event);
		if (seq <= t->last)
			continue;
		t->lost += seq - t->last - 1;
		t->last = *ret_seq = seq;
		*ret_event = BH_TAKE(event);
		return 1;
	}
	return -EAGAIN;
}

/* Reading the event log: lines over all its files, the proof, and events that match a filter. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/str.h"
#include "sink/parts.h"

#define BUFFER	    (2 * (size_t)BH_CHAIN_MAX_LINE)
#define SLICE_LINES 500

/* ---- files and lines ---- */

/* Youngest first while a rotation may go on: then a file can turn up again under the next name, but
 * none is missed. */
static int open_all(struct bh_lines *l, const char *path, struct bh_err *err)
{
	struct stat last = {0};

	for (unsigned i = 0; i <= BH_LOG_MAX_KEEP; i++) {
		BH_CLEANUP(bh_freep) char *name = bh_event_log_name(path, i);
		BH_CLEANUP(bh_closep) int fd = -1;
		struct stat st;

		if (!name)
			return bh_fail(err, ENOMEM, "event log");
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fstat(fd, &st) < 0)
			return bh_fail_sys(err, errno, "open '%s'", name);
		if (l->n && st.st_ino == last.st_ino && st.st_dev == last.st_dev)
			continue;
		last = st;
		l->file[l->n].fd = BH_TAKE_FD(fd);
		l->file[l->n].left = (uint64_t)st.st_size;
		l->file[l->n].name = BH_TAKE(name);
		l->n++;
	}
	return 0;
}

int bh_lines_open(struct bh_lines *l, const char *path, struct bh_err *err)
{
	int r;

	memset(l, 0, sizeof(*l));
	l->buf = malloc(BUFFER);
	if (!l->buf)
		return bh_fail(err, ENOMEM, "event log");
	r = open_all(l, path, err);
	l->at = l->n;
	return r;
}

void bh_lines_done(struct bh_lines *l)
{
	for (size_t i = 0; i < l->n; i++) {
		bh_closep(&l->file[i].fd);
		free(l->file[i].name);
	}
	free(l->buf);
	memset(l, 0, sizeof(*l));
}

/* Adds what fits to the buffer. 0 bytes: the file's end. */
static int fill(struct bh_lines *l, size_t *ret_n, struct bh_err *err)
{
	size_t want;
	ssize_t n;

	memmove(l->buf, l->buf + l->pos, l->len - l->pos);
	l->len -= l->pos;
	l->pos = 0;
	want = BUFFER - l->len;
	if (!want)
		return bh_fail(err, EBADMSG, "'%s' has a line longer than %zu bytes",
			       l->file[l->at - 1].name, BUFFER);
	if (want > l->file[l->at - 1].left)
		want = (size_t)l->file[l->at - 1].left;
	do {
		n = read(l->file[l->at - 1].fd, l->buf + l->len, want);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return bh_fail_sys(err, errno, "read '%s'", l->file[l->at - 1].name);
	l->file[l->at - 1].left = n ? l->file[l->at - 1].left - (uint64_t)n : 0;
	l->len += (size_t)n;
	*ret_n = (size_t)n;
	return 0;
}

int bh_lines_next(struct bh_lines *l, struct bh_line *ret, struct bh_err *err)
{
	while (l->at) {
		const char *start = l->buf + l->pos;
		const char *end = memchr(start, '\n', l->len - l->pos);
		size_t n = 0;
		int r;

		if (end) {
			*ret = (struct bh_line){start, (size_t)(end - start), false,
						l->file[l->at - 1].name};
			l->pos += ret->len + 1;
			return 1;
		}
		r = fill(l, &n, err);
		if (r)
			return r;
		if (n)
			continue;
		/* the file's end */
		*ret = (struct bh_line){l->buf, l->len, true, l->file[l->at - 1].name};
		l->len = l->pos = 0;
		l->at--;
		if (ret->len)
			return 1;
	}
	return 0;
}

/* ---- the proof ---- */

static int check_all(struct bh_lines *l, struct bh_chain_check *k, struct bh_err *err)
{
	const char *file = NULL;
	struct bh_line line;
	int r;

	while ((r = bh_lines_next(l, &line, err)) > 0) {
		if (line.file != file)
			r = bh_chain_check_file(k, line.file, err);
		file = line.file;
		/* the newline is in the buffer, behind the line */
		if (r >= 0)
			r = bh_chain_check_text(k, line.text, line.len + !line.is_open, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : bh_chain_check_end(k, err);
}

int bh_event_log_verify(const char *path, const struct bh_chain *known, struct bh_chain_check *ret,
			struct bh_err *err)
{
	const struct bh_event_log_state s = {.head = *known};

	return bh_event_log_prove(path, &s, ret, err);
}

int bh_event_log_prove(const char *path, const struct bh_event_log_state *s,
		       struct bh_chain_check *ret, struct bh_err *err)
{
	BH_CLEANUP(bh_lines_done) struct bh_lines l = {0};
	int r = bh_lines_open(&l, path, err);

	*ret = (struct bh_chain_check){.expected = s->head};
	if (s->first && !bh_event_log_is_full(path, s->keep))
		ret->expected_first = s->first;
	if (!r)
		r = check_all(&l, ret, err);
	ret->name = NULL; /* borrowed from l */
	return r;
}

/* ---- events ---- */

struct bh_event_reader {
	struct bh_lines lines;
	struct bh_event_filter filter;
	char *pod;
	char class_text[32]; /* what a line of the class holds; "" for all */
};

int bh_event_reader_open(const char *path, const struct bh_event_filter *filter,
			 struct bh_event_reader **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_event_reader_closep) struct bh_event_reader *r = calloc(1, sizeof(*r));
	int res;

	if (!r)
		return bh_fail(err, ENOMEM, "event reader");
	r->filter = *filter;
	if (filter->pod) {
		r->pod = strdup(filter->pod);
		if (!r->pod)
			return bh_fail(err, ENOMEM, "event reader");
		r->filter.pod = r->pod;
	}
	if (filter->class_uid)
		snprintf(r->class_text, sizeof(r->class_text), "\"class_uid\":%d",
			 filter->class_uid);
	res = bh_lines_open(&r->lines, path, err);
	if (res)
		return res;
	*ret = BH_TAKE(r);
	return 0;
}

void bh_event_reader_close(struct bh_event_reader *r)
{
	if (!r)
		return;
	bh_lines_done(&r->lines);
	free(r->pod);
	free(r);
}

void bh_event_reader_closep(struct bh_event_reader **r)
{
	bh_event_reader_close(*r);
	*r = NULL;
}

/* A look at the bytes spares most lines the parser. */
static bool may_match(const struct bh_event_reader *r, const struct bh_line *line)
{
	const char *class = r->class_text;

	return (!*class || memmem(line->text, line->len, class, strlen(class))) &&
	       (!r->pod || memmem(line->text, line->len, r->pod, strlen(r->pod)));
}

int bh_event_reader_next(struct bh_event_reader *r, json_t **ret_event, struct bh_err *err)
{
	struct bh_line line;

	for (int i = 0; i < SLICE_LINES; i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *event = NULL;
		struct bh_err bad;
		int res = bh_lines_next(&r->lines, &line, err);

		if (res <= 0)
			return res;
		if (line.is_open || !may_match(r, &line) ||
		    bh_json_parse(line.text, line.len, BH_CHAIN_MAX_LINE, &event, &bad) ||
		    !bh_event_matches(&r->filter, event))
			continue;
		*ret_event = BH_TAKE(event);
		return 1;
	}
	return -EAGAIN;
}

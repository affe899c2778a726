/* parts.h - shared by file.c and reader.c. Internal to src/sink. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sink/file.h"

/* "PATH" for 0, else "PATH.N"; NULL when memory ran out. */
char *bh_event_log_name(const char *path, unsigned n);

/* Whether all of PATH.1 to PATH.keep are there. */
bool bh_event_log_is_full(const char *path, unsigned keep);

/* Lines of all files of a log, oldest first. */
struct bh_lines {
	struct {
		int fd;
		uint64_t left; /* bytes that were there at open and are still to be read */
		char *name;
	} file[BH_LOG_MAX_KEEP + 1]; /* youngest first */
	size_t n, at;		     /* file[at - 1] is being read; 0: the end */
	char *buf;
	size_t len, pos;
};
int bh_lines_open(struct bh_lines *l, const char *path, struct bh_err *err);
void bh_lines_done(struct bh_lines *l);

struct bh_line {	  /* borrowed until the next call */
	const char *text; /* not terminated; its newline follows in memory unless is_open */
	size_t len;
	bool is_open; /* the file ended before a newline */
	const char *file;
};
/* 1: a line; 0: the end of all files; -EBADMSG: a line is far too long. */
int bh_lines_next(struct bh_lines *l, struct bh_line *ret, struct bh_err *err);

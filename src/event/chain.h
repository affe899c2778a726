/* chain.h - a log of JSON lines that shows whether it is whole: each line carries
 * "chain": {"seq": N, "prev": HEX, "hash": HEX}.
 *
 * hash = SHA-256 over the 32 bytes of prev and the canonical text of the line without "hash": keys
 * sorted by their bytes at every level, no blanks, UTF-8 unescaped (jansson's JSON_COMPACT |
 * JSON_SORT_KEYS). The line itself is that canonical text with "hash", so any changed byte shows.
 * The first line of all has seq 1 and a prev of zeros. "torn": N in a chain object says that N
 * bytes of a line that a crash had cut short were removed before it, "missed": N that N events
 * before it could not be written. Pure: no files here. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BH_CHAIN_HASH	  32
#define BH_CHAIN_MAX_LINE (256u * 1024) /* bytes with the newline */

/* Where a chain ends. All zero: nothing was written yet. */
struct bh_chain {
	uint64_t seq; /* of the last line */
	uint8_t hash[BH_CHAIN_HASH];
};

/* What is not there before a line; see above. */
struct bh_chain_gap {
	uint64_t torn, missed;
};

/* The next line with its newline; the caller owns *ret_line. c moves on only in *ret_next, so that
 * a line that could not be written leaves no trace. event is borrowed and must be an object without
 * a "chain". -EMSGSIZE: longer than BH_CHAIN_MAX_LINE. */
int bh_chain_line(const struct bh_chain *c, const json_t *event, const struct bh_chain_gap *gap,
		  char **ret_line, size_t *ret_len, struct bh_chain *ret_next, struct bh_err *err);

/* Reads the chain object of one line (without newline) and proves its hash. *ret_end is the chain's
 * state after it; *ret_prev, which may be NULL, the state it claims to follow (seq and hash).
 * *ret_event, which may be NULL, is the event with its chain, owned by the caller. -EBADMSG when
 * the line is not what was written. */
int bh_chain_read(const char *line, size_t len, struct bh_chain *ret_end, struct bh_chain *ret_prev,
		  json_t **ret_event, struct bh_err *err);

/* Proving a whole log, oldest file first. */
struct bh_chain_check {
	struct bh_chain at; /* last good line */
	bool has_begun;	    /* the first line seen may follow one that was rotated away */
	uint64_t first_seq; /* of the first line seen */
	uint64_t lines;
	struct bh_chain_gap gaps; /* sums of what is recorded */
	size_t open_tail;	  /* bytes after the file's last newline: being written, or torn */
	const char *name;	  /* of the file, for messages; borrowed */
	size_t line_no;
	/* Set by the caller before the first text: the head that was noted elsewhere, seq 0: none.
	 * A log that ends before it was shortened; one that has another line there was rewritten.
	 */
	struct bh_chain expected;
	/* The same for the beginning: the oldest line that was kept; 0: not known. */
	uint64_t expected_first;
};
/* Goes on to the next file. -EBADMSG when the one before it ends within a line. */
int bh_chain_check_file(struct bh_chain_check *k, const char *name, struct bh_err *err);
/* Checks the file's text or its next part; a part ends with a newline unless it is the last.
 * -EBADMSG "NAME line N: ..." at the first line that was changed, is missing or is out of order. */
int bh_chain_check_text(struct bh_chain_check *k, const char *text, size_t len, struct bh_err *err);
/* At the end of the last text. -EBADMSG when the log ends before k->expected, or begins after
 * k->expected_first. */
int bh_chain_check_end(const struct bh_chain_check *k, struct bh_err *err);

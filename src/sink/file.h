/* file.h - the event log: chained JSON lines (event/chain.h) in PATH, rotated by size to PATH.1
 * (the youngest) to PATH.N.
 *
 * What a crash leaves is mended at the next open: a line cut short is removed and the next line
 * says so. A file whose last whole line is not ours is moved to PATH.damaged-N. What is missing is
 * never papered over: the sequence goes on from the head that the caller noted, so that verify
 * shows the gap. A disk that takes nothing at the moment is no reason not to open the log.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "event/chain.h"
#include "event/ocsf.h"

#define BH_LOG_MAX_BYTES (64ull * 1024 * 1024)
#define BH_LOG_KEEP	 8
#define BH_LOG_MAX_KEEP	 99

struct bh_event_log;

struct bh_event_log_options {
	const char *path;      /* its directory is made when it is not there */
	uint64_t max_bytes;    /* per file; 0: BH_LOG_MAX_BYTES */
	unsigned keep;	       /* rotated files; 0: BH_LOG_KEEP */
	struct bh_chain known; /* head noted at the last run; seq 0: none */
	uint64_t known_first;  /* the oldest line then; 0: not known */
	uint64_t missed;       /* events that had not been written then */
};
/* Mode 0600. -EBUSY: another process writes there. */
int bh_event_log_open(const struct bh_event_log_options *opt, struct bh_event_log **ret,
		      struct bh_err *err);
void bh_event_log_close(struct bh_event_log *l);
void bh_event_log_closep(struct bh_event_log **l);

/* Writes one event (borrowed) as one line. A failure leaves the log as it was; calling again later
 * is fine. */
int bh_event_log_append(struct bh_event_log *l, const json_t *event, struct bh_err *err);
/* So many events were not written before the next one, whose line will say so. */
void bh_event_log_missed(struct bh_event_log *l, uint64_t n);
/* Waits until everything written is on the disk. */
int bh_event_log_sync(struct bh_event_log *l, struct bh_err *err);
/* Where the chain ends now; for the caller to note elsewhere. */
struct bh_chain bh_event_log_head(const struct bh_event_log *l);

/* All that a log must still have. */
struct bh_event_log_state {
	struct bh_chain head;
	uint64_t first; /* oldest line that rotation has left; 0: not known */
	unsigned keep;	/* rotated files */
};
struct bh_event_log_state bh_event_log_state(const struct bh_event_log *l);
/* As bh_event_log_verify. A first file that is gone shows too, unless as many rotated files are
 * there as are kept: then rotation may have taken it since. */
int bh_event_log_prove(const char *path, const struct bh_event_log_state *s,
		       struct bh_chain_check *ret, struct bh_err *err);
/* Proves the whole log at path, also one that is being written. *ret tells what was found, also
 * when -EBADMSG says what is wrong. */
int bh_event_log_verify(const char *path, const struct bh_chain *known, struct bh_chain_check *ret,
			struct bh_err *err);

/* Reading what was written before the call, oldest first; rotation meanwhile does no harm. */
struct bh_event_reader;
int bh_event_reader_open(const char *path, const struct bh_event_filter *filter,
			 struct bh_event_reader **ret, struct bh_err *err);
void bh_event_reader_close(struct bh_event_reader *r);
void bh_event_reader_closep(struct bh_event_reader **r);
/* 1: *ret_event, the caller's; 0: the end; -EAGAIN: nothing matched in a slice of work, call again
 * after a turn of the loop. Lines that are not ours are passed over: verify is there to find them.
 */
int bh_event_reader_next(struct bh_event_reader *r, json_t **ret_event, struct bh_err *err);

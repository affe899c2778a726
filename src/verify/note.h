/* note.h - checkpoints of transparency logs: signed notes as the Go module mirror has them.
 *
 *	origin NL size NL base64(root) NL [more lines] NL
 *	U+2014 SP name SP base64(key id, 4 bytes | signature) NL ... */
#pragma once

#include "verify/trust.h"

struct bh_checkpoint {
	int64_t size;
	unsigned char root[BH_SHA256_LEN];
};

/* Verifies that the log itself signed the note; lines of others (witnesses) are passed over.
 * TLOG_CHECKPOINT otherwise. */
int bh_checkpoint_verify(const char *note, const struct bh_log *log, struct bh_checkpoint *ret,
			 struct bh_flaw *flaw);

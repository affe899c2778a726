/* confine.h - takes everything away from this process that judging images does not need.
 *
 * Bytes from registries are hostile and the parsers that read them may have holes: whoever gets
 * through one finds a process without privileges, without files to write, programs to run or other
 * processes to touch, with little memory and little time. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct bh_confine {
	bool is_lasting;  /* no limit on CPU time: it serves until it is told to end */
	bool only_hashes; /* no network and no files but those that are handed over */
	bool keeps_user;  /* stay the user who called (without any capability) instead of nobody */
};

/* Not to be undone. Network access and reading of files remain unless only_hashes; everything is
 * bounded by limits: 64 MiB of memory, 20 s of CPU, 64 descriptors, no core file. */
int bh_confine(const struct bh_confine *c, struct bh_err *err);

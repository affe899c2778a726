/* journal_parts.h - shared by journal.c and journal_tell.c. Not for others. */
#pragma once

#include "base/map.h"
#include "daemon/journal.h"
#include "event/ocsf.h"

struct bh_backlog;
struct bh_event_log;
struct bh_hold;
struct bh_source;

struct bh_journal {
	struct bh_daemon *d;
	struct bh_event_log *log;
	struct bh_hold *hold;
	struct bh_source *hold_timer;
	struct bh_bus *bus;
	struct bh_ocsf ocsf;
	char *path;
	char instance[40];
	struct bh_chain noted;	 /* head as the database has it */
	bool is_older;		 /* there was a log, but nothing noted */
	struct bh_map announced; /* "rule at stage": expiries told already */
	char last_failure[BH_ERR_TEXT];
	struct bh_backlog *backlog; /* while the log cannot be written */
	struct bh_source *retry_timer;
	uint64_t missed, noted_missed; /* dropped since the start; as the database has it */
};

/* Everything told so far is on the disk, before this returns. */
void bh_journal_sync(struct bh_journal *j);

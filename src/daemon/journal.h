/* journal.h - what the daemon tells the event log: one function per kind of thing that happens. The
 * only caller of event/ and sink/ in the daemon. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "ctl/server.h"
#include "policy/model.h"

struct bh_daemon;
struct bh_endpoint;
struct bh_edge_fact;
struct bh_journal;

int bh_journal_open(struct bh_daemon *d, struct bh_journal **ret, struct bh_err *err);
void bh_journal_close(struct bh_journal *j);

/* An edge that is new: allowed or denied. path: executable, "" when not known. edge is one element
 * of the flows verb's reply. */
void bh_journal_edge(struct bh_journal *j, const json_t *edge);
/* what: "registered", "opened", "removed", "refused". */
void bh_journal_endpoint(struct bh_journal *j, const struct bh_endpoint *ep, const char *what);
/* Policies that came, went or changed between two enforced worlds (before may be NULL). */
void bh_journal_world(struct bh_journal *j, const struct bh_world *before,
		      const struct bh_world *after);
void bh_journal_publish_failed(struct bh_journal *j, const char *why);
/* released: false for quarantine, true for release; receipt as answered. */
void bh_journal_quarantine(struct bh_journal *j, const json_t *receipt, bool released,
			   const struct bh_caller *by);
/* Once a minute: announces rules that end within seven days or one day, and those that ended. */
void bh_journal_tick(struct bh_journal *j, const struct bh_world *w, int64_t now_s);
/* Answers the events verb: streams, takes over the request. */
void bh_journal_stream(struct bh_journal *j, struct bh_request *rq, const json_t *args);

/* journal.h - what the daemon tells the event log: one function per kind of thing that happens. The
 * only caller of event/ and sink/ in the daemon. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "ctl/server.h"
#include "event/chain.h"
#include "policy/model.h"

struct bh_daemon;
struct bh_endpoint;
struct bh_edge_fact;
struct bh_ip;
struct bh_journal;
struct bh_bus;
struct bh_ocsf;
struct bh_ocsf_kill;
struct bh_ocsf_rule;
struct bh_event_log_state;
struct bh_loop;

int bh_journal_open(struct bh_daemon *d, struct bh_journal **ret, struct bh_err *err);
void bh_journal_close(struct bh_journal *j);

/* An edge that is new: allowed or denied. What is not known is NULL. */
struct bh_journal_edge {
	const struct bh_edge_fact *fact;
	const struct bh_endpoint *ep;
	const struct bh_ip *local; /* the pod's end */
	const char *path;	   /* of the executable */
	const char *peer;	   /* NS/NAME when the other end is a pod */
	const char *rule;	   /* that decided */
	const char *place;	   /* "file:line" of it; NULL: not known */
};
void bh_journal_edge(struct bh_journal *j, const struct bh_journal_edge *e);
/* what: "registered", "opened", "removed", "refused". */
void bh_journal_endpoint(struct bh_journal *j, const struct bh_endpoint *ep, const char *what);
/* Policies that came, went or changed between two enforced worlds (before may be NULL). */
void bh_journal_world(struct bh_journal *j, const struct bh_world *before,
		      const struct bh_world *after);
void bh_journal_publish_failed(struct bh_journal *j, const char *why);
/* A pod was cut off, or given back. */
struct bh_journal_cut {
	const json_t *receipt; /* as answered; borrowed, like all */
	bool is_release;
	const struct bh_caller *by;
	const struct bh_ocsf_rule *rule; /* that wants it; NULL: not known */
	const char *correlation;	 /* the same for both */
	const char *failure;		 /* what did not work of it; NULL: all did */
};
void bh_journal_quarantine(struct bh_journal *j, const struct bh_journal_cut *c);
/* A process of the pod that was killed, of that execution; k->pod is filled in here. */
void bh_journal_kill(struct bh_journal *j, const struct bh_endpoint *ep, uint64_t exec_id,
		     const struct bh_ocsf_kill *k);
/* Once a minute: announces rules that end within seven days or one day, and those that ended. */
void bh_journal_tick(struct bh_journal *j, const struct bh_world *w, int64_t now_s);
/* Notes the end of the chain in the database, so that a shortened log shows. */
void bh_journal_note_head(struct bh_journal *j);

/* What another file of the daemon built with bh_journal_ocsf. Taken; NULL: nothing. */
void bh_journal_event(struct bh_journal *j, json_t *take_event);
/* The same for one whose executable's digest is being computed under that ticket (0: is not): it is
 * written when bh_journal_digest brings it, or after a moment; what follows waits with it. */
void bh_journal_hold(struct bh_journal *j, json_t *take_event, uint64_t ticket);
/* sha256: hex, or NULL and why. */
void bh_journal_digest(struct bh_journal *j, uint64_t ticket, const char *sha256, const char *why);
/* How many events were told, and how many of them are in the log. */
uint64_t bh_journal_told(const struct bh_journal *j);
uint64_t bh_journal_logged(const struct bh_journal *j);
/* What became of them on the disk. */
struct bh_journal_books {
	uint64_t written;   /* lines of the log, since it began */
	uint64_t waiting;   /* in memory, until it can be written again */
	uint64_t missed;    /* found no room there */
	uint64_t pending;   /* of those told, went before their executable's digest was there */
	uint64_t forgotten; /* of these, the digest is never told */
};
struct bh_journal_books bh_journal_books(const struct bh_journal *j);
struct bh_ocsf *bh_journal_ocsf(struct bh_journal *j);
/* Wall clock, Unix time in ms. */
int64_t bh_journal_now_ms(void);

/* journal_stream.c: answer the verbs events and events.verify; both take over the request. */
void bh_journal_stream(struct bh_journal *j, struct bh_request *rq, const json_t *args);
void bh_journal_verify(struct bh_journal *j, struct bh_request *rq);
struct bh_bus *bh_journal_bus(struct bh_journal *j);
const char *bh_journal_path(const struct bh_journal *j);
struct bh_chain bh_journal_head(const struct bh_journal *j);
/* At the start there was a log that the database knew nothing of: it is new, or was damaged. */
bool bh_journal_is_older(const struct bh_journal *j);
struct bh_event_log_state bh_journal_state(const struct bh_journal *j);
struct bh_loop *bh_journal_loop(const struct bh_journal *j);

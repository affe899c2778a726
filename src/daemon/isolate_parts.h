/* isolate_parts.h - what isolate.c (records, flags, release) and isolate_cut.c (one quarantine,
 * from the cut to the receipt) have of each other; for nobody else. */
#pragma once

#include "base/map.h"
#include "daemon/isolate.h"
#include "daemon/quarantine.h"

struct bh_cut;
struct bh_sides;

struct bh_isolation {
	struct bh_daemon *d;
	struct bh_map records; /* "ns/name" > struct bh_quarantine, owned */
	struct bh_source *timer;
	struct bh_cut *cuts;	/* those that go on, owned */
	uint64_t serial;	/* of the last quarantine */
	struct bh_sides *sides; /* NULL: nobody is cut off, or they cannot be followed */
};

struct bh_quarantine *bh_isolation_find(const struct bh_isolation *q, const char *ns,
					const char *name);
/* A record that says what was asked for; the caller owns it. */
int bh_isolation_record(const struct bh_isolate_request *rq, const struct bh_caller *by,
			struct bh_quarantine **ret, struct bh_err *err);
/* Flags, and allow-list, of every interface of the pod. The first returns how many there are. */
int bh_isolation_flags(struct bh_isolation *q, const struct bh_quarantine *rec, struct bh_err *err);
int bh_isolation_allow(struct bh_isolation *q, const struct bh_quarantine *rec, struct bh_err *err);
/* Puts the record among the others, in the place of the pod's last one, whose quarantine goes on
 * with it; and stores it. *take_rec is taken also where storing fails. */
int bh_isolation_keep(struct bh_isolation *q, struct bh_quarantine **take_rec, struct bh_err *err);
/* null: never. */
json_t *bh_isolation_time(int64_t t);

/* The quarantine with this serial is over: what goes on for it ends, and says so. */
void bh_cuts_released(struct bh_isolation *q, uint64_t serial);
/* Leaves them to the next daemon. */
void bh_cuts_close(struct bh_isolation *q);

/* isolate_side.c: from now on a pod that is cut off gets no device that leads out of it, past the
 * interface that we know. Once for all pods. */
int bh_sides_open(struct bh_isolation *q, struct bh_err *err);
void bh_sides_close(struct bh_isolation *q);
/* Sets those down that there are. is_late: no plugin is about to tell us of another one. */
void bh_sides_look(struct bh_isolation *q, const struct bh_endpoint *ep, bool is_late);

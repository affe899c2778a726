/* daemon.h - owns everything the daemon has and wires it together. One thread, one loop.
 *
 * Who may do what: admit registers endpoints and attaches them shut; reconcile is the only code
 * that opens them or changes what the kernel enforces; isolate sets and clears quarantine. */
#pragma once

#include "base/loop.h"
#include "ctl/server.h"
#include "daemon/config.h"
#include "daemon/manifests.h"
#include "daemon/reconcile.h"
#include "datapath/datapath.h"
#include "endpoint/table.h"
#include "net/link.h"
#include "policy/objects.h"
#include "store/store.h"

struct bh_images;      /* images.h */
struct bh_isolation;   /* isolate.h */
struct bh_keeper;      /* saved.h */
struct bh_observer;    /* observe.h */
struct bh_journal;     /* journal.h */
struct bh_policy_news; /* policy_news.h */
struct bh_sinks;       /* sinks.h */
struct bh_http_server; /* http/server.h */
struct bh_worlds;      /* world.h */

struct bh_daemon {
	struct bh_settings *cfg;
	struct bh_loop *loop;
	struct bh_store *store;
	struct bh_datapath *dp;
	struct bh_server *server;
	struct bh_objects *objects;
	struct bh_keeper *keeper;
	struct bh_manifests *manifests;
	struct bh_endpoint_table endpoints;
	struct bh_worlds *worlds;
	struct bh_reconciler *reconciler;
	struct bh_isolation *isolation;
	struct bh_observer *observer;
	struct bh_runtime *runtime;
	struct bh_images *images; /* NULL: images are not judged */
	struct bh_journal *journal;
	struct bh_policy_news *news;
	struct bh_sinks *sinks;
	struct bh_http_server *http;
	struct bh_addr_watch *addr_watch;
	struct bh_source *addr_source, *ring_source, *tick_timer, *term_source, *int_source,
		*top_timer; /* NULL: nobody looked at top yet */
	int bpffs_lock;	    /* the directory of pins, locked; -1: not yet */
	json_t *problems;   /* of the manifests, as of problems_revision and problems_minute */
	uint64_t problems_revision;
	int64_t problems_minute;
	struct bh_ip *local_addresses; /* of the node, as of the last look */
	size_t n_local_addresses;
	int64_t started_s;
	size_t mended;		  /* endpoints before this one were looked at by the sweep */
	char http_trouble[128];	  /* why there is no HTTP listener; "" when all is well */
	char socket_trouble[512]; /* the control socket could not be made again */
	char log_trouble[224];	  /* the event log cannot be written */
	char store_trouble[128];  /* a write to the database failed; "" once one succeeds again */
	bool was_damaged;	  /* the database was set aside at the start */
};

/* Opens everything, adopts what a previous daemon left enforcing, publishes, listens. */
int bh_daemon_open(struct bh_settings **take_cfg, struct bh_daemon **ret, struct bh_err *err);
/* Runs until SIGTERM or SIGINT. */
int bh_daemon_run(struct bh_daemon *d, struct bh_err *err);
/* Closes; the kernel goes on enforcing. */
void bh_daemon_close(struct bh_daemon *d);
void bh_daemon_closep(struct bh_daemon **d);

/* Takes in what the kernel has told of the node's addresses; *ret_changed: they are others now. */
int bh_daemon_refresh_addresses(struct bh_daemon *d, bool *ret_changed, struct bh_err *err);
/* Writes ep's row; trouble is remembered for status, not returned. */
void bh_daemon_save_endpoint(struct bh_daemon *d, struct bh_endpoint *ep);
/* A write about endpoints failed: status tells, and it is tried again. */
void bh_daemon_store_failed(struct bh_daemon *d, const struct bh_err *why);
/* Takes an endpoint out of kernel, table and store; its interface is down afterwards. */
int bh_daemon_drop_endpoint(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err);
/* Takes an endpoint out of table and store; the kernel's slot has a new owner. */
void bh_daemon_forget_endpoint(struct bh_daemon *d, struct bh_endpoint *ep);

/* A clock in seconds that nobody sets. */
int64_t bh_uptime_s(void);
/* Wall clock in seconds, and as RFC 3339 UTC into out[32]. */
int64_t bh_now_s(void);
const char *bh_time_format(int64_t unix_s, char out[32]);

/* store.h - everything that must survive the daemon, in one SQLite database (WAL; FULL
 * synchronisation for quarantines). The only user of SQLite. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct bh_store;

/* Opens or creates <dir>/bulkhead.db (mode 0600). A damaged file is moved aside to
 * bulkhead.db.damaged-N and a new one is made, with the quarantines that could still be read;
 * *ret_was_damaged tells. -EBUSY: another process has it open. -EPROTONOSUPPORT: it was made by a
 * newer version. */
int bh_store_open(const char *dir, struct bh_store **ret, bool *ret_was_damaged,
		  struct bh_err *err);
void bh_store_close(struct bh_store *s);
void bh_store_closep(struct bh_store **s);

/* Rows are JSON texts under (table, key); tables: "endpoint", "quarantine", "object", "edge",
 * "meta", "cursor", "baseline". Writing "quarantine" is synchronised to disk before it returns. */
int bh_store_put(struct bh_store *s, const char *table, const char *key, const char *json,
		 struct bh_err *err);
int bh_store_del(struct bh_store *s, const char *table, const char *key, struct bh_err *err);
/* *ret: the row's text, which the caller owns; NULL when there is none. */
int bh_store_get(struct bh_store *s, const char *table, const char *key, char **ret,
		 struct bh_err *err);
/* Gives back what is held in memory of the database. */
void bh_store_trim(struct bh_store *s);
/* fn: nonzero ends the walk and is returned. Key order. */
int bh_store_each(struct bh_store *s, const char *table,
		  int (*fn)(const char *key, const char *json, void *arg), void *arg,
		  struct bh_err *err);
/* Many writes as one transaction. */
int bh_store_begin(struct bh_store *s, struct bh_err *err);
/* A failed commit undoes the batch. */
int bh_store_commit(struct bh_store *s, struct bh_err *err);
void bh_store_rollback(struct bh_store *s);

/* saved.h - the last good version of every manifest object, kept in the database: what stays in
 * force when a manifest is broken or the directory is gone while the daemon restarts. */
#pragma once

#include "base/err.h"

struct bh_daemon;
struct bh_keeper;

int bh_keeper_open(struct bh_daemon *d, struct bh_keeper **ret, struct bh_err *err);
/* Writes what is still to be written. */
void bh_keeper_close(struct bh_keeper *k);

/* Puts back into the object set what the database has and the manifests, which are loaded before,
 * do not say: what they hold an invalid version of, what cannot be read. */
int bh_keeper_restore(struct bh_keeper *k, struct bh_err *err);
/* The object set changed: the database follows soon, when there is nothing more urgent. */
void bh_keeper_changed(struct bh_keeper *k);
/* The same, now: what is in force is not forgotten when the daemon is killed after this. Trouble is
 * told by status. */
void bh_keeper_flush(struct bh_keeper *k);

/* Calls fn with the text of every object in force, a YAML document each. Nonzero: no memory. */
typedef int bh_document_fn(const char *text, void *arg);
int bh_keeper_documents(struct bh_keeper *k, bh_document_fn *fn, void *arg, struct bh_err *err);

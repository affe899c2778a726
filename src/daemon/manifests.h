/* manifests.h - keeps a bh_objects in step with a directory of manifests.
 *
 * inotify says where to look; what is found there decides. Writes are applied at once. Deletions
 * wait for a short quiet time, so that a directory that is being removed as a whole is seen as what
 * it is: a source that went away. A missing directory changes nothing: the last state stays in
 * force, and files that are not back some time after the directory is count as deleted then. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "policy/objects.h"

#define BH_MANIFEST_MAX_BYTES (64u * 1024 * 1024)

struct bh_manifests;

/* Loads everything there is and starts watching. on_change runs from the loop after objects
 * changed. objects and loop are borrowed. A directory that does not exist is no failure. */
int bh_manifests_open(struct bh_loop *loop, const char *dir, struct bh_objects *objects,
		      bh_loop_fn *on_change, void *arg, struct bh_manifests **ret,
		      struct bh_err *err);
void bh_manifests_close(struct bh_manifests *m);

/* Objects were restored since: files that they name and that are not there any more will go like
 * any other that is deleted. 0 or -ENOMEM. */
int bh_manifests_expect(struct bh_manifests *m);

/* fn runs, with on_change's arg, after files were read or given up, also when that left the objects
 * as they were: then what is wrong with them may differ. */
void bh_manifests_on_read(struct bh_manifests *m, bh_loop_fn *fn);

/* Calls fn once everything written before this call has been loaded: at once when nothing is
 * pending, else from the loop. */
int bh_manifests_settled(struct bh_manifests *m, bh_loop_fn *fn, void *arg);
/* Forgets a pending fn of the same arg. */
void bh_manifests_forget(struct bh_manifests *m, void *arg);
bool bh_manifests_is_missing(const struct bh_manifests *m);
/* Sentence about what could not be read or watched; NULL when all is well. */
const char *bh_manifests_trouble(const struct bh_manifests *m);

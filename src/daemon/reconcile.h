/* reconcile.h - policy + endpoints + quarantine > datapath. The only code that opens a pod or
 * changes what the kernel enforces.
 *
 * Every request to reconcile is answered by the first publish that began after it. Of a new policy
 * set that is too large, everything is enforced but the policies that do not fit; when the kernel
 * cannot take it (a full map), the last set that it could stays in force as a whole, also for pods
 * that come and go meanwhile. Status says why. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/tables.h"

struct bh_daemon;
struct bh_endpoint;
struct bh_reconciler;
struct bh_subset; /* subset.h */

/* r: 0, or -errno of the publish with its sentence. */
typedef void bh_reconciled_fn(int r, const struct bh_err *err, void *arg);

int bh_reconciler_new(struct bh_daemon *d, struct bh_reconciler **ret, struct bh_err *err);
void bh_reconciler_free(struct bh_reconciler *rc);

/* Something changed: reconcile from the loop, soon. */
void bh_reconcile_soon(struct bh_reconciler *rc);
/* Reconciles and calls fn with the outcome, from the loop. */
int bh_reconcile_then(struct bh_reconciler *rc, bh_reconciled_fn *fn, void *arg);
/* The same for who only wants to know that what changed so far is enforced: fn is called at once
 * when the last publish has all of it. */
int bh_reconcile_settled(struct bh_reconciler *rc, bh_reconciled_fn *fn, void *arg);
/* Forgets a pending fn of the same arg. */
void bh_reconcile_forget(struct bh_reconciler *rc, void *arg);
/* Opens an endpoint that a publish has covered and whose ADD goes well; -errno when the kernel does
 * not take it. */
int bh_reconcile_open(struct bh_reconciler *rc, struct bh_endpoint *ep);
/* Reconciles now. */
int bh_reconcile_now(struct bh_reconciler *rc, struct bh_err *err);

/* The kernel's clock at the very start of Unix second unix_s. */
uint64_t bh_reconcile_ktime(int64_t unix_s);

struct bh_reconcile_state {
	uint64_t revision;	      /* grows with every successful publish */
	const struct bh_world *world; /* what is enforced; NULL before the first publish */
	const struct bh_tables *tables;
	uint64_t failures;
	const char *failure;		 /* why the newest state is not live; NULL when it is */
	bool is_policy_refused;		 /* the failure is the policies': pods still come and go */
	const struct bh_subset *refused; /* policies that are left out, and why */
	double last_ms, last_compile_ms; /* duration of the last publish and its compile part */
};
struct bh_reconcile_state bh_reconcile_state(const struct bh_reconciler *rc);

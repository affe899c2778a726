/* config_runtime.h - `runtime` of the settings: what is traced, what counts as a start, and how far
 * automatic answers to findings may go.
 *
 *   runtime:
 *     mode: light                 # off | light | watch | learn
 *     startup: 60s                # so long a container is starting: what it does then weighs less
 *     rates:                    # what pods use up
 *       every: 10s              # between two readings, 200ms to 1m
 *       busy: 5m                # so long far above its normal is worth a finding, 1s to 1d
 *     learning:                   # until when a workload is learnt, in mode learn
 *       slice: 10m              # of time, in which a replica's doings count once, 1s to 1d
 *       slices: 12              # at least so many, of all replicas together
 *       replicas: 3             # at least so many, or starts of one; 1 to 8
 *       unseen: 2%              # and at most so much is still to come, as estimated
 *     fanotify: false           # what a RuntimePolicy's exec.origin refuses gets EPERM, not only
 *                               # SIGKILL; executing in such pods then waits for the daemon
 *     response:
 *       dryRun: false             # decide and tell, do nothing
 *       exemptNamespaces: [kube-system]
 *       podsPerHour: 3            # of one owner, quarantined or frozen
 *       killsPerHour: 120         # of one owner
 *       nodePerHour: 20           # of this node, quarantined or frozen
 *       keepReplicas: 50%         # of an owner's pods stay untouched; an owner of one pod has none
 * to # keep, unless it is 100% */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/yaml.h"

enum bh_runtime_mode { BH_RUNTIME_OFF, BH_RUNTIME_LIGHT, BH_RUNTIME_WATCH, BH_RUNTIME_LEARN };

struct bh_learning_settings {
	uint64_t slice_ns;
	unsigned slices, replicas;
	double unseen; /* 0 to 1, neither of both */
};

struct bh_runtime_settings {
	enum bh_runtime_mode mode;
	uint64_t startup_ns; /* never 0 */
	uint64_t rates_ms, busy_ns;
	struct bh_learning_settings learning;
	bool has_fanotify;
	bool is_dry_run;
	char **exempt; /* NULL-terminated; NULL: none named, see bh_config_exempt */
	unsigned pods_per_hour, kills_per_hour, node_per_hour; /* 0 is none at all */
	double least_share;				       /* 0 to 1 */
};

void bh_config_runtime_defaults(struct bh_runtime_settings *c);
/* m: the map under `runtime`. Errors name the place. */
int bh_config_runtime(const struct bh_yaml *m, struct bh_runtime_settings *c,
		      struct bh_yaml_err *err);
void bh_config_runtime_done(struct bh_runtime_settings *c);
/* Namespaces that are never answered in, NULL-terminated; borrowed. */
const char *const *bh_config_exempt(const struct bh_runtime_settings *c);
/* Whether pods of the namespace may be killed without a person's asking. */
bool bh_config_may_kill(const struct bh_runtime_settings *c, const char *ns);

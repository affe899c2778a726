/* workload.h - what a pod is a replica of: a Deployment, a StatefulSet, a CronJob, or nothing but
 * itself. Baselines, budgets and findings go by it, for pods come and go. */
#pragma once

#include <stdbool.h>

#include "policy/model.h"

struct bh_workload {
	char kind[64];
	char name[256];
	bool is_guessed; /* from the pod's name alone: no object describes the pod */
};

/* What is behind a pod's controller (ownerReferences, controller: true), as "KIND/NAME" in out. A
 * ReplicaSet whose name ends in the pod's label pod-template-hash is a Deployment's, a Job whose
 * name ends in a minute since 1970 is a CronJob's; a static pod is its own, without the node's
 * name. node: of the pod, or NULL. */
#define BH_WORKLOAD_TEXT 320
struct bh_controller {
	const char *kind, *name;
	const struct bh_labels *labels; /* of the pod */
	const char *pod, *node;
};
const char *bh_workload_owner(const struct bh_controller *c, char out[BH_WORKLOAD_TEXT]);

/* pod: as a manifest or a world has it, or NULL; then the pod's name is looked at for what
 * controllers append to names. */
void bh_workload_of(const struct bh_pod *pod, const char *name, struct bh_workload *ret);

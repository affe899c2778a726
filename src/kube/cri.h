/* cri.h - what the container runtime of this node says it runs (Container Runtime Interface,
 * runtime.v1, over gRPC).
 *
 * It only asks; it never pulls, starts or stops anything. */
#pragma once

#include <jansson.h>

#include "base/err.h"

struct bh_cri;

/* Connects to the runtime's socket and asks for its name, which is all that needs the privilege to
 * do so. */
int bh_cri_new(const char *path, struct bh_cri **ret, struct bh_err *err);
void bh_cri_free(struct bh_cri *c);
void bh_cri_freep(struct bh_cri **c);

/* What runs now:
 *	{"runtime":"containerd 2.1.9","containers":[ROW...]}
 * ROW: {"id","state":"created"|"running"|"exited"|"unknown"} and, the first time that this object
 * tells of the container:
 *	{"namespace","pod","uid","sandbox","name","createdMs",
 *	 "image":     as the pod asked for it, "" when the runtime does not say,
 *	 "imageId":   the runtime's own name of it, usually the digest of its configuration,
 *	 "digests":   [REPOSITORY@DIGEST...] under which the runtime pulled it,
 *	 "volumes":   [{"image","digests"}...] images mounted as volumes}
 * A container that goes while it is asked about is left out. At most BH_CRI_MAX_CONTAINERS rows.
 * Errors as bh_grpc_do's. */
#define BH_CRI_MAX_CONTAINERS 4096
int bh_cri_look(struct bh_cri *c, json_t **ret, struct bh_err *err);

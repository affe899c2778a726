/* parts.h - the steps of reading a request that live in files of their own. Internal to cni. */
#pragma once

#include "request.h"

/* true for text that may go into JSON and messages: valid UTF-8, not empty, no control characters
 * and no blanks, at most max bytes. */
bool bh_cni_is_plain(const char *text, size_t max);
/* [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 255 bytes. */
bool bh_cni_is_id(const char *text);

/* CNI_ARGS and the container id > pod_namespace, pod_name, pod_uid, sandbox_id. */
int bh_cni_read_pod(struct bh_cni_request *rq, const char *args, struct bh_err *err);
/* prevResult > addresses, mac. */
int bh_cni_read_prev(struct bh_cni_request *rq, struct bh_err *err);

/* verbs.h - the control verbs: one table with name, permission and handler. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "ctl/server.h"

struct bh_daemon;

typedef void bh_verb_fn(struct bh_daemon *d, struct bh_request *rq, const json_t *args);

/* bh_server_fn; arg is the daemon. */
void bh_verbs_handle(struct bh_request *rq, const char *verb, const json_t *args, void *arg);

/* Answers with result (taken) when r is 0 and it is there, else with err. */
void bh_verb_answer(struct bh_request *rq, int r, json_t *take_result, struct bh_err *err);
/* Splits "NS/NAME"; name and ns point into buf, which holds a copy. */
struct bh_pod_ref_text {
	char buf[512];
	const char *ns, *name;
};
int bh_pod_text_parse(const char *text, struct bh_pod_ref_text *ret, struct bh_err *err);

/* verbs_show.c */
bh_verb_fn bh_verb_status, bh_verb_pods, bh_verb_flows, bh_verb_top;
/* verbs_image.c */
bh_verb_fn bh_verb_image_judge;
/* verbs_policy.c */
struct bh_world;
/* The world that is enforced, borrowed; NULL with err set while there is none. */
const struct bh_world *bh_verb_world_of(const struct bh_daemon *d, struct bh_err *err);
bh_verb_fn bh_verb_matrix, bh_verb_explain, bh_verb_exceptions, bh_verb_world;
/* verbs_verify.c */
bh_verb_fn bh_verb_verify;
/* verbs_baseline.c */
bh_verb_fn bh_verb_baseline_list, bh_verb_baseline_get, bh_verb_baseline_import,
	bh_verb_baseline_reset, bh_verb_baseline_make, bh_verb_suggest;
/* verbs_sync.c */
bh_verb_fn bh_verb_sync;

/* report.h - the reference evaluator's answers as JSON of contract section 5: matrix, explain, diff,
 * test, exceptions. Pure. */
#pragma once

#include <jansson.h>

#include "refeval/refeval.h"

/* {"port":"80/TCP","pods":[...],"cells":[...]}; every ordered pair of running pods, the diagonal
 * (allowed, rule "self") included. A pod pair is allowed when some pair of their addresses of one
 * family is (or, without addresses, when selectors alone allow it). */
int bh_report_matrix(const struct bh_world *w, uint16_t port, uint8_t proto, json_t **ret,
		     struct bh_err *err);
/* One cell, with places ("file","line") and for denied halves the sentence why. from/to: "NS/POD" or
 * an address. */
int bh_report_explain(const struct bh_world *w, const char *from, const char *to, uint16_t port,
		      uint8_t proto, json_t **ret, struct bh_err *err);
/* [{"from","to","port","before","after"}] over all pods of both worlds, every port either world's
 * policies name (range ends and their neighbours), every protocol. */
int bh_report_diff(const struct bh_world *before, const struct bh_world *after, json_t **ret,
		   struct bh_err *err);
/* Assertions: JSON array of {"from","to","port","expect":"allowed|denied"}. Result: {"passed":N,
 * "failed":N,"results":[{...,"verdict","rule","ok"}]}. */
int bh_report_test(const struct bh_world *w, const json_t *assertions, json_t **ret,
		   struct bh_err *err);
/* Every rule with a reason: [{"policy","rule","why","useCase","owner","expires","expired","file",
 * "line"}]. */
int bh_report_exceptions(const struct bh_world *w, json_t **ret, struct bh_err *err);
/* "NetworkPolicy ns/name egress[0]" or "default"; the caller frees. */
char *bh_report_rule(const struct bh_half *h, enum bh_dir dir);
json_t *bh_report_cell(const struct bh_cell *c, const char *from, const char *to);

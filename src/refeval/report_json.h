/* report_json.h - pieces the reports share. Internal to refeval. */
#pragma once

#include "refeval/party.h"
#include "refeval/report.h"

const char *bh_report_verdict(enum bh_verdict v); /* "allowed" or "denied" */
const char *bh_report_dir(enum bh_dir dir);	  /* "egress" or "ingress" */

/* "80/TCP", or "ICMP" for a protocol without ports. */
#define BH_PORT_TEXT 16
const char *bh_report_port(uint16_t port, uint8_t proto, char out[BH_PORT_TEXT]);
/* RFC 3339 in UTC, whole seconds: "2027-01-31T00:00:00Z". */
#define BH_TIME_TEXT 40
const char *bh_report_time(int64_t unix_s, char out[BH_TIME_TEXT]);

/* json_object_set_new, but a NULL value (no memory) is remembered in *failed. Takes value. */
void bh_report_put(json_t *obj, const char *key, json_t *value, bool *failed);
/* bh_report_cell of an answer, with the whole list of executables of conditional halves. NULL
 * without memory. */
json_t *bh_report_answer(const struct bh_query *q, const struct bh_answer *a);

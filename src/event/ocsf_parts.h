/* ocsf_parts.h - pieces of an OCSF object that the builders in this folder share. Not for others.
 */
#pragma once

#include "event/ocsf.h"

enum bh_ocsf_severity { BH_SEV_INFO = 1, BH_SEV_LOW, BH_SEV_MEDIUM, BH_SEV_HIGH };

struct bh_ocsf_head {
	int class_uid, activity_id;
	const char *activity;
	enum bh_ocsf_severity severity;
	int64_t time_ms;
};

/* The object with what every class has. extra_profile: besides host and container, or NULL. */
json_t *bh_ocsf_base(struct bh_ocsf *o, const struct bh_ocsf_head *h, const char *extra_profile);
/* A JSON string whatever the bytes; NULL gives NULL, which json_pack's "s*" leaves out. */
json_t *bh_ocsf_text(const char *s);
/* Sets key unless value is NULL, which it takes; so that what is not known is left out. */
void bh_ocsf_put(json_t *obj, const char *key, json_t *take_value);
void bh_ocsf_put_text(json_t *obj, const char *key, const char *value);
/* What became of it, as OCSF's action and disposition. Needs security_control, as bh_ocsf_put_rule
 * does. */
void bh_ocsf_put_outcome(json_t *e, enum bh_ocsf_outcome o);
/* The policy in OCSF's place, and rule, file and line among ours. */
void bh_ocsf_put_rule(json_t *e, json_t *ours, const struct bh_ocsf_rule *r);
/* What connects events of different classes; NULL: nothing does. */
void bh_ocsf_put_correlation(json_t *e, const char *uid);
/* Into OCSF's file, unless sha256 is NULL or "" or there is no file. */
void bh_ocsf_put_digest_of(json_t *file, const char *sha256);
/* Into OCSF's process: which start of it, and which one was before. 0: not known. */
void bh_ocsf_put_exec_ids(json_t *process, uint64_t exec_id, uint64_t parent_exec_id);
/* OCSF's 1 Success, 2 Failure. */
void bh_ocsf_put_status(json_t *e, bool is_success);
/* Of a protocol number. */
json_t *bh_ocsf_connection(bool is_egress, uint8_t proto, const struct bh_ip *remote);
bool bh_ocsf_has_ports(uint8_t proto);
/* The container, and pod and namespace among ours. */
void bh_ocsf_put_pod(json_t *e, json_t *ours, const struct bh_ocsf_pod *p);
/* A sentence about it, the caller's; NULL without memory. */
char *bh_ocsf_say_edge(const struct bh_ocsf_edge *x, const char *reason);
/* Adds ours as unmapped.bulkhead. message may be NULL. */
json_t *bh_ocsf_finish(json_t *take_e, json_t *take_ours, const char *message);

/* quarantine.h - the record of one quarantine, and its form in the database. Cutting is isolate's.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "datapath/datapath.h"
#include "event/ocsf.h"
#include "store/store.h"

#define BH_QUARANTINE_ALLOW 64

struct bh_quarantine {
	char *ns, *name, *reason, *by;
	char *correlation;	    /* what its events have in common */
	json_t *rule;		    /* that asks for it; NULL: a person does */
	int64_t since_s, expires_s; /* expires INT64_MAX: never */
	struct bh_qallow_entry allow[BH_QUARANTINE_ALLOW];
	size_t n_allow;
	json_t *allow_text;
	char *cgroup; /* directory of a hostNetwork pod's cgroup; NULL: the pod has interfaces */
	uint64_t cgroup_id;
	uint64_t serial; /* since when it is cut off without a break; not for the database */
	bool is_frozen;	 /* all its processes stood still */
	bool must_thaw;	 /* some were stopped: release lets them go on */
	bool is_killing; /* this had not come to its end: the next daemon goes on with it */
	bool is_freezing;
	bool is_doubt; /* of its images, and ends with it */
};

/* For bh_map: takes a struct bh_quarantine. */
void bh_quarantine_free(void *p);
void bh_quarantine_freep(struct bh_quarantine **rec);
/* A rule as records hold it, the caller's, NULL for none or without memory; and back, borrowed. */
json_t *bh_quarantine_rule_json(const struct bh_ocsf_rule *r);
struct bh_ocsf_rule bh_quarantine_rule(const json_t *rule);
/* Fills the allow-list from an array of "CIDR[:PORT/PROTO]" (NULL: empty). */
int bh_quarantine_set_allow(struct bh_quarantine *rec, const json_t *allow, struct bh_err *err);
int bh_quarantine_save(const struct bh_quarantine *rec, struct bh_store *store, struct bh_err *err);
/* From the database's text. The caller owns *ret. */
int bh_quarantine_load(const char *json, struct bh_quarantine **ret, struct bh_err *err);

/* attack.h - what MITRE ATT&CK, version 14, calls the techniques that detectors name: a finding
 * says it in words, so that its reader need not look it up. attack.mitre.org/versions/v14. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#define BH_ATTACK_VERSION "14.1"

/* A technique; where it has several tactics, the one that detectors mean. */
struct bh_attack {
	const char *id;		    /* "T1059.004", or "T1105" */
	const char *name;	    /* "Unix Shell" */
	const char *tactic;	    /* "TA0002" */
	const char *tactic_name;    /* "Execution" */
	const char *technique_name; /* of a sub-technique: of what it is a part of; else name */
};

/* false: it is not one that we know. */
bool bh_attack_find(const char *id, struct bh_attack *ret);
/* An element of OCSF's attacks[]: tactic, technique and, where it is one, sub-technique. The
 * caller's. */
json_t *bh_attack_json(const char *id);

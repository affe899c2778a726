/* parse.h - trees > sealed objects of the model. Inside policy/ only: objects.c calls the functions
 * of the first part for each document, the parse_*.c files share the rest.
 *
 * Whatever is wrong becomes a problem with a place; parsing goes on, so that one pass shows them
 * all. A refused object yields NULL. */
#pragma once

#include "policy/objects.h"
#include "policy/yaml.h"

#define BH_PARSE_MAX_PROBLEMS 1000 /* per file; hostile files must not eat memory through them */
#define BH_PARSE_MAX_LABELS   1024 /* per object and per selector */

struct bh_parse {
	struct bh_problems *problems;
	const char *file;
	const char *object; /* "NetworkPolicy shop/web" */
	bool require_reason;
	bool is_refused;    /* something in this object is invalid */
	bool has_no_memory; /* the caller must give up */
	char *why;	    /* "line:col: sentence" of the first reason to refuse; owned */
	/* Inside of a rule: what is not understood makes the rule inert instead. */
	bool *inert;
	const char *inert_text; /* "the rule allows nothing" */
};

/* name and ns are checked already; the object gets copies. NULL when it is refused. */
struct bh_policy *bh_parse_policy(struct bh_parse *p, const struct bh_yaml *object,
				  enum bh_policy_kind kind, const char *ns, const char *name);
struct bh_runtime_policy *bh_parse_runtime(struct bh_parse *p, const struct bh_yaml *object,
					   const char *ns, const char *name);
struct bh_pod *bh_parse_pod(struct bh_parse *p, const struct bh_yaml *object, const char *ns,
			    const char *name);
struct bh_namespace *bh_parse_namespace(struct bh_parse *p, const struct bh_yaml *object,
					const char *name);

struct bh_node {
	unsigned refs;
	char *name, *file;
	struct bh_ip *ips;
	size_t n_ips;
	struct bh_place place;
};
struct bh_node *bh_parse_node(struct bh_parse *p, const struct bh_yaml *object, const char *name);
struct bh_node *bh_node_ref(struct bh_node *n);
void bh_node_unref(struct bh_node *n);

/* ---- shared by the parsers ---- */

/* Replaces control characters and what is not valid UTF-8 (a text cut in the middle) by '?'. */
void bh_problem_scrub(char *text);

struct bh_place bh_parse_place(const struct bh_parse *p, const struct bh_yaml *at);
/* The object is invalid. */
void bh_parse_refuse(struct bh_parse *p, const struct bh_yaml *at, const char *fmt, ...)
	BH_PRINTF(3, 4);
/* Same, from a getter's failure. */
void bh_parse_fail(struct bh_parse *p, const struct bh_yaml_err *e);
/* Not understood: the rule is inert, or outside of a rule the object is refused. */
void bh_parse_unknown(struct bh_parse *p, const struct bh_yaml *at, const char *fmt, ...)
	BH_PRINTF(3, 4);
void bh_parse_warn(struct bh_parse *p, const struct bh_yaml *at, const char *fmt, ...)
	BH_PRINTF(3, 4);
void bh_parse_no_memory(struct bh_parse *p);
/* Reports every key of a map that is not in keys as unknown. */
void bh_parse_keys(struct bh_parse *p, const struct bh_yaml *map, const char *const *keys);

/* Members; failures are reported. Absent or wrong: NULL (0 for int is no valid value anywhere). */
const char *bh_parse_str(struct bh_parse *p, const struct bh_yaml *map, const char *key,
			 bool required);
const struct bh_yaml *bh_parse_list(struct bh_parse *p, const struct bh_yaml *map, const char *key);
const struct bh_yaml *bh_parse_map(struct bh_parse *p, const struct bh_yaml *map, const char *key);
/* true when n is of the type; reports otherwise. */
bool bh_parse_is(struct bh_parse *p, const struct bh_yaml *n, enum bh_yaml_type type,
		 const char *what);
char *bh_parse_strdup(struct bh_parse *p, const char *s);
/* calloc that notes failure; n 0 gives NULL. */
void *bh_parse_calloc(struct bh_parse *p, size_t n, size_t size);

/* metadata.labels into *ret, whose array the caller frees; strings are borrowed from the tree. */
void bh_parse_labels(struct bh_parse *p, const struct bh_yaml *metadata, struct bh_labels *ret);
/* true when the pair is a valid label key and value; reports otherwise. */
bool bh_parse_label(struct bh_parse *p, const struct bh_yaml_pair *pair);
/* n NULL: the empty selector. */
void bh_parse_selector(struct bh_parse *p, const struct bh_yaml *n, struct bh_selector *ret);
void bh_parse_peer(struct bh_parse *p, const struct bh_yaml *n, struct bh_peer *ret);
void bh_parse_port(struct bh_parse *p, const struct bh_yaml *n, struct bh_port *ret);

/* bulkhead.io annotations of a policy, or a rule's own reason: fills what is there, the earlier
 * expiry wins. */
void bh_parse_annotations(struct bh_parse *p, const struct bh_yaml *metadata,
			  struct bh_reason_note *ret, bool *ret_keep);
void bh_parse_reason(struct bh_parse *p, const struct bh_yaml *n, struct bh_reason_note *ret);

/* Lints that need the text as written: warnings with a place. */
void bh_lint_policy(struct bh_parse *p, const struct bh_yaml *spec, const struct bh_policy *policy);
void bh_lint_peers(struct bh_parse *p, const struct bh_yaml *rule, enum bh_dir dir,
		   const struct bh_rule *r);

/* objects.h - the set of objects that manifests describe, with their last good versions.
 *
 * Feed it whole files; it keeps, per file, the objects the file defined, and per object the last
 * version that was valid. A file that does not parse changes nothing but the problem list. Pure: no
 * files are opened here, the caller passes bytes and names. */
#pragma once

#include "policy/model.h"
#include "policy/runtime.h"

enum bh_problem_level { BH_PROBLEM_ERROR, BH_PROBLEM_WARNING, BH_PROBLEM_NOTE };

struct bh_problem {
	enum bh_problem_level level;
	char *file;
	unsigned line, col;
	char *object; /* "NetworkPolicy shop/web", NULL when not about one */
	char *text;   /* one sentence */
};

struct bh_problems {
	struct bh_problem *v;
	size_t n, cap;
};
struct bh_about { /* what a problem is about; everything may be unknown */
	struct bh_place place;
	const char *object;
};
/* Adds a problem with copies of everything. 0 or -ENOMEM. */
int bh_problems_add(struct bh_problems *p, enum bh_problem_level level,
		    const struct bh_about *about, const char *fmt, ...) BH_PRINTF(4, 5);
void bh_problems_done(struct bh_problems *p);

struct bh_objects_options {
	bool require_reason; /* refuse allow rules without a reason */
	bool keep_text;	     /* remember each object's source text for bh_objects_saved */
};

struct bh_objects;
int bh_objects_new(const struct bh_objects_options *opt, struct bh_objects **ret,
		   struct bh_err *err);
void bh_objects_free(struct bh_objects *o);
void bh_objects_freep(struct bh_objects **o);

/* Loads or reloads one file: several YAML documents or JSON. Objects it defined before and does not
 * define any more are gone, unless a document of it failed to parse at all: then whatever could not
 * be seen stays. Problems of the file replace those of its last load. Returns 0 also when there are
 * problems; -ENOMEM otherwise. *ret_changed: something in the set differs now. */
int bh_objects_load(struct bh_objects *o, const char *file, const char *text, size_t len,
		    bool *ret_changed, struct bh_err *err);
/* The file is gone: its objects and problems go. */
int bh_objects_unload(struct bh_objects *o, const char *file, bool *ret_changed);
/* Tells the lints about expiry what time it is (Unix seconds); before the first call they are
 * silent. Nothing else depends on it. */
void bh_objects_set_time(struct bh_objects *o, int64_t now_s);
/* Names of all loaded files and of those with restored objects, NULL-terminated, borrowed until the
 * next change. */
const char *const *bh_objects_files(const struct bh_objects *o);

/* Grows with every load, unload and restore that may change what the set says. */
uint64_t bh_objects_revision(const struct bh_objects *o);

/* The same of what bh_objects_policies says: a pod's new label says nothing about policies. */
uint64_t bh_objects_policy_revision(const struct bh_objects *o);

/* In the order of the world's arrays; policies of all sorts last. */
enum bh_kind {
	BH_KIND_NAMESPACE,
	BH_KIND_POD,
	BH_KIND_NODE,
	BH_KIND_NETWORK_POLICY,
	BH_KIND_SEGMENTATION_POLICY,
	BH_KIND_RUNTIME_POLICY,
	BH_KIND_COUNT,
};

/* An object of which another version is in force than before, or none, or for the first time one.
 */
struct bh_change {
	enum bh_kind kind;
	const char *ns, *name; /* ns is "" where there is none */
	void *now; /* bh_namespace, bh_pod, bh_node, bh_policy or bh_runtime_policy; NULL: gone */
	bool is_node_address; /* it is or was a Node, or a pod in its node's network namespace */
};
typedef int bh_change_fn(const struct bh_change *c, void *arg);
/* What changed since the last call, for the one caller who keeps a world up to date with the set;
 * an object may come up several times, always as it is now. Returns 0; 1 when it is not known,
 * which means: look at everything (so it is at first); -errno of fn, and then it is not known the
 * next time. */
int bh_objects_take_changes(struct bh_objects *o, bh_change_fn *fn, void *arg);

/* All problems of all files, plus set-wide ones and lints (policies that select nothing, AND/OR
 * peers, DNS not allowed ...). The caller owns *ret. */
int bh_objects_problems(const struct bh_objects *o, struct bh_problems *ret);

/* Adds everything valid to a world that is being built. `endpoints` are added by the caller, who
 * merges them with bh_objects_pod. */
int bh_objects_fill(const struct bh_objects *o, struct bh_world *w, struct bh_err *err);
/* The pod a manifest describes, NULL when none does. Borrowed. */
const struct bh_pod *bh_objects_pod(const struct bh_objects *o, const char *ns, const char *name);
/* spec.nodeName / status.addresses of Node objects named `node`: adds them to the world. */
int bh_objects_fill_node(const struct bh_objects *o, const char *node, struct bh_world *w);

/* Last good version of every object with its source text, for keeping across restarts. Calls fn for
 * each: key "kind/ns/name", the file it came from, its text (one YAML document); text is NULL when
 * it was saved before (bh_objects_saved_done), with the same words but maybe from another file. */
int bh_objects_saved(const struct bh_objects *o,
		     int (*fn)(const char *key, const char *file, const char *text, void *arg),
		     void *arg);
/* What the database of the caller lacks: objects in force that were not there, in this version and
 * from this file, when bh_objects_saved_done was last called. */
struct bh_unsaved {
	const char *key, *file;
	const char *text; /* NULL: as the row of this key has it, only the file is another */
	/* Not NULL: the row holds the words of another file's version, which may be in force again
	 * one day. Before it is replaced, bh_objects_keep_words takes this and the row's text. */
	void *displaced;
};
typedef int bh_unsaved_fn(const struct bh_unsaved *u, void *arg);
int bh_objects_unsaved(const struct bh_objects *o, bh_unsaved_fn *fn, void *arg);
int bh_objects_keep_words(void *displaced, const char *text);
/* Keys of rows that have to go. */
int bh_objects_unsaved_gone(const struct bh_objects *o, int (*fn)(const char *key, void *arg),
			    void *arg);
/* All that is saved, or gone, now: texts that were held for it only go too. */
void bh_objects_saved_done(struct bh_objects *o);

/* What was saved once, against what was loaded since. */
struct bh_row_text {
	const char *key, *file, *text;
};
enum bh_row_state {
	BH_ROW_CURRENT, /* the set would save the same; it counts as saved now */
	BH_ROW_OLD,	/* the set holds a newer version of the object */
	BH_ROW_NEEDED,	/* restoring it may make a difference */
};
enum bh_row_state bh_objects_row_state(struct bh_objects *o, const struct bh_row_text *row);

/* Puts back a saved object as the last good version of `key`, to be used if `file` now holds an
 * invalid version of it, or if the whole source cannot be read. It is in force from now on until
 * `file` is loaded or unloaded; so a caller who restores, then does one of the two for every name
 * in bh_objects_files, ends with what the files say. -EINVAL when text is not that object. */
int bh_objects_restore(struct bh_objects *o, const char *key, const char *file, const char *text,
		       struct bh_err *err);
int bh_objects_restore_row(struct bh_objects *o, const struct bh_row_text *row, struct bh_err *err);

/* One policy as the status page lists it. */
struct bh_policy_state {
	const char *kind, *ns, *name, *file;
	uint32_t line; /* where this version begins; 0: not known */
	/* this version, one of the two; both NULL when it is not valid */
	const struct bh_policy *policy;
	const struct bh_runtime_policy *runtime;
	bool is_live;	  /* the version in the file is the one in force */
	const char *why;  /* sentence when not */
	bool is_restored; /* from the database, its file was not read yet */
};
/* Walks all policies, live or not (also refused new ones), sorted. Strings are borrowed. */
int bh_objects_policies(const struct bh_objects *o,
			int (*fn)(const struct bh_policy_state *s, void *arg), void *arg);
/* Every RuntimePolicy in force, sorted; borrowed. */
int bh_objects_runtime_policies(const struct bh_objects *o,
				int (*fn)(struct bh_runtime_policy *p, void *arg), void *arg);

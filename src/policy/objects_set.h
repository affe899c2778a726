/* objects_set.h - what the object set is made of. Inside policy/ only.
 *
 * A file holds claims: one per object it defines, valid or not. The index holds all claims of all
 * files, sorted by kind, namespace, name, then file name and position, so the claims to one object
 * stand side by side and the first that has an object wins. */
#pragma once

#include "base/vec.h"
#include "policy/objects.h"
#include "policy/parse.h"

enum bh_claim_state {
	BH_CLAIM_LIVE,	   /* obj is what the file says */
	BH_CLAIM_REFUSED,  /* the file's version is invalid; obj is the last good one or NULL */
	BH_CLAIM_UNSEEN,   /* a part of the file cannot be read; obj is the last good one */
	BH_CLAIM_RESTORED, /* saved by an earlier run; the file has not been read yet */
};

/* What only policies and what is not live need. */
struct bh_claim_more {
	char *ns, *name;    /* of a claim without object */
	unsigned line, col; /* of a refused version */
	char *why;	    /* refused or unseen: "line:col: sentence" */
	/* obj's own words, policies only, while they are not saved; else NULL: */
	struct bh_words *words;
	size_t offset, len;
	unsigned text_line; /* their first line in the file */
};

/* A file's text, or what was written out of one object; shared by the claims that need it. */
struct bh_words {
	unsigned refs;
	char s[];
};
/* NULL without memory. */
struct bh_words *bh_words_new(const char *text, size_t len);
struct bh_words *bh_words_ref(struct bh_words *w);
void bh_words_unref(struct bh_words *w);

/* Small: there may be a hundred thousand. */
struct bh_claim {
	void *obj; /* a reference to a bh_namespace, bh_pod, bh_node, bh_policy ...; or NULL */
	struct bh_claim_more *more; /* owned, or NULL */
	struct bh_file *file;
	uint32_t pos; /* position in the file */
	uint8_t kind, state;
	bool wins;     /* obj is the one in force; kept by the index */
	bool is_saved; /* the database has it as it is here; never of one that does not win */
};

struct bh_claims {
	struct bh_claim *v;
	size_t n, cap;
};

struct bh_file {
	char *name;
	struct bh_claims claims; /* sorted like the index, except while is_unsorted */
	struct bh_problems problems;
	uint64_t text_hash;
	size_t text_len;
	char *unseen;	/* "line:col: sentence" when a part could not be read */
	bool is_loaded; /* false: only restored objects so far */
	bool has_empty; /* some claim may hold no object */
	bool is_unsorted;
};

struct bh_index {
	struct bh_claim **v;
	size_t n;
	bool is_stale;
};

struct bh_objects {
	struct bh_objects_options opt;
	struct bh_file **files; /* sorted by name */
	const char **names;	/* the same names, NULL-terminated */
	size_t n_files, cap_files;
	uint64_t revision, policy_revision;
	bool has_unsorted;	/* some file's claims are, after a restore */
	struct bh_index *index; /* behind a pointer: readers bring it up to date */
	struct bh_changes *changes;
	BH_VEC(char *) gone; /* keys of saved objects that were lost; some may be there again */
	int64_t now_s;
};

/* ---- claims (objects_claim.c) ---- */

const char *bh_kind_name(enum bh_kind kind);
const char *bh_claim_ns(const struct bh_claim *c);
const char *bh_claim_name(const struct bh_claim *c);
struct bh_place bh_claim_place(const struct bh_claim *c);
/* The place that c->obj, which must be there, carries. */
struct bh_place *bh_claim_object_place(const struct bh_claim *c);
/* "NetworkPolicy shop/web", "Namespace shop". */
char *bh_claim_title(const struct bh_claim *c);
static inline bool bh_kind_is_policy(unsigned kind)
{
	return kind >= BH_KIND_NETWORK_POLICY;
}
/* Hashes that the object of a policy's claim carries: of its tree with places, and of its
 * document's text. */
uint64_t *bh_claim_tree_hash(const struct bh_claim *c);
uint64_t *bh_claim_text_hash(const struct bh_claim *c);
int bh_claim_cmp_key(const struct bh_claim *a, const struct bh_claim *b);
int bh_claim_cmp(const struct bh_claim *a, const struct bh_claim *b);
/* "NetworkPolicy/shop/web", "Namespace//shop": what the database knows it by. */
char *bh_claim_key(const struct bh_claim *c);
/* c->more, made when it is missing; NULL without memory. */
struct bh_claim_more *bh_claim_more(struct bh_claim *c);
/* Takes over the object that another claim of the same name holds, with what belongs to it. */
int bh_claim_inherit(struct bh_claim *c, const struct bh_claim *from);
/* c's object is saved: what was only kept for that goes. */
void bh_claim_drop_words(struct bh_claim *c);
/* true when both hold objects of the same content. */
bool bh_claim_same(const struct bh_claim *a, const struct bh_claim *b);
void *bh_kind_ref(enum bh_kind kind, void *obj);
void bh_kind_unref(enum bh_kind kind, void *obj);
void bh_claim_done(struct bh_claim *c);
void bh_claims_done(struct bh_claims *c);
void bh_claims_sort(struct bh_claims *c);

/* ---- reading (objects_read.c) ---- */

struct bh_reading {
	const struct bh_objects_options *opt;
	struct bh_file *file; /* of the claims */
	struct bh_claims claims;
	struct bh_problems problems;
	char *unseen;	/* "line:col: sentence" of the first part that could not be read */
	int line_shift; /* added to every line number */
	/* What the file says now: a policy whose document is still there, word for word, is taken
	 * over as it is. NULL: nothing is. */
	const struct bh_claims *old;
	/* While it runs: */
	const char *text;
	size_t len;
	struct bh_words *words; /* of text, once somebody needs it */
	struct bh_reuse *reuse;
};
/* Reads a whole file. 0 also when there are problems; -ENOMEM. */
int bh_reading_run(struct bh_reading *r, const char *text, size_t len);
void bh_reading_done(struct bh_reading *r);

/* ---- documents that are still there (objects_reuse.c) ---- */

/* What r->old offers; *ret NULL when nothing may be taken over. 0 or -ENOMEM. */
int bh_reuse_new(const struct bh_reading *r, struct bh_reuse **ret);
/* Of a document's text and line; 0 when nothing of this file may be taken over. */
uint64_t bh_reuse_hash(const struct bh_reading *r, const struct bh_yaml_slice *slice);
/* The old claim that was read from a document of this hash, or NULL. */
const struct bh_claim *bh_reuse_find(const struct bh_reading *r, uint64_t hash);

/* ---- the set (objects.c, objects_index.c) ---- */

struct bh_file *bh_objects_find_file(const struct bh_objects *o, const char *name);
/* Finds or adds. NULL without memory. */
struct bh_file *bh_objects_add_file(struct bh_objects *o, const char *name);
/* Brings the index up to date. */
int bh_index_ready(const struct bh_objects *o);
/* Position of the first claim with c's key, or where it would be. */
size_t bh_index_lower(const struct bh_index *x, const struct bh_claim *c);
/* The claim in force of the group that begins at i, or NULL; *ret_next is behind the group. */
struct bh_claim *bh_index_winner(const struct bh_index *x, size_t i, size_t *ret_next);
/* Notes the winner of the group that begins at i; returns what is behind the group. */
size_t bh_index_mark(struct bh_index *x, size_t i);
/* The index without `gone` and with `added` (both sorted) into ret. */
int bh_index_change(const struct bh_index *x, const struct bh_claims *gone,
		    const struct bh_claims *added, struct bh_index *ret);
struct bh_claim *bh_objects_find(const struct bh_objects *o, enum bh_kind kind, const char *ns,
				 const char *name);

/* Remembers the key of a row that has to go unless somebody holds the object by then. take_key
 * NULL: there was no memory for it. 0 or -ENOMEM. */
int bh_objects_note_gone(struct bh_objects *o, char *take_key);
void bh_objects_forget_gone(struct bh_objects *o);

/* ---- what changed (objects_changes.c) ---- */

/* At first nothing is known. NULL without memory. */
struct bh_changes *bh_changes_new(void);
void bh_changes_free(struct bh_changes *c);
/* From here on it is not known what changed. */
void bh_changes_lose(struct bh_changes *c);
/* A file's claims `gone` are replaced by `added`: notes whose winner is another one in `next` than
 * in the index. Returns whether there were any. */
bool bh_changes_note(struct bh_objects *o, const struct bh_index *next,
		     const struct bh_claims *gone, const struct bh_claims *added);

/* ---- lints over the whole set (lint_set.c) ---- */
int bh_lint_set(const struct bh_objects *o, struct bh_problems *ret);

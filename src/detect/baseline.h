/* baseline.h - what one workload does, learnt from its replicas until little new comes.
 *
 * A baseline belongs to (namespace, owner, container, image digest). Time is cut into units: one
 * replica for one slice of time. A key counts once per unit, so the estimate of what is still
 * unseen (Good and Turing; Chao and Jost's form for incidences) does not depend on how often
 * something is repeated. Learning ends by itself when that estimate is small for each kind and
 * enough starts were seen; never by a date. Keys seen in one replica only, or only while a finding
 * of that replica was open, stay unconfirmed.
 *
 * Pure: time comes with the activities, bytes of files from the caller. Bounded: BH_BASE_MAX_KEYS
 * per kind, and a baseline that ran over never closes by itself. */
#pragma once

#include "base/map.h"
#include "base/str.h"
#include "detect/activity.h"

enum bh_base_kind {
	BH_BASE_EXEC,	 /* "path" or "interpreter script" */
	BH_BASE_CHAIN,	 /* "parent > child" */
	BH_BASE_EDGE,	 /* "out tcp 5432 pod shop/Deployment/db", "in tcp 80 outside" */
	BH_BASE_LISTEN,	 /* "tcp 80" */
	BH_BASE_PATH,	 /* a written path, collapsed */
	BH_BASE_SYSCALL, /* a number */
	BH_BASE_USE,	 /* "io_uring", "memfd", "user 33": other facts */
	BH_BASE_KINDS,
};
/* "exec", "chain", "edge", "listen", "path", "syscall", "use". */
const char *bh_base_kind_name(enum bh_base_kind kind);

#define BH_BASE_MAX_KEYS 1024
#define BH_BASE_KEY	 320
#define BH_BASE_REPLICAS 8
#define BH_BASE_HELD	 32
#define BH_BASE_BLOOM	 8192 /* bytes of the bigram filter, as the kernel has it */

struct bh_base_key {
	enum bh_base_kind kind;
	char text[BH_BASE_KEY];
};
#define BH_BASE_KEYS_MAX 3
/* The keys of one activity (system calls are apart); returns how many. */
size_t bh_baseline_keys(const struct bh_activity *a, struct bh_base_key ret[BH_BASE_KEYS_MAX]);
/* The bit of a pair of system calls in the bigram filter. */
uint32_t bh_bigram_bit(uint16_t first, uint16_t second);

struct bh_base_fact {
	uint32_t units;	  /* in which it was seen */
	uint8_t replicas; /* different ones that were not suspect */
	uint8_t sound;	  /* which ones: one bit per slot of bh_baseline.replica */
	bool is_confirmed;
	uint32_t last_unit[BH_BASE_REPLICAS]; /* per replica, slice + 1; while learning */
	int64_t first_s, last_s;	      /* Unix time */
};

struct bh_base_seq;

struct bh_base_options {
	double unseen;	     /* stop below this share; 0: 0.02 */
	uint32_t min_starts; /* replicas or starts; 0: 3 */
	uint32_t min_units;  /* 0: 12 */
	uint64_t slice_ns;   /* 0: ten minutes */
};

struct bh_baseline {
	char *ns, *owner_kind, *owner, *container, *image_digest;
	bool is_guessed; /* the owner is, from the names of its pods */
	uint64_t workload;
	struct bh_base_options opt;
	bool is_closed;
	struct bh_map facts[BH_BASE_KINDS];  /* text > struct bh_base_fact */
	uint64_t overflow;		     /* keys that found no room */
	uint8_t *bloom;			     /* BH_BASE_BLOOM bytes, or NULL */
	uint64_t replica[BH_BASE_REPLICAS];  /* pod ids */
	uint32_t starts;		     /* pods that had a place */
	uint32_t units;			     /* units begun */
	uint8_t suspects;		     /* replicas with an open finding: one bit each */
	uint32_t unit_of[BH_BASE_REPLICAS];  /* current slice + 1 of each replica */
	double unit_score[BH_BASE_REPLICAS]; /* surprise within the current unit */
	double held_out[BH_BASE_HELD]; /* of finished units, newest at (n_held_out - 1) % all */
	uint32_t n_held_out;
	double threshold;	 /* of the anomaly score; set when it closes */
	struct bh_base_seq *seq; /* order of its calls (baseline_seq.h), or NULL */
};

int bh_baseline_new(const struct bh_subject *s, const struct bh_base_options *opt,
		    struct bh_baseline **ret, struct bh_err *err);
/* Other ones from now on; a closed baseline stays closed. What is 0 in opt is the default. */
void bh_baseline_set_options(struct bh_baseline *b, const struct bh_base_options *opt);
void bh_baseline_free(struct bh_baseline *b);
void bh_baseline_freep(struct bh_baseline **b);

/* Who saw something and when. What is told late counts for the replica's current slice. */
struct bh_base_sighting {
	uint64_t pod_id, ts_ns;
	int64_t now_s;	    /* Unix time of it */
	bool is_suspect;    /* the pod has an open finding: from now on it confirms nothing */
	bool is_remembered; /* from an unknown time before: counts only where it is news */
};
/* Learns from one activity; a closed baseline learns nothing. Returns 0 or -ENOMEM. */
int bh_baseline_observe(struct bh_baseline *b, const struct bh_activity *a,
			const struct bh_base_sighting *s);

/* One key seen by one pod, for whoever reads the kernel's sets: there a repeated key is not
 * announced again, so that a sweep per slice has to say that it is still seen. */
int bh_baseline_see(struct bh_baseline *b, enum bh_base_kind kind, const char *text,
		    const struct bh_base_sighting *s);
/* The pod lives: time that brings nothing new is time that was seen. */
void bh_baseline_live(struct bh_baseline *b, const struct bh_base_sighting *s);
/* After bh_baseline_read of what this node wrote, with the clock of ts_ns: slices of a time to come
 * are of a machine that was restarted since. */
void bh_baseline_resume(struct bh_baseline *b, uint64_t now_ns);
/* The place of a pod among the replicas, 0 to BH_BASE_REPLICAS - 1. More than live at once share
 * places: together they confirm no more than one does, and only who has a place counts as a start.
 */
int bh_baseline_replica(struct bh_baseline *b, const struct bh_base_sighting *s);
/* Adds the kernel's bigram filter of a pod. 0 or -ENOMEM. */
int bh_baseline_see_bloom(struct bh_baseline *b, const uint8_t bits[BH_BASE_BLOOM]);

enum bh_base_answer { BH_BASE_NEW, BH_BASE_UNCONFIRMED, BH_BASE_KNOWN };
enum bh_base_answer bh_baseline_has(const struct bh_baseline *b, enum bh_base_kind kind,
				    const char *text);
bool bh_baseline_has_bigram(const struct bh_baseline *b, uint16_t first, uint16_t second);
/* How many of the bits a kernel's filter of pairs does not share with the baseline's; 0 while that
 * has none. */
uint32_t bh_baseline_new_bits(const struct bh_baseline *b, const uint8_t bits[BH_BASE_BLOOM]);

/* Estimated share of what will be seen of this kind that was not seen yet; 1 while nothing is
 * known, 0 for a kind of which nothing was ever seen in enough units. */
double bh_baseline_unseen(const struct bh_baseline *b, enum bh_base_kind kind);
/* Why it is not closed yet, as a sentence; NULL when it could be. Borrowed, static buffer of out.
 */
const char *bh_baseline_waits_for(const struct bh_baseline *b, char *out, size_t size);
/* Closes it when nothing is waited for; true when it is closed. `observe` calls it per unit. */
bool bh_baseline_try_close(struct bh_baseline *b);
void bh_baseline_close(struct bh_baseline *b);
/* Pods' numbers mean something on their node only: after this none of the pods that come is taken
 * for one that was seen. */
void bh_baseline_forget_replicas(struct bh_baseline *b);
/* An operator confirms what was seen in one replica only. */
void bh_baseline_confirm_all(struct bh_baseline *b);

/* Log-odds of "not the workload" against "the workload" that one key of this kind carries when it
 * was not seen before; bounded, so that a single one never decides. */
double bh_baseline_weight(const struct bh_baseline *b, enum bh_base_kind kind);
#define BH_BASE_LEAST_THRESHOLD 9.0
#define BH_BASE_MOST_WEIGHT	4.0

/* Adds what another node or file learnt about the same workload. -EINVAL when it is another one. */
int bh_baseline_merge(struct bh_baseline *b, const struct bh_baseline *from, struct bh_err *err);

/* Makes it another workload's: whatever is not NULL is changed. Connections with pods of its former
 * namespace become such with pods of the new one. */
struct bh_base_place {
	const char *ns, *owner_kind, *owner, *image_digest;
};
int bh_baseline_move(struct bh_baseline *b, const struct bh_base_place *to, struct bh_err *err);

/* ---- files (baseline_file.c) ---- */

/* Canonical JSON of a baseline: sorted, one line per key, equal baselines are equal bytes. */
int bh_baseline_write(const struct bh_baseline *b, struct bh_str *out);
/* The replicas are those of the node that wrote it, so that a daemon goes on where it stopped; call
 * bh_baseline_forget_replicas for a text from elsewhere. */
int bh_baseline_read(const char *text, size_t len, struct bh_baseline **ret, struct bh_err *err);

/* ---- signatures (signed.c) ---- */

/* DSSE envelope (secure-systems-lab DSSE 1.0) around `payload`, signed with an Ed25519 private key
 * in PEM. */
int bh_signed_write(const char *payload, const char *key_pem, struct bh_str *out,
		    struct bh_err *err);
/* Checks the signature with an Ed25519 public (or private) key in PEM, then gives the payload,
 * which the caller owns. -EKEYREJECTED: not signed by this key. */
int bh_signed_read(const char *text, size_t len, const char *key_pem, char **ret_payload,
		   struct bh_err *err);

/* "+ kind text" for what only `b` has, "- kind text" for what only `a` has, sorted; returns how
 * many lines. A line break within a text is written as "\n" and a backslash as "\\": whoever names
 * files cannot write lines here. */
size_t bh_baseline_diff(const struct bh_baseline *a, const struct bh_baseline *b,
			struct bh_str *out);

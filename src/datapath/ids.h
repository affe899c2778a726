/* ids.h - which kernel id stands for which content, and which side of the tables uses it.
 *
 * An id that any side uses is immutable in the kernel. New content gets a fresh id; ids that
 * neither the live side uses nor the tables being published want are released before anything is
 * written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"
#include "base/map.h"
#include "base/vec.h"
#include "bulkhead/abi.h"
#include "policy/tables.h"

/* What must be remembered of a ruleset to delete it again and to know it again. */
struct bh_rsmemo {
	uint64_t until_ns;
	uint32_t next, portmap; /* kernel ids */
	uint32_t *classes;	/* kernel class ids of its rows; owned */
	size_t n_classes, cap_classes;
	struct bh_procrow_key *procs; /* its keys in procrow; owned */
	size_t n_procs, cap_procs;
};

struct bh_id {
	struct bh_content content; /* valid while has_content */
	struct bh_rsmemo *memo;	   /* rulesets only; owned */
	uint32_t kid;
	uint8_t used;	  /* bit per side */
	bool is_wanted;	  /* by the tables being published */
	bool has_content; /* false: left by an earlier daemon or a failed publish */
};

struct bh_ids {
	BH_VEC(struct bh_id) v;
	struct bh_map by_content; /* > position in v, plus 1 */
	uint64_t *taken;	  /* bitmap of ids below limit; NULL: ids only go up */
	uint32_t first, limit;	  /* ids are first..limit-1 */
	uint32_t cursor;	  /* next-fit: an id is reused as late as possible */
};

/* limit up to 65536 keeps a bitmap. */
int bh_ids_init(struct bh_ids *t, uint32_t first, uint32_t limit);
void bh_ids_done(struct bh_ids *t);
struct bh_id *bh_ids_find(struct bh_ids *t, const struct bh_content *content);
/* Linear; for loading. */
struct bh_id *bh_ids_by_kid(struct bh_ids *t, uint32_t kid);
/* Registers an id that the kernel already uses, without content. */
struct bh_id *bh_ids_adopt(struct bh_ids *t, uint32_t kid, uint8_t used);
/* Allocates a fresh id; NULL when there is none or no memory. The pointer is valid until the next
 * call that adds or releases. content NULL: none yet. */
struct bh_id *bh_ids_new(struct bh_ids *t, const struct bh_content *content);
/* Binds content to the id once it is written and verified. */
int bh_ids_bind(struct bh_ids *t, uint32_t pos, const struct bh_content *content);
/* Releases the element at pos (the last one moves there). */
void bh_ids_release(struct bh_ids *t, size_t pos);
/* How many ids are taken. */
static inline size_t bh_ids_count(const struct bh_ids *t)
{
	return t->v.n;
}
/* After a publish: the side `side` now uses exactly what was wanted. is_done false (it failed): it
 * uses nothing. */
void bh_ids_settle(struct bh_ids *t, unsigned side, bool is_done);

/* Peers and prefixes as the kernel holds them, by family, sorted by key. */
struct bh_peer_memo {
	struct bh_ip ip;
	uint32_t id[2];
};
struct bh_cidr_memo {
	struct bh_cidr cidr;
	uint8_t in; /* bit per side: the prefix is one of that side's own */
	uint32_t id[2];
};
struct bh_exe_memo {
	char *path; /* owned */
	uint16_t proc;
	bool is_wanted;
	bool is_live; /* the policy in force may name it */
};

enum bh_family { BH_V4, BH_V6 };

/* Everything publish remembers. Forgotten when a publish fails half-way, then loaded again from the
 * kernel: what it holds is the truth, not what we meant to write. */
struct bh_tstate {
	bool is_loaded;
	struct bh_ids classes, pages, portmaps, rulesets;
	BH_VEC(struct bh_peer_memo) peers[2];
	BH_VEC(struct bh_cidr_memo) cidrs[2];
	BH_VEC(struct bh_exe_memo) exes;
	uint16_t last_proc; /* proc ids go round: sockets remember them for as long as they live */
	uint64_t n_rows, n_procrows;
};

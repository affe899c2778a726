/* edge_paths.h - which executable opened an edge: the kernel's record says it once, people ask
 * later. How many edges there are is the pods' choice, so what is remembered is bounded by bytes;
 * beyond them the older half is forgotten. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bulkhead/abi.h"

#define BH_EDGE_PATHS_BYTES (1u << 20)

struct bh_edge_paths;

/* NULL without memory. */
struct bh_edge_paths *bh_edge_paths_new(void);
void bh_edge_paths_free(struct bh_edge_paths *p);

/* Of the slot's tenant of that generation; path is copied. */
void bh_edge_paths_put(struct bh_edge_paths *p, const struct bh_edge_key *edge, uint32_t generation,
		       const char *path);
/* Borrowed until the next put; NULL: not known, or forgotten. */
const char *bh_edge_paths_get(const struct bh_edge_paths *p, const struct bh_edge_key *edge,
			      uint32_t generation);
/* What they take, about. */
size_t bh_edge_paths_bytes(const struct bh_edge_paths *p);

#include "daemon/edge_paths.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/own.h"

/* Of an entry besides its path: the map's, its key, what malloc adds. */
#define OVERHEAD 128

struct path_key {
	struct bh_edge_key edge;
	uint32_t generation;
};
_Static_assert(sizeof(struct path_key) == 28, "hashed as bytes");

struct half {
	struct bh_map paths; /* struct path_key > char *, owned */
	size_t bytes;
};

struct bh_edge_paths {
	struct half young, old;
};

static void begin(struct half *h)
{
	bh_map_init(&h->paths, free);
	h->bytes = 0;
}

struct bh_edge_paths *bh_edge_paths_new(void)
{
	struct bh_edge_paths *p = calloc(1, sizeof(*p));

	if (p) {
		begin(&p->young);
		begin(&p->old);
	}
	return p;
}

void bh_edge_paths_free(struct bh_edge_paths *p)
{
	if (!p)
		return;
	bh_map_done(&p->young.paths);
	bh_map_done(&p->old.paths);
	free(p);
}

void bh_edge_paths_put(struct bh_edge_paths *p, const struct bh_edge_key *edge, uint32_t generation,
		       const char *path)
{
	const struct path_key key = {*edge, generation};
	const char *known = bh_edge_paths_get(p, edge, generation);
	BH_CLEANUP(bh_freep) char *copy = NULL;
	size_t bytes = OVERHEAD + strlen(path) + 1;

	if (known && !strcmp(known, path))
		return;
	if (p->young.bytes + bytes > BH_EDGE_PATHS_BYTES / 2) {
		bh_map_done(&p->old.paths);
		p->old = p->young;
		begin(&p->young);
	}
	copy = strdup(path);
	if (!copy || bh_map_set(&p->young.paths, &key, sizeof(key), copy))
		return;
	(void)BH_TAKE(copy);
	p->young.bytes += bytes;
}

const char *bh_edge_paths_get(const struct bh_edge_paths *p, const struct bh_edge_key *edge,
			      uint32_t generation)
{
	const struct path_key key = {*edge, generation};
	const char *path = bh_map_get(&p->young.paths, &key, sizeof(key));

	return path ? path : bh_map_get(&p->old.paths, &key, sizeof(key));
}

size_t bh_edge_paths_bytes(const struct bh_edge_paths *p)
{
	return p->young.bytes + p->old.bytes;
}

/* shelf.h - a sorted array of shared, immutable objects of one kind, itself shared by worlds.
 *
 * A world mostly has the objects of the world before it. The references to the objects belong to
 * chunks of some hundred; a shelf that is made from another one shares the chunks in which nothing
 * changed, so that a hundred thousand pods are held by a few hundred references. The array of all
 * objects, which everybody reads, is each shelf's own: copying pointers is cheap, touching the
 * objects is not. Inside policy/ only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bh_shelf_kind {
	void *(*ref)(void *obj);
	void (*unref)(void *obj);
	/* The first moment behind after_s at which something in obj ends; INT64_MAX: none. NULL for
	 * kinds in which nothing ends. */
	int64_t (*next_end)(const void *obj, int64_t after_s);
};

struct bh_chunk;

struct bh_shelf {
	unsigned refs;
	const struct bh_shelf_kind *kind;
	void **v; /* owned; at least one element long */
	size_t n;
	struct bh_chunk **chunks; /* a reference to each */
	size_t n_chunks, cap_chunks;
};

/* Takes over the array and the references in it. On failure (-ENOMEM) nothing is taken. An empty
 * array may be NULL. */
int bh_shelf_new(const struct bh_shelf_kind *kind, void ***take_v, size_t n, struct bh_shelf **ret);
struct bh_shelf *bh_shelf_ref(struct bh_shelf *s);
void bh_shelf_unref(struct bh_shelf *s);

/* One change: the object at `at` goes (has_old), `now` comes in its place or before it (NULL:
 * nothing comes). at is a position in the old shelf, n: behind its end. */
struct bh_shelf_edit {
	size_t at;
	bool has_old;
	void *now; /* borrowed: the shelf takes a reference of its own */
};
/* The shelf with the edits, which are in ascending order: by at, and of the same at first those
 * that come before it, in their order. Gives the same shelf, with one more reference, when nothing
 * changes. 0 or -ENOMEM. */
int bh_shelf_change(struct bh_shelf *s, const struct bh_shelf_edit *edits, size_t n_edits,
		    struct bh_shelf **ret);

/* The first moment behind after_s at which something on the shelf ends; INT64_MAX: none. Chunks
 * remember their answers. */
int64_t bh_shelf_next_end(const struct bh_shelf *s, int64_t after_s);

/* vec.h - typed growable array. BH_VEC(T) declares one; the element type is checked at every use.
 *
 * Zero-initialised is a valid empty vector. Growing can fail (-ENOMEM) and then leaves the vector
 * as it was. The vector owns its memory, not what its elements point to. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define BH_VEC(T)                                                                                  \
	struct {                                                                                   \
		T *v;                                                                              \
		size_t n, cap;                                                                     \
	}

/* The same with a name, where a vector is handed around: BH_VEC_TYPE(bh_names, char *); */
#define BH_VEC_TYPE(name, T)                                                                       \
	struct name {                                                                              \
		T *v;                                                                              \
		size_t n, cap;                                                                     \
	}

/* Makes room for at least `want` elements of `size` bytes: twice the room there is, or just what is
 * wanted if that is more. Returns 0 or -ENOMEM. */
int bh_vec_reserve_(void **v, size_t *cap, size_t want, size_t size);

#define bh_vec_reserve(vec, want)                                                                  \
	bh_vec_reserve_((void **)&(vec)->v, &(vec)->cap, (want), sizeof(*(vec)->v))

/* Gives back room that is not used, for vectors that stay as they are for long. */
void bh_vec_shrink_(void **v, size_t *cap, size_t n, size_t size);

#define bh_vec_shrink(vec)                                                                         \
	bh_vec_shrink_((void **)&(vec)->v, &(vec)->cap, (vec)->n, sizeof(*(vec)->v))

/* Appends a copy of x. Returns 0 or -ENOMEM. */
#define bh_vec_push(vec, x)                                                                        \
	(bh_vec_reserve(vec, (vec)->n + 1) ? -ENOMEM : ((vec)->v[(vec)->n++] = (x), 0))

#define bh_vec_done(vec)                                                                           \
	do {                                                                                       \
		free((vec)->v);                                                                    \
		(vec)->v = NULL;                                                                   \
		(vec)->n = (vec)->cap = 0;                                                         \
	} while (0)

/* for each element pointer: bh_vec_each (it, &vec) */
#define bh_vec_each(it, vec)                                                                       \
	for (__typeof__((vec)->v + 0) it = (vec)->v; it && it < (vec)->v + (vec)->n; it++)

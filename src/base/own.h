/* own.h - cleanup, take and printf-check macros: the only compiler extensions used in our C.
 *
 * Every owning local is initialised where it is declared, carries BH_CLEANUP and leaves its scope
 * through BH_TAKE next to the successful return. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

/* Runs fn(&variable) when the variable leaves scope. fn accepts NULL and half-built objects. */
#define BH_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Hands a pointer on: yields the value and leaves NULL behind, so the cleanup does nothing. */
#define BH_TAKE(p)                                                                                 \
	(__extension__({                                                                           \
		__typeof__(p) bh_taken = (p);                                                      \
		(p) = NULL;                                                                        \
		bh_taken;                                                                          \
	}))

/* Same for a file descriptor: leaves -1 behind. */
#define BH_TAKE_FD(fd)                                                                             \
	(__extension__({                                                                           \
		int bh_taken = (fd);                                                               \
		(fd) = -1;                                                                         \
		bh_taken;                                                                          \
	}))

/* Checks a printf-like function's arguments; positions count from 1. */
#define BH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#define BH_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Cleanups for the two owners libc hands out. */
static inline void bh_freep(void *pp)
{
	free(*(void **)pp);
	*(void **)pp = NULL;
}

static inline void bh_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

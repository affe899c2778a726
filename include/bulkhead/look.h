/* look.h - what the daemon tells programs that follow paths. */
#pragma once

#include "bulkhead/abi.h"

/* map `look_table`, ARRAY[1], one of each program that follows paths: the kernel's table of names.
 * All zero: not known, and no path is followed. */
struct bh_look_table {
	__u64 base;
	__u32 shift; /* a name's hash, so many bits to the right, is its place */
	__u32 pad;
};
/* map `trace_link`, LRU HASH by file: what symbolic links that pods made say, for not every file
 * system has that in memory. Full: the one used longest ago is forgotten. */
struct bh_look_link_key {
	__u64 ino;
	__u32 dev;
	__u32 pad;
};
struct bh_look_link {
	char text[BH_PATH_MAX];
};
/* Argument of the program bh_look_at: where the name behind the caller's descriptor is. */
struct bh_look_at {
	__s32 fd;
	__u32 hash;  /* out, as what follows */
	__u64 place; /* address of what points to it: its place in the table, or another name */
};

/* sets.h - directories > the sets in them: which files are for training, which are normal, which
 * are attacks, by what their names and their directories' say.
 *
 *   DIR/Training_Data_Master/..., DIR/Validation_Data_Master/..., DIR/Attack_Data_Master/NAME/...
 *   DIR/redis/train/..., DIR/redis/normal/..., DIR/redis/attack/...
 *   DIR/train/redis/..., DIR/attack/redis/..., or DIR/train/redis.txt, DIR/attack/redis_2.txt
 *   DIR/redis_normal.txt, DIR/redis_attack.txt, DIR/redis_bruteforce_attack.txt
 *
 * What has attacks only, or nothing but normal traces, is left out with a sentence on stderr. */
#pragma once

#include "base/err.h"
#include "base/vec.h"

enum bh_part { BH_TRAIN, BH_NORMAL, BH_ATTACK, BH_PARTS };

BH_VEC_TYPE(bh_paths, char *);

struct bh_set {
	char *name; /* "" when there is but one */
	struct bh_paths part[BH_PARTS];
};
BH_VEC_TYPE(bh_sets, struct bh_set);

/* All files below dir, or dir itself, in natural order; hidden ones are left out. -EIO. */
int bh_paths_below(const char *dir, struct bh_paths *out);
/* Sets below dir that have attacks and something normal. -EIO, -ENODATA when there is none. */
int bh_sets_find(const char *dir, struct bh_sets *ret, struct bh_err *err);
void bh_set_done(struct bh_set *s);
void bh_sets_done(struct bh_sets *s);

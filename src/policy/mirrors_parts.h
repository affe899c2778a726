/* mirrors_parts.h - what both readers of mirrors.h share. Inside mirrors*.c only. */
#pragma once

#include "policy/mirrors.h"
#include "verify/ref.h"

struct bh_mirror_reading {
	const struct bh_mirror_paths *p;
	const struct bh_image_ref *ref;
	const char *of; /* "registry/repository" */
	json_t *found;	/* entries so far */
};

/* Adds an entry. Both take what they get, NULL is -ENOMEM. */
int bh_mirror_push(struct bh_mirror_reading *r, json_t *take_entry, struct bh_err *err);
/* {"of", "refusal", "isBroken"} */
int bh_mirror_refuse(struct bh_mirror_reading *r, bool is_broken, const char *text,
		     struct bh_err *err);
/* Reads and parses. -ENOENT: no such file; -EINVAL, -EFBIG and others with the path in front. */
int bh_mirror_toml(const struct bh_mirror_reading *r, const char *path, json_t **ret,
		   struct bh_err *err);

/* 1: the files had something to say; 0: nothing about this repository; -EINVAL: they are wrong. */
int bh_mirrors_of_hosts(struct bh_mirror_reading *r, struct bh_err *err);
int bh_mirrors_of_registries(struct bh_mirror_reading *r, struct bh_err *err);

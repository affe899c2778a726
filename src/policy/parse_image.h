/* parse_image.h - shared by parse_image.c and parse_image_signer.c. */
#pragma once

#include "policy/image.h"
#include "policy/parse.h"

#define BH_IMAGE_MAX_PATTERN 256

struct bh_image_parse {
	struct bh_parse *p;
	const struct bh_image_files *files;
};

/* A copy of a string member, NULL when it is absent or wrong (then it is reported). */
char *bh_image_str(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
		   bool required);
/* RFC 3339, or a date alone. */
int64_t bh_image_time(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
		      bool is_end, int64_t otherwise);
/* Reads a file named at `at`. The full name, owned by the caller; NULL when it is reported. */
char *bh_image_file(struct bh_image_parse *x, const struct bh_yaml *at, const char *file,
		    struct bh_blob *ret);
/* Strings of a list member. */
void bh_image_list(struct bh_image_parse *x, const struct bh_yaml *map, const char *key,
		   struct bh_image_strings *ret);

/* list may be NULL. */
void bh_image_signers(struct bh_image_parse *x, const struct bh_yaml *list,
		      struct bh_image_signers *ret);
void bh_image_attestations(struct bh_image_parse *x, const struct bh_yaml *spec,
			   struct bh_image_policy *ret);
